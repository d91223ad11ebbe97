//! Consumers: where they begin, what they hold, how they end.

use std::time::Duration;

use ratatoskr_client::{
    Client, Error, Offset, PartitionIndex, Record, StartAt, Timestamp, TopicName,
};
use ratatoskr_core::Error as BrokerError;

use crate::fixture::{create, next, post, shared_tests, take, text, texts};

shared_tests! {
    reading_begins_where_it_is_told,
    records_that_come_later_are_waited_for,
    partitions_are_read_together,
    only_the_partitions_named_are_read,
    a_small_buffer_reads_everything,
    trimmed_records_are_told_of_and_reading_goes_on,
    an_offset_beyond_the_end_is_told_of_and_reading_goes_on,
    a_deleted_topic_ends_the_stream,
    a_dropped_wait_loses_nothing,
    many_consumers_read_alike,
    added_partitions_are_read,
}

async fn filled(client: &Client, topic: &str, count: u64) -> TopicName {
    let topic = create(client, topic, 1).await;
    let producer = client
        .producer(&topic)
        .batch_bytes(100)
        .open()
        .await
        .unwrap();
    for number in 0..count {
        let at = Timestamp::new(1_000 + i64::try_from(number).unwrap());
        let record = Record::new(number.to_string()).with_timestamp(at);
        post(&producer, record).await;
    }
    producer.close().await.unwrap();
    topic
}

async fn reading_begins_where_it_is_told(client: Client) {
    let topic = filled(&client, "begin", 10).await;
    let partition = PartitionIndex::new(0);
    for (start, first) in [
        (StartAt::Start, "0"),
        (StartAt::Offset(Offset::new(4)), "4"),
        (StartAt::Timestamp(Timestamp::new(1_007)), "7"),
        (StartAt::Timestamp(Timestamp::new(0)), "0"),
        (StartAt::Offsets(vec![(partition, Offset::new(9))]), "9"),
        (StartAt::Offsets(Vec::new()), "0"),
    ] {
        let builder = client.consumer(&topic).start(start.clone());
        let mut consumer = builder.open().await.unwrap();
        assert_eq!(text(&next(&mut consumer).await.record), first, "{start:?}");
    }
    for start in [StartAt::End, StartAt::Timestamp(Timestamp::new(9_000))] {
        let builder = client.consumer(&topic).start(start);
        let mut consumer = builder.open().await.unwrap();
        let producer = client.producer(&topic).open().await.unwrap();
        producer.send(Record::new("new")).await.unwrap();
        assert_eq!(text(&next(&mut consumer).await.record), "new");
    }
}

async fn records_that_come_later_are_waited_for(client: Client) {
    let topic = create(&client, "later", 1).await;
    let mut consumer = client.consumer(&topic).open().await.unwrap();
    let producer = client.producer(&topic).open().await.unwrap();
    for number in 0..20 {
        let (read, sent) = tokio::join!(
            next(&mut consumer),
            producer.send(Record::new(number.to_string()))
        );
        assert_eq!(text(&read.record), number.to_string());
        assert_eq!(Some(read.offset), sent.unwrap().offset);
    }
}

async fn partitions_are_read_together(client: Client) {
    let topic = create(&client, "together", 4).await;
    let producer = client.producer(&topic).open().await.unwrap();
    for number in 0..200 {
        let record = Record::new(number.to_string()).with_key((number % 10).to_string());
        post(&producer, record).await;
    }
    producer.flush().await.unwrap();
    let mut consumer = client.consumer(&topic).open().await.unwrap();
    let read = take(&mut consumer, 200).await;
    for key in 0..10 {
        let key = key.to_string();
        let of_key = read
            .iter()
            .filter(|consumed| consumed.record.key.as_deref() == Some(key.as_bytes()));
        let numbers: Vec<u32> = of_key
            .map(|consumed| text(&consumed.record).parse().unwrap())
            .collect();
        assert_eq!(numbers.len(), 20);
        assert!(numbers.is_sorted(), "{numbers:?}");
    }
}

async fn only_the_partitions_named_are_read(client: Client) {
    let topic = create(&client, "some", 3).await;
    let producer = client.producer(&topic).open().await.unwrap();
    for round in 0..2 {
        for index in 0..3 {
            let record = Record::new(format!("{round}{index}"));
            let delivery = producer
                .enqueue_to(PartitionIndex::new(index), record)
                .await;
            delivery.unwrap().await.unwrap();
        }
    }
    let builder = client.consumer(&topic).partitions([PartitionIndex::new(1)]);
    let mut consumer = builder.open().await.unwrap();
    assert_eq!(texts(&take(&mut consumer, 2).await), ["01", "11"]);
    let builder = client.consumer(&topic).partitions([PartitionIndex::new(3)]);
    let error = builder.open().await.unwrap_err();
    assert!(matches!(
        error,
        Error::Broker(BrokerError::UnknownPartition { .. })
    ));
}

