//! Subscriptions: acknowledged, repeated, and kept apart from each other.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use ratatoskr_core::{
    BrokerConfig, Error,
    broker::{Acknowledgement, ProblemScope, SubscribeOptions, Subscription},
    name::TopicName,
    offset::PartitionIndex,
};
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::Instant,
};

use crate::support::{Bench, P0, P1, TestStorage, batch, settle};

type Seen = UnboundedReceiver<(PartitionIndex, String, Instant)>;

/// Subscribes with a callback that tells what it saw, and answers what `judge` says.
async fn subscribe(
    bench: &Bench,
    topic: &TopicName,
    judge: impl Fn(&str) -> Acknowledgement + Send + Sync + 'static,
) -> (Subscription, Seen) {
    let (tell, seen) = unbounded_channel();
    let callback = move |record: ratatoskr_core::record::ConsumedRecord| {
        let value = String::from_utf8(record.record.value.unwrap().to_vec()).unwrap();
        let _ = tell.send((record.partition, value.clone(), Instant::now()));
        let answer = judge(&value);
        async move { answer }
    };
    let subscription = bench
        .broker
        .subscribe(topic, SubscribeOptions::default(), callback)
        .await
        .unwrap();
    (subscription, seen)
}

async fn next(seen: &mut Seen) -> String {
    seen.recv().await.unwrap().1
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_not_acknowledged_comes_again_later_and_later() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    bench.send(&topic, &["bad", "behind"]).await;
    let calls = AtomicU32::new(0);
    let (_subscription, mut seen) = subscribe(&bench, &topic, move |value| {
        if value == "bad" && calls.fetch_add(1, Ordering::SeqCst) < 4 {
            Acknowledgement::Nack
        } else {
            Acknowledgement::Ack
        }
    })
    .await;
    let mut times = Vec::new();
    for _ in 0..5 {
        let (_, value, at) = seen.recv().await.unwrap();
        assert_eq!(value, "bad");
        times.push(at);
    }
    let waits: Vec<_> = times
        .windows(2)
        // The runtime's clock ticks in milliseconds, which add up.
        .map(|pair| (pair[1] - pair[0]).as_millis() / 50 * 50)
        .collect();
    assert_eq!(waits, [100, 200, 400, 800]);
    assert_eq!(next(&mut seen).await, "behind");
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_callback_is_a_nack_and_a_problem_until_it_is_over() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    bench.send(&topic, &["a"]).await;
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let (_subscription, mut seen) = subscribe(&bench, &topic, move |_| {
        assert!(counted.fetch_add(1, Ordering::SeqCst) > 0, "first try");
        Acknowledgement::Ack
    })
    .await;
    assert_eq!(next(&mut seen).await, "a");
    settle().await;
    let problems = bench.broker.problems();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].reason.contains("first try"));
    assert!(matches!(
        &problems[0].scope,
        ProblemScope::Subscription { partition, .. } if *partition == P0
    ));
    assert_eq!(next(&mut seen).await, "a");
    settle().await;
    assert_eq!(bench.broker.problems(), []);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_repeated_holds_up_its_own_partition_only() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 2).await;
    bench.send(&topic, &["bad", "behind"]).await;
    for value in ["x", "y"] {
        let pending = bench.broker.produce(&topic, P1, batch(&[value])).unwrap();
        pending.wait().await.unwrap();
    }
    let (_subscription, mut seen) = subscribe(&bench, &topic, |value| match value {
        "bad" => Acknowledgement::Nack,
        _ => Acknowledgement::Ack,
    })
    .await;
    let mut first = Vec::new();
    for _ in 0..4 {
        first.push(next(&mut seen).await);
    }
    assert_eq!(first, ["bad", "x", "y", "bad"]);
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_fails_does_not_hold_up_another() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    let (_bad, _) = subscribe(&bench, &topic, |_| panic!("always")).await;
    let (_good, mut seen) = subscribe(&bench, &topic, |_| Acknowledgement::Ack).await;
    for n in 0..10 {
        bench.send(&topic, &[&n.to_string()]).await;
        assert_eq!(next(&mut seen).await, n.to_string());
    }
}

#[tokio::test]
async fn closing_waits_for_the_call_in_progress_and_calls_no_more() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    bench.send(&topic, &["a", "b"]).await;
    let (subscription, mut seen) = subscribe(&bench, &topic, |_| Acknowledgement::Ack).await;
    assert_eq!(next(&mut seen).await, "a");
    subscription.close().await.unwrap();
    while seen.recv().await.is_some() {}
    bench.send(&topic, &["c"]).await;
    assert_eq!(bench.broker.stats().subscriptions, 0);
}

#[tokio::test]
async fn deletion_ends_a_subscription() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    let (mut subscription, _seen) = subscribe(&bench, &topic, |_| Acknowledgement::Ack).await;
    bench.broker.delete_topic(&topic).await.unwrap();
    for _ in 0..2 {
        let ended = subscription.wait().await;
        assert!(matches!(ended, Err(Error::UnknownTopic(_))));
    }
}

#[tokio::test]
async fn one_subscription_too_many_is_refused() {
    let config = BrokerConfig {
        subscriptions_max: 1,
        ..BrokerConfig::default()
    };
    let bench = Bench::over(TestStorage::memory(), config).await;
    let topic = bench.topic("orders", 1).await;
    let (first, _) = subscribe(&bench, &topic, |_| Acknowledgement::Ack).await;
    let over = || {
        let callback = |_| async { Acknowledgement::Ack };
        bench
            .broker
            .subscribe(&topic, SubscribeOptions::default(), callback)
    };
    assert!(matches!(
        over().await,
        Err(Error::LimitReached {
            limit: "subscriptions_max",
            max: 1
        })
    ));
    first.close().await.unwrap();
    assert!(over().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_repetition_does_not_grow_for_ever() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    bench.send(&topic, &["bad"]).await;
    let (_subscription, mut seen) = subscribe(&bench, &topic, |_| Acknowledgement::Nack).await;
    let mut last = seen.recv().await.unwrap().2;
    for _ in 0..20 {
        let at = seen.recv().await.unwrap().2;
        assert!(at - last <= Duration::from_millis(30_001));
        last = at;
    }
}
