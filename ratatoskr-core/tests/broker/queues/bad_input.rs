//! What is refused, and changes nothing.

use std::time::Duration;

use ratatoskr_core::{
    BrokerConfig, Error,
    broker::{AcquireOptions, NewQueue},
    delivery::{QueueError, SettleAction},
    limits,
};

use super::{Queue, consumer, group, settlement, settlements};
use crate::support::{Bench, TestStorage, topic};

#[tokio::test(start_paused = true)]
async fn settlements_that_cannot_be_are_refused_each_by_itself() {
    let queue = Queue::new(&[]).await;
    queue.fill(3).await;
    let acquired = queue.acquire("a", 2).await;
    let token = acquired.partitions[0].token;
    let ack = |offset| settlement(offset, token, SettleAction::Acknowledge);
    let other = queue.acquire("b", 1).await.partitions[0].token;
    let results = queue
        .settle_all(
            "a",
            vec![
                ack(0),
                ack(0),
                settlement(2, other, SettleAction::Acknowledge),
                settlement(
                    1,
                    ratatoskr_core::delivery::FencingToken::new(u64::MAX),
                    SettleAction::Acknowledge,
                ),
                ack(7),
                ack(1),
            ],
        )
        .await
        .unwrap();
    assert_eq!(
        results,
        [
            Ok(()),
            Err(QueueError::AlreadySettled),
            Err(QueueError::NotLeaseOwner),
            Err(QueueError::UnknownLease),
            Err(QueueError::LeaseExpired),
            Ok(()),
        ]
    );
    queue.pass(Duration::from_secs(30)).await;
    let late = vec![settlement(2, other, SettleAction::Acknowledge)];
    assert_eq!(
        queue.settle_all("b", late).await.unwrap(),
        [Err(QueueError::LeaseExpired)]
    );
    assert_eq!(queue.values("c", 9).await, ["2"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_too_much_or_not_there_is_refused() {
    let queue = Queue::new(&[]).await;
    queue.fill(1).await;
    let acquired = queue.acquire("a", 1).await;
    let one = settlements(&acquired, &SettleAction::Acknowledge).remove(0);
    let many = vec![one.clone(); limits::QUEUE_SETTLEMENTS_MAX + 1];
    let error = queue.settle_all("a", many).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::LimitReached {
                limit: "queue_settlements_max",
                ..
            }
        ),
        "{error}"
    );

    let broker = &queue.bench.broker;
    let unknown = |error: &Error| matches!(error, Error::Queue(QueueError::UnknownGroup(_)));
    let nobody = group("nobody");
    let settled = broker
        .queue_settle(&nobody, &queue.topic, &consumer("a"), vec![one])
        .await;
    assert!(unknown(&settled.unwrap_err()));
    assert!(unknown(
        &broker
            .queue_leave(&nobody, &consumer("a"))
            .await
            .unwrap_err()
    ));
    assert!(unknown(
        &broker
            .queue_peek(&nobody, &queue.topic, 1)
            .await
            .unwrap_err()
    ));

    let acquire = |group: &str, topic: &str, lease| {
        let (group, topic) = (super::group(group), crate::support::topic(topic));
        let options = AcquireOptions {
            lease,
            ..AcquireOptions::default()
        };
        async move {
            let acquired = broker
                .queue_acquire(&group, &topic, &consumer("a"), &options)
                .await;
            acquired.unwrap_err()
        }
    };
    let error = acquire("billing", "missing", None).await;
    assert!(matches!(error, Error::UnknownTopic(_)), "{error}");
    let error = acquire("billing", "_rt.queues", None).await;
    assert!(matches!(error, Error::InternalTopic(_)), "{error}");
    for lease in [
        limits::QUEUE_LEASE_MIN.saturating_sub(Duration::from_millis(1)),
        limits::QUEUE_LEASE_MAX + Duration::from_millis(1),
    ] {
        let error = acquire("billing", "orders", Some(lease)).await;
        assert!(matches!(error, Error::InvalidConfig(_)), "{error}");
    }
    let error = acquire("_rt.dlq", "orders", None).await;
    assert!(matches!(error, Error::InvalidConfig(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn there_are_as_many_groups_as_may_be_and_no_more() {
    let config = BrokerConfig {
        queue_groups_max: 2,
        ..BrokerConfig::default()
    };
    let bench = Bench::over(TestStorage::memory(), config).await;
    bench.topic("orders", 1).await;
    let broker = &bench.broker;
    let mut refused = 0;
    for n in 0..40 {
        match broker
            .queue_create(&group(&format!("g{n}")), NewQueue::default())
            .await
        {
            Ok(_) => {}
            Err(Error::LimitReached {
                limit: "queue_groups_max",
                max: 2,
            }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(broker.queue_list().await.unwrap().len(), 40 - refused);
    assert_eq!(refused, 38);
    let options = AcquireOptions::default();
    let error = broker
        .queue_acquire(
            &group("another"),
            &topic("orders"),
            &consumer("a"),
            &options,
        )
        .await;
    assert!(matches!(error.unwrap_err(), Error::LimitReached { .. }));
}
