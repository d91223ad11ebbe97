//! A machine of counters: what lasts, what is given back, and what happens when the log says no.

#[expect(
    dead_code,
    unused_imports,
    reason = "the integration tests use the rest"
)]
#[path = "../../../tests/broker/support/mod.rs"]
mod support;

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use self::support::{Bench, ManualCommitter, settle};
use super::{Change, Machine, PendingChange, Shard, StateLog};
use crate::{
    BrokerConfig, Error, batch::BatchBuilder, commit::CommitError, config::Compression,
    name::GroupId, offset::Offset, record::Record, storage::StorageError, time::Timestamp,
};

#[derive(Debug, Default)]
struct Counters {
    totals: BTreeMap<String, u64>,
    looks: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Counted {
    Add { name: String, by: u64 },
    Padding(String),
}

impl Machine for Counters {
    type Event = Counted;

    fn apply(&mut self, event: Counted) {
        if let Counted::Add { name, by } = event {
            *self.totals.entry(name).or_default() += by;
        }
    }

    fn snapshot(&self, out: &mut dyn FnMut(Counted)) {
        for (name, &by) in &self.totals {
            out(Counted::Add {
                name: name.clone(),
                by,
            });
        }
    }
}

fn log() -> StateLog<Counters> {
    StateLog::new("_rt.test", [7; 16])
}

fn group() -> GroupId {
    GroupId::parse("a group").unwrap()
}

async fn shard<'a>(log: &'a StateLog<Counters>, bench: &Bench) -> &'a Arc<Shard<Counters>> {
    log.shard(&bench.broker, &group()).await.unwrap()
}

/// Adds to a counter and answers what it has then.
fn add(
    name: &str,
    by: u64,
) -> impl FnOnce(&mut Counters) -> Result<Change<Counted, u64>, Error> + use<> {
    let name = name.to_owned();
    move |counters| {
        Ok(Change {
            answer: counters.totals.get(&name).unwrap_or(&0) + by,
            events: vec![Counted::Add { name, by }],
        })
    }
}

fn total(name: &str) -> impl FnOnce(&mut Counters) -> u64 + use<> {
    let name = name.to_owned();
    move |counters| *counters.totals.get(&name).unwrap_or(&0)
}

/// A broker whose committer has the topic's shard loaded and waits for orders.
async fn committing(log: &StateLog<Counters>) -> (Bench, Arc<ManualCommitter>) {
    let (bench, committer) = Bench::committing(BrokerConfig::default()).await;
    assert_eq!(shard(log, &bench).await.read(total("a")).await.unwrap(), 0);
    (bench, committer)
}

async fn begin(shard: &Arc<Shard<Counters>>, by: u64) -> PendingChange<Counters, u64> {
    shard.begin(add("a", by)).await.unwrap()
}

#[tokio::test]
async fn a_change_lasts_a_restart() {
    for bench in [Bench::memory().await, Bench::flushing().await] {
        let first = log();
        let shard_before = shard(&first, &bench).await;
        assert_eq!(shard_before.change(add("a", 2)).await.unwrap(), 2);
        assert_eq!(shard_before.change(add("a", 3)).await.unwrap(), 5);

        let bench = bench.reopened().await;
        let second = log();
        assert_eq!(
            shard(&second, &bench).await.read(total("a")).await.unwrap(),
            5
        );
    }
}

#[tokio::test]
async fn nothing_is_made_for_somebody_who_only_looks() {
    let bench = Bench::memory().await;
    let log = log();
    assert!(
        log.existing_shard(&bench.broker, &group())
            .unwrap()
            .is_none()
    );
    assert!(bench.broker.list_topics().is_empty());
    assert!(log.in_use().is_empty());
    shard(&log, &bench).await;
    assert!(
        log.existing_shard(&bench.broker, &group())
            .unwrap()
            .is_some()
    );
    assert_eq!(bench.broker.list_topics().len(), 1);
}