async fn a_small_buffer_reads_everything(client: Client) {
    let topic = filled(&client, "small", 500).await;
    for (records, bytes) in [(1, 1), (3, 1 << 20), (1_000, 200)] {
        let builder = client.consumer(&topic).buffer(records, bytes);
        let mut consumer = builder.open().await.unwrap();
        let read = take(&mut consumer, 500).await;
        let expected: Vec<String> = (0..500).map(|number| number.to_string()).collect();
        assert_eq!(texts(&read), expected);
    }
}

async fn trimmed_records_are_told_of_and_reading_goes_on(client: Client) {
    let topic = filled(&client, "trimmed", 10).await;
    client
        .trim(&topic, PartitionIndex::new(0), Offset::new(6))
        .await
        .unwrap();
    let builder = client
        .consumer(&topic)
        .start(StartAt::Offset(Offset::new(2)));
    let mut consumer = builder.open().await.unwrap();
    let error = consumer.next().await.unwrap().unwrap_err();
    assert!(matches!(
        error,
        Error::Broker(BrokerError::OffsetOutOfRange { requested, bounds })
            if requested == Offset::new(2) && bounds.log_start == Offset::new(6)
    ));
    assert_eq!(texts(&take(&mut consumer, 4).await), ["6", "7", "8", "9"]);
}

async fn an_offset_beyond_the_end_is_told_of_and_reading_goes_on(client: Client) {
    let topic = filled(&client, "beyond", 3).await;
    let builder = client
        .consumer(&topic)
        .start(StartAt::Offset(Offset::new(100)));
    let mut consumer = builder.open().await.unwrap();
    let error = consumer.next().await.unwrap().unwrap_err();
    assert!(matches!(
        error,
        Error::Broker(BrokerError::OffsetOutOfRange { .. })
    ));
    let producer = client.producer(&topic).open().await.unwrap();
    producer.send(Record::new("3")).await.unwrap();
    assert_eq!(text(&next(&mut consumer).await.record), "3");
}

async fn a_deleted_topic_ends_the_stream(client: Client) {
    let topic = filled(&client, "deleted", 3).await;
    let mut consumer = client.consumer(&topic).open().await.unwrap();
    assert_eq!(take(&mut consumer, 3).await.len(), 3);
    let (last, deleted) = tokio::join!(consumer.next(), client.delete_topic(&topic));
    deleted.unwrap();
    let error = last.unwrap().unwrap_err();
    assert!(
        matches!(error, Error::Broker(BrokerError::UnknownTopic(_))),
        "{error:?}"
    );
    assert!(consumer.next().await.is_none());
}

async fn a_dropped_wait_loses_nothing(client: Client) {
    let topic = create(&client, "dropped", 1).await;
    let mut consumer = client.consumer(&topic).open().await.unwrap();
    let producer = client.producer(&topic).open().await.unwrap();
    for number in 0..50 {
        let waited = tokio::time::timeout(Duration::ZERO, consumer.next()).await;
        assert!(waited.is_err());
        producer
            .send(Record::new(number.to_string()))
            .await
            .unwrap();
        assert_eq!(text(&next(&mut consumer).await.record), number.to_string());
    }
}

async fn many_consumers_read_alike(client: Client) {
    let topic = filled(&client, "alike", 100).await;
    let mut all = Vec::new();
    for _ in 0..20 {
        all.push(client.consumer(&topic).open().await.unwrap());
    }
    let expected: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    for consumer in &mut all {
        assert_eq!(texts(&take(consumer, 100).await), expected);
    }
}

async fn added_partitions_are_read(client: Client) {
    let topic = create(&client, "growing", 1).await;
    let consumer = client.consumer(&topic);
    let consumer = consumer.partitions_refresh(Duration::from_millis(1));
    let mut consumer = consumer.open().await.unwrap();
    client.add_partitions(&topic, 2).await.unwrap();
    let producer = client.producer(&topic).open().await.unwrap();
    let added = PartitionIndex::new(1);
    let sent = producer.enqueue_to(added, Record::new("new"));
    sent.await.unwrap().await.unwrap();
    assert_eq!(next(&mut consumer).await.partition, added);
}
