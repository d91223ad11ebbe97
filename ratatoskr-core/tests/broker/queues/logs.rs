//! What becomes of a group when its topic's log changes under it.

use std::time::Duration;

use ratatoskr_core::{
    Error,
    broker::{AcquireOptions, NewTopic},
    delivery::{QueueError, SettleAction},
    offset::Offset,
    storage::StorageError,
};

use super::{Queue, consumer, settlements, values};
use crate::support::{Fault, Operation, P0, settle};

#[tokio::test(start_paused = true)]
async fn records_that_retention_removes_are_passed_over() {
    let queue = Queue::new(&[]).await;
    for _ in 0..4 {
        queue.fill(2).await;
    }
    let held = queue.acquire("a", 3).await;
    queue.settle("a", &held, SettleAction::Release).await;
    let held = queue.acquire("b", 2).await;
    let broker = &queue.bench.broker;
    broker.trim(&queue.topic, P0, Offset::new(5)).await.unwrap();
    // What was released is gone, what was not looked at yet is there from the new start on.
    let acquired = queue.acquire("c", 9).await;
    let offsets: Vec<_> = acquired
        .deliveries()
        .unwrap()
        .iter()
        .map(|d| d.record.offset.get())
        .collect();
    assert_eq!(offsets, [5, 6, 7]);
    let results = queue
        .settle_all("b", settlements(&held, &SettleAction::Acknowledge))
        .await;
    assert_eq!(results.unwrap(), [Err(QueueError::AlreadySettled)]);
    queue
        .settle("c", &acquired, SettleAction::Acknowledge)
        .await;
    let queue = queue.reopened().await;
    let description = queue
        .bench
        .broker
        .queue_describe(&queue.group)
        .await
        .unwrap();
    assert_eq!(description.topics[0].partitions[0].start, Offset::new(8));
    assert!(queue.acquire("d", 9).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn corrupt_records_are_counted_and_passed_over() {
    let queue = Queue::new(&[]).await;
    for _ in 0..3 {
        queue.fill(2).await;
    }
    let corrupt = StorageError::Corrupt {
        from: Offset::new(0),
        until: Offset::new(2),
        detail: "CRC".into(),
    };
    queue
        .bench
        .storage
        .fail(Operation::Read, &queue.topic, P0, Fault::Error(corrupt));
    let acquired = queue.acquire("a", 9).await;
    let offsets: Vec<_> = acquired
        .deliveries()
        .unwrap()
        .iter()
        .map(|d| d.record.offset.get())
        .collect();
    assert_eq!(offsets, [2, 3, 4, 5]);
    assert_eq!(queue.bench.broker.queue_counters()[0].1.lost, 2);
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_is_down_keeps_its_records_and_others_flow() {
    let queue = Queue::new(&[]).await;
    queue
        .bench
        .broker
        .add_partitions(&queue.topic, 2)
        .await
        .unwrap();
    queue.fill(1).await;
    queue.fill(1).await;
    queue
        .bench
        .storage
        .fail(Operation::Read, &queue.topic, P0, Fault::broken());
    let first = queue.acquire("a", 9).await;
    assert_eq!(first.record_count(), 1);
    let second = queue.wait_for("a", 9, Duration::from_mins(1)).await;
    assert_eq!(second.record_count(), 1);
    assert_ne!(
        first.partitions[0].partition,
        second.partitions[0].partition
    );
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_deleted_is_forgotten_and_a_new_one_of_its_name_is_new() {
    let queue = Queue::new(&[]).await;
    queue.fill(3).await;
    let held = queue.acquire("a", 1).await;
    queue.settle("a", &held, SettleAction::Acknowledge).await;
    let held = queue.acquire("a", 2).await;
    let broker = queue.bench.broker.clone();
    let waiting = {
        let (broker, group, topic) = (broker.clone(), queue.group.clone(), queue.topic.clone());
        tokio::spawn(async move {
            let options = AcquireOptions {
                wait: Duration::from_hours(1),
                ..AcquireOptions::default()
            };
            broker
                .queue_acquire(&group, &topic, &consumer("b"), &options)
                .await
        })
    };
    settle().await;
    broker.delete_topic(&queue.topic).await.unwrap();
    let error = waiting.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::UnknownTopic(_)), "{error}");
    broker
        .create_topic(&queue.topic, NewTopic::default())
        .await
        .unwrap();
    let settled = queue
        .settle_all("a", settlements(&held, &SettleAction::Acknowledge))
        .await;
    assert_eq!(settled.unwrap(), [Err(QueueError::UnknownLease)]);
    queue.fill(1).await;
    assert_eq!(values(&queue.acquire("c", 9).await), ["0"]);
    queue.pass(Duration::from_mins(1)).await;
    let description = broker.queue_describe(&queue.group).await.unwrap();
    assert_eq!(description.topics.len(), 1);
    // What was held of the topic that is gone is held no more, and the lease of "c" is over.
    assert_eq!(description.consumers, []);
}
