//! Sending records: routing, batching, answers in order.

use ratatoskr_core::{
    BrokerConfig, Error,
    config::Compression,
    offset::{Offset, PartitionIndex},
    record::{Record, RecordMetadata},
    routing::partition_for_key,
    time::Timestamp,
};

use crate::support::{Bench, P0, START, TestStorage, fetch_from, topic};

#[tokio::test]
async fn records_of_one_key_go_to_one_partition_in_order() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 3).await;
    let records = (0..10).map(|n| Record::new(n.to_string()).with_key("k"));
    let sent = bench
        .broker
        .publish_many(&topic, records.collect())
        .await
        .unwrap();
    let partition = partition_for_key(b"k", 3);
    for (n, metadata) in (0..).zip(&sent) {
        assert_eq!(metadata.partition, partition);
        assert_eq!(metadata.offset, Offset::new(n));
    }
    let values = bench.values_of(&topic, partition).await;
    assert_eq!(values.concat(), "0123456789");
}

#[tokio::test]
async fn answers_come_in_the_order_of_the_records() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 3).await;
    let records: Vec<_> = (0..30)
        .map(|n| Record::new(n.to_string()).with_key(format!("key {}", n % 7)))
        .collect();
    let sent = bench
        .broker
        .publish_many(&topic, records.clone())
        .await
        .unwrap();
    assert_eq!(sent.len(), records.len());
    for (record, metadata) in records.iter().zip(sent) {
        let found = bench.values_of(&topic, metadata.partition).await;
        let at = usize::try_from(metadata.offset.get()).unwrap();
        assert_eq!(found[at].as_bytes(), record.value.as_deref().unwrap());
    }
    let none = bench.broker.publish_many(&topic, Vec::new()).await.unwrap();
    assert_eq!(none, []);
}

#[tokio::test]
async fn records_without_a_key_visit_every_partition() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 3).await;
    let mut visited = Vec::new();
    for _ in 0..3 {
        let sent = bench
            .broker
            .publish(&topic, Record::new("a"))
            .await
            .unwrap();
        visited.push(sent.partition.get());
    }
    visited.sort_unstable();
    assert_eq!(visited, [0, 1, 2]);
}

#[tokio::test]
async fn more_records_than_a_batch_takes_are_split() {
    let bench = Bench::memory().await;
    let topic = bench
        .topic_with("orders", 2, &[("batch_bytes_max", "1024")])
        .await;
    let records: Vec<_> = (0..40)
        .map(|n| {
            let record = Record::new(format!("{n:0>200}"));
            if n % 2 == 0 {
                record.with_key("k")
            } else {
                record
            }
        })
        .collect();
    let sent = bench.broker.publish_many(&topic, records).await.unwrap();
    assert_eq!(sent.len(), 40);
    let read: u64 = [0, 1]
        .map(PartitionIndex::new)
        .map(|index| bench.broker.bounds(&topic, index).unwrap().records())
        .iter()
        .sum();
    assert_eq!(read, 40);
    let too_large = Record::new("x".repeat(1024));
    let refused = bench.broker.publish_many(&topic, vec![too_large]).await;
    assert!(matches!(refused, Err(Error::BatchTooLarge { .. })));
}

#[tokio::test]
async fn batches_are_compressed_as_the_topic_says() {
    let bench = Bench::memory().await;
    for codec in Compression::ALL {
        if cfg!(not(feature = "compression")) && codec != Compression::None {
            continue;
        }
        let name = format!("orders-{codec}");
        let topic = bench
            .topic_with(&name, 1, &[("compression", codec.name())])
            .await;
        let value = "x".repeat(10_000);
        let record = Record::new(value.clone());
        bench.broker.publish(&topic, record).await.unwrap();
        let fetched = bench.fetch_one(&fetch_from(&topic, P0, Offset::ZERO)).await;
        let bytes = fetched.unwrap().batches.len();
        assert_eq!(
            bytes < 1_000,
            codec != Compression::None,
            "{codec}: {bytes}"
        );
        assert_eq!(bench.values(&topic).await, [value]);
    }
}

#[tokio::test]
async fn a_record_keeps_its_time_unless_the_topic_stamps_it() {
    let bench = Bench::memory().await;
    let at = Timestamp::new(42);
    for (timestamp_type, given, expected) in [
        ("create", Some(at), at),
        ("create", None, START),
        ("append", Some(at), START),
    ] {
        let name = format!("{timestamp_type}-{}", given.is_some());
        let topic = bench
            .topic_with(&name, 1, &[("timestamp_type", timestamp_type)])
            .await;
        let mut record = Record::new("a");
        record.timestamp = given;
        let sent = bench.broker.publish(&topic, record).await.unwrap();
        assert_eq!(
            sent,
            RecordMetadata {
                partition: P0,
                offset: Offset::ZERO,
                timestamp: expected,
                durability: ratatoskr_core::config::Durability::Memory,
            }
        );
        assert_eq!(bench.values(&topic).await, ["a"]);
    }
}

#[tokio::test]
async fn a_topic_is_created_by_a_publish_only_if_the_broker_is_told_so() {
    let bench = Bench::memory().await;
    let name = topic("orders");
    let refused = bench.broker.publish(&name, Record::new("a")).await;
    assert!(matches!(refused, Err(Error::UnknownTopic(_))));
    let config = BrokerConfig {
        auto_create_topics: true,
        partitions_default: 3,
        ..BrokerConfig::default()
    };
    let bench = Bench::over(TestStorage::memory(), config).await;
    let publish = || bench.broker.publish(&name, Record::new("a"));
    let (first, second) = tokio::join!(publish(), publish());
    first.unwrap();
    second.unwrap();
    let described = bench.broker.describe_topic(&name).unwrap();
    assert_eq!(described.partitions.len(), 3);
    let own = bench
        .broker
        .publish(&topic("_rt.x"), Record::new("a"))
        .await;
    assert!(matches!(own, Err(Error::InternalTopic(_))));
}
