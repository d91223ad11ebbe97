//! A partition that fails: it alone is down, and it comes back.

use std::time::Duration;

use ratatoskr_core::{
    Error, Outcome,
    broker::ProblemScope,
    offset::{Offset, PartitionIndex},
    storage::StorageError,
};

use crate::support::{
    Bench, Fault, Operation, P0, P1, batch, batch_of, fetch_from, poll_from, settle, values,
};

#[tokio::test(start_paused = true)]
async fn a_partition_that_panics_comes_back_with_its_records_and_producers() {
    for fault in [Fault::Panic, Fault::broken()] {
        let bench = Bench::memory().await;
        let topic = bench.topic("orders", 2).await;
        let first = bench.broker.produce(&topic, P0, batch_of(7, 0, 0, &["a"]));
        first.unwrap().wait().await.unwrap();
        bench
            .storage
            .fail(Operation::Append, &topic, P0, fault.clone());
        let failed = bench.broker.produce(&topic, P0, batch_of(7, 0, 1, &["b"]));
        let error = failed.map(drop).unwrap_err();
        assert_eq!(error.outcome(), Outcome::Unknown, "{fault:?}: {error}");

        let down = bench.broker.produce(&topic, P0, batch(&["c"]));
        let error = down.map(drop).unwrap_err();
        assert!(matches!(error, Error::PartitionOffline { .. }) && error.is_retryable());
        let problems = bench.broker.problems();
        assert_eq!(problems.len(), 1);
        assert!(matches!(
            &problems[0].scope,
            ProblemScope::Partition { partition, .. } if *partition == P0
        ));
        assert_eq!(bench.broker.stats().partitions_offline, 1);
        let neighbour = bench.broker.produce(&topic, P1, batch(&["n"])).unwrap();
        neighbour.wait().await.unwrap();

        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(bench.broker.problems(), []);
        let known = bench.broker.produce(&topic, P0, batch_of(7, 0, 0, &["a"]));
        assert!(known.unwrap().wait().await.unwrap().duplicate);
        let next = bench.broker.produce(&topic, P0, batch_of(7, 0, 1, &["b"]));
        assert_eq!(
            next.unwrap().wait().await.unwrap().base_offset,
            Offset::new(1)
        );
        assert_eq!(bench.values(&topic).await, ["a", "b"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_told_and_takes_nothing_down() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    bench
        .storage
        .fail(Operation::Append, &topic, P0, Fault::full());
    let full = bench.broker.produce(&topic, P0, batch_of(7, 0, 0, &["a"]));
    let error = full.map(drop).unwrap_err();
    assert!(matches!(error, Error::Storage(_)), "{error}");
    assert!(error.is_retryable() && error.outcome() == Outcome::Failed);
    assert_eq!(bench.broker.problems(), []);
    let again = bench.broker.produce(&topic, P0, batch_of(7, 0, 0, &["a"]));
    assert!(!again.unwrap().wait().await.unwrap().duplicate);
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_cannot_be_opened_is_tried_again_ever_later() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    for _ in 0..4 {
        bench
            .storage
            .fail(Operation::Open, &topic, P0, Fault::broken());
    }
    let began = tokio::time::Instant::now();
    assert!(matches!(
        bench.broker.bounds(&topic, P0),
        Err(Error::PartitionOffline { .. })
    ));
    // A waiting fetch is told at once that the partition is down, and a stream waits for it.
    let request = poll_from(&topic, P0, Offset::ZERO);
    assert!(matches!(
        bench.fetch_one(&request).await,
        Err(Error::PartitionOffline { .. })
    ));
    assert_eq!(began.elapsed(), Duration::ZERO);
    let mut failures = Vec::new();
    while let Some(problem) = bench.broker.problems().pop() {
        failures.push(problem.failures);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    failures.dedup();
    assert_eq!(failures, [1, 2, 3, 4]);
    // 100 + 200 + 400 + 800 ms
    let took = began.elapsed();
    let expected = Duration::from_millis(1_500);
    assert!(took >= expected && took < expected + Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_waits_is_told_when_its_partition_goes_down() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 2).await;
    let request = poll_from(&topic, P0, Offset::ZERO);
    let began = tokio::time::Instant::now();
    let (fetched, ()) = tokio::join!(bench.fetch_one(&request), async {
        settle().await;
        bench
            .storage
            .fail(Operation::Append, &topic, P0, Fault::Panic);
        let _ = bench.broker.produce(&topic, P0, batch(&["a"]));
    });
    assert!(matches!(fetched, Err(Error::PartitionOffline { .. })));
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn records_that_rotted_are_told_and_the_partition_stays_up() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    bench.send(&topic, &["a"]).await;
    let rot = StorageError::Corrupt {
        from: Offset::ZERO,
        until: Offset::new(1),
        detail: "a bit flipped".to_owned(),
    };
    bench
        .storage
        .fail(Operation::Read, &topic, P0, Fault::Error(rot));
    let request = fetch_from(&topic, P0, Offset::ZERO);
    assert!(matches!(
        bench.fetch_one(&request).await,
        Err(Error::CorruptRecords { until, .. }) if until == Offset::new(1)
    ));
    let fetched = bench.fetch_one(&request).await.unwrap();
    assert_eq!(values(&fetched.batches), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn one_failing_partition_costs_its_neighbours_nothing() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 50).await;
    bench
        .storage
        .fail(Operation::Append, &topic, P0, Fault::Panic);
    let _ = bench.broker.produce(&topic, P0, batch(&["a"]));
    for index in (1..50).map(PartitionIndex::new) {
        let pending = bench.broker.produce(&topic, index, batch(&["n"])).unwrap();
        pending.wait().await.unwrap();
        assert_eq!(bench.values_of(&topic, index).await, ["n"]);
    }
}

#[tokio::test]
async fn a_storage_that_fences_itself_takes_the_broker_down() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    let fenced = StorageError::Fenced {
        reason: "EIO".to_owned(),
    };
    bench
        .storage
        .fail(Operation::Append, &topic, P0, Fault::Error(fenced));
    let failed = bench.broker.produce(&topic, P0, batch(&["a"]));
    assert_eq!(failed.map(drop).unwrap_err().outcome(), Outcome::Unknown);
    assert_eq!(bench.broker.fenced().await, "EIO");
    let shut = bench.broker.shutdown(Duration::from_secs(1)).await;
    assert!(matches!(shut, Err(Error::Fenced { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_log_that_cannot_be_read_for_its_producers_is_tried_again_and_sends_are_told() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    bench.send(&topic, &["a"]).await;
    bench
        .storage
        .fail(Operation::Read, &topic, P0, Fault::Panic);
    let reopened = bench.reopened().await;
    let held = reopened.broker.produce(&topic, P0, batch(&["b"])).unwrap();
    let error = held.wait().await.unwrap_err();
    assert!(matches!(error, Error::PartitionOffline { .. }), "{error}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(reopened.send(&topic, &["b"]).await, Offset::new(1));
}

#[tokio::test(start_paused = true)]
async fn rot_in_a_log_does_not_keep_it_from_being_opened() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    for (sequence, value) in (0..).zip(["a", "b"]) {
        let batch = batch_of(7, 0, sequence, &[value]);
        let pending = bench.broker.produce(&topic, P0, batch).unwrap();
        pending.wait().await.unwrap();
    }
    let rot = StorageError::Corrupt {
        from: Offset::ZERO,
        until: Offset::new(1),
        detail: "a bit flipped".to_owned(),
    };
    bench
        .storage
        .fail(Operation::Read, &topic, P0, Fault::Error(rot));
    let reopened = bench.reopened().await;
    // What lies behind the rot is known still.
    let again = reopened
        .broker
        .produce(&topic, P0, batch_of(7, 0, 1, &["b"]));
    assert!(again.unwrap().wait().await.unwrap().duplicate);
}
