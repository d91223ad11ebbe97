//! Many readers of one partition: each receives every record, and none sleeps through one.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use ratatoskr_core::{
    BrokerConfig,
    broker::{Acknowledgement, StreamOptions, SubscribeOptions},
    name::TopicName,
    record::Record,
};
use tokio::{sync::Notify, task::JoinSet};

use crate::support::{Bench, TestStorage};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_consumers_of_one_partition_receive_every_record() {
    const CONSUMERS: usize = 1_000;
    const RECORDS: usize = 20;
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    let mut consumers = JoinSet::new();
    for _ in 0..CONSUMERS {
        let mut stream = bench
            .broker
            .stream(&topic, StreamOptions::default())
            .await
            .unwrap();
        consumers.spawn(async move {
            for expected in 0..RECORDS {
                let record = stream.next().await.unwrap().unwrap();
                assert_eq!(record.offset.get(), expected as u64);
            }
        });
    }
    let publisher = bench.broker.publisher(&topic).await.unwrap();
    for _ in 0..RECORDS {
        publisher.publish(Record::new("news")).await.unwrap();
        tokio::task::yield_now().await;
    }
    let consumed = consumers.join_all().await;
    assert_eq!(consumed.len(), CONSUMERS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_subscribers_receive_every_record() {
    const SUBSCRIBERS: usize = 100_000;
    const RECORDS: usize = 2;
    let config = BrokerConfig {
        subscriptions_max: SUBSCRIBERS,
        ..BrokerConfig::default()
    };
    let bench = Bench::over(TestStorage::memory(), config).await;
    let topic = bench.topic("orders", 1).await;
    let delivered = Arc::new(AtomicUsize::new(0));
    let all = Arc::new(Notify::new());
    let mut subscriptions = Vec::with_capacity(SUBSCRIBERS);
    for _ in 0..SUBSCRIBERS {
        let (delivered, all) = (Arc::clone(&delivered), Arc::clone(&all));
        // Offsets of one partition come in order, so the next one is the only one that counts.
        let next = AtomicUsize::new(0);
        let callback = move |record: ratatoskr_core::record::ConsumedRecord| {
            let expected = next.fetch_add(1, Ordering::Relaxed) as u64;
            if record.offset.get() == expected
                && delivered.fetch_add(1, Ordering::Relaxed) + 1 == SUBSCRIBERS * RECORDS
            {
                all.notify_one();
            }
            std::future::ready(Acknowledgement::Ack)
        };
        let subscribed = bench
            .broker
            .subscribe(&topic, SubscribeOptions::default(), callback);
        subscriptions.push(subscribed.await.unwrap());
    }
    for _ in 0..RECORDS {
        bench.send(&topic, &["news"]).await;
    }
    all.notified().await;
    assert_eq!(delivered.load(Ordering::Relaxed), SUBSCRIBERS * RECORDS);
}

/// Two sides that answer each other: one wake-up lost, and both wait for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wake_up_is_lost_between_threads() {
    const ROUNDS: u64 = 2_000;
    let bench = Bench::memory().await;
    let questions = bench.topic("ping", 1).await;
    let answers = bench.topic("pong", 1).await;
    let answer = |from: &TopicName, to: &TopicName| {
        let (broker, from, to) = (bench.broker.clone(), from.clone(), to.clone());
        async move {
            let mut stream = broker.stream(&from, StreamOptions::default()).await?;
            let to = broker.publisher(&to).await?;
            for round in 0..ROUNDS {
                if let Some(record) = stream.next().await {
                    assert_eq!(record?.offset.get(), round);
                }
                to.publish(Record::new("answer")).await?;
            }
            Ok::<_, ratatoskr_core::Error>(())
        }
    };
    let sides = [
        tokio::spawn(answer(&questions, &answers)),
        tokio::spawn(answer(&answers, &questions)),
    ];
    bench.send(&questions, &["begin"]).await;
    for side in sides {
        side.await.unwrap().unwrap();
    }
}
