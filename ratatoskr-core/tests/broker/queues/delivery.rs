//! Who gets which record, and when.

use std::{sync::Arc, time::Duration};

use ratatoskr_core::{
    BrokerConfig, Error,
    broker::AcquireOptions,
    commit::CommitError,
    delivery::{QueueError, SettleAction},
    offset::Offset,
    record::Record,
    storage::StorageError,
};

use tokio::task::JoinHandle;

use super::{Queue, consumer, group, settlement, settlements, values};
use crate::support::{Bench, ManualCommitter, settle};

#[tokio::test(start_paused = true)]
async fn records_go_to_one_consumer_each_and_come_back_only_unless_acknowledged() {
    let queue = Queue::new(&[]).await;
    queue.fill(6).await;
    let first = queue.acquire("a", 4).await;
    assert_eq!(values(&first), ["0", "1", "2", "3"]);
    assert_eq!(first.record_count(), 4);
    let second = queue.acquire("b", 4).await;
    assert_eq!(values(&second), ["4", "5"]);
    assert!(second.partitions[0].token > first.partitions[0].token);
    assert!(queue.acquire("c", 4).await.is_empty());

    queue.settle("a", &first, SettleAction::Acknowledge).await;
    queue.settle("b", &second, SettleAction::Release).await;
    let third = queue.acquire("c", 9).await;
    assert_eq!(values(&third), ["4", "5"]);
    let deliveries = third.deliveries().unwrap();
    assert!(
        deliveries
            .iter()
            .all(|delivery| delivery.delivery_count == 2)
    );
    assert_eq!(deliveries[1].record.offset, Offset::new(5));
}

