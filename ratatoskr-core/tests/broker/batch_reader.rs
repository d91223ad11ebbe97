//! A reader of batches: from where each read ended, under limits, and what ends it.

use std::time::Duration;

use ratatoskr_core::{
    Error,
    broker::{BatchReader, BatchReaderOptions, BrokerConfig, FetchedPartition, ReadLimits},
    name::TopicName,
    offset::{Offset, PartitionIndex},
};
use tokio::time::Instant;

use crate::support::{
    Bench, Fault, Operation, P0, P1, TestStorage, batch, fetch_from, settle, topic, values,
};

const ALL: ReadLimits = ReadLimits {
    offsets_max: u64::MAX,
    bytes_max: usize::MAX,
};

fn reader(bench: &Bench, topic: &TopicName, partitions: &[(PartitionIndex, u64)]) -> BatchReader {
    let partitions = partitions.iter();
    let options = BatchReaderOptions {
        partitions: partitions
            .map(|&(at, from)| (at, Offset::new(from)))
            .collect(),
        ..BatchReaderOptions::default()
    };
    bench.broker.read_batches(topic, options).unwrap()
}

async fn send(bench: &Bench, topic: &TopicName, partition: PartitionIndex, sent: &[&str]) {
    let pending = bench.broker.produce(topic, partition, batch(sent)).unwrap();
    pending.wait().await.unwrap();
}

/// What a read brought: from which partition, and the values.
async fn next(reader: &mut BatchReader, limits: ReadLimits) -> (PartitionIndex, String) {
    let FetchedPartition {
        partition, result, ..
    } = reader.next(limits).await.unwrap().unwrap();
    (partition, values(&result.unwrap().batches).concat())
}

#[tokio::test]
async fn each_read_goes_on_where_the_last_one_ended() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    let mut reader = reader(&bench, &topic, &[(P0, 1)]);
    for (sent, read) in [(["a", "b"], "ab"), (["c", "d"], "cd"), (["e", "f"], "ef")] {
        // The first batch begins before the offset asked for.
        send(&bench, &topic, P0, &sent).await;
        assert_eq!(next(&mut reader, ALL).await, (P0, read.to_owned()));
    }
    assert_eq!(
        reader.partitions().collect::<Vec<_>>(),
        [(P0, Offset::new(6))]
    );
}

#[tokio::test]
async fn a_reader_waits_for_batches_and_loses_none_when_the_wait_is_dropped() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 2).await;
    let mut reader = reader(&bench, &topic, &[(P0, 0), (P1, 0)]);
    for n in 0..20 {
        for _ in 0..3 {
            let waited = tokio::time::timeout(Duration::ZERO, reader.next(ALL)).await;
            assert!(waited.is_err(), "batches came out of nothing");
        }
        let partition = PartitionIndex::new(n % 2);
        let value = n.to_string();
        let (read, ()) = tokio::join!(next(&mut reader, ALL), async {
            settle().await;
            send(&bench, &topic, partition, &[&value]).await;
        });
        assert_eq!(read, (partition, value));
    }
}

#[tokio::test]
async fn a_read_keeps_to_its_limits_but_for_one_batch() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    for value in ["a", "b", "c", "d", "e", "f"] {
        send(&bench, &topic, P0, &[value]).await;
    }
    let bytes = batch(&["a"]).total_bytes();
    let limits = |offsets_max, bytes_max| ReadLimits {
        offsets_max,
        bytes_max,
    };
    let mut reader = reader(&bench, &topic, &[(P0, 0)]);
    for (limits, expected) in [
        (limits(2, usize::MAX), "ab"),
        (limits(u64::MAX, 2 * bytes), "cd"),
        (limits(0, usize::MAX), "e"),
        (limits(u64::MAX, 0), "f"),
    ] {
        assert_eq!(next(&mut reader, limits).await.1, expected, "{limits:?}");
    }
}

#[tokio::test]
async fn an_offset_limit_that_ends_in_a_gap_does_not_end_the_reading() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    for value in ["a", "b", "c"] {
        send(&bench, &topic, P0, &[value]).await;
    }
    bench.storage.compact_away(&topic, P0, Offset::new(1));
    let limits = ReadLimits {
        offsets_max: 1,
        ..ALL
    };
    let mut reader = reader(&bench, &topic, &[(P0, 0)]);
    assert_eq!(next(&mut reader, limits).await.1, "a");
    let read = reader.next(limits).await.unwrap().unwrap().result.unwrap();
    assert_eq!(values(&read.batches), ["c"]);
    assert_eq!((read.from, read.offsets()), (Offset::new(1), 2));
}

#[tokio::test]
async fn a_busy_partition_does_not_starve_the_others() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 2).await;
    for value in ["a", "b", "c"] {
        send(&bench, &topic, P0, &[value]).await;
        send(&bench, &topic, P1, &[value]).await;
    }
    let one = ReadLimits {
        offsets_max: 1,
        ..ALL
    };
    let mut reader = reader(&bench, &topic, &[(P0, 0), (P1, 0)]);
    let mut turns = Vec::new();
    for _ in 0..6 {
        turns.push(next(&mut reader, one).await.0);
    }
    assert_eq!(turns, [P0, P1, P0, P1, P0, P1]);
}

