//! What a change would come to, and topics by their ids.

use ratatoskr_core::{
    Error,
    broker::NewTopic,
    config::{Durability, TopicConfigChange},
    name::TopicId,
};

use crate::support::{Bench, change, topic};

fn new(partitions: u32, config: TopicConfigChange) -> NewTopic {
    NewTopic {
        partitions: Some(partitions),
        config,
    }
}

#[tokio::test]
async fn a_plan_is_what_would_be_made_and_makes_nothing() {
    let bench = Bench::memory().await;
    let broker = &bench.broker;
    let name = topic("orders");
    let wanted = new(3, change(&[("retention_ms", "1000")]));
    let plan = broker.plan_topic(&name, &wanted).unwrap();
    assert!(broker.list_topics().is_empty());
    let made = broker.create_topic(&name, wanted.clone()).await.unwrap();
    assert_eq!((plan.partitions, &plan.config), (3, &made.config));

    let again = broker.plan_topic(&name, &wanted);
    assert!(matches!(again, Err(Error::TopicExists(_))));
    let durable = TopicConfigChange {
        durability: Some(Durability::Fsync),
        ..TopicConfigChange::default()
    };
    let other = broker.plan_topic(&topic("other"), &new(1, durable.clone()));
    assert!(matches!(other, Err(Error::Unsupported(_))));
    let none = broker.plan_topic(&topic("other"), &new(0, TopicConfigChange::default()));
    assert!(matches!(none, Err(Error::InvalidConfig(_))));

    assert!(
        broker
            .check_change(&name, &change(&[("retention_ms", "5")]))
            .is_ok()
    );
    let refused = broker.check_change(&name, &durable);
    assert!(matches!(refused, Err(Error::Unsupported(_))));
    assert!(broker.check_growth(&name, 4).is_ok());
    assert!(matches!(
        broker.check_growth(&name, 2),
        Err(Error::InvalidConfig(_))
    ));
    let after = broker.topic_descriptor(&name).unwrap();
    assert_eq!((after.partitions, after.config), (3, made.config));
}

#[tokio::test]
async fn a_topic_is_known_by_its_id_as_long_as_it_is_there() {
    let bench = Bench::memory().await;
    let name = bench.topic("orders", 1).await;
    let id = bench.broker.topic_descriptor(&name).unwrap().id;
    assert_eq!(bench.broker.topic_name(id), Some(name.clone()));
    assert_eq!(bench.broker.topic_name(TopicId::random()), None);
    bench.broker.delete_topic(&name).await.unwrap();
    assert_eq!(bench.broker.topic_name(id), None);
    bench.topic("orders", 1).await;
    assert_eq!(bench.broker.topic_name(id), None);
}
