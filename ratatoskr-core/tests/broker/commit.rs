//! Topics whose records a committer makes durable: seen when committed, told when not.

use std::time::Duration;

use ratatoskr_core::{
    BrokerConfig, Error, Outcome, broker::PendingProduce, commit::CommitError, name::TopicName,
    offset::Offset, producer::Sequence, storage::StorageError,
};

use crate::support::{
    Bench, Fault, Operation, P0, batch, batch_of, fetch_from, poll_from, settle, values,
};

fn send(bench: &Bench, topic: &TopicName, value: &str) -> PendingProduce {
    bench.broker.produce(topic, P0, batch(&[value])).unwrap()
}

fn no_room() -> CommitError {
    let Fault::Error(error) = Fault::full() else {
        unreachable!("a full disk is an error");
    };
    CommitError::Failed(error)
}

#[tokio::test]
async fn a_record_is_seen_once_it_is_committed() {
    let (bench, committer) = Bench::committing(BrokerConfig::default()).await;
    let topic = bench.topic("orders", 1).await;
    let pending = send(&bench, &topic, "a");
    assert_eq!(pending.ready(), None);
    assert!(bench.values(&topic).await.is_empty());
    let waiting = tokio::spawn(pending.wait());
    settle().await;
    assert!(!waiting.is_finished());
    committer.commit();
    let produced = waiting.await.unwrap().unwrap();
    assert_eq!(produced.base_offset, Offset::ZERO);
    assert_eq!(bench.values(&topic).await, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_commit_wakes_a_waiting_fetch() {
    let (bench, committer) = Bench::committing(BrokerConfig::default()).await;
    let topic = bench.topic("orders", 1).await;
    let _pending = send(&bench, &topic, "a");
    let request = poll_from(&topic, P0, Offset::ZERO);
    let (fetched, ()) = tokio::join!(bench.fetch_one(&request), async {
        settle().await;
        committer.commit();
    });
    assert_eq!(values(&fetched.unwrap().batches), ["a"]);
}

#[tokio::test]
async fn offsets_are_given_in_the_order_of_submission() {
    let (bench, committer) = Bench::committing(BrokerConfig::default()).await;
    let topic = bench.topic("orders", 1).await;
    let pending: Vec<_> = ["a", "b", "c"]
        .map(|value| send(&bench, &topic, value))
        .into();
    committer.commit_all();
    for (offset, pending) in (0..).zip(pending) {
        assert_eq!(
            pending.wait().await.unwrap().base_offset,
            Offset::new(offset)
        );
    }
    assert_eq!(bench.values(&topic).await, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_repeated_batch_that_is_pending_shares_its_outcome() {
    let (bench, committer) = Bench::committing(BrokerConfig::default()).await;
    let topic = bench.topic("orders", 1).await;
    let produce = || {
        let batch = batch_of(7, 0, 0, &["a"]);
        bench.broker.produce(&topic, P0, batch).unwrap()
    };
    let first = produce();
    let again = tokio::spawn(produce().wait());
    settle().await;
    assert_eq!(committer.queued(), 1, "the batch was submitted twice");
    assert!(!again.is_finished(), "acknowledged before it was committed");
    committer.commit();
    let first = first.wait().await.unwrap();
    let again = again.await.unwrap().unwrap();
    assert_eq!(first.base_offset, again.base_offset);
    assert!(again.duplicate && !first.duplicate);
    assert_eq!(bench.values(&topic).await, ["a"]);
}

#[tokio::test]
async fn a_failed_batch_takes_those_behind_it_along_and_leaves_no_gap() {
    let (bench, committer) = Bench::committing(BrokerConfig::default()).await;
    let topic = bench.topic("orders", 1).await;
    let pending: Vec<_> = ["a", "b", "c"]
        .map(|value| send(&bench, &topic, value))
        .into();
    committer.commit();
    committer.fail(no_room());
    let later = send(&bench, &topic, "d");
    committer.commit_all();
    let mut outcomes = Vec::new();
    for pending in pending {
        let outcome = pending.wait().await;
        outcomes.push(outcome.map_err(|error| error.outcome()).map(drop));
    }
    assert_eq!(
        outcomes,
        [Ok(()), Err(Outcome::Failed), Err(Outcome::Failed)]
    );
    assert_eq!(later.wait().await.unwrap().base_offset, Offset::new(1));
    assert_eq!(bench.values(&topic).await, ["a", "d"]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_turned_away_before_those_being_written_holds_up_no_restart() {
    let (bench, committer) = Bench::committing(BrokerConfig::default()).await;
    let topic = bench.topic("orders", 1).await;
    let _first = send(&bench, &topic, "a");
    committer.commit();
    let (written, behind) = (send(&bench, &topic, "b"), send(&bench, &topic, "c"));
    // The partition goes down while the committer has taken up the one, and not yet the other.
    bench
        .storage
        .fail(Operation::Read, &topic, P0, Fault::broken());
    let request = fetch_from(&topic, P0, Offset::ZERO);
    assert!(bench.fetch_one(&request).await.is_err());
    committer.turn_away_newest();
    assert_eq!(behind.wait().await.unwrap_err().outcome(), Outcome::Failed);
    committer.commit();
    assert!(written.wait().await.is_err());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.broker.problems(), [], "it never came back");
    let later = send(&bench, &topic, "d");
    settle().await;
    committer.commit();
    assert_eq!(later.wait().await.unwrap().base_offset, Offset::new(1));
    assert_eq!(bench.values(&topic).await, ["a", "d"]);
}

#[tokio::test]
async fn a_batch_that_failed_may_be_sent_again_by_its_idempotent_producer() {
    let (bench, committer) = Bench::committing(BrokerConfig::default()).await;
    let topic = bench.topic("orders", 1).await;
    let produce = |sequence, value| {
        let batch = batch_of(7, 0, sequence, &[value]);
        bench.broker.produce(&topic, P0, batch)
    };
    let first = produce(0, "a").unwrap();
    committer.commit();
    first.wait().await.unwrap();
    let failed = produce(1, "b").unwrap();
    let again = tokio::spawn(produce(1, "b").unwrap().wait());
    committer.fail(no_room());
    assert!(failed.wait().await.is_err());
    assert!(
        again.await.unwrap().is_err(),
        "a duplicate shares the failure"
    );
    let out_of_order = produce(2, "c");
    assert!(matches!(
        out_of_order,
        Err(Error::OutOfOrderSequence { .. })
    ));
    let repeated = produce(1, "b").unwrap();
    committer.commit_all();
    assert!(!repeated.wait().await.unwrap().duplicate);
    assert_eq!(bench.values(&topic).await, ["a", "b"]);
}

#[tokio::test]
async fn an_unknown_outcome_is_told_as_such() {
    let (bench, committer) = Bench::committing(BrokerConfig::default()).await;
    let topic = bench.topic("orders", 1).await;
    let pending = send(&bench, &topic, "a");
    committer.fail(CommitError::Unknown(StorageError::Closed));
    let error = pending.wait().await.unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown { .. }));
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn a_submission_that_is_refused_leaves_nothing_behind() {
    let (bench, committer) = Bench::committing(BrokerConfig::default()).await;
    let topic = bench.topic("orders", 1).await;
    let Fault::Error(full) = Fault::full() else {
        unreachable!("a full disk is an error");
    };
    committer.refuse(full);
    let refused = bench.broker.produce(&topic, P0, batch_of(7, 0, 0, &["a"]));
    let error = refused.map(drop).unwrap_err();
    assert!(error.is_retryable(), "{error}");
    let pending = bench.broker.produce(&topic, P0, batch_of(7, 0, 0, &["a"]));
    committer.commit();
    let produced = pending.unwrap().wait().await.unwrap();
    assert_eq!(produced.base_offset, Offset::ZERO);
    assert!(!produced.duplicate);
}

#[tokio::test]
async fn the_broker_takes_so_many_bytes_in_flight_and_no_more() {
    let bytes = batch(&["a"]).total_bytes();
    let config = BrokerConfig {
        in_flight_bytes_max: 2 * bytes,
        ..BrokerConfig::default()
    };
    let (bench, committer) = Bench::committing(config).await;
    let topic = bench.topic("orders", 1).await;
    let first = send(&bench, &topic, "a");
    let _second = send(&bench, &topic, "b");
    let over = bench.broker.produce(&topic, P0, batch(&["c"]));
    let error = over.map(drop).unwrap_err();
    assert!(matches!(error, Error::Overloaded { .. }) && error.is_retryable());
    assert_eq!(bench.broker.stats().in_flight_bytes, 2 * bytes as u64);
    committer.commit();
    first.wait().await.unwrap();
    let _third = send(&bench, &topic, "c");
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_cannot_be_applied_takes_its_partition_offline_until_all_is_settled() {
    let (bench, committer) = Bench::committing(BrokerConfig::default()).await;
    let topic = bench.topic("orders", 1).await;
    let first = send(&bench, &topic, "a");
    let behind = send(&bench, &topic, "b");
    bench
        .storage
        .fail(Operation::Append, &topic, P0, Fault::broken());
    committer.commit();
    let error = first.wait().await.unwrap_err();
    assert!(matches!(error, Error::OutcomeUnknown { .. }));
    let offline = bench.broker.produce(&topic, P0, batch(&["c"]));
    assert!(matches!(offline, Err(Error::PartitionOffline { .. })));
    // The committer still holds a batch of the old log, so it must not be opened again yet.
    let opened = bench.storage.opened();
    tokio::time::sleep(std::time::Duration::from_mins(5)).await;
    assert_eq!(bench.storage.opened(), opened);
    committer.commit();
    let error = behind.wait().await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Failed);
    settle().await;
    let again = send(&bench, &topic, "d");
    committer.commit();
    assert_eq!(again.wait().await.unwrap().base_offset, Offset::ZERO);
}

#[tokio::test]
async fn a_failed_sync_of_the_log_fences_the_broker() {
    let (bench, committer) = Bench::committing(BrokerConfig::default()).await;
    let topic = bench.topic("orders", 1).await;
    let pending = send(&bench, &topic, "a");
    let reason = "EIO".to_owned();
    committer.fail(CommitError::Unknown(StorageError::Fenced { reason }));
    assert!(matches!(
        pending.wait().await,
        Err(Error::OutcomeUnknown { .. })
    ));
    assert_eq!(bench.broker.fenced().await, "EIO");
    let after = bench.broker.produce(&topic, P0, batch(&["b"]));
    assert!(matches!(after, Err(Error::Fenced { .. })));
    let request = poll_from(&topic, P0, Offset::ZERO);
    let read = bench.broker.fetch(&request).await;
    assert!(matches!(read, Err(Error::Fenced { .. })));
    assert_eq!(bench.broker.problems().len(), 1);
}

#[tokio::test]
async fn a_producer_that_has_not_heard_of_its_failed_batch_cannot_overtake_it() {
    let (bench, committer) = Bench::committing(BrokerConfig::default()).await;
    let topic = bench.topic("orders", 1).await;
    let produce = |sequence, value| {
        let batch = batch_of(7, 0, sequence, &[value]);
        bench.broker.produce(&topic, P0, batch)
    };
    let _other = send(&bench, &topic, "other");
    let doomed = produce(0, "a").unwrap();
    // The batch before it fails, so it will too; but the committer has not got to it yet.
    committer.fail(no_room());
    let overtaking = produce(1, "b");
    assert!(matches!(
        overtaking,
        Err(Error::OutOfOrderSequence { expected, .. }) if expected == Sequence::new(0)
    ));
    let again = produce(0, "a").unwrap();
    committer.commit_all();
    assert!(doomed.wait().await.is_err());
    again.wait().await.unwrap();
    assert_eq!(bench.values(&topic).await, ["a"]);
}
