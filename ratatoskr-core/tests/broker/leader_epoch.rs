//! Leader epochs tell records apart that had the same offset in two lives of a log.

use ratatoskr_core::{
    batch::batches,
    broker::EpochEnd,
    name::TopicName,
    offset::{LeaderEpoch, Offset},
};

use crate::support::{Bench, P0, fetch_from};

/// The epoch of each batch of partition 0.
async fn epochs(bench: &Bench, topic: &TopicName) -> Vec<i32> {
    let request = fetch_from(topic, P0, Offset::ZERO);
    let fetched = bench.fetch_one(&request).await.unwrap();
    let slices = fetched.batches.into_slices().into_iter();
    slices
        .flat_map(batches)
        .map(|batch| batch.unwrap().header().leader_epoch.get())
        .collect()
}

/// The epochs of what is sent before, after one restart and after two.
async fn epochs_over_restarts(bench: Bench, durability: &str) -> Vec<i32> {
    let config = [("durability", durability)];
    let topic = bench.topic_with("orders", 1, &config).await;
    bench.send(&topic, &["a"]).await;
    let bench = bench.reopened().await;
    bench.send(&topic, &["b"]).await;
    bench.send(&topic, &["c"]).await;
    let bench = bench.reopened().await;
    bench.send(&topic, &["d"]).await;
    epochs(&bench, &topic).await
}

#[tokio::test]
async fn a_log_that_may_lose_its_end_gets_a_new_epoch_each_time_it_is_opened() {
    let memory = epochs_over_restarts(Bench::memory().await, "memory").await;
    assert_eq!(memory, [0, 1, 1, 2]);
    let os = epochs_over_restarts(Bench::flushing().await, "os").await;
    assert_eq!(os, [0, 1, 1, 2]);
}

#[tokio::test]
async fn a_log_that_is_synced_keeps_its_epoch() {
    let fsync = epochs_over_restarts(Bench::flushing().await, "fsync").await;
    assert_eq!(fsync, [0, 0, 0, 0]);
}

#[tokio::test]
async fn a_reader_of_an_epoch_is_told_where_its_records_end() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    bench.send(&topic, &["a", "b"]).await;
    let bench = bench.reopened().await;
    // Nothing is written in epoch 1.
    bench.broker.bounds(&topic, P0).unwrap();
    let bench = bench.reopened().await;
    bench.send(&topic, &["c"]).await;
    bench.send(&topic, &["d", "e"]).await;
    let current = bench.broker.leader_epoch(&topic, P0).unwrap().unwrap();
    assert!(current.get() > 0);
    let end = |epoch| bench.broker.end_of_epoch(&topic, P0, epoch);
    for (asked, epoch, offset) in [
        (LeaderEpoch::new(0), LeaderEpoch::new(0), 2),
        (current, current, 5),
        (LeaderEpoch::new(current.get() + 1), current, 5),
    ] {
        let end_offset = Offset::new(offset);
        let expected = EpochEnd {
            epoch,
            end: end_offset,
        };
        assert_eq!(end(asked).await.unwrap(), expected, "{asked}");
    }
    bench.broker.trim(&topic, P0, Offset::new(3)).await.unwrap();
    let none = end(LeaderEpoch::new(0)).await.unwrap();
    assert_eq!((none.epoch.get(), none.end), (-1, Offset::new(3)));
}
