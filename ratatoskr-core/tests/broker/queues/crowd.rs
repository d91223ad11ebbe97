//! Many consumers of one partition.

use std::{sync::Arc, time::Duration};

use ratatoskr_core::{broker::AcquireOptions, delivery::SettleAction, sync::Mutex};
use tokio::task::JoinSet;

use super::{Queue, consumer, settlements, value};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_consumers_of_one_partition_lose_nothing_and_get_nothing_twice() {
    const CONSUMERS: usize = 1_000;
    const RECORDS: usize = 20_000;
    let queue = Arc::new(Queue::new(&[]).await);
    let seen = Arc::new(Mutex::new(vec![0_u32; RECORDS]));
    let left = Arc::new(std::sync::atomic::AtomicUsize::new(RECORDS));
    let done = Arc::new(tokio::sync::Notify::new());
    let mut consumers = JoinSet::new();
    for n in 0..CONSUMERS {
        let (queue, seen) = (Arc::clone(&queue), Arc::clone(&seen));
        let (left, done) = (Arc::clone(&left), Arc::clone(&done));
        consumers.spawn(async move {
            let who = consumer(&format!("c{n}"));
            let broker = &queue.bench.broker;
            let options = AcquireOptions {
                records_max: 7,
                wait: Duration::from_mins(10),
                ..AcquireOptions::default()
            };
            loop {
                let acquired = broker
                    .queue_acquire(&queue.group, &queue.topic, &who, &options)
                    .await
                    .unwrap();
                for delivery in acquired.deliveries().unwrap() {
                    assert_eq!(delivery.delivery_count, 1);
                    seen.lock()[value(&delivery).parse::<usize>().unwrap()] += 1;
                }
                let settlements = settlements(&acquired, &SettleAction::Acknowledge);
                let settled = broker
                    .queue_settle(&queue.group, &queue.topic, &who, settlements)
                    .await
                    .unwrap();
                let results = settled.wait().await.unwrap();
                assert!(results.iter().all(Result::is_ok), "{results:?}");
                let records = usize::try_from(acquired.record_count()).unwrap();
                let before = left.fetch_sub(records, std::sync::atomic::Ordering::SeqCst);
                if before == records {
                    done.notify_one();
                }
            }
        });
    }
    let publisher = {
        let queue = Arc::clone(&queue);
        tokio::spawn(async move {
            for from in (0..RECORDS).step_by(100) {
                let values = (from..from + 100).map(|n| n.to_string());
                let records = values.map(ratatoskr_core::record::Record::new).collect();
                queue
                    .bench
                    .broker
                    .publish_many(&queue.topic, records)
                    .await
                    .unwrap();
                tokio::task::yield_now().await;
            }
        })
    };
    publisher.await.unwrap();
    done.notified().await;
    consumers.abort_all();
    assert!(seen.lock().iter().all(|&times| times == 1));
    let description = queue
        .bench
        .broker
        .queue_describe(&queue.group)
        .await
        .unwrap();
    let partition = description.topics[0].partitions[0];
    assert_eq!(partition.start.get(), RECORDS as u64);
    assert_eq!((partition.available, partition.counters.in_flight), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_several_partitions_all_come() {
    let queue = Queue::new(&[]).await;
    queue
        .bench
        .broker
        .add_partitions(&queue.topic, 5)
        .await
        .unwrap();
    queue.fill(500).await;
    let mut seen = 0;
    while seen < 500 {
        let acquired = queue.wait_for("a", 100, Duration::from_mins(1)).await;
        seen += acquired.record_count();
        queue
            .settle("a", &acquired, SettleAction::Acknowledge)
            .await;
    }
    assert!(queue.acquire("a", 1).await.is_empty());
}
