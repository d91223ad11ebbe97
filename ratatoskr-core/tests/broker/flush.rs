//! Durability without a committer: flushed before it is seen, or in the background.

use std::time::Duration;

use ratatoskr_core::{BrokerConfig, Error, offset::Offset};

use crate::support::{Bench, Fault, Operation, P0, TestStorage, batch, batch_of, change, settle};

#[tokio::test]
async fn a_record_is_seen_once_it_is_flushed() {
    let bench = Bench::flushing().await;
    let topic = bench.topic("orders", 1).await;
    bench.storage.stop_flushes();
    let pending = bench.broker.produce(&topic, P0, batch(&["a"])).unwrap();
    let waiting = tokio::spawn(pending.wait());
    settle().await;
    assert!(!waiting.is_finished(), "acknowledged before the flush");
    let bounds = bench.broker.bounds(&topic, P0).unwrap();
    assert_eq!(bounds.high_watermark, Offset::ZERO);
    assert_eq!(bounds.log_end, Offset::new(1));
    assert!(bench.values(&topic).await.is_empty());
    bench.storage.let_flushes_through(1);
    waiting.await.unwrap().unwrap();
    assert_eq!(bench.values(&topic).await, ["a"]);
}

#[tokio::test]
async fn sends_that_come_during_a_flush_share_the_next() {
    let bench = Bench::flushing().await;
    let topic = bench.topic("orders", 1).await;
    bench.storage.stop_flushes();
    let send = || bench.broker.produce(&topic, P0, batch(&["a"])).unwrap();
    let mut waiting = vec![tokio::spawn(send().wait())];
    settle().await;
    for _ in 0..9 {
        waiting.push(tokio::spawn(send().wait()));
    }
    bench.storage.let_flushes_through(100);
    for waiting in waiting {
        waiting.await.unwrap().unwrap();
    }
    assert_eq!(bench.storage.flushes(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_failed_flush_leaves_the_outcome_unknown_and_is_not_tried_again() {
    let bench = Bench::flushing().await;
    let topic = bench.topic("orders", 1).await;
    bench
        .storage
        .fail(Operation::Flush, &topic, P0, Fault::full());
    let pending = bench.broker.produce(&topic, P0, batch_of(7, 0, 0, &["a"]));
    let error = pending.unwrap().wait().await.unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown { .. }), "{error}");
    assert_eq!(bench.storage.flushes(), 1);
    tokio::time::sleep(Duration::from_secs(1)).await;
    // The record came to light when the log was opened again, and the producer learns of it.
    let again = bench.broker.produce(&topic, P0, batch_of(7, 0, 0, &["a"]));
    assert!(again.unwrap().wait().await.unwrap().duplicate);
    assert_eq!(bench.values(&topic).await, ["a"]);
}

#[tokio::test]
async fn what_an_earlier_run_left_unflushed_is_flushed_before_it_is_seen() {
    let bench = Bench::flushing().await;
    let topic = bench.topic_with("orders", 1, &[("durability", "os")]).await;
    bench.send(&topic, &["a"]).await;
    assert_eq!(bench.storage.flushes(), 0);
    let to_fsync = change(&[("durability", "fsync")]);
    bench.broker.alter_topic(&topic, &to_fsync).await.unwrap();
    assert_eq!(bench.storage.flushes(), 1, "the change flushes");
    bench.storage.stop_flushes();
    let pending = bench.broker.produce(&topic, P0, batch(&["b"])).unwrap();
    let reopened = bench.reopened().await;
    assert_eq!(reopened.values(&topic).await, ["a"]);
    bench.storage.let_flushes_through(2);
    pending.wait().await.unwrap();
    settle().await;
    assert_eq!(reopened.values(&topic).await, ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn an_interval_topic_is_flushed_in_the_background_only_while_there_is_something() {
    let bench = Bench::flushing().await;
    let topic = bench
        .topic_with("orders", 1, &[("durability", "interval(100ms)")])
        .await;
    for _ in 0..10 {
        bench.send(&topic, &["a"]).await;
    }
    assert_eq!(bench.storage.flushes(), 0, "acknowledged without a flush");
    tokio::time::sleep(Duration::from_millis(110)).await;
    assert_eq!(bench.storage.flushes(), 1);
    let bounds = bench.broker.bounds(&topic, P0).unwrap();
    assert_eq!(bounds.durable_end, Offset::new(10));
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(bench.storage.flushes(), 1, "flushed though nothing was new");
    bench.send(&topic, &["b"]).await;
    tokio::time::sleep(Duration::from_millis(110)).await;
    assert_eq!(bench.storage.flushes(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_comes_during_a_background_flush_is_flushed_by_the_next() {
    let bench = Bench::flushing().await;
    let topic = bench
        .topic_with("orders", 1, &[("durability", "interval(100ms)")])
        .await;
    bench.storage.stop_flushes();
    bench.send(&topic, &["a"]).await;
    tokio::time::sleep(Duration::from_millis(110)).await;
    bench.send(&topic, &["b"]).await;
    bench.storage.let_flushes_through(2);
    tokio::time::sleep(Duration::from_millis(210)).await;
    let bounds = bench.broker.bounds(&topic, P0).unwrap();
    assert_eq!(bounds.durable_end, Offset::new(2));
}

#[tokio::test]
async fn a_change_of_durability_waits_for_what_is_on_its_way_and_holds_back_the_rest() {
    let bench = Bench::flushing().await;
    let topic = bench.topic("orders", 1).await;
    bench.storage.stop_flushes();
    let before = bench.broker.produce(&topic, P0, batch(&["a"])).unwrap();
    let broker = bench.broker.clone();
    let name = topic.clone();
    let altering = tokio::spawn(async move {
        let to_os = change(&[("durability", "os")]);
        broker.alter_topic(&name, &to_os).await
    });
    settle().await;
    let held = bench.broker.produce(&topic, P0, batch(&["b"])).unwrap();
    let held = tokio::spawn(held.wait());
    settle().await;
    assert!(!altering.is_finished() && !held.is_finished());
    bench.storage.let_flushes_through(2);
    before.wait().await.unwrap();
    altering.await.unwrap().unwrap();
    let held = held.await.unwrap().unwrap();
    assert_eq!(held.base_offset, Offset::new(1));
    assert_eq!(held.durability, ratatoskr_core::config::Durability::Os);
    assert_eq!(bench.values(&topic).await, ["a", "b"]);
}

#[tokio::test]
async fn a_durability_that_the_storage_cannot_promise_is_refused() {
    let bench = Bench::over(TestStorage::memory(), BrokerConfig::default()).await;
    let topic = bench.topic("orders", 1).await;
    for durability in ["fsync", "interval(1s)", "os"] {
        let refused = bench
            .broker
            .alter_topic(&topic, &change(&[("durability", durability)]))
            .await;
        assert!(
            matches!(refused, Err(Error::Unsupported(_))),
            "{durability}"
        );
    }
}
