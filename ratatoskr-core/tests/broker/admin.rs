//! Topics: created, listed, described, changed, trimmed, deleted.

use ratatoskr_core::{
    BrokerConfig, Error,
    broker::{NewTopic, PartitionState, TopicDescription},
    config::{Compression, Durability},
    offset::{Offset, PartitionIndex},
};

use crate::support::{
    Bench, Fault, Operation, P0, P1, TestStorage, batch, change, poll_from, settle, topic,
};

fn partitions(count: u32) -> NewTopic {
    NewTopic {
        partitions: Some(count),
        ..NewTopic::default()
    }
}

#[tokio::test]
async fn a_topic_is_created_once_and_gone_once_deleted() {
    let bench = Bench::memory().await;
    let name = bench.topic("orders", 2).await;
    let again = bench.broker.create_topic(&name, partitions(1)).await;
    assert!(matches!(again, Err(Error::TopicExists(_))));
    let listed = bench.broker.list_topics();
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0].name, listed[0].partitions), (&name, 2));
    bench.broker.delete_topic(&name).await.unwrap();
    assert!(bench.broker.list_topics().is_empty());
    let gone = bench.broker.describe_topic(&name);
    assert!(matches!(gone, Err(Error::UnknownTopic(_))));
    let again = bench.broker.delete_topic(&name).await;
    assert!(matches!(again, Err(Error::UnknownTopic(_))));
}

#[tokio::test]
async fn a_topic_made_again_under_its_name_is_another() {
    let bench = Bench::memory().await;
    let name = bench.topic("orders", 1).await;
    bench.send(&name, &["old"]).await;
    let old = bench.broker.describe_topic(&name).unwrap().id;
    bench.broker.delete_topic(&name).await.unwrap();
    bench.topic("orders", 1).await;
    assert_ne!(bench.broker.describe_topic(&name).unwrap().id, old);
    assert!(bench.values(&name).await.is_empty());
}

#[tokio::test]
async fn a_description_tells_what_the_partitions_hold() {
    let bench = Bench::memory().await;
    let name = bench
        .topic_with("orders", 2, &[("compression", "zstd")])
        .await;
    let created = bench
        .broker
        .create_topic(&topic("new"), partitions(1))
        .await;
    assert_eq!(created.unwrap().partitions[0].state, PartitionState::Closed);
    bench.send(&name, &["a", "b"]).await;
    let described = bench.broker.describe_topic(&name).unwrap();
    assert_eq!(described.config.compression, Compression::Zstd);
    assert_eq!(described.config.durability, Durability::Memory);
    let [first, second] = &described.partitions[..] else {
        panic!("two partitions");
    };
    assert_eq!((first.index, second.index), (P0, P1));
    assert_eq!(first.bounds.high_watermark, Offset::new(2));
    assert_eq!(first.bytes, batch(&["a", "b"]).total_bytes() as u64);
    assert_eq!((first.segments, second.segments), (1, 0));
    assert_eq!(first.state, PartitionState::Online);
}

#[tokio::test]
async fn names_of_the_brokers_own_topics_are_not_to_be_used() {
    let bench = Bench::memory().await;
    let own = topic("_rt.offsets");
    let created = bench.broker.create_topic(&own, partitions(1)).await;
    assert!(matches!(created, Err(Error::InternalTopic(name)) if name == own));
    let deleted = bench.broker.delete_topic(&own).await;
    assert!(matches!(deleted, Err(Error::InternalTopic(_))));
    let trimmed = bench.broker.trim(&own, P0, Offset::ZERO).await;
    assert!(matches!(trimmed, Err(Error::InternalTopic(_))));
}

#[tokio::test]
async fn what_the_storage_cannot_do_is_refused() {
    let bench = Bench::memory().await;
    for config in [("durability", "fsync"), ("cleanup_policy", "compact")] {
        let new = NewTopic {
            config: change(&[config]),
            ..NewTopic::default()
        };
        let refused = bench.broker.create_topic(&topic("orders"), new).await;
        assert!(matches!(refused, Err(Error::Unsupported(_))), "{config:?}");
    }
    assert!(bench.broker.list_topics().is_empty());
}

#[tokio::test]
async fn one_topic_or_partition_too_many_is_refused() {
    let config = BrokerConfig {
        topics_max: 2,
        partitions_per_topic_max: 3,
        partitions_max: 5,
        ..BrokerConfig::default()
    };
    let bench = Bench::over(TestStorage::memory(), config).await;
    let bench = &bench;
    let limit = |answer: Result<TopicDescription, Error>| match answer {
        Err(Error::LimitReached { limit, max }) => (limit, max),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("taken"),
    };
    let made = |name: &'static str, count| async move {
        bench
            .broker
            .create_topic(&topic(name), partitions(count))
            .await
    };
    assert_eq!(limit(made("a", 4).await), ("partitions_per_topic_max", 3));
    assert!(matches!(made("a", 0).await, Err(Error::InvalidConfig(_))));
    made("a", 3).await.unwrap();
    assert_eq!(limit(made("b", 3).await), ("partitions_max", 5));
    made("b", 1).await.unwrap();
    assert_eq!(limit(made("c", 1).await), ("topics_max", 2));
    let grow = |name: &'static str, total| async move {
        bench.broker.add_partitions(&topic(name), total).await
    };
    assert_eq!(limit(grow("b", 3).await), ("partitions_max", 5));
    grow("b", 2).await.unwrap();
    assert_eq!(limit(grow("a", 4).await), ("partitions_per_topic_max", 3));
}

