//! Producers: batches, order, the buffer, acknowledgements.

use std::time::Duration;

use futures_util::FutureExt;
use ratatoskr_client::{
    Acks, Client, Compression, Error, Header, NewTopic, OnFull, Outcome, PartitionIndex, Record,
    Timestamp, bytes::Bytes,
};
use ratatoskr_core::{
    Error as BrokerError,
    storage::{IoKind, StorageError},
};
use ratatoskr_storage::MemoryStorage;

use crate::fixture::{
    Server, broker, broker_on, broker_with, create, name, next, post, shared_tests, take, text,
    texts, within,
};

shared_tests! {
    records_come_back_as_they_were_sent,
    every_compression_comes_back,
    many_enqueued_records_keep_their_order,
    a_lingering_batch_goes_with_a_flush,
    a_lingering_batch_goes_in_time,
    a_full_buffer_fails_or_waits,
    an_acknowledged_batch_makes_room,
    no_acknowledgement_tells_no_offset,
    keys_decide_the_partition,
    the_caller_decides_the_partition,
    a_closed_producer_takes_nothing,
    a_dropped_producer_sends_what_it_took,
    a_record_that_is_too_large_fails_alone,
    a_deleted_topic_fails_the_records,
    without_idempotence_order_holds,
    a_full_buffer_does_not_linger,
    added_partitions_are_used,
    flushed_records_without_acknowledgement_have_arrived,
}

async fn records_come_back_as_they_were_sent(client: Client) {
    let topic = create(&client, "as-sent", 1).await;
    let producer = client.producer(&topic).open().await.unwrap();
    let records = [
        Record::new("plain"),
        Record::new("").with_key(""),
        Record::default().with_key("deleted"),
        Record::new(vec![0xff; 3_000]).with_timestamp(Timestamp::new(1_700_000_000_000)),
        Record {
            headers: vec![
                Header {
                    key: "twice".into(),
                    value: Some(Bytes::from_static(b"a")),
                },
                Header {
                    key: "twice".into(),
                    value: None,
                },
            ],
            ..Record::new("headers")
        },
    ];
    let mut consumer = client.consumer(&topic).open().await.unwrap();
    for (offset, record) in (0..).zip(&records) {
        let sent = producer.send(record.clone()).await.unwrap();
        let read = next(&mut consumer).await;
        assert_eq!(sent.offset.unwrap().get(), offset);
        assert_eq!(read.offset, sent.offset.unwrap());
        assert_eq!(read.record.timestamp, Some(sent.timestamp));
        if let Some(timestamp) = record.timestamp {
            assert_eq!(sent.timestamp, timestamp);
        }
        let sent = Record {
            timestamp: read.record.timestamp,
            ..record.clone()
        };
        assert_eq!(read.record, sent);
    }
}

async fn every_compression_comes_back(client: Client) {
    for codec in Compression::ALL {
        let topic = create(&client, codec.name(), 1).await;
        let producer = client
            .producer(&topic)
            .compression(codec)
            .open()
            .await
            .unwrap();
        let value = "squeeze me ".repeat(200);
        producer.send(Record::new(value.clone())).await.unwrap();
        let mut consumer = client.consumer(&topic).open().await.unwrap();
        assert_eq!(text(&next(&mut consumer).await.record), value);
    }
}

async fn many_enqueued_records_keep_their_order(client: Client) {
    let topic = create(&client, "many", 1).await;
    let producer = client
        .producer(&topic)
        .batch_bytes(2_000)
        .open()
        .await
        .unwrap();
    let sent: Vec<String> = (0..2_000).map(|number| number.to_string()).collect();
    let mut deliveries = Vec::new();
    for value in &sent {
        deliveries.push(producer.enqueue(Record::new(value.clone())).await.unwrap());
    }
    for (offset, delivery) in (0..).zip(deliveries) {
        assert_eq!(delivery.await.unwrap().offset.unwrap().get(), offset);
    }
    let mut consumer = client.consumer(&topic).open().await.unwrap();
    assert_eq!(texts(&take(&mut consumer, sent.len()).await), sent);
}

