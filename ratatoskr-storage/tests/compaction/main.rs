//! Compaction through a broker, on both backends: what readers see, while they and producers go on.

mod running;

use std::{sync::Arc, time::Duration};

use ratatoskr_core::{
    Broker, Error,
    batch::{BatchBuilder, BatchError, RecordBatch},
    broker::{BrokerConfig, FetchPartition, FetchRequest, OffsetSpec, StreamOptions},
    config::Compression,
    offset::Offset,
    producer::{ProducerStamp, Sequence},
    record::Record,
    time::ManualClock,
};
use ratatoskr_storage::MemoryStorage;

use running::{FIRST, HOUR, NOW, Running, latest, topic_name};

/// Makes a test of each backend.
macro_rules! on_both {
    ($($test:ident)*) => {
        mod memory {
            $(
                #[tokio::test(start_paused = true)]
                async fn $test() {
                    super::$test(super::Running::in_memory().await).await;
                }
            )*
        }
        mod disk {
            $(
                #[tokio::test(start_paused = true)]
                async fn $test() {
                    let directory = tempfile::tempdir().unwrap();
                    super::$test(super::Running::on_disk(directory.path()).await).await;
                }
            )*
        }
    };
}

on_both! {
    the_latest_record_of_each_key_stays_for_readers_from_the_start
    producers_and_readers_go_on_beside_compaction
    tombstones_go_once_their_time_is_up
    records_without_a_key_are_refused
    topics_that_delete_keep_what_is_superseded
    a_producer_goes_on_behind_its_compacted_batches
    a_trim_and_a_look_up_by_time_find_their_way
}

async fn the_latest_record_of_each_key_stays_for_readers_from_the_start(running: Running) {
    // Not compacted yet, so that there is a before.
    running.create(&[("cleanup_policy", "delete")]).await;
    running.publish(60, 5).await;
    let bounds = running.broker.bounds(&topic_name(), FIRST).unwrap();
    let before = running.read().await;
    assert_eq!(before.len(), 300);
    running.alter("cleanup_policy", "compact").await;
    let removed = running.compacted().await;
    let after = running.read().await;
    assert_eq!(after.len() as u64, 300 - removed);
    assert!(after.len() < 100, "{} records are left", after.len());
    assert!(after.iter().all(|record| before.contains(record)));
    assert_eq!(latest(&after), latest(&before));
    assert_eq!(running.broker.bounds(&topic_name(), FIRST).unwrap(), bounds);
    let stats = running.broker.stats();
    assert!(stats.total.bytes_compacted > 0);
    assert_eq!(stats.by_topic[0].1.records_compacted, removed);
    running.close().await;
}

async fn producers_and_readers_go_on_beside_compaction(running: Running) {
    running.create(&[("dirty_ratio_min", "0.01")]).await;
    let name = topic_name();
    let stream = running.broker.stream(&name, StreamOptions::default());
    let mut follower = stream.await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..40 {
        running.publish(5, 5).await;
        // One round of compaction, at least.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let end = running.broker.bounds(&topic_name(), FIRST).unwrap().log_end;
        let next = |seen: &[(Offset, Record)]| {
            seen.last()
                .map_or(Offset::ZERO, |(offset, _)| offset.plus(1))
        };
        while next(&seen) < end {
            let record = follower.next().await.unwrap().unwrap();
            assert!(record.offset >= next(&seen), "a reader never goes back");
            seen.push((record.offset, record.record));
        }
        let from_start = running.read().await;
        assert_eq!(latest(&from_start), latest(&seen));
    }
    assert!(running.broker.stats().total.records_compacted > 500);
    running.close().await;
}

async fn tombstones_go_once_their_time_is_up(running: Running) {
    let settings = [("tombstone_retention_ms", "1h"), ("dirty_ratio_min", "0.1")];
    running.create(&settings).await;
    running.publish(1, 3).await;
    let mut gone = Record::new("").with_key("key 1");
    gone.value = None;
    let tombstone = running
        .broker
        .publish(&topic_name(), gone)
        .await
        .unwrap()
        .offset;
    let is_tombstone =
        |(offset, record): &(Offset, Record)| *offset == tombstone && record.value.is_none();
    for (hours, is_there) in [(0, true), (0, true), (1, false)] {
        running.clock.advance(HOUR * hours);
        // Other keys, which make the log dirty again.
        for number in 0..120 {
            let record = Record::new("x".repeat(100)).with_key(format!("{hours}-{number}"));
            running.broker.publish(&topic_name(), record).await.unwrap();
        }
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        let there = running.read().await;
        assert_eq!(there.iter().any(is_tombstone), is_there, "after {hours} h");
        let deleted = |(_, record): &(Offset, Record)| {
            record.key.as_deref() == Some(b"key 1") && record.value.is_some()
        };
        assert!(!there.iter().any(deleted), "what it deletes");
    }
    running.close().await;
}

async fn records_without_a_key_are_refused(running: Running) {
    running.create(&[]).await;
    let name = topic_name();
    let keyless = |answer: Result<(), Error>, index: u32| {
        assert!(
            matches!(&answer, Err(Error::InvalidBatch(BatchError::KeyMissing { index: i })) if *i == index),
            "{answer:?}"
        );
    };
    let one = running.broker.publish(&name, Record::new("value")).await;
    keyless(one.map(drop), 0);
    let records = vec![Record::new("a").with_key("a"), Record::new("b")];
    let many = running.broker.publish_many(&name, records.clone()).await;
    keyless(many.map(drop), 1);
    for codec in Compression::ALL
        .into_iter()
        .filter(|codec| codec.is_built())
    {
        let mut builder = BatchBuilder::new(codec);
        for record in [&records[0]; 20].into_iter().chain([&records[1]]) {
            builder.push(record, NOW).unwrap();
        }
        let batch = builder.build().unwrap();
        keyless(
            running
                .broker
                .produce(&name, FIRST, batch.clone())
                .map(drop),
            20,
        );
        let mut many = running.broker.produce_many(&name, FIRST, vec![batch]);
        keyless(many.remove(0).map(drop), 20);
    }
    assert_eq!(
        running.broker.bounds(&name, FIRST).unwrap().log_end,
        Offset::ZERO
    );
    running.close().await;
}

