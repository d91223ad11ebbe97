//! Compaction as the engine asks a backend for it: what it asks, when, and what a failure takes down.

use std::time::Duration;

use ratatoskr_core::{
    BrokerConfig,
    batch::BatchBuilder,
    broker::{PartitionState, ProblemScope},
    config::Compression,
    name::TopicName,
    offset::Offset,
    producer::ProducerStamp,
    record::Record,
};

use crate::support::{Bench, Fault, Operation, P0, START, TestStorage, change};

/// Longer than it takes until compaction looks again.
const ROUND: Duration = Duration::from_secs(16);

/// A topic of 4 batches with keys, each in a segment of its own.
async fn bench() -> (Bench, TopicName) {
    let bench = Bench::over(TestStorage::compacting(), BrokerConfig::default()).await;
    let settings = [
        ("cleanup_policy", "compact"),
        ("tombstone_retention_ms", "2h"),
    ];
    let topic = bench.topic_with("users", 1, &settings).await;
    for sequence in 0..4 {
        assert!(!send(&bench, &topic, sequence).await);
    }
    (bench, topic)
}

/// Sends a batch of a producer; whether it was there already.
async fn send(bench: &Bench, topic: &TopicName, sequence: i32) -> bool {
    let mut builder = BatchBuilder::new(Compression::None).with_producer(ProducerStamp {
        id: 7.into(),
        epoch: 0.into(),
        base_sequence: sequence.into(),
    });
    let record = Record::new("value").with_key("key");
    builder.push(&record, START).unwrap();
    let pending = bench.broker.produce(topic, P0, builder.build().unwrap());
    pending.unwrap().wait().await.unwrap().duplicate
}

#[tokio::test(start_paused = true)]
async fn sealed_segments_are_to_be_compacted_and_the_batches_of_producers_kept() {
    let (bench, _) = bench().await;
    tokio::time::sleep(ROUND).await;
    let asked = bench.storage.compactions();
    assert_eq!(asked.len(), 1);
    assert_eq!(
        asked[0].until,
        Offset::new(3),
        "the last segment may be written to"
    );
    assert_eq!(asked[0].tombstone_retention, Duration::from_hours(2));
    assert_eq!(*asked[0].kept_batches, [0, 1, 2, 3].map(Offset::new));
    tokio::time::sleep(ROUND).await;
    assert!(
        bench.storage.compactions().len() > 1,
        "it is looked at again"
    );
}

#[tokio::test(start_paused = true)]
async fn a_compaction_that_panics_takes_its_partition_down_for_a_moment_and_rests_for_an_hour() {
    let (bench, topic) = bench().await;
    bench
        .storage
        .fail(Operation::Compact, &topic, P0, Fault::Panic);
    let mut was_down = false;
    for _ in 0..ROUND.as_millis() / 50 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        was_down |= bench.broker.problems().iter().any(|problem| {
            matches!(problem.scope, ProblemScope::Partition { partition, .. } if partition == P0)
        });
    }
    assert!(was_down);
    assert_eq!(bench.broker.problems(), []);
    assert_eq!(bench.values(&topic).await, ["value"; 4]);
    for _ in 0..20 {
        tokio::time::sleep(ROUND).await;
    }
    assert_eq!(bench.storage.compactions().len(), 0);
    bench.clock.advance(Duration::from_hours(1));
    tokio::time::sleep(ROUND).await;
    assert_eq!(bench.storage.compactions().len(), 1);
}

/// As after a restart.
#[tokio::test(start_paused = true)]
async fn a_partition_that_nobody_uses_is_compacted_and_stays_closed() {
    let (bench, topic) = bench().await;
    let report = bench.broker.shutdown(Duration::from_secs(1)).await;
    assert!(report.unwrap().is_clean());
    let bench = bench.reopened().await;
    tokio::time::sleep(ROUND).await;
    let asked = bench.storage.compactions();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].until, Offset::new(3));
    assert_eq!(*asked[0].kept_batches, [0, 1, 2, 3].map(Offset::new));
    let unchanged = bench
        .broker
        .alter_topic(&topic, &change(&[]))
        .await
        .unwrap();
    assert_eq!(unchanged.partitions[0].state, PartitionState::Closed);

    // Nothing comes to it, so it is not looked at again for an hour.
    tokio::time::sleep(4 * ROUND).await;
    assert_eq!(bench.storage.compactions().len(), 1);
    bench.clock.advance(Duration::from_hours(1));
    tokio::time::sleep(ROUND).await;
    assert_eq!(bench.storage.compactions().len(), 2);

    // Its producer goes on where it was.
    assert!(send(&bench, &topic, 3).await);
    assert!(!send(&bench, &topic, 4).await);
}

#[tokio::test(start_paused = true)]
async fn partitions_that_nobody_uses_are_looked_at_a_few_at_a_time() {
    let settings = [("cleanup_policy", "compact")];
    let bench = Bench::over(TestStorage::compacting(), BrokerConfig::default()).await;
    bench.topic_with("many", 250, &settings).await;
    let others = [("retention_ms", "none")];
    bench.topic_with("others", 50, &others).await;
    let before = bench.storage.opened();
    let mut looks = Vec::new();
    for _ in 0..5 {
        tokio::time::sleep(ROUND).await;
        looks.push(bench.storage.opened() - before);
    }
    assert_eq!(looks, [100, 200, 250, 250, 250]);
    // A sweep begins an hour after the one before it began.
    bench.clock.advance(Duration::from_hours(1));
    tokio::time::sleep(ROUND).await;
    assert_eq!(bench.storage.opened() - before, 350);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_compacted_once_the_broker_is_shut() {
    let (bench, _) = bench().await;
    let report = bench.broker.shutdown(Duration::from_secs(1)).await.unwrap();
    assert!(report.is_clean());
    tokio::time::sleep(4 * ROUND).await;
    assert!(bench.storage.compactions().is_empty());
}
