//! A topic that is looked up once: what reaches it later, and what its deletion means.

use ratatoskr_core::{
    Error, broker::NewTopic, config::TopicConfigChange, offset::Offset, record::Record,
};

use crate::support::{Bench, P0, P1, batch};

#[tokio::test]
async fn a_publisher_sends_as_the_broker_does() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    let publisher = bench.broker.publisher(&topic).await.unwrap();
    assert_eq!(publisher.topic(), &topic);
    let first = publisher.publish(Record::new("a")).await.unwrap();
    let more = publisher
        .publish_many(vec![Record::new("b"), Record::new("c")])
        .await
        .unwrap();
    let last = publisher.produce(P0, batch(&["d"])).unwrap();
    let last = last.wait().await.unwrap();
    let offsets = [
        first.offset,
        more[0].offset,
        more[1].offset,
        last.base_offset,
    ];
    assert_eq!(offsets, [0, 1, 2, 3].map(Offset::new));
}

#[tokio::test]
async fn changes_of_the_topic_reach_its_publisher() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    let publisher = bench.broker.publisher(&topic).await.unwrap();
    let unknown = publisher.produce(P1, batch(&["a"])).unwrap_err();
    assert!(matches!(unknown, Error::UnknownPartition { .. }));
    bench.broker.add_partitions(&topic, 2).await.unwrap();
    let produced = publisher.produce(P1, batch(&["a"])).unwrap();
    produced.wait().await.unwrap();

    let change = TopicConfigChange {
        batch_bytes_max: Some(1_024),
        ..TopicConfigChange::default()
    };
    bench.broker.alter_topic(&topic, &change).await.unwrap();
    let refused = publisher.publish(Record::new(vec![0; 2_000])).await;
    assert!(matches!(refused, Err(Error::BatchTooLarge { .. })));
}

#[tokio::test]
async fn a_publisher_of_a_deleted_topic_does_not_send_to_its_successor() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    let publisher = bench.broker.publisher(&topic).await.unwrap();
    bench.broker.delete_topic(&topic).await.unwrap();
    let gone = publisher.publish(Record::new("a")).await;
    assert!(matches!(gone, Err(Error::UnknownTopic(_))));

    let again = bench.broker.create_topic(&topic, NewTopic::default());
    again.await.unwrap();
    let gone = publisher.publish(Record::new("a")).await;
    assert!(matches!(gone, Err(Error::UnknownTopic(_))));
    let successor = bench.broker.publisher(&topic).await.unwrap();
    let sent = successor.publish(Record::new("a")).await.unwrap();
    assert_eq!(sent.offset.get(), 0);
}
