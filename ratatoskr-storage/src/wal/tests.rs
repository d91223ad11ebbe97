//! The log as the engine and recovery see it.

use std::{sync::Arc, sync::atomic::Ordering, time::Duration};

use ratatoskr_core::{
    batch::RecordBatch,
    commit::{CommitError, CommitSink, Committer, Submission, Ticket},
    offset::Offset,
    storage::StorageError,
    sync::Mutex,
};

use super::{
    testing::{ALL, Fixture, SEED, SMALL, all_from, batch},
    *,
};

fn submit(fixture: &Fixture, partition: u32, base: u64) -> Ticket {
    let submission = fixture.logs.submission(partition, batch(base, &["a"]));
    fixture.wal.submit(submission).unwrap()
}

fn scan_all(fixture: &Fixture) -> (Vec<Frame>, StorageResultOf<Scan>) {
    let mut frames = Vec::new();
    let path = fixture.directory.path();
    let scanned = scan(&fixture.fs, path, SEED, ALL, |frame| {
        frames.push(frame);
        Ok(())
    });
    (frames, scanned)
}

type StorageResultOf<T> = Result<T, StorageError>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_applied_and_can_be_read_from_the_files() {
    let fixture = Fixture::new(SMALL);
    for base in 0..20 {
        submit(&fixture, 0, base).wait().await.unwrap();
    }
    assert_eq!(fixture.logs.end(0), Offset::new(20));
    let (frames, scanned) = scan_all(&fixture);
    let bases: Vec<_> = frames.iter().map(|f| f.header.base_offset.get()).collect();
    assert_eq!(bases, (0..20).collect::<Vec<_>>());
    let scanned = scanned.unwrap();
    assert_eq!(scanned.next_lsn, Lsn::new(21));
    assert_eq!(scanned.torn, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_during_a_sync_shares_the_next_one() {
    let fixture = Fixture::new(SMALL);
    submit(&fixture, 0, 0).wait().await.unwrap();
    let before = fixture.syncs.count.load(Ordering::SeqCst);
    fixture.syncs.hold();
    let first = tokio::spawn(submit(&fixture, 0, 1).wait());
    tokio::task::block_in_place(|| fixture.syncs.wait_for_one());
    let others: Vec<_> = (2..50)
        .map(|base| tokio::spawn(submit(&fixture, 0, base).wait()))
        .collect();
    fixture.syncs.release();
    first.await.unwrap().unwrap();
    for other in others {
        other.await.unwrap().unwrap();
    }
    assert_eq!(fixture.logs.end(0), Offset::new(50));
    assert_eq!(fixture.syncs.count.load(Ordering::SeqCst) - before, 2);
}

#[tokio::test]
async fn on_a_runtime_of_one_thread_the_logs_own_thread_leads() {
    let fixture = Fixture::new(SMALL);
    let thread = fixture.wal.spawn_thread().unwrap();
    for base in 0..5 {
        submit(&fixture, 0, base).wait().await.unwrap();
    }
    assert_eq!(fixture.logs.end(0), Offset::new(5));
    fixture.wal.close();
    thread.join().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_local_set_may_wait_as_well() {
    let fixture = Fixture::new(SMALL);
    let thread = fixture.wal.spawn_thread().unwrap();
    let ticket = submit(&fixture, 0, 0);
    let local = tokio::task::LocalSet::new();
    local.run_until(ticket.wait()).await.unwrap();
    fixture.wal.close();
    thread.join().unwrap();
}

#[test]
fn batches_whose_tickets_are_dropped_are_committed_all_the_same() {
    let fixture = Fixture::new(SMALL);
    let thread = fixture.wal.spawn_thread().unwrap();
    for base in 0..5 {
        drop(submit(&fixture, 0, base));
    }
    fixture.wal.close();
    thread.join().unwrap();
    assert_eq!(fixture.logs.end(0), Offset::new(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiter_that_is_not_polled_any_more_holds_nobody_up() {
    let fixture = Fixture::new(SMALL);
    let thread = fixture.wal.spawn_thread().unwrap();
    submit(&fixture, 0, 0).wait().await.unwrap();
    fixture.syncs.hold();
    let first = tokio::spawn(submit(&fixture, 0, 1).wait());
    tokio::task::block_in_place(|| fixture.syncs.wait_for_one());
    // Waits once, so that it is the one the lead is offered to, and is then left alone.
    let mut lazy = Box::pin(submit(&fixture, 0, 2).wait());
    assert!(futures_poll(&mut lazy).await.is_none());
    let third = tokio::spawn(submit(&fixture, 0, 3).wait());
    fixture.syncs.release();
    first.await.unwrap().unwrap();
    third.await.unwrap().unwrap();
    lazy.await.unwrap();
    fixture.wal.close();
    thread.join().unwrap();
}

/// Polls once.
async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|cx| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(cx) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

#[test]
fn a_full_partition_fails_cleanly_and_its_neighbours_go_on() {
    let fixture = Fixture::new(SMALL);
    fixture.logs.set_full(0, true);
    drop(submit(&fixture, 0, 0));
    drop(submit(&fixture, 0, 1));
    drop(submit(&fixture, 1, 0));
    assert!(fixture.wal.lead_group());
    assert_eq!(fixture.logs.failures(), [(0, false), (1, false)]);
    assert_eq!(fixture.logs.end(1), Offset::new(1));
    // What was assigned on top of the failed ones fails as well, even once there is room.
    fixture.logs.set_full(0, false);
    drop(submit(&fixture, 0, 2));
    drop(submit(&fixture, 0, 0));
    assert!(fixture.wal.lead_group());
    assert_eq!(fixture.logs.failures().last(), Some(&(2, false)));
    assert_eq!(fixture.logs.end(0), Offset::new(1));
    let (frames, _) = scan_all(&fixture);
    assert_eq!(frames.len(), 2, "failed batches were written");
}

#[test]
fn what_its_sink_turns_away_is_not_written() {
    let fixture = Fixture::new(SMALL);
    fixture.logs.close(0);
    drop(submit(&fixture, 0, 0));
    drop(submit(&fixture, 1, 0));
    assert!(fixture.wal.lead_group());
    assert_eq!(fixture.logs.failures(), [(0, false)]);
    assert_eq!(scan_all(&fixture).0.len(), 1);
}

#[test]
fn a_sink_that_panics_takes_only_its_own_batch_down() {
    let fixture = Fixture::new(SMALL);
    fixture.logs.panic_on_apply();
    drop(submit(&fixture, 0, 0));
    assert!(fixture.wal.lead_group());
    assert_eq!(fixture.logs.kept(), [0]);
    assert_eq!(fixture.wal.refused().map(|_| ()), None);
}

#[test]
fn a_failed_sync_fences_for_good_and_leaves_everything_pending_unknown() {
    let fixture = Fixture::new(SMALL);
    drop(submit(&fixture, 0, 0));
    assert!(fixture.wal.lead_group());
    fixture.syncs.fail();
    for base in 1..4 {
        drop(submit(&fixture, 0, base));
    }
    assert!(fixture.wal.lead_group());
    assert_eq!(
        fixture.logs.failures(),
        [(1, true), (2, true), (3, true)],
        "every pending batch must end unknown"
    );
    let refused = fixture
        .wal
        .submit(fixture.logs.submission(0, batch(1, &["b"])));
    assert!(matches!(refused, Err(StorageError::Fenced { .. })));
    assert_eq!(fixture.logs.end(0), Offset::new(1));
}

#[test]
fn a_panic_while_a_group_is_written_fences_and_settles_it() {
    let fixture = Fixture::new(SMALL);
    drop(submit(&fixture, 0, 0));
    assert!(fixture.wal.lead_group());
    fixture.syncs.panic();
    drop(submit(&fixture, 0, 1));
    let led = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| fixture.wal.lead_group()));
    assert!(led.is_err());
    assert_eq!(fixture.logs.failures(), [(1, true)]);
    assert!(matches!(
        fixture.wal.refused(),
        Some(StorageError::Fenced { .. })
    ));
}

#[test]
fn producers_wait_for_a_checkpoint_once_the_log_is_full_and_files_are_recycled() {
    let fixture = Fixture::new(SMALL);
    let value = "x".repeat(15 << 10);
    let mut base = 0;
    let mut push = || {
        let submission = fixture.logs.submission(0, batch(base, &[&value]));
        drop(fixture.wal.submit(submission).unwrap());
        base += 1;
        fixture.wal.lead_group()
    };
    while !fixture.wal.is_stalled() {
        assert!(push());
    }
    // Four files of 64 KiB, each with four groups of 16 KiB.
    assert_eq!(fixture.logs.end(0), Offset::new(16));
    // Once when a quarter was written, once when there was no room.
    assert_eq!(fixture.logs.checkpoints_wanted.load(Ordering::SeqCst), 2);
    assert!(!fixture.wal.lead_group(), "led although there is no room");
    let point = fixture.wal.point();
    fixture.wal.release(point).unwrap();
    assert!(fixture.wal.lead_group());
    assert_eq!(fixture.logs.end(0), Offset::new(17));
    let files = std::fs::read_dir(fixture.directory.path()).unwrap();
    assert!(
        files.count() <= 4,
        "files were neither recycled nor removed"
    );
    let (frames, scanned) = scan_from(&fixture, point);
    assert_eq!(frames.len(), 1);
    assert_eq!(scanned.unwrap().torn, None, "stale frames look torn");
}

fn scan_from(fixture: &Fixture, from: WalPoint) -> (Vec<Frame>, StorageResultOf<Scan>) {
    let mut frames = Vec::new();
    let path = fixture.directory.path();
    let scanned = scan(&fixture.fs, path, SEED, all_from(from), |frame| {
        frames.push(frame);
        Ok(())
    });
    (frames, scanned)
}

#[test]
fn a_checkpoint_that_fails_while_producers_wait_for_it_fails_them_cleanly() {
    let fixture = Fixture::new(SMALL);
    let value = "x".repeat(60 << 10);
    let mut base = 0;
    while !fixture.wal.is_stalled() {
        let submission = fixture.logs.submission(0, batch(base, &[&value]));
        drop(fixture.wal.submit(submission).unwrap());
        fixture.wal.lead_group();
        base += 1;
    }
    fixture.wal.release_failed(&StorageError::Closed);
    assert_eq!(fixture.logs.failures(), [(base - 1, false)]);
}

/// A sink that submits another batch, and has it led, while its own one is being failed.
#[derive(Debug)]
struct Meddler {
    wal: Wal,
    behind: Mutex<Option<Submission>>,
    led: std::sync::atomic::AtomicBool,
}

impl CommitSink for Meddler {
    fn accepts(&self) -> bool {
        true
    }

    fn apply(&self, _: &[RecordBatch]) -> Result<(), StorageError> {
        Ok(())
    }

    fn fail(&self, _: RecordBatch, _: &CommitError) {
        let behind = self.behind.lock().take().expect("failed once");
        drop(self.wal.submit(behind).unwrap());
        self.led.store(self.wal.lead_group(), Ordering::SeqCst);
    }
}

#[test]
fn what_comes_while_a_failed_checkpoint_fails_producers_is_decided_after_them() {
    let fixture = Fixture::new(SMALL);
    let value = "x".repeat(60 << 10);
    let mut base = 0;
    while !fixture.wal.is_stalled() {
        let submission = fixture.logs.submission(0, batch(base, &[&value]));
        drop(fixture.wal.submit(submission).unwrap());
        fixture.wal.lead_group();
        base += 1;
    }
    let meddler = Arc::new(Meddler {
        wal: fixture.wal.clone(),
        behind: Mutex::new(Some(fixture.logs.submission(1, batch(0, &["a"])))),
        led: false.into(),
    });
    let waiting = Submission {
        sink: meddler.clone(),
        ..fixture.logs.submission(1, batch(0, &["b"]))
    };
    drop(fixture.wal.submit(waiting).unwrap());
    fixture.wal.release_failed(&StorageError::Closed);
    assert!(!meddler.led.load(Ordering::SeqCst), "led out of turn");
    fixture.wal.release(fixture.wal.point()).unwrap();
    assert!(fixture.wal.lead_group());
    assert_eq!(fixture.logs.end(1), Offset::new(1));
}

#[test]
fn a_batch_larger_than_a_file_gets_a_file_of_its_own_size() {
    let fixture = Fixture::new(SMALL);
    let value = "x".repeat(100 << 10);
    let submission = fixture.logs.submission(0, batch(0, &[&value]));
    drop(fixture.wal.submit(submission).unwrap());
    assert!(fixture.wal.lead_group());
    drop(submit(&fixture, 0, 1));
    assert!(fixture.wal.lead_group());
    assert_eq!(scan_all(&fixture).0.len(), 2);
}

#[test]
fn the_queue_is_bounded() {
    let options = WalOptions {
        queue_bytes_max: 1_000,
        ..SMALL
    };
    let fixture = Fixture::new(options);
    let frame = HEADER_BYTES + batch(0, &["a"]).total_bytes();
    let fit = 1_000 / frame;
    for base in 0..fit {
        drop(submit(&fixture, 0, base as u64));
    }
    let next = fixture.logs.submission(0, batch(fit as u64, &["a"]));
    let refused = fixture.wal.submit(next).unwrap_err();
    assert!(refused.is_retryable(), "{refused}");
    assert!(fixture.wal.lead_group());
    drop(submit(&fixture, 0, fit as u64));
}

#[test]
fn commands_are_decided_in_the_order_of_the_log() {
    let fixture = Fixture::new(SMALL);
    let order = Arc::new(Mutex::new(Vec::new()));
    for (number, kind) in [FrameKind::TopicCreated, FrameKind::TopicDeleted]
        .into_iter()
        .enumerate()
    {
        let order = order.clone();
        let command = Command {
            kind,
            topic: testing::topic(),
            partition: 0.into(),
            base_offset: Offset::ZERO,
            payload: bytes::Bytes::from_static(b"payload"),
            decided: Box::new(move |outcome| order.lock().push((number, outcome.is_ok()))),
        };
        drop(fixture.wal.command(command).unwrap());
    }
    assert!(fixture.wal.lead_group());
    assert_eq!(*order.lock(), [(0, true), (1, true)]);
    let (frames, _) = scan_all(&fixture);
    let kinds: Vec<_> = frames.iter().map(|frame| frame.header.kind).collect();
    assert_eq!(kinds, [FrameKind::TopicCreated, FrameKind::TopicDeleted]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_producers_on_many_partitions_keep_their_order() {
    let options = WalOptions {
        wal_bytes_max: 64 << 20,
        ..SMALL
    };
    let fixture = Arc::new(Fixture::new(options));
    let thread = fixture.wal.spawn_thread().unwrap();
    let producers: Vec<_> = (0..8_u32)
        .map(|partition| {
            let fixture = fixture.clone();
            tokio::spawn(async move {
                let mut last = None;
                for base in 0..200 {
                    let ticket = submit(&fixture, partition, base);
                    if base % 3 == 0 {
                        ticket.wait().await.unwrap();
                    } else {
                        last = Some(ticket);
                    }
                }
                last.unwrap().wait().await.unwrap();
            })
        })
        .collect();
    for producer in producers {
        tokio::time::timeout(Duration::from_secs(30), producer)
            .await
            .expect("a group was forgotten")
            .unwrap();
    }
    fixture.wal.close();
    thread.join().unwrap();
    for partition in 0..8 {
        assert_eq!(fixture.logs.end(partition), Offset::new(200));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_after_the_outcome_is_known_answers_it() {
    let fixture = Fixture::new(SMALL);
    fixture.logs.set_full(0, true);
    let ticket = submit(&fixture, 0, 0);
    assert!(fixture.wal.lead_group());
    let outcome = ticket.wait().await;
    assert!(matches!(outcome, Err(CommitError::Failed(_))));
}