/// Whatever the size of the batch in which they were sent.
#[tokio::test(start_paused = true)]
async fn who_takes_one_record_at_a_time_is_sent_little_more() {
    const RECORDS: usize = 100;
    let queue = Queue::new(&[]).await;
    let value = |n: usize| format!("{n:0500}");
    let records = (0..RECORDS).map(|n| Record::new(value(n))).collect();
    let broker = &queue.bench.broker;
    broker.publish_many(&queue.topic, records).await.unwrap();
    for n in 0..RECORDS {
        let acquired = queue.acquire("a", 1).await;
        let bytes = acquired.partitions[0].batches.len();
        assert!(bytes < 1_000, "{bytes} bytes for one record");
        assert_eq!(values(&acquired), [value(n)]);
        // What comes again is cut as well.
        let action = match n {
            0 => SettleAction::Release,
            _ => SettleAction::Acknowledge,
        };
        queue.settle("a", &acquired, action).await;
        if n == 0 {
            let again = queue.acquire("b", 1).await;
            assert_eq!(values(&again), [value(0)]);
            assert!(again.partitions[0].batches.len() < 1_000);
            queue.settle("b", &again, SettleAction::Acknowledge).await;
        }
    }
    assert!(queue.acquire("a", 1).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_restart_ends_leases_and_keeps_what_was_settled() {
    let queue = Queue::new(&[]).await;
    queue.fill(5).await;
    let acquired = queue.acquire("a", 5).await;
    let token = acquired.partitions[0].token;
    let done = vec![
        settlement(1, token, SettleAction::Acknowledge),
        settlement(2, token, retry_at_once()),
    ];
    assert_eq!(queue.settle_all("a", done).await.unwrap(), [Ok(()), Ok(())]);
    let queue = queue.reopened().await;
    let late = vec![settlement(0, token, SettleAction::Acknowledge)];
    let results = queue.settle_all("a", late).await.unwrap();
    assert_eq!(results, [Err(QueueError::LeaseExpired)]);
    let again = queue.acquire("b", 9).await;
    assert_eq!(values(&again), ["0", "2", "3", "4"]);
    let counts: Vec<_> = again
        .deliveries()
        .unwrap()
        .iter()
        .map(|d| d.delivery_count)
        .collect();
    assert_eq!(counts, [1, 2, 1, 1]);
    assert!(
        again.partitions[0].token > token,
        "tokens grow over a restart"
    );
}

fn retry_at_once() -> SettleAction {
    SettleAction::Retry {
        after: Some(Duration::ZERO),
        cause: None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiting_consumer_is_woken_by_a_record_a_release_and_the_end_of_a_lease() {
    let queue = Arc::new(Queue::new(&[]).await);
    let wait = |who: &'static str| {
        let queue = Arc::clone(&queue);
        tokio::spawn(async move { queue.wait_for(who, 10, Duration::from_hours(1)).await })
    };
    let waiting = wait("a");
    settle().await;
    assert!(!waiting.is_finished());
    queue.fill(1).await;
    let acquired = waiting.await.unwrap();
    assert_eq!(values(&acquired), ["0"]);

    let waiting = wait("b");
    settle().await;
    queue.settle("a", &acquired, SettleAction::Release).await;
    assert_eq!(values(&waiting.await.unwrap()), ["0"]);

    let waiting = wait("c");
    settle().await;
    queue.bench.clock.advance(Duration::from_secs(30));
    let acquired = waiting.await.unwrap();
    assert_eq!(acquired.deliveries().unwrap()[0].delivery_count, 3);

    let waiting = wait("d");
    settle().await;
    let left = queue
        .bench
        .broker
        .queue_leave(&queue.group, &consumer("c"))
        .await;
    assert_eq!(left.unwrap(), 1);
    let acquired = waiting.await.unwrap();
    assert_eq!(acquired.deliveries().unwrap()[0].delivery_count, 3);
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_are_served_first_come_first_served_and_time_out() {
    let queue = Arc::new(Queue::new(&[]).await);
    let mut waiting = Vec::new();
    for n in 0..5_u64 {
        let queue = Arc::clone(&queue);
        waiting.push(tokio::spawn(async move {
            let wait = Duration::from_secs(60 + n);
            values(&queue.wait_for(&format!("c{n}"), 1, wait).await)
        }));
        settle().await;
    }
    queue.fill(3).await;
    settle().await;
    let begun = tokio::time::Instant::now();
    let mut got = Vec::new();
    for task in waiting {
        got.push(task.await.unwrap());
    }
    assert_eq!(got, [vec!["0"], vec!["1"], vec!["2"], vec![], vec![]]);
    assert_eq!(begun.elapsed().as_secs(), 64);
}

#[tokio::test(start_paused = true)]
async fn a_consumer_at_its_bound_waits_for_its_own_settlements_and_keeps_nobody_waiting() {
    let queue = Arc::new(Queue::new(&[("in_flight_per_consumer_max", "2")]).await);
    queue.fill(4).await;
    let held = queue.acquire("a", 10).await;
    assert_eq!(held.record_count(), 2);
    let waiting = {
        let queue = Arc::clone(&queue);
        tokio::spawn(async move { queue.wait_for("a", 10, Duration::from_hours(1)).await })
    };
    settle().await;
    assert!(!waiting.is_finished());
    assert_eq!(queue.values("b", 1).await, ["2"]);
    queue.settle("a", &held, SettleAction::Acknowledge).await;
    assert_eq!(values(&waiting.await.unwrap()), ["3"]);
}

/// Commits whatever comes, until it is aborted.
fn commit_all(committer: &Arc<ManualCommitter>) -> JoinHandle<()> {
    let committer = Arc::clone(committer);
    tokio::spawn(async move {
        loop {
            committer.commit_all();
            // Time must be able to pass, for those who wait for some of it.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
}

#[tokio::test(start_paused = true)]
async fn an_acquisition_that_is_dropped_gives_back_what_it_held() {
    let (bench, committer) = Bench::committing(BrokerConfig::default()).await;
    let commits = commit_all(&committer);
    let queue = Arc::new(Queue::over(bench, &[]).await);
    queue
        .publish(Record::new("short").with_ttl(Duration::from_secs(9)))
        .await;
    queue.publish(Record::new("ever")).await;
    let held = queue.acquire("a", 2).await;
    queue.bench.clock.advance(Duration::from_secs(9));
    queue.settle("a", &held, SettleAction::Release).await;
    commits.abort();
    let _ = commits.await;

    // It holds both when it finds that one has expired, and waits until that is durable.
    let acquiring = {
        let queue = Arc::clone(&queue);
        tokio::spawn(async move { queue.acquire("b", 2).await })
    };
    settle().await;
    let in_flight = || queue.bench.broker.queue_counters()[0].1.in_flight;
    assert_eq!(in_flight(), 1);
    acquiring.abort();
    assert!(acquiring.await.is_err());
    assert_eq!(in_flight(), 0);
    let _commits = commit_all(&committer);
    let again = queue.acquire("c", 2).await;
    assert_eq!(values(&again), ["ever"]);
    assert_eq!(again.deliveries().unwrap()[0].delivery_count, 2);
}

#[tokio::test(start_paused = true)]
async fn no_more_bytes_are_read_than_asked_for_but_one_batch() {
    let queue = Queue::new(&[]).await;
    for n in 0..10 {
        queue
            .publish(Record::new(n.to_string().repeat(1_000)))
            .await;
    }
    let options = AcquireOptions {
        bytes_max: 2_500,
        ..AcquireOptions::default()
    };
    let broker = &queue.bench.broker;
    let acquire = || async {
        broker
            .queue_acquire(&queue.group, &queue.topic, &consumer("a"), &options)
            .await
            .unwrap()
    };
    let fresh = acquire().await;
    assert!(
        (2..=3).contains(&fresh.record_count()),
        "{}",
        fresh.record_count()
    );
    let rest = queue.acquire("b", 100).await;
    queue.settle("a", &fresh, SettleAction::Release).await;
    queue.settle("b", &rest, SettleAction::Release).await;
    let again = acquire().await;
    assert!(
        (2..=3).contains(&again.record_count()),
        "{}",
        again.record_count()
    );
    let rest = queue.acquire("b", 100).await;
    assert_eq!(again.record_count() + rest.record_count(), 10);
    let counts: Vec<_> = rest
        .deliveries()
        .unwrap()
        .iter()
        .map(|d| d.delivery_count)
        .collect();
    assert!(counts.iter().all(|&count| count == 2), "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn settlements_are_answered_once_they_are_durable_and_may_be_many_at_once() {
    let (bench, committer) = Bench::committing(BrokerConfig::default()).await;
    let commits = commit_all(&committer);
    let queue = Queue::over(bench, &[]).await;
    queue.fill(4).await;
    let acquired = queue.acquire("a", 4).await;
    commits.abort();
    let _ = commits.await;
    settle().await;
    // Where the group begins is noted as well.
    committer.commit_all();

    let token = acquired.partitions[0].token;
    let broker = &queue.bench.broker;
    let mut pending = Vec::new();
    for offset in 0..3 {
        let settlements = vec![settlement(offset, token, SettleAction::Acknowledge)];
        let settled = broker
            .queue_settle(&queue.group, &queue.topic, &consumer("a"), settlements)
            .await;
        pending.push(tokio::spawn(settled.unwrap().wait()));
    }
    settle().await;
    assert!(pending.iter().all(|pending| !pending.is_finished()));
    committer.commit();
    settle().await;
    let results = pending.remove(0).await.unwrap().unwrap();
    assert_eq!(results, [Ok(())]);

    // What was not kept is not settled: the state is read anew, and the leases are over.
    while committer.queued() > 0 {
        committer.fail(CommitError::Unknown(StorageError::Unsupported(
            "test".into(),
        )));
    }
    for pending in pending {
        let error = pending.await.unwrap().unwrap_err();
        assert!(matches!(error, Error::OutcomeUnknown { .. }), "{error}");
    }
    let _commits = commit_all(&committer);
    let again = queue.wait_for("b", 9, Duration::from_mins(1)).await;
    assert_eq!(values(&again), ["1", "2", "3"]);
    let late = settlements(&acquired, &SettleAction::Acknowledge);
    let results = queue.settle_all("a", late).await.unwrap();
    assert_eq!(results, [Err(QueueError::LeaseExpired)]);
}

#[tokio::test(start_paused = true)]
async fn a_consumer_at_its_bound_may_have_more_once_its_leases_end() {
    let queue = Queue::new(&[("in_flight_per_consumer_max", "1")]).await;
    queue.fill(1).await;
    assert_eq!(queue.values("a", 9).await, ["0"]);
    let waiting = queue.wait_for("a", 9, Duration::from_hours(1));
    let (acquired, ()) = tokio::join!(waiting, async {
        settle().await;
        queue.bench.clock.advance(Duration::from_secs(30));
    });
    assert_eq!(acquired.deliveries().unwrap()[0].delivery_count, 2);
}

#[tokio::test(start_paused = true)]
async fn bounds_hold_for_all_topics_of_a_group_and_so_does_what_frees_them() {
    for bound in ["in_flight_max", "in_flight_per_consumer_max"] {
        let queue = Arc::new(Queue::new(&[(bound, "1")]).await);
        queue.fill(1).await;
        let other = queue.bench.topic("other", 1).await;
        let broker = queue.bench.broker.clone();
        broker.publish(&other, Record::new("x")).await.unwrap();
        let held = queue.acquire("a", 1).await;
        let waiting = {
            let queue = Arc::clone(&queue);
            tokio::spawn(async move {
                let options = AcquireOptions {
                    wait: Duration::from_hours(1),
                    ..AcquireOptions::default()
                };
                let who = consumer("a");
                broker
                    .queue_acquire(&queue.group, &other, &who, &options)
                    .await
            })
        };
        settle().await;
        assert!(!waiting.is_finished(), "{bound}");
        let begun = tokio::time::Instant::now();
        queue.settle("a", &held, SettleAction::Acknowledge).await;
        assert_eq!(values(&waiting.await.unwrap().unwrap()), ["x"]);
        assert!(begun.elapsed() < Duration::from_secs(1), "{bound}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_known_of_records_takes_memory_for_as_long_as_they_are_held() {
    let queue = Queue::new(&[]).await;
    let bytes = |name| queue.bench.broker.queue_bytes(&group(name));
    assert_eq!(bytes("nobody"), None);
    queue.fill(1_000).await;
    let mut taken = Vec::new();
    for _ in 0..500 {
        taken.push(queue.acquire("a", 1).await);
    }
    let held = bytes("billing").unwrap();
    for acquired in &taken {
        queue.settle("a", acquired, SettleAction::Acknowledge).await;
    }
    let done = bytes("billing").unwrap();
    assert!(done < held / 2, "{held} bytes became {done}");
}