#[tokio::test]
async fn partitions_are_added_and_never_removed() {
    let bench = Bench::memory().await;
    let name = bench.topic("orders", 2).await;
    bench.broker.add_partitions(&name, 3).await.unwrap();
    let third = PartitionIndex::new(2);
    let pending = bench.broker.produce(&name, third, batch(&["a"])).unwrap();
    pending.wait().await.unwrap();
    let fewer = bench.broker.add_partitions(&name, 2).await;
    assert!(matches!(fewer, Err(Error::InvalidConfig(_))));
    let same = bench.broker.add_partitions(&name, 3).await.unwrap();
    assert_eq!(same.partitions.len(), 3);
    let reopened = bench.reopened().await;
    assert_eq!(reopened.values_of(&name, third).await, ["a"]);
}

#[tokio::test]
async fn a_change_takes_effect_and_outlives_a_restart() {
    let bench = Bench::memory().await;
    let name = bench.topic("orders", 1).await;
    let smaller = change(&[("batch_bytes_max", "1024")]);
    bench.broker.alter_topic(&name, &smaller).await.unwrap();
    let large = || batch(&[&"x".repeat(1024)]);
    let refused = bench.broker.produce(&name, P0, large());
    assert!(matches!(refused, Err(Error::BatchTooLarge { .. })));
    let reopened = bench.reopened().await;
    let refused = reopened.broker.produce(&name, P0, large());
    assert!(matches!(refused, Err(Error::BatchTooLarge { .. })));
    let impossible = change(&[("batch_bytes_max", "1")]);
    let refused = bench.broker.alter_topic(&name, &impossible).await;
    assert!(matches!(refused, Err(Error::InvalidConfig(_))));
}

#[tokio::test]
async fn a_catalog_that_fails_changes_nothing() {
    for fault in [Fault::broken(), Fault::Panic] {
        let bench = Bench::memory().await;
        let name = bench.topic("orders", 1).await;
        bench.send(&name, &["a"]).await;
        let storage = &bench.storage;
        storage.fail_catalog(Operation::CreateTopic, fault.clone());
        let created = bench.broker.create_topic(&topic("x"), partitions(1)).await;
        assert!(created.is_err());
        storage.fail_catalog(Operation::UpdateTopic, fault.clone());
        let change = change(&[("compression", "zstd")]);
        assert!(bench.broker.alter_topic(&name, &change).await.is_err());
        storage.fail_catalog(Operation::UpdateTopic, fault.clone());
        assert!(bench.broker.add_partitions(&name, 2).await.is_err());
        storage.fail_catalog(Operation::DeleteTopic, fault);
        assert!(bench.broker.delete_topic(&name).await.is_err());

        let listed = bench.broker.list_topics();
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].partitions, 1);
        assert_eq!(listed[0].config.compression, Compression::None);
        bench.send(&name, &["b"]).await;
        assert_eq!(bench.values(&name).await, ["a", "b"]);
    }
}

#[tokio::test(start_paused = true)]
async fn deletion_is_told_to_a_fetch_that_waits() {
    let bench = Bench::memory().await;
    let name = bench.topic("orders", 1).await;
    let request = poll_from(&name, P0, Offset::ZERO);
    let began = tokio::time::Instant::now();
    let (fetched, ()) = tokio::join!(bench.fetch_one(&request), async {
        settle().await;
        bench.broker.delete_topic(&name).await.unwrap();
    });
    assert!(matches!(fetched, Err(Error::UnknownTopic(_))));
    assert_eq!(began.elapsed(), std::time::Duration::ZERO);
}

#[tokio::test]
async fn deletion_waits_for_what_is_on_its_way() {
    let (bench, committer) = Bench::committing(BrokerConfig::default()).await;
    let name = bench.topic("orders", 1).await;
    let pending = bench.broker.produce(&name, P0, batch(&["a"])).unwrap();
    let broker = bench.broker.clone();
    let deleted = name.clone();
    let deleting = tokio::spawn(async move { broker.delete_topic(&deleted).await });
    settle().await;
    let held = bench.broker.produce(&name, P0, batch(&["b"])).unwrap();
    assert!(!deleting.is_finished());
    committer.commit();
    pending.wait().await.unwrap();
    deleting.await.unwrap().unwrap();
    assert!(matches!(held.wait().await, Err(Error::UnknownTopic(_))));
}

#[tokio::test]
async fn trimming_removes_records_for_good_and_only_those_that_are_there() {
    let bench = Bench::memory().await;
    let name = bench.topic("orders", 1).await;
    bench.send(&name, &["a"]).await;
    bench.send(&name, &["b"]).await;
    let beyond = bench.broker.trim(&name, P0, Offset::new(3)).await;
    assert!(
        matches!(beyond, Err(Error::OffsetOutOfRange { requested, .. })
        if requested == Offset::new(3))
    );
    let bounds = bench.broker.trim(&name, P0, Offset::new(1)).await.unwrap();
    assert_eq!(bounds.log_start, Offset::new(1));
    let back = bench.broker.trim(&name, P0, Offset::ZERO).await.unwrap();
    assert_eq!(back.log_start, Offset::new(1));
    assert_eq!(bench.values(&name).await, ["b"]);
    let all = bench.broker.trim(&name, P0, Offset::new(2)).await.unwrap();
    assert_eq!(all.log_start, all.log_end);
    assert_eq!(bench.send(&name, &["c"]).await, Offset::new(2));
}

#[tokio::test]
async fn partitions_are_opened_when_they_are_used() {
    let bench = Bench::memory().await;
    let name = bench.topic("orders", 100).await;
    assert_eq!(bench.storage.opened(), 0);
    bench.send(&name, &["a"]).await;
    let reopened = bench.reopened().await;
    reopened.broker.list_topics();
    reopened.broker.stats();
    assert_eq!(bench.storage.opened(), 1);
}
