//! Futures that are dropped half-way: the broker goes on as if they had ended or never begun.

use std::{future::Future, pin::pin, task::Poll, time::Duration};

use ratatoskr_core::{
    BrokerConfig, Error,
    broker::{NewTopic, OffsetSpec, StreamOptions},
    offset::Offset,
    record::Record,
};

use crate::support::{Bench, P0, batch, batch_of, change, poll_from, settle, topic};

/// Polls a future so many times, letting others run in between, then drops it. Answers whether it
/// had ended.
async fn dropped_after<F: Future>(polls: usize, future: F) -> bool {
    let mut future = pin!(future);
    for _ in 0..polls {
        let polled = std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context)));
        if polled.await.is_ready() {
            return true;
        }
        settle().await;
    }
    false
}

#[tokio::test]
async fn a_wait_that_is_dropped_leaves_the_batch_on_its_way() {
    let (bench, committer) = Bench::committing(BrokerConfig::default()).await;
    let topic = bench.topic("orders", 1).await;
    let produce = || {
        let batch = batch_of(7, 0, 0, &["a"]);
        bench.broker.produce(&topic, P0, batch).unwrap()
    };
    assert!(!dropped_after(1, produce().wait()).await);
    drop(produce());
    committer.commit_all();
    assert_eq!(bench.values(&topic).await, ["a"]);
    assert!(produce().wait().await.unwrap().duplicate);
    assert_eq!(bench.broker.stats().in_flight_bytes, 0);
}

#[tokio::test]
async fn a_publish_that_is_dropped_is_appended_or_not_and_blocks_nobody() {
    let bench = Bench::flushing().await;
    let topic = bench.topic("orders", 1).await;
    for polls in 0..4 {
        dropped_after(polls, bench.broker.publish(&topic, Record::new("a"))).await;
        let many = vec![Record::new("b"), Record::new("c")];
        dropped_after(polls, bench.broker.publish_many(&topic, many)).await;
    }
    settle().await;
    let end = bench.broker.bounds(&topic, P0).unwrap();
    assert_eq!(end.high_watermark, end.log_end);
    assert_eq!(bench.send(&topic, &["z"]).await, end.log_end);
}

#[tokio::test]
async fn a_fetch_that_is_dropped_leaves_nothing_that_wakes() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    let request = poll_from(&topic, P0, Offset::ZERO);
    for _ in 0..100 {
        assert!(!dropped_after(2, bench.broker.fetch(&request)).await);
    }
    bench.send(&topic, &["a"]).await;
    assert!(dropped_after(1, bench.broker.fetch(&request)).await);
}

#[tokio::test]
async fn a_change_that_is_dropped_runs_to_its_end() {
    for polls in 1..3 {
        let bench = Bench::memory().await;
        let name = topic("orders");
        dropped_after(polls, bench.broker.create_topic(&name, NewTopic::default())).await;
        settle().await;
        assert_eq!(bench.broker.list_topics().len(), 1);
        let zstd = change(&[("compression", "zstd")]);
        dropped_after(polls, bench.broker.alter_topic(&name, &zstd)).await;
        dropped_after(polls, bench.broker.add_partitions(&name, 3)).await;
        settle().await;
        let listed = bench.broker.list_topics();
        assert_eq!(listed[0].partitions, 3);
        assert_eq!(listed[0].config, {
            let stored = bench.reopened().await.broker.list_topics();
            stored[0].config.clone()
        });
        dropped_after(polls, bench.broker.trim(&name, P0, Offset::ZERO)).await;
        dropped_after(polls, bench.broker.delete_topic(&name)).await;
        settle().await;
        assert!(bench.broker.list_topics().is_empty());
        assert!(bench.reopened().await.broker.list_topics().is_empty());
    }
}

#[tokio::test]
async fn a_change_of_durability_that_is_dropped_holds_no_send_back() {
    let bench = Bench::flushing().await;
    let topic = bench.topic("orders", 1).await;
    bench.storage.stop_flushes();
    let before = bench.broker.produce(&topic, P0, batch(&["a"])).unwrap();
    let to_os = change(&[("durability", "os")]);
    assert!(!dropped_after(3, bench.broker.alter_topic(&topic, &to_os)).await);
    let held = bench.broker.produce(&topic, P0, batch(&["b"])).unwrap();
    bench.storage.let_flushes_through(10);
    before.wait().await.unwrap();
    held.wait().await.unwrap();
    assert_eq!(bench.values(&topic).await, ["a", "b"]);
}

#[tokio::test]
async fn readers_that_are_dropped_change_nothing() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    for polls in 0..3 {
        let spec = OffsetSpec::Timestamp(crate::support::START);
        dropped_after(polls, bench.broker.offset_at(&topic, P0, spec)).await;
        dropped_after(polls, bench.broker.stream(&topic, StreamOptions::default())).await;
    }
    assert_eq!(bench.send(&topic, &["a"]).await, Offset::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_that_is_dropped_can_be_called_again() {
    let (bench, committer) = Bench::committing(BrokerConfig::default()).await;
    let topic = bench.topic("orders", 1).await;
    let pending = bench.broker.produce(&topic, P0, batch(&["a"])).unwrap();
    let grace = Duration::from_secs(5);
    assert!(!dropped_after(2, bench.broker.shutdown(grace)).await);
    let refused = bench.broker.produce(&topic, P0, batch(&["b"]));
    assert!(matches!(refused, Err(Error::ShuttingDown)));
    committer.commit();
    pending.wait().await.unwrap();
    assert!(bench.broker.shutdown(grace).await.unwrap().is_clean());
}
