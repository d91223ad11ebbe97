//! Asking for an offset: the ends, one's own, or the first record of a time.

use std::time::Duration;

use ratatoskr_core::{
    Error, broker::OffsetSpec, name::TopicName, offset::Offset, record::Record, time::Timestamp,
};

use crate::support::{Bench, P0, P1, START, topic};

fn after(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

/// Three batches of three records each; record `n` is of second `10 n`.
async fn filled() -> (Bench, TopicName) {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    for batch in 0..3 {
        let records = (0..3).map(|n| {
            let at = after(10 * (3 * batch + n));
            Record::new("a").with_timestamp(at)
        });
        let sent = bench.broker.publish_many(&topic, records.collect()).await;
        sent.unwrap();
    }
    (bench, topic)
}

#[tokio::test]
async fn the_ends_and_what_lies_between_are_found() {
    let (bench, topic) = filled().await;
    bench.broker.trim(&topic, P0, Offset::new(4)).await.unwrap();
    for (spec, expected) in [
        (OffsetSpec::Start, Some(4)),
        (OffsetSpec::End, Some(9)),
        (OffsetSpec::Offset(Offset::new(4)), Some(4)),
        (OffsetSpec::Offset(Offset::new(9)), Some(9)),
        (OffsetSpec::Timestamp(after(0)), Some(4)),
        (OffsetSpec::Timestamp(after(45)), Some(5)),
        (OffsetSpec::Timestamp(after(50)), Some(5)),
        (OffsetSpec::Timestamp(after(51)), Some(6)),
        (OffsetSpec::Timestamp(after(80)), Some(8)),
        (OffsetSpec::Timestamp(after(81)), None),
    ] {
        let found = bench.broker.offset_at(&topic, P0, spec).await.unwrap();
        assert_eq!(found, expected.map(Offset::new), "{spec:?}");
    }
}

#[tokio::test]
async fn a_record_found_by_time_tells_its_own() {
    let (bench, topic) = filled().await;
    let first = bench.broker.first_record_at(&topic, P0, after(45)).await;
    let first = first.unwrap().unwrap();
    assert_eq!((first.offset.get(), first.timestamp), (5, after(50)));
    let newest = bench.broker.newest_record(&topic, P0).await.unwrap();
    let newest = newest.unwrap();
    assert_eq!((newest.offset.get(), newest.timestamp), (8, after(80)));
    let late = bench.broker.first_record_at(&topic, P0, after(81)).await;
    assert_eq!(late.unwrap(), None);
    let empty = bench.topic("empty", 1).await;
    assert_eq!(bench.broker.newest_record(&empty, P0).await.unwrap(), None);
}

#[tokio::test]
async fn what_is_not_there_is_told() {
    let (bench, orders) = filled().await;
    bench
        .broker
        .trim(&orders, P0, Offset::new(4))
        .await
        .unwrap();
    for offset in [3, 10] {
        let spec = OffsetSpec::Offset(Offset::new(offset));
        let found = bench.broker.offset_at(&orders, P0, spec).await;
        assert!(
            matches!(found, Err(Error::OffsetOutOfRange { requested, .. })
            if requested == Offset::new(offset))
        );
    }
    let found = bench.broker.offset_at(&orders, P1, OffsetSpec::End).await;
    assert!(matches!(found, Err(Error::UnknownPartition { .. })));
    let other = topic("other");
    let found = bench.broker.offset_at(&other, P0, OffsetSpec::End).await;
    assert!(matches!(found, Err(Error::UnknownTopic(_))));
}

#[tokio::test]
async fn records_out_of_the_order_of_their_times_are_found_by_the_first_that_is_late_enough() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    for seconds in [50, 10, 30] {
        let record = Record::new("a").with_timestamp(after(seconds));
        bench.broker.publish(&topic, record).await.unwrap();
    }
    for (seconds, expected) in [(5, Some(0)), (40, Some(0)), (51, None)] {
        let spec = OffsetSpec::Timestamp(after(seconds));
        let found = bench.broker.offset_at(&topic, P0, spec).await.unwrap();
        assert_eq!(found, expected.map(Offset::new));
    }
    bench.broker.trim(&topic, P0, Offset::new(1)).await.unwrap();
    let spec = OffsetSpec::Timestamp(after(20));
    let found = bench.broker.offset_at(&topic, P0, spec).await.unwrap();
    assert_eq!(found, Some(Offset::new(2)));
}