#[tokio::test]
async fn an_error_ends_its_partition_alone() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 2).await;
    send(&bench, &topic, P0, &["a"]).await;
    send(&bench, &topic, P1, &["b"]).await;
    bench
        .storage
        .fail(Operation::Read, &topic, P1, Fault::broken());
    let missing = PartitionIndex::new(9);
    let mut reader = reader(&bench, &topic, &[(missing, 0), (P1, 0), (P0, 0), (P0, 7)]);
    let mut failed = Vec::new();
    for _ in 0..3 {
        let read = reader.next(ALL).await.unwrap().unwrap();
        match (read.partition, read.result) {
            (at, Err(Error::UnknownPartition { .. })) if at == missing => failed.push("unknown"),
            (P1, Err(Error::PartitionOffline { .. })) => failed.push("offline"),
            (P0, Ok(fetched)) => assert_eq!(values(&fetched.batches), ["a"]),
            (at, result) => panic!("{at}: {result:?}"),
        }
    }
    assert_eq!(failed, ["unknown", "offline"]);
    let read = reader.next(ALL).await.unwrap().unwrap();
    assert!(matches!(read.result, Err(Error::OffsetOutOfRange { .. })));
    let left: Vec<_> = reader.partitions().collect();
    assert_eq!(left, [(P0, Offset::new(1))]);
}

#[tokio::test]
async fn a_deletion_ends_each_partition_and_then_the_reader() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 2).await;
    let mut reader = reader(&bench, &topic, &[(P0, 0), (P1, 0)]);
    let reading = tokio::spawn(async move {
        let mut ends = Vec::new();
        while let Some(read) = reader.next(ALL).await {
            let read = read.unwrap();
            assert!(matches!(read.result, Err(Error::UnknownTopic(_))));
            ends.push(read.partition);
        }
        ends
    });
    settle().await;
    bench.broker.delete_topic(&topic).await.unwrap();
    // A topic of that name is another topic.
    bench.topic("orders", 2).await;
    assert_eq!(reading.await.unwrap(), [P0, P1]);
}

#[tokio::test]
async fn shutting_down_ends_a_wait() {
    let bench = Bench::memory().await;
    let name = bench.topic("orders", 1).await;
    let mut waiting = reader(&bench, &name, &[(P0, 0)]);
    let reading = tokio::spawn(async move { waiting.next(ALL).await });
    settle().await;
    bench.broker.shutdown(Duration::from_secs(1)).await.unwrap();
    let last = reading.await.unwrap();
    assert!(matches!(last, Some(Err(Error::ShuttingDown))));
    let opened = bench
        .broker
        .read_batches(&topic("orders"), BatchReaderOptions::default());
    assert!(matches!(opened, Err(Error::ShuttingDown)));
}

#[tokio::test]
async fn an_unknown_topic_is_told_when_a_reader_is_opened() {
    let bench = Bench::memory().await;
    let opened = bench
        .broker
        .read_batches(&topic("none"), BatchReaderOptions::default());
    assert!(matches!(opened, Err(Error::UnknownTopic(_))));
}

#[tokio::test]
async fn one_partition_that_waits_for_its_disk_keeps_no_other_waiting() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 2).await;
    send(&bench, &topic, P0, &["a"]).await;
    bench.storage.stop_reads(&topic, P0);
    let mut reader = reader(&bench, &topic, &[(P0, 0), (P1, 0)]);
    send(&bench, &topic, P1, &["b"]).await;
    assert_eq!(next(&mut reader, ALL).await, (P1, "b".to_owned()));
    let (read, ()) = tokio::join!(next(&mut reader, ALL), async {
        settle().await;
        bench.storage.let_reads_through();
    });
    assert_eq!(read, (P0, "a".to_owned()));
    send(&bench, &topic, P0, &["c"]).await;
    assert_eq!(next(&mut reader, ALL).await, (P0, "c".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn what_waited_for_the_disk_is_given_at_the_pace_of_cold_reads() {
    let bytes = batch(&["a"]).total_bytes() as u64;
    let config = BrokerConfig {
        // A batch takes ten seconds.
        cold_read_bytes_per_second: Some(bytes / 10),
        ..BrokerConfig::default()
    };
    let paced = Duration::from_secs(10);
    let bench = Bench::over(TestStorage::memory(), config).await;
    let topic = bench.topic("orders", 1).await;
    send(&bench, &topic, P0, &["a"]).await;

    // A reader and a fetch, which share the pace.
    bench.storage.stop_reads(&topic, P0);
    let mut cold = reader(&bench, &topic, &[(P0, 0)]);
    let start = Instant::now();
    let request = fetch_from(&topic, P0, Offset::ZERO);
    let (read, fetched, ()) = tokio::join!(
        async { (next(&mut cold, ALL).await, start.elapsed()) },
        async { (bench.fetch_one(&request).await, start.elapsed()) },
        async {
            settle().await;
            bench.storage.let_reads_through();
        },
    );
    assert_eq!(read.0, (P0, "a".to_owned()));
    assert_eq!(values(&fetched.0.unwrap().batches), ["a"]);
    let mut took = [read.1, fetched.1];
    took.sort();
    assert!(took[0] >= paced && took[0] < paced * 2, "{took:?}");
    assert!(took[1] >= paced * 2 && took[1] < paced * 3, "{took:?}");

    // What is at hand is given at once.
    let start = Instant::now();
    send(&bench, &topic, P0, &["b"]).await;
    assert_eq!(next(&mut cold, ALL).await, (P0, "b".to_owned()));
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn what_is_read_is_counted() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    send(&bench, &topic, P0, &["a"]).await;
    let mut reader = reader(&bench, &topic, &[(P0, 0)]);
    next(&mut reader, ALL).await;
    let bytes = batch(&["a"]).total_bytes() as u64;
    assert_eq!(bench.broker.stats().total.bytes_out, bytes);
}
