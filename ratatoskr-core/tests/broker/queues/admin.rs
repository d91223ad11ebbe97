//! Groups are created, changed, described and deleted.

use std::sync::Arc;

use ratatoskr_core::{
    Broker, BrokerConfig, Error,
    broker::{AcquireOptions, NewQueue, RecordState},
    delivery::{QueueConfig, QueueConfigChange, QueueError, SettleAction},
    offset::Offset,
    record::Record,
    time::ManualClock,
};

use super::{Queue, consumer, group, values};
use crate::support::{Bench, START, TestStorage};

fn change(config: &[(&str, &str)]) -> QueueConfigChange {
    let mut change = QueueConfigChange::default();
    for (key, value) in config {
        change.set(key, value).unwrap();
    }
    change
}

#[tokio::test(start_paused = true)]
async fn a_group_is_created_changed_described_and_deleted_for_good() {
    let bench = Bench::memory().await;
    let broker = &bench.broker;
    let name = group("billing service");
    assert!(broker.queue_list().await.unwrap().is_empty());
    let new = NewQueue {
        config: change(&[("lease_ms", "5s")]),
    };
    let created = broker.queue_create(&name, new.clone()).await.unwrap();
    assert_eq!(created.config.lease.as_secs(), 5);
    let error = broker.queue_create(&name, new).await.unwrap_err();
    assert!(
        matches!(error, Error::Queue(QueueError::GroupExists(_))),
        "{error}"
    );
    let altered = broker
        .queue_alter(&name, &change(&[("attempts_max", "9")]))
        .await
        .unwrap();
    assert_eq!(
        (altered.config.lease.as_secs(), altered.config.attempts_max),
        (5, 9)
    );
    let wrong = QueueConfigChange {
        attempts_max: Some(0),
        ..QueueConfigChange::default()
    };
    let error = broker.queue_alter(&name, &wrong).await.unwrap_err();
    assert!(matches!(error, Error::InvalidConfig(_)), "{error}");

    let bench = bench.reopened().await;
    let broker = &bench.broker;
    assert_eq!(broker.queue_describe(&name).await.unwrap(), altered);
    assert_eq!(
        broker.queue_list().await.unwrap(),
        std::slice::from_ref(&name)
    );
    broker.queue_delete(&name).await.unwrap();
    for answer in [
        broker.queue_delete(&name).await,
        broker.queue_describe(&name).await.map(drop),
    ] {
        let error = answer.unwrap_err();
        assert!(
            matches!(error, Error::Queue(QueueError::UnknownGroup(_))),
            "{error}"
        );
    }
    let bench = bench.reopened().await;
    assert!(bench.broker.queue_list().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_broker_has_defaults_of_its_own_that_a_group_keeps_once_it_is_made() {
    let config = BrokerConfig {
        queue_defaults: QueueConfig {
            attempts_max: 2,
            ..QueueConfig::default()
        },
        ..BrokerConfig::default()
    };
    let bench = Bench::over(TestStorage::memory(), config).await;
    let orders = bench.topic("orders", 1).await;
    let attempts = async |bench: &Bench, name: &str| {
        let described = bench.broker.queue_describe(&group(name)).await;
        described.unwrap().config.attempts_max
    };
    let create = async |bench: &Bench, name: &str, values: &[(&str, &str)]| {
        let new = NewQueue {
            config: change(values),
        };
        bench.broker.queue_create(&group(name), new).await.unwrap();
    };
    create(&bench, "silent", &[("lease_ms", "5s")]).await;
    create(&bench, "outspoken", &[("attempts_max", "7")]).await;
    let options = AcquireOptions::default();
    bench
        .broker
        .queue_acquire(&group("acquiring"), &orders, &consumer("a"), &options)
        .await
        .unwrap();
    assert_eq!(attempts(&bench, "silent").await, 2);
    assert_eq!(attempts(&bench, "outspoken").await, 7);
    assert_eq!(attempts(&bench, "acquiring").await, 2);

    // The next broker has the built-in ones.
    let bench = bench.reopened().await;
    create(&bench, "later", &[]).await;
    assert_eq!(attempts(&bench, "later").await, 5);
    assert_eq!(attempts(&bench, "silent").await, 2);
}

#[tokio::test]
async fn a_broker_with_defaults_that_no_group_may_have_does_not_open() {
    let mut config = BrokerConfig::default();
    config.queue_defaults.attempts_max = 0;
    let clock = Arc::new(ManualClock::at(START));
    let opened = Broker::builder(TestStorage::memory(), clock).config(config);
    let error = opened.open().await.unwrap_err();
    assert!(matches!(error, Error::InvalidConfig(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn acquiring_makes_a_group_with_the_defaults() {
    let bench = Bench::memory().await;
    let orders = bench.topic("orders", 3).await;
    let broker = &bench.broker;
    let options = AcquireOptions::default();
    let acquired = broker
        .queue_acquire(&group("g"), &orders, &consumer("a"), &options)
        .await
        .unwrap();
    assert!(acquired.is_empty());
    let description = broker.queue_describe(&group("g")).await.unwrap();
    assert_eq!(description.config, QueueConfig::default());
    assert_eq!(description.topics[0].partitions.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_group_may_begin_after_the_newest_record_or_at_a_time() {
    let queue = Queue::new(&[("start", "end")]).await;
    let at = crate::support::START.plus(std::time::Duration::from_secs(5));
    queue.publish(Record::new("old")).await;
    queue.publish(Record::new("newer").with_timestamp(at)).await;
    assert!(queue.acquire("a", 9).await.is_empty());
    queue.publish(Record::new("new").with_timestamp(at)).await;
    let queue = queue.reopened().await;
    assert_eq!(queue.values("a", 9).await, ["new"]);

    let broker = &queue.bench.broker;
    let new = NewQueue {
        config: change(&[("start", &at.to_string())]),
    };
    broker.queue_create(&group("late"), new).await.unwrap();
    let options = AcquireOptions::default();
    let acquired = broker
        .queue_acquire(&group("late"), &queue.topic, &consumer("a"), &options)
        .await
        .unwrap();
    assert_eq!(values(&acquired), ["newer", "new"]);
}

#[tokio::test(start_paused = true)]
async fn a_look_at_a_queue_tells_what_each_record_waits_for() {
    let queue = Queue::new(&[("ordered_by_key", "true")]).await;
    for key in ["x", "x", "y"] {
        queue.publish(Record::new("v").with_key(key)).await;
    }
    let acquired = queue.acquire("a", 1).await;
    let broker = &queue.bench.broker;
    let peeked = broker
        .queue_peek(&queue.group, &queue.topic, 9)
        .await
        .unwrap();
    let states: Vec<_> = peeked
        .iter()
        .map(|peeked| (peeked.delivery_count, peeked.state.clone()))
        .collect();
    assert_eq!(
        states,
        [
            (1, RecordState::InFlight(consumer("a"))),
            (0, RecordState::Blocked),
            (0, RecordState::Available),
        ]
    );
    queue
        .settle("a", &acquired, SettleAction::Acknowledge)
        .await;
    let peeked = broker
        .queue_peek(&queue.group, &queue.topic, 1)
        .await
        .unwrap();
    assert_eq!((peeked.len(), peeked[0].record.offset), (1, Offset::new(1)));
    let counters = broker.queue_describe(&queue.group).await.unwrap().topics[0].partitions[0];
    assert_eq!((counters.available, counters.counters.acknowledged), (2, 1));
}