#[tokio::test]
async fn an_answer_waits_until_the_change_is_durable() {
    let log = log();
    let (bench, committer) = committing(&log).await;
    let shard = shard(&log, &bench).await;
    let pending = begin(shard, 1).await;
    let waiting = tokio::spawn(pending.wait());
    settle().await;
    assert!(!waiting.is_finished());
    committer.commit();
    assert_eq!(waiting.await.unwrap().unwrap(), 1);
}

#[tokio::test]
async fn whoever_looks_is_told_of_nothing_that_may_still_be_lost() {
    let log = log();
    let (bench, committer) = committing(&log).await;
    let shard = shard(&log, &bench).await;
    let pending = begin(shard, 1).await;
    let reader = Arc::clone(shard);
    let looking = tokio::spawn(async move { reader.read(total("a")).await });
    settle().await;
    assert!(!looking.is_finished());
    assert_eq!(
        shard.peek(total("a")),
        Some(1),
        "the next decision rests on it"
    );
    committer.commit();
    assert_eq!(looking.await.unwrap().unwrap(), 1);
    assert_eq!(pending.wait().await.unwrap(), 1);
}

#[tokio::test]
async fn what_the_log_has_lost_the_machine_forgets() {
    let log = log();
    let (bench, committer) = committing(&log).await;
    let shard = shard(&log, &bench).await;
    let kept = begin(shard, 1).await;
    committer.commit();
    kept.wait().await.unwrap();

    let lost = begin(shard, 10).await;
    let behind = begin(shard, 100).await;
    let reader = Arc::clone(shard);
    let looking = tokio::spawn(async move { reader.read(total("a")).await });
    settle().await;
    committer.fail(CommitError::Failed(StorageError::Closed));
    committer.commit_all();
    assert!(lost.wait().await.is_err());
    assert!(behind.wait().await.is_err());
    assert!(looking.await.unwrap().unwrap_err().is_retryable());
    assert_eq!(shard.read(total("a")).await.unwrap(), 1);

    let next = begin(shard, 5).await;
    committer.commit_all();
    assert_eq!(next.wait().await.unwrap(), 6);
}

#[tokio::test]
async fn a_loss_that_nobody_waits_for_is_noticed() {
    let log = log();
    let (bench, committer) = committing(&log).await;
    let shard = shard(&log, &bench).await;
    drop(begin(shard, 10).await);
    committer.fail(CommitError::Failed(StorageError::Closed));
    settle().await;
    assert_eq!(shard.read(total("a")).await.unwrap(), 0);
}

#[tokio::test]
async fn nothing_is_decided_on_what_is_lost_already() {
    let log = log();
    let (bench, committer) = committing(&log).await;
    let shard = shard(&log, &bench).await;
    let lost = begin(shard, 10).await;
    committer.fail(CommitError::Failed(StorageError::Closed));
    // Nobody has told the shard yet, but the log has no place for what rests on the loss.
    let refused = shard.begin(add("a", 1)).await.map(drop).unwrap_err();
    assert!(refused.is_retryable());
    assert_eq!(committer.queued(), 0);
    assert!(lost.wait().await.is_err());
    let next = begin(shard, 1).await;
    committer.commit_all();
    assert_eq!(next.wait().await.unwrap(), 1);
}

#[tokio::test]
async fn a_decision_against_leaves_no_trace() {
    let bench = Bench::memory().await;
    let log = log();
    let shard = shard(&log, &bench).await;
    let refuse = |_: &mut Counters| -> Result<Change<Counted, ()>, Error> {
        Err(Error::Unsupported("no".to_owned()))
    };
    assert!(shard.change(refuse).await.is_err());
    shard.change(|_| Ok(Change::nothing(()))).await.unwrap();
    let end = shard.cell.high_watermark();
    assert_eq!(end, Offset::ZERO, "something was written");
}

#[tokio::test]
async fn a_decision_that_panics_is_cut_off() {
    let bench = Bench::memory().await;
    let log = log();
    let shard = shard(&log, &bench).await;
    shard.change(add("a", 1)).await.unwrap();
    shard.peek(|counters| counters.looks = 9).unwrap();
    let panic = |_: &mut Counters| -> Result<Change<Counted, ()>, Error> { panic!("a defect") };
    let error = shard.change(panic).await.unwrap_err();
    assert!(matches!(error, Error::Internal(_)), "{error}");
    assert_eq!(shard.read(total("a")).await.unwrap(), 1);
    let looks = shard.peek(|counters| counters.looks);
    assert_eq!(looks, Some(0), "what is volatile went with the machine");
}

