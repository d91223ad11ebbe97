//! Administration, and the errors of it.

use futures_util::FutureExt;
use ratatoskr_client::{
    Client, Error, GroupId, NewQueue, NewTopic, Offset, PartitionIndex, Record, TopicConfigChange,
    TopicDescription,
};
use ratatoskr_core::Error as BrokerError;

use crate::fixture::{create, name, shared_tests};

shared_tests! {
    a_topic_lives_its_life,
    what_is_wrong_is_told_by_type,
    topics_of_the_brokers_own_are_left_alone,
    a_log_is_trimmed,
    counters_count,
    dropped_requests_leave_the_client_usable,
}

async fn a_topic_lives_its_life(client: Client) {
    let mut config = TopicConfigChange::default();
    config.set("retention_ms", "1h").unwrap();
    let new = NewTopic {
        partitions: Some(2),
        config,
    };
    let orders = name("orders");
    let created = client.create_topic(&orders, new).await.unwrap();
    assert_eq!(created.name, orders);
    assert_eq!(created.partitions.len(), 2);
    assert_eq!(created.config.retention.unwrap().as_secs(), 3_600);

    let listed = client.list_topics().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0].name, listed[0].id), (&orders, created.id));
    assert_eq!(listed[0].config, created.config);

    let mut change = TopicConfigChange::default();
    change.set("retention_bytes", "1GiB").unwrap();
    let altered = client.alter_topic(&orders, &change).await.unwrap();
    assert_eq!(altered.config.retention_bytes, Some(1 << 30));
    assert_eq!(altered.config.retention, created.config.retention);

    let grown = client.add_partitions(&orders, 5).await.unwrap();
    assert_eq!(grown.partitions.len(), 5);
    let described = client.describe_topic(&orders).await.unwrap();
    assert_eq!(described.config, altered.config);
    assert_eq!(described.id, created.id);

    client.delete_topic(&orders).await.unwrap();
    assert!(client.list_topics().await.unwrap().is_empty());
}

async fn what_is_wrong_is_told_by_type(client: Client) {
    let there = create(&client, "there", 1).await;
    let missing = name("missing");
    let partition = PartitionIndex::new(0);

    let error = client.describe_topic(&missing).await.unwrap_err();
    assert!(matches!(&error, Error::Broker(BrokerError::UnknownTopic(topic)) if *topic == missing));
    assert!(!error.is_retryable());
    let error = client.producer(&missing).open().await.unwrap_err();
    assert!(matches!(error, Error::Broker(BrokerError::UnknownTopic(_))));
    let error = client.consumer(&missing).open().await.unwrap_err();
    assert!(matches!(error, Error::Broker(BrokerError::UnknownTopic(_))));

    let again = client.create_topic(&there, NewTopic::default()).await;
    assert!(matches!(again, Err(Error::Broker(BrokerError::TopicExists(topic))) if topic == there));
    let internal = client
        .create_topic(&name("_rt.mine"), NewTopic::default())
        .await;
    assert!(matches!(
        internal,
        Err(Error::Broker(BrokerError::InternalTopic(_)))
    ));
    let none = NewTopic {
        partitions: Some(0),
        ..NewTopic::default()
    };
    let error = client.create_topic(&missing, none).await.unwrap_err();
    assert!(
        matches!(&error, Error::Broker(BrokerError::InvalidConfig(config)) if config.key == "partitions")
    );
    let mut durable = TopicConfigChange::default();
    durable.set("durability", "fsync").unwrap();
    let error = client.alter_topic(&there, &durable).await.unwrap_err();
    assert!(matches!(error, Error::Broker(BrokerError::Unsupported(_))));

    let error = client
        .bounds(&there, PartitionIndex::new(7))
        .await
        .unwrap_err();
    assert!(matches!(
        error,
        Error::Broker(BrokerError::UnknownPartition { topic, partition })
            if topic == there && partition.get() == 7
    ));
    let error = client
        .trim(&there, partition, Offset::new(9))
        .await
        .unwrap_err();
    assert!(matches!(
        error,
        Error::Broker(BrokerError::OffsetOutOfRange { requested, bounds })
            if requested == Offset::new(9) && bounds.log_end == Offset::ZERO
    ));
}

async fn topics_of_the_brokers_own_are_left_alone(client: Client) {
    let group = GroupId::parse("work").unwrap();
    let made = client.create_queue(&group, NewQueue::default());
    made.await.unwrap();
    let own = name("_rt.queues");
    let before = client.describe_topic(&own).await.unwrap();

    let internal = |error: Error| {
        let of_own =
            matches!(&error, Error::Broker(BrokerError::InternalTopic(topic)) if *topic == own);
        assert!(of_own && !error.is_retryable(), "{error}");
    };
    internal(client.delete_topic(&own).await.unwrap_err());
    internal(client.add_partitions(&own, 17).await.unwrap_err());
    let change = TopicConfigChange::default();
    internal(client.alter_topic(&own, &change).await.unwrap_err());
    let trimmed = client.trim(&own, PartitionIndex::new(0), Offset::ZERO);
    internal(trimmed.await.unwrap_err());
    let producer = client.producer(&own).open().await.unwrap();
    internal(producer.send(Record::new("x")).await.unwrap_err());
    internal(client.queue(&own, &group).open().await.unwrap_err());

    let after = client.describe_topic(&own).await.unwrap();
    assert_eq!(after.config, before.config);
    let ends = |topic: &TopicDescription| {
        let partitions = topic.partitions.iter();
        partitions.map(|p| p.bounds.log_end).collect::<Vec<_>>()
    };
    assert_eq!(ends(&after), ends(&before));
}

async fn a_log_is_trimmed(client: Client) {
    let topic = create(&client, "trimmed", 1).await;
    let producer = client.producer(&topic).open().await.unwrap();
    for number in 0..10 {
        producer
            .send(Record::new(number.to_string()))
            .await
            .unwrap();
    }
    let partition = PartitionIndex::new(0);
    let bounds = client
        .trim(&topic, partition, Offset::new(4))
        .await
        .unwrap();
    assert_eq!(bounds.log_start, Offset::new(4));
    assert_eq!(client.bounds(&topic, partition).await.unwrap(), bounds);
    assert_eq!(bounds.records(), 6);
}

async fn counters_count(client: Client) {
    let topic = create(&client, "counted", 1).await;
    let producer = client.producer(&topic).open().await.unwrap();
    producer.send(Record::new("one")).await.unwrap();
    let stats = client.stats().await.unwrap();
    let counter = |name: &str| {
        stats
            .counters
            .iter()
            .find(|(key, _)| key == name)
            .unwrap()
            .1
    };
    assert_eq!(counter("topics"), 1);
    assert_eq!(counter("records_in"), 1);
    assert!(stats.problems.is_empty());
}

async fn dropped_requests_leave_the_client_usable(client: Client) {
    let topic = create(&client, "dropped", 1).await;
    for _ in 0..100 {
        drop(client.describe_topic(&topic).now_or_never());
        drop(client.trim(&topic, 0.into(), 0.into()).now_or_never());
    }
    let described = client.describe_topic(&topic).await.unwrap();
    assert_eq!(described.name, topic);
}
