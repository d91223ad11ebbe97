//! The whole broker runs over the backend.

use std::{sync::Arc, time::Duration};

use custom_backend::VecStorage;
use ratatoskr_core::{
    Broker, Error,
    broker::{Acknowledgement, NewTopic, OffsetSpec, StreamOptions, SubscribeOptions},
    config::{Durability, TopicConfigChange},
    name::TopicName,
    offset::{Offset, PartitionIndex},
    record::{ConsumedRecord, Record},
    time::{ManualClock, Timestamp},
};

const PARTITION: PartitionIndex = PartitionIndex::new(0);

async fn broker() -> Broker {
    let clock = Arc::new(ManualClock::at(Timestamp::new(1_000)));
    let storage = Arc::new(VecStorage::default());
    Broker::builder(storage, clock).open().await.unwrap()
}

fn orders() -> TopicName {
    TopicName::parse("orders").unwrap()
}

fn record(number: i64) -> Record {
    Record::new(format!("order {number}"))
        .with_key("customer")
        .with_header("number", number.to_string())
        .with_timestamp(Timestamp::new(2_000 + number))
}

#[tokio::test]
async fn records_come_back_as_they_were_sent() {
    let broker = broker().await;
    broker
        .create_topic(&orders(), NewTopic::default())
        .await
        .unwrap();
    let sent: Vec<_> = (0..100).map(record).collect();
    broker.publish(&orders(), sent[0].clone()).await.unwrap();
    let rest = sent[1..].to_vec();
    let metadata = broker.publish_many(&orders(), rest).await.unwrap();
    assert_eq!(metadata.last().unwrap().offset, Offset::new(99));
    assert_eq!(metadata.last().unwrap().durability, Durability::Memory);

    let options = StreamOptions::default();
    let mut records = broker.stream(&orders(), options).await.unwrap();
    for (expected, offset) in sent.into_iter().zip(0..) {
        let read = records.next().await.unwrap().unwrap();
        assert_eq!(read.offset, Offset::new(offset));
        assert_eq!(read.record, expected);
    }
}

#[tokio::test]
async fn a_subscriber_gets_what_is_sent_after_it_came() {
    let broker = broker().await;
    let new = NewTopic::default();
    broker.create_topic(&orders(), new).await.unwrap();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let callback = move |read: ConsumedRecord| {
        tell.send(read.record).unwrap();
        async { Acknowledgement::Ack }
    };
    let options = SubscribeOptions::default();
    let subscription = broker.subscribe(&orders(), options, callback).await;
    let _subscription = subscription.unwrap();
    for number in 0..3 {
        broker.publish(&orders(), record(number)).await.unwrap();
        assert_eq!(told.recv().await.unwrap(), record(number));
    }
}

#[tokio::test]
async fn offsets_are_found_by_time_and_trimmed_records_are_gone() {
    let broker = broker().await;
    broker
        .create_topic(&orders(), NewTopic::default())
        .await
        .unwrap();
    for number in 0..10 {
        broker.publish(&orders(), record(number)).await.unwrap();
    }
    let at = OffsetSpec::Timestamp(Timestamp::new(2_004));
    let found = broker.offset_at(&orders(), PARTITION, at).await.unwrap();
    assert_eq!(found, Some(Offset::new(4)));

    let bounds = broker
        .trim(&orders(), PARTITION, Offset::new(6))
        .await
        .unwrap();
    assert_eq!(bounds.log_start, Offset::new(6));
    let start = broker
        .offset_at(&orders(), PARTITION, OffsetSpec::Start)
        .await;
    assert_eq!(start.unwrap(), Some(Offset::new(6)));
}

#[tokio::test]
async fn topics_are_altered_grown_and_deleted() {
    let broker = broker().await;
    broker
        .create_topic(&orders(), NewTopic::default())
        .await
        .unwrap();
    broker.add_partitions(&orders(), 3).await.unwrap();
    let mut change = TopicConfigChange::default();
    change.set("retention_ms", "1h").unwrap();
    broker.alter_topic(&orders(), &change).await.unwrap();
    let described = broker.describe_topic(&orders()).unwrap();
    assert_eq!(described.partitions.len(), 3);
    assert_eq!(described.config.retention, Some(Duration::from_hours(1)));

    broker.delete_topic(&orders()).await.unwrap();
    let refused = broker.publish(&orders(), record(1)).await;
    assert!(
        matches!(refused, Err(Error::UnknownTopic(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_durability_that_the_backend_lacks_is_refused() {
    let broker = broker().await;
    let mut new = NewTopic::default();
    new.config.durability = Some(Durability::Fsync);
    let refused = broker.create_topic(&orders(), new).await;
    assert!(matches!(refused, Err(Error::Unsupported(_))), "{refused:?}");
}

#[tokio::test]
async fn the_broker_shuts_down_clean() {
    let broker = broker().await;
    broker
        .create_topic(&orders(), NewTopic::default())
        .await
        .unwrap();
    broker.publish(&orders(), record(1)).await.unwrap();
    let report = broker.shutdown(Duration::from_secs(1)).await.unwrap();
    assert!(report.is_clean(), "{report:?}");
}
