//! Sending batches: order, places, limits, and what a producer is told.

use ratatoskr_core::{Error, broker::Produced, config::Durability, offset::Offset};

use crate::support::{Bench, P0, P1, batch, batch_of, topic};

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
