//! Batches that are sent to a partition together: appended at once, told one by one.

use ratatoskr_core::{
    BrokerConfig, Error, Outcome,
    batch::RecordBatch,
    broker::{Broker, Produced},
    name::TopicName,
};

use crate::support::{Bench, Fault, Operation, P0, TestStorage, batch, batch_of, settle, topic};

/// What each batch's sender is told; offsets of those that are there.
async fn send(
    broker: &Broker,
    topic: &TopicName,
    batches: Vec<RecordBatch>,
) -> Vec<Result<Produced, Error>> {
    let mut told = Vec::new();
    for answer in broker.produce_many(topic, P0, batches) {
        told.push(match answer {
            Ok(pending) => pending.wait().await,
            Err(error) => Err(error),
        });
    }
    told
}

fn offsets(told: &[Result<Produced, Error>]) -> Vec<Option<u64>> {
    let offset = |told: &Result<Produced, Error>| told.as_ref().ok().map(|p| p.base_offset.get());
    told.iter().map(offset).collect()
}

fn sequences(sequences: &[i32]) -> Vec<RecordBatch> {
    let batches = sequences.iter();
    batches
        .map(|&sequence| batch_of(7, 0, sequence, &["a"]))
        .collect()
}

#[tokio::test]
async fn they_are_appended_in_their_order() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    let batches = vec![batch(&["a", "b"]), batch(&["c"]), batch(&["d"])];
    let told = send(&bench.broker, &topic, batches).await;
    assert_eq!(offsets(&told), [Some(0), Some(2), Some(3)]);
    assert_eq!(bench.values(&topic).await, ["a", "b", "c", "d"]);
    assert_eq!(bench.broker.stats().total.batches_in, 3);
}

#[tokio::test]
async fn more_than_is_appended_at_once_comes_through_in_order() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    let value = "x".repeat(60 << 10);
    let batches = (0..20).map(|_| batch(&[&value])).collect();
    let told = send(&bench.broker, &topic, batches).await;
    let expected: Vec<_> = (0..20).map(Some).collect();
    assert_eq!(offsets(&told), expected);
}

#[tokio::test]
async fn one_that_is_refused_keeps_none_behind_it_from_being_taken() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    let mut wrong = batch(&["b"]).to_bytes().to_vec();
    *wrong.last_mut().unwrap() ^= 1;
    let wrong = RecordBatch::view(wrong.into()).unwrap();
    let batches = vec![batch(&["a"]), wrong, batch(&["c"])];
    let told = send(&bench.broker, &topic, batches).await;
    assert_eq!(offsets(&told), [Some(0), None, Some(1)]);
    assert!(matches!(told[1], Err(Error::InvalidBatch(_))));
    assert_eq!(bench.broker.stats().total.errors_in, 1);
}

#[tokio::test]
async fn an_idempotent_producers_are_judged_one_after_the_other() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    let told = send(&bench.broker, &topic, sequences(&[0, 1, 0, 3, 2])).await;
    assert_eq!(offsets(&told), [Some(0), Some(1), Some(0), None, Some(2)]);
    let duplicates: Vec<_> = told.iter().flatten().map(|told| told.duplicate).collect();
    assert_eq!(duplicates, [false, false, true, false]);
    assert!(matches!(told[3], Err(Error::OutOfOrderSequence { .. })));
    assert_eq!(bench.values(&topic).await.len(), 3);
}

#[tokio::test]
async fn a_full_disk_refuses_all_and_they_may_come_again() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    send(&bench.broker, &topic, sequences(&[0])).await;
    bench
        .storage
        .fail(Operation::Append, &topic, P0, Fault::full());
    let told = send(&bench.broker, &topic, sequences(&[1, 2, 3])).await;
    for told in &told {
        assert!(told.as_ref().is_err_and(Error::is_retryable), "{told:?}");
    }
    assert_eq!(bench.values(&topic).await.len(), 1);
    let again = send(&bench.broker, &topic, sequences(&[1, 2, 3])).await;
    assert_eq!(offsets(&again), [Some(1), Some(2), Some(3)]);
}

#[tokio::test]
async fn a_broken_disk_leaves_all_unknown_and_the_partition_down() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    send(&bench.broker, &topic, vec![batch(&["a"])]).await;
    bench
        .storage
        .fail(Operation::Append, &topic, P0, Fault::broken());
    let told = send(&bench.broker, &topic, vec![batch(&["b"]), batch(&["c"])]).await;
    for told in &told {
        let outcome = told.as_ref().err().map(Error::outcome);
        assert_eq!(outcome, Some(Outcome::Unknown), "{told:?}");
    }
    assert_eq!(bench.broker.stats().partitions_offline, 1);
}

#[tokio::test]
async fn those_of_a_committer_are_told_when_it_has_committed_them() {
    let (bench, committer) = Bench::committing(BrokerConfig::default()).await;
    let topic = bench.topic("orders", 1).await;
    let broker = bench.broker.clone();
    let sent = tokio::spawn({
        let topic = topic.clone();
        async move { send(&broker, &topic, sequences(&[0, 1])).await }
    });
    settle().await;
    assert_eq!(committer.queued(), 2);
    assert!(bench.values(&topic).await.is_empty());
    committer.commit_all();
    assert_eq!(offsets(&sent.await.unwrap()), [Some(0), Some(1)]);
}

#[tokio::test]
async fn those_of_an_interval_topic_are_flushed_later() {
    let bench = Bench::over(TestStorage::flushing(), BrokerConfig::default()).await;
    let topic = bench
        .topic_with("orders", 1, &[("durability", "interval(10ms)")])
        .await;
    let told = send(&bench.broker, &topic, vec![batch(&["a"]), batch(&["b"])]).await;
    assert_eq!(offsets(&told), [Some(0), Some(1)]);
    let grace = std::time::Duration::from_secs(5);
    bench.broker.shutdown(grace).await.unwrap();
    assert!(bench.storage.flushes() > 0);
}

#[tokio::test]
async fn without_a_topic_each_is_told_so() {
    let bench = Bench::memory().await;
    let told = send(
        &bench.broker,
        &topic("none"),
        vec![batch(&["a"]), batch(&["b"])],
    )
    .await;
    assert_eq!(told.len(), 2);
    assert!(
        told.iter()
            .all(|told| matches!(told, Err(Error::UnknownTopic(_))))
    );
}