async fn topics_that_delete_keep_what_is_superseded(running: Running) {
    running.create(&[("cleanup_policy", "delete")]).await;
    running.publish(60, 5).await;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    assert_eq!(running.read().await.len(), 300);
    // Until the topic is altered.
    running.alter("cleanup_policy", "compact,delete").await;
    assert!(running.compacted().await > 200);
    running.close().await;
}

fn batch_of(producer: i64, sequence: i32, key: &str) -> RecordBatch {
    let mut builder = BatchBuilder::new(Compression::None).with_producer(ProducerStamp {
        id: producer.into(),
        epoch: 0.into(),
        base_sequence: Sequence::new(sequence),
    });
    let record = Record::new("x".repeat(200)).with_key(key.to_owned());
    builder.push(&record, NOW).unwrap();
    builder.build().unwrap()
}

async fn send(broker: &Broker, batch: RecordBatch) -> Result<bool, Error> {
    let pending = broker.produce(&topic_name(), FIRST, batch)?;
    pending.wait().await.map(|produced| produced.duplicate)
}

async fn a_producer_goes_on_behind_its_compacted_batches(running: Running) {
    running.create(&[]).await;
    // All that producer 1 sent is superseded by what 2 sends.
    for sequence in 0..8 {
        send(&running.broker, batch_of(1, sequence, "k"))
            .await
            .unwrap();
    }
    for sequence in 0..100 {
        send(&running.broker, batch_of(2, sequence, "k"))
            .await
            .unwrap();
    }
    assert!(running.compacted().await > 50);
    let check = |running: Running| async move {
        assert!(
            send(&running.broker, batch_of(1, 7, "k")).await.unwrap(),
            "known again"
        );
        let gap = send(&running.broker, batch_of(1, 9, "k")).await;
        assert!(
            matches!(gap, Err(Error::OutOfOrderSequence { .. })),
            "{gap:?}"
        );
        running
    };
    let running = check(running).await;
    // A broker that opens the log anew knows its producers from the headers that are left.
    let Running { broker, disk, .. } = running;
    drop(broker);
    if let Some(disk) = disk {
        let again = Running::over(disk.clone(), Some(disk)).await;
        let again = check(again).await;
        assert!(!send(&again.broker, batch_of(1, 8, "k")).await.unwrap());
        again.close().await;
    }
}

async fn a_trim_and_a_look_up_by_time_find_their_way(running: Running) {
    running.create(&[]).await;
    for number in 0..200_u32 {
        running.clock.advance(Duration::from_secs(1));
        let record = Record::new("x".repeat(100)).with_key(format!("{}", number % 7));
        running.broker.publish(&topic_name(), record).await.unwrap();
    }
    running.compacted().await;
    let there = running.read().await;
    for seconds in [0, 50, 150, 199] {
        let at = NOW.plus(Duration::from_secs(seconds));
        let spec = OffsetSpec::Timestamp(at);
        let found = running.broker.offset_at(&topic_name(), FIRST, spec).await;
        let mut late = there
            .iter()
            .filter(|(_, record)| record.timestamp >= Some(at));
        let expected = late.next().map(|(offset, _)| *offset);
        assert_eq!(found.unwrap(), expected, "{seconds} s");
    }
    // In the middle of what stands for others.
    let to = Offset::new(50);
    running.broker.trim(&topic_name(), FIRST, to).await.unwrap();
    assert_eq!(running.read().await, there);
    let request = FetchRequest {
        partitions: vec![FetchPartition {
            topic: topic_name(),
            partition: FIRST,
            from: Offset::new(60),
            bytes_max: 1 << 20,
        }],
        ..FetchRequest::default()
    };
    let fetched = running.broker.fetch(&request);
    assert!(fetched.await.is_ok());
    running.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_compacted_log_is_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let running = Running::on_disk(directory.path()).await;
    running.create(&[]).await;
    running.publish(60, 5).await;
    running.compacted().await;
    let before = running.read().await;
    running.close().await;
    let running = Running::on_disk(directory.path()).await;
    assert_eq!(running.read().await, before);
    running.publish(60, 5).await;
    assert!(running.compacted().await > 200);
    running.close().await;
}

#[tokio::test(start_paused = true)]
async fn compaction_keeps_to_its_pace() {
    let storage = Arc::new(MemoryStorage::new());
    let clock = Arc::new(ManualClock::at(NOW));
    let config = BrokerConfig {
        compaction_interval: Duration::from_secs(1),
        compaction_bytes_per_second: 4 << 10,
        ..BrokerConfig::default()
    };
    let broker = Broker::builder(storage, clock.clone()).config(config);
    let running = Running {
        broker: broker.open().await.unwrap(),
        clock,
        disk: None,
    };
    running.create(&[]).await;
    running.publish(600, 5).await;
    let start = tokio::time::Instant::now();
    while running.broker.stats().total.records_compacted == 0 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // Some 400 KiB are read twice and written once, at most.
    let elapsed = start.elapsed();
    assert!(elapsed > Duration::from_secs(100), "{elapsed:?}");
    assert!(elapsed < Duration::from_mins(10), "{elapsed:?}");
    running.close().await;
}