/// Changes of this many bytes, so that snapshots fall due.
async fn pad(shard: &Arc<Shard<Counters>>, count: usize) {
    for _ in 0..count {
        let padding = Change {
            events: vec![
                Counted::Padding("x".repeat(1 << 20)),
                Counted::Add {
                    name: "padded".to_owned(),
                    by: 1,
                },
            ],
            answer: (),
        };
        shard.change(|_| Ok(padding)).await.unwrap();
        settle().await;
    }
}

#[tokio::test]
async fn a_snapshot_frees_the_log_before_it() {
    let bench = Bench::memory().await;
    let first = log();
    let shard_before = shard(&first, &bench).await;
    shard_before.change(add("a", 7)).await.unwrap();
    pad(shard_before, 10).await;
    let start = shard_before.cell.bounds().unwrap().log_start;
    assert!(start > Offset::new(2), "the log starts at {start}");

    let bench = bench.reopened().await;
    let second = log();
    let shard_after = shard(&second, &bench).await;
    assert_eq!(shard_after.read(total("a")).await.unwrap(), 7);
    assert_eq!(shard_after.read(total("padded")).await.unwrap(), 10);
}

#[tokio::test]
async fn events_beside_a_snapshot_are_neither_lost_nor_counted_twice() {
    let log = log();
    let (bench, committer) = committing(&log).await;
    let shard = shard(&log, &bench).await;
    let padding = || Change {
        events: vec![Counted::Padding("x".repeat(5 << 20))],
        answer: (),
    };
    let padded = shard.begin(|_| Ok(padding())).await.unwrap();
    // The snapshot has begun, and each of its records waits to be committed; so do changes between.
    let mut changes = Vec::new();
    for _ in 0..10 {
        changes.push(begin(shard, 1).await);
        settle().await;
        committer.commit();
    }
    while committer.queued() > 0 {
        committer.commit_all();
        settle().await;
    }
    padded.wait().await.unwrap();
    for change in changes {
        change.wait().await.unwrap();
    }
    assert!(shard.cell.bounds().unwrap().log_start > Offset::ZERO);

    let bench = bench.reopened().await;
    let again = self::log();
    assert_eq!(
        self::shard(&again, &bench)
            .await
            .read(total("a"))
            .await
            .unwrap(),
        10
    );
}

#[tokio::test]
async fn a_snapshot_that_was_cut_short_counts_for_nothing() {
    let log = log();
    let (bench, committer) = committing(&log).await;
    let shard = shard(&log, &bench).await;
    let change = begin(shard, 1).await;
    committer.commit();
    change.wait().await.unwrap();
    let padding = Change {
        events: vec![Counted::Padding("x".repeat(5 << 20))],
        answer: (),
    };
    let padded = shard.begin(|_| Ok(padding)).await.unwrap();
    settle().await;
    // The padding and the snapshot's begin; its part and end never come.
    committer.commit();
    committer.commit();
    padded.wait().await.unwrap();
    settle().await;

    let bench = bench.reopened().await;
    let again = self::log();
    let shard = self::shard(&again, &bench).await;
    assert_eq!(shard.read(total("a")).await.unwrap(), 1);
    assert_eq!(shard.cell.bounds().unwrap().log_start, Offset::ZERO);
}

#[tokio::test]
async fn state_that_a_newer_broker_wrote_is_refused() {
    let bench = Bench::memory().await;
    let log = log();
    let shard = shard(&log, &bench).await;
    let mut builder = BatchBuilder::new(Compression::None);
    let record = Record::new(vec![2, 0xc0]);
    builder.push(&record, Timestamp::new(0)).unwrap();
    let newer = shard.cell.submit(builder.build().unwrap()).unwrap();
    newer.wait().await.unwrap();
    let error = shard.read(total("a")).await.unwrap_err();
    assert!(matches!(error, Error::Unsupported(_)), "{error}");
}