async fn a_lingering_batch_goes_with_a_flush(client: Client) {
    let topic = create(&client, "linger", 1).await;
    let hour = Duration::from_hours(1);
    let producer = client.producer(&topic).linger(hour).open().await.unwrap();
    for number in 0..3 {
        post(&producer, Record::new(number.to_string())).await;
    }
    let partition = PartitionIndex::new(0);
    assert_eq!(client.bounds(&topic, partition).await.unwrap().records(), 0);
    producer.flush().await.unwrap();
    assert_eq!(client.bounds(&topic, partition).await.unwrap().records(), 3);
    let stats = client.stats().await.unwrap();
    assert!(
        stats.counters.contains(&("batches_in".into(), 1)),
        "{stats:?}"
    );
}

async fn a_lingering_batch_goes_in_time(client: Client) {
    let topic = create(&client, "linger", 1).await;
    let a_while = Duration::from_millis(20);
    let producer = client
        .producer(&topic)
        .linger(a_while)
        .open()
        .await
        .unwrap();
    let first = producer.enqueue(Record::new("1")).await.unwrap();
    let second = producer.enqueue(Record::new("2")).await.unwrap();
    first.await.unwrap();
    second.await.unwrap();
    let stats = client.stats().await.unwrap();
    assert!(
        stats.counters.contains(&("batches_in".into(), 1)),
        "{stats:?}"
    );
}

async fn a_full_buffer_fails_or_waits(client: Client) {
    let topic = create(&client, "full", 1).await;
    let builder = client
        .producer(&topic)
        .linger(Duration::from_hours(1))
        .buffer_bytes(1_000);
    let record = || Record::new(vec![0; 500]);

    let failing = builder.clone().on_full(OnFull::Fail).open().await.unwrap();
    post(&failing, record()).await;
    let error = failing.enqueue(record()).await.unwrap_err();
    assert!(matches!(error, Error::BufferFull { bytes_max: 1_000 }));
    assert!(error.is_retryable());

    let waiting = builder.on_full(OnFull::Wait).open().await.unwrap();
    post(&waiting, record()).await;
    let (second, flushed) = tokio::join!(waiting.enqueue(record()), waiting.flush());
    flushed.unwrap();
    drop(second.unwrap());

    let error = waiting
        .enqueue(Record::new(vec![0; 1_001]))
        .await
        .unwrap_err();
    assert!(matches!(
        error,
        Error::RecordTooLarge {
            bytes_max: 1_000,
            ..
        }
    ));
}

async fn an_acknowledged_batch_makes_room(client: Client) {
    let topic = create(&client, "room", 1).await;
    let builder = client.producer(&topic).buffer_bytes(2_000).batch_bytes(600);
    let producer = builder.open().await.unwrap();
    for _ in 0..100 {
        post(&producer, Record::new(vec![0; 300])).await;
    }
    producer.close().await.unwrap();
    let bounds = client.bounds(&topic, PartitionIndex::new(0)).await.unwrap();
    assert_eq!(bounds.records(), 100);
}

async fn no_acknowledgement_tells_no_offset(client: Client) {
    let topic = create(&client, "none", 1).await;
    let producer = client
        .producer(&topic)
        .acks(Acks::None)
        .open()
        .await
        .unwrap();
    let mut consumer = client.consumer(&topic).open().await.unwrap();
    for number in 0..100 {
        let sent = producer
            .send(Record::new(number.to_string()))
            .await
            .unwrap();
        assert_eq!((sent.offset, sent.durability), (None, None));
    }
    let expected: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    assert_eq!(texts(&take(&mut consumer, 100).await), expected);
}

async fn keys_decide_the_partition(client: Client) {
    let topic = create(&client, "keys", 3).await;
    let producer = client.producer(&topic).open().await.unwrap();
    for key in ["21", "foobar", "abc"] {
        let sent = producer.send(Record::new("x").with_key(key)).await.unwrap();
        let expected = ratatoskr_core::routing::partition_for_key(key.as_bytes(), 3);
        assert_eq!(sent.partition, expected);
    }
}

