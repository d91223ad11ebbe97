//! A partition's producers are known again from a snapshot, if that is of the log as it is.

use ratatoskr_core::{broker::Produced, name::TopicName, offset::Offset};

use crate::support::{Bench, P0, batch_of};

/// Batches that are enough for a snapshot.
const BATCHES: i32 = 18;

async fn send(bench: &Bench, topic: &TopicName, id: i64, sequence: i32) -> Produced {
    let value = "x".repeat(1_000_000);
    let batch = batch_of(id, 0, sequence, &[&value]);
    let pending = bench.broker.produce(topic, P0, batch).unwrap();
    pending.wait().await.unwrap()
}

/// A log of one producer's batches with a snapshot beside it, and a broker that has not opened it.
async fn filled() -> (Bench, TopicName) {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    for sequence in 0..BATCHES {
        send(&bench, &topic, 7, sequence).await;
    }
    bench.storage.snapshot_kept(&topic, P0).await;
    let bench = bench.reopened().await;
    bench.storage.take_reads();
    (bench, topic)
}

#[tokio::test]
async fn only_the_end_of_a_large_log_is_read_when_it_is_opened() {
    let (bench, topic) = filled().await;
    for sequence in BATCHES - 5..BATCHES {
        let again = send(&bench, &topic, 7, sequence).await;
        assert!(again.duplicate, "{sequence}");
        assert_eq!(again.base_offset.get(), u64::from(sequence.cast_unsigned()));
    }
    let next = send(&bench, &topic, 7, BATCHES).await;
    assert_eq!((next.base_offset.get(), next.duplicate), (18, false));
    let reads = bench.storage.take_reads();
    assert!(!reads.is_empty());
    assert!(
        reads.iter().all(|from| *from >= Offset::new(16)),
        "{reads:?}"
    );
}

#[tokio::test]
async fn a_snapshot_of_more_than_there_is_is_not_believed() {
    let (bench, topic) = filled().await;
    bench.storage.lose(&topic, P0, Offset::new(15));
    let lost = send(&bench, &topic, 7, 15).await;
    assert_eq!((lost.base_offset.get(), lost.duplicate), (15, false));
    let known = send(&bench, &topic, 7, 14).await;
    assert_eq!((known.base_offset.get(), known.duplicate), (14, true));
}

#[tokio::test]
async fn a_snapshot_of_another_life_of_the_log_is_not_believed() {
    let (bench, topic) = filled().await;
    bench.storage.lose(&topic, P0, Offset::new(15));
    for sequence in 0..4 {
        send(&bench, &topic, 8, sequence).await;
    }
    let bench = bench.reopened().await;
    let lost = send(&bench, &topic, 7, 15).await;
    assert_eq!((lost.base_offset.get(), lost.duplicate), (19, false));
    let other = send(&bench, &topic, 8, 3).await;
    assert_eq!((other.base_offset.get(), other.duplicate), (18, true));
}

#[tokio::test]
async fn what_is_no_snapshot_is_not_believed() {
    let (bench, topic) = filled().await;
    bench
        .storage
        .put_snapshot(&topic, P0, b"what a crash has left");
    let again = send(&bench, &topic, 7, BATCHES - 1).await;
    assert!(again.duplicate);
    let reads = bench.storage.take_reads();
    assert!(reads.contains(&Offset::ZERO), "{reads:?}");
}
