//! Topics: created, listed, described, changed, deleted.

use ratatoskr_core::{Error, broker::NewTopic};

use crate::support::{Bench, topic};

#[tokio::test]
async fn a_topic_is_created_once_and_gone_once_deleted() {
    let bench = Bench::memory().await;
    let name = bench.topic("orders", 2).await;
    let again = bench.broker.create_topic(&name, NewTopic::default()).await;
    assert!(matches!(again, Err(Error::TopicExists(_))));
    let described = bench.broker.describe_topic(&name).unwrap();
    assert_eq!(described.partitions.len(), 2);
    bench.broker.delete_topic(&name).await.unwrap();
    assert!(bench.broker.list_topics().is_empty());
    let gone = bench.broker.describe_topic(&topic("orders"));
    assert!(matches!(gone, Err(Error::UnknownTopic(_))));
}