async fn the_caller_decides_the_partition(client: Client) {
    let topic = create(&client, "chosen", 3).await;
    let producer = client.producer(&topic).open().await.unwrap();
    for index in [2, 0, 1] {
        let partition = PartitionIndex::new(index);
        let delivery = producer
            .enqueue_to(partition, Record::new("x"))
            .await
            .unwrap();
        assert_eq!(delivery.await.unwrap().partition, partition);
    }
    let error = producer
        .enqueue_to(PartitionIndex::new(3), Record::new("x"))
        .await;
    assert!(matches!(
        error,
        Err(Error::Broker(BrokerError::UnknownPartition { .. }))
    ));
}

async fn a_closed_producer_takes_nothing(client: Client) {
    let topic = create(&client, "closed", 1).await;
    let producer = client.producer(&topic).open().await.unwrap();
    let clone = producer.clone();
    producer.close().await.unwrap();
    let error = clone.enqueue(Record::new("late")).await.unwrap_err();
    assert!(matches!(error, Error::Closed));
}

async fn a_dropped_producer_sends_what_it_took(client: Client) {
    let topic = create(&client, "dropped", 1).await;
    let hour = Duration::from_hours(1);
    let producer = client.producer(&topic).linger(hour).open().await.unwrap();
    let delivery = producer.enqueue(Record::new("on its way")).await.unwrap();
    drop(producer);
    delivery.await.unwrap();
}

async fn a_record_that_is_too_large_fails_alone(client: Client) {
    let topic = create(&client, "large", 1).await;
    let producer = client.producer(&topic).open().await.unwrap();
    let before = producer.enqueue(Record::new("before")).await.unwrap();
    let large = producer
        .enqueue(Record::new(vec![0; 2 << 20]))
        .await
        .unwrap();
    let after = producer.enqueue(Record::new("after")).await.unwrap();
    assert_eq!(before.await.unwrap().offset.unwrap().get(), 0);
    let error = large.await.unwrap_err();
    assert!(
        matches!(error, Error::Broker(BrokerError::BatchTooLarge { .. })),
        "{error:?}"
    );
    assert_eq!(error.outcome(), Outcome::Failed);
    assert_eq!(after.await.unwrap().offset.unwrap().get(), 1);
}

async fn a_deleted_topic_fails_the_records(client: Client) {
    let topic = create(&client, "deleted", 1).await;
    let producer = client.producer(&topic).open().await.unwrap();
    client.delete_topic(&topic).await.unwrap();
    let error = producer.send(Record::new("x")).await.unwrap_err();
    assert!(matches!(error, Error::Broker(BrokerError::UnknownTopic(_))));
}

async fn without_idempotence_order_holds(client: Client) {
    let topic = create(&client, "plain", 1).await;
    let builder = client.producer(&topic).idempotent(false).batch_bytes(200);
    let producer = builder.open().await.unwrap();
    let sent: Vec<String> = (0..300).map(|number| number.to_string()).collect();
    for value in &sent {
        post(&producer, Record::new(value.clone())).await;
    }
    producer.flush().await.unwrap();
    let mut consumer = client.consumer(&topic).open().await.unwrap();
    assert_eq!(texts(&take(&mut consumer, sent.len()).await), sent);
}

#[tokio::test]
async fn a_topic_is_created_for_its_first_producer() {
    let config = ratatoskr_core::BrokerConfig {
        auto_create_topics: true,
        ..Default::default()
    };
    let broker = broker_with(config).await;
    let server = Server::start(broker.clone()).await;
    for (client, topic) in [
        (Client::in_process(broker), "in-process"),
        (server.client().await, "over-tcp"),
    ] {
        let producer = client.producer(&name(topic)).open().await.unwrap();
        within(producer.send(Record::new("first"))).await.unwrap();
    }
}

