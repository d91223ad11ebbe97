//! Sending batches: order, places, limits, and what a producer is told.

use std::time::Duration;

use ratatoskr_core::{
    Error,
    batch::{BatchError, RecordBatch},
    broker::{Produced, Throughput},
    config::Durability,
    offset::{LeaderEpoch, Offset},
};

use crate::support::{Bench, P0, P1, START, batch, batch_of, topic};

#[tokio::test]
async fn batches_get_dense_offsets_and_are_read_back_whole() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    assert_eq!(bench.send(&topic, &["a", "b"]).await, Offset::new(0));
    assert_eq!(bench.send(&topic, &["c"]).await, Offset::new(2));
    assert_eq!(bench.values(&topic).await, ["a", "b", "c"]);
    let bounds = bench.broker.bounds(&topic, P0).unwrap();
    assert_eq!(bounds.high_watermark, Offset::new(3));
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let bench = Bench::memory().await;
    let orders = bench.topic("orders", 1).await;
    let unknown = bench.broker.produce(&topic("other"), P0, batch(&["a"]));
    assert!(matches!(unknown, Err(Error::UnknownTopic(name)) if name == topic("other")));
    let beyond = bench.broker.produce(&orders, P1, batch(&["a"]));
    assert!(matches!(beyond, Err(Error::UnknownPartition { partition, .. }) if partition == P1));
}

#[tokio::test]
async fn a_batch_one_byte_over_the_topics_limit_is_refused() {
    let bench = Bench::memory().await;
    let topic = bench
        .topic_with("orders", 1, &[("batch_bytes_max", "1024")])
        .await;
    let overhead = batch(&[&"x".repeat(900)]).total_bytes() - 900;
    let fits = batch(&[&"x".repeat(1024 - overhead)]);
    assert_eq!(fits.total_bytes(), 1024);
    let over = batch(&[&"x".repeat(1025 - overhead)]);
    assert_eq!(over.total_bytes(), 1025);
    assert!(bench.broker.produce(&topic, P0, fits).is_ok());
    assert!(matches!(
        bench.broker.produce(&topic, P0, over),
        Err(Error::BatchTooLarge {
            bytes: 1025,
            bytes_max: 1024
        })
    ));
}

#[tokio::test]
async fn a_batch_that_is_not_right_is_refused() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    let good = batch(&["a", "b"]);
    let mut flipped = good.to_bytes().to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    let flipped = RecordBatch::view(flipped.into()).unwrap();
    let mut transactional = batch_of(7, 0, 0, &["a"]).to_bytes().to_vec();
    transactional[22] |= 1 << 4;
    let crc = crc32c::crc32c(&transactional[21..]);
    transactional[17..21].copy_from_slice(&crc.to_be_bytes());
    let transactional = RecordBatch::parse(transactional.into()).unwrap();
    let refused = bench.broker.produce(&topic, P0, flipped);
    assert!(matches!(
        refused,
        Err(Error::InvalidBatch(BatchError::CrcMismatch { .. }))
    ));
    let refused = bench.broker.produce(&topic, P0, transactional);
    assert!(matches!(refused, Err(Error::Unsupported(_))));
    let mut placed = good.clone();
    placed.assign(Offset::new(5), LeaderEpoch::new(0));
    let refused = bench.broker.produce(&topic, P0, placed);
    assert!(matches!(refused, Err(Error::InvalidBatch(_))));
    assert_eq!(bench.broker.stats().total.errors_in, 3);
    assert!(bench.values(&topic).await.is_empty());
}

#[tokio::test]
async fn the_broker_stamps_batches_with_its_own_time_where_the_topic_says_so() {
    let bench = Bench::memory().await;
    let topic = bench
        .topic_with("orders", 1, &[("timestamp_type", "append")])
        .await;
    bench.clock.advance(Duration::from_secs(1));
    for duplicate in [false, true] {
        let pending = bench.broker.produce(&topic, P0, batch_of(7, 0, 0, &["a"]));
        let produced = pending.unwrap().wait().await.unwrap();
        assert_eq!(
            produced.log_append_time,
            Some(START.plus(Duration::from_secs(1)))
        );
        assert_eq!(produced.duplicate, duplicate);
        bench.clock.advance(Duration::from_secs(1));
    }
}

#[tokio::test]
async fn what_goes_through_is_counted() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    bench.send(&topic, &["a", "b"]).await;
    bench.send(&topic, &["c"]).await;
    bench.values(&topic).await;
    let bytes = [batch(&["a", "b"]), batch(&["c"])].map(|batch| batch.total_bytes() as u64);
    let expected = Throughput {
        batches_in: 2,
        records_in: 3,
        bytes_in: bytes.iter().sum(),
        bytes_out: bytes.iter().sum(),
        ..Throughput::default()
    };
    let stats = bench.broker.stats();
    assert_eq!(stats.total, expected);
    assert_eq!(stats.by_topic, [(topic.clone(), expected)]);
    assert_eq!((stats.topics, stats.partitions), (1, 1));
    bench.broker.delete_topic(&topic).await.unwrap();
    assert_eq!(bench.broker.stats().total, expected);
}

#[tokio::test]
async fn producers_get_ids_of_their_own() {
    let bench = Bench::memory().await;
    let ids: std::collections::HashSet<_> = (0..1_000)
        .map(|_| bench.broker.new_producer().id.get())
        .collect();
    assert_eq!(ids.len(), 1_000);
    assert!(ids.iter().all(|&id| id >= 0));
}

#[tokio::test]
async fn a_repeated_batch_is_answered_with_its_first_offset() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    bench.send(&topic, &["before"]).await;
    for duplicate in [false, true] {
        let pending = bench
            .broker
            .produce(&topic, P0, batch_of(7, 0, 0, &["a", "b"]))
            .unwrap();
        assert_eq!(
            pending.wait().await.unwrap(),
            Produced {
                partition: P0,
                base_offset: Offset::new(1),
                log_append_time: None,
                durability: Durability::Memory,
                duplicate,
            }
        );
    }
    assert_eq!(bench.values(&topic).await, ["before", "a", "b"]);
}