#[tokio::test]
async fn a_record_whose_time_is_over_fails_with_what_kept_it_out() {
    let broker = broker_on(MemoryStorage::with_bytes_max(1_000)).await;
    let server = Server::start(broker.clone()).await;
    for client in [Client::in_process(broker), server.client().await] {
        let topic = name("full");
        let _ = client.create_topic(&topic, NewTopic::default()).await;
        let builder = client.producer(&topic);
        let timeout = Duration::from_millis(100);
        let producer = builder.delivery_timeout(timeout).open().await.unwrap();
        let sent = within(producer.send(Record::new(vec![0; 2_000]))).await;
        let error = sent.unwrap_err();
        assert_eq!(error.outcome(), Outcome::Failed);
        let full = matches!(
            &error,
            Error::Broker(BrokerError::Storage(StorageError::Io {
                kind: IoKind::Full,
                ..
            }))
        );
        assert!(full, "{error:?}");
    }
}

async fn a_full_buffer_does_not_linger(client: Client) {
    let topic = create(&client, "pressed", 1).await;
    let producer = client.producer(&topic).buffer_bytes(1_000);
    let producer = producer.linger(Duration::MAX).open().await.unwrap();
    for number in 0..1_000 {
        post(&producer, Record::new(number.to_string())).await;
    }
    producer.close().await.unwrap();
}

#[tokio::test]
async fn a_dropped_send_leaves_the_producer_usable() {
    let server = Server::start(broker().await).await;
    let client = server.client().await;
    let topic = create(&client, "dropped", 1).await;
    let producer = client.producer(&topic).buffer_bytes(200);
    let producer = producer.linger(Duration::MAX).open().await.unwrap();
    let mut taken = Vec::new();
    for number in 0..100 {
        let value = number.to_string();
        // Polled once: it has taken the record, or it waits for room and is dropped.
        match producer.enqueue(Record::new(value.clone())).now_or_never() {
            Some(delivery) => {
                drop(delivery.unwrap());
                taken.push(value);
            }
            None => producer.flush().await.unwrap(),
        }
    }
    producer.close().await.unwrap();
    assert!(taken.len() < 100, "some must have been dropped");
    let mut consumer = client.consumer(&topic).open().await.unwrap();
    assert_eq!(texts(&take(&mut consumer, taken.len()).await), taken);
    let bounds = client.bounds(&topic, PartitionIndex::new(0)).await.unwrap();
    assert_eq!(bounds.records(), taken.len() as u64);
}

async fn added_partitions_are_used(client: Client) {
    let topic = create(&client, "growing", 1).await;
    let soon = Duration::from_millis(1);
    let producer = client.producer(&topic).partitions_refresh(soon);
    let producer = producer.open().await.unwrap();
    client.add_partitions(&topic, 3).await.unwrap();
    // A partition that the caller has chosen is looked for at once.
    let chosen = PartitionIndex::new(2);
    let sent = producer.enqueue_to(chosen, Record::new("chosen"));
    assert_eq!(sent.await.unwrap().await.unwrap().partition, chosen);
    let mut used = std::collections::BTreeSet::new();
    while used.len() < 3 {
        let sent = producer.send(Record::new("routed")).await.unwrap();
        used.insert(sent.partition);
    }
}

async fn flushed_records_without_acknowledgement_have_arrived(client: Client) {
    let topic = create(&client, "taken", 1).await;
    let producer = client.producer(&topic).acks(Acks::None);
    let producer = producer.batch_bytes(200).open().await.unwrap();
    for number in 0..1_000 {
        post(&producer, Record::new(number.to_string())).await;
    }
    producer.flush().await.unwrap();
    let bounds = client.bounds(&topic, PartitionIndex::new(0)).await.unwrap();
    assert_eq!(bounds.records(), 1_000);
}

#[tokio::test]
async fn a_broker_in_process_that_shuts_down_fails_records_at_once() {
    let broker = broker().await;
    let client = Client::in_process(broker.clone());
    let topic = create(&client, "over", 1).await;
    let producer = client.producer(&topic).open().await.unwrap();
    broker.shutdown(Duration::ZERO).await.unwrap();
    let error = within(producer.send(Record::new("late"))).await;
    assert!(matches!(
        error,
        Err(Error::Broker(BrokerError::ShuttingDown))
    ));
}
