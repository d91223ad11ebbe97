//! What was submitted comes to its end: committed, flushed, failed, or unknown.

use std::{
    collections::VecDeque,
    sync::{
        Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::oneshot;

use super::{CommitPath, Inner, OpenLog, PartitionCell, State};
use crate::{
    batch::RecordBatch,
    broker::{
        in_flight::Reservation,
        supervision::{Failure, caught_async},
    },
    commit::{CommitError, CommitSink},
    error::Error,
    offset::Offset,
    storage::{StorageError, StorageResult},
};

/// How a submitted batch ended, for whoever waits for it.
pub(in crate::broker) type Settled = Result<(), Error>;

/// A batch that is submitted and neither committed nor failed.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) base_offset: Offset,
    end_offset: Offset,
    records: i32,
    bytes: usize,
    _reservation: Reservation,
    waiting: Vec<oneshot::Sender<Settled>>,
}

impl Pending {
    pub(super) fn new(batch: &RecordBatch, reservation: Reservation) -> Self {
        Self {
            base_offset: batch.header().base_offset,
            end_offset: batch.header().end_offset(),
            records: batch.header().record_count,
            bytes: batch.total_bytes(),
            _reservation: reservation,
            waiting: Vec::new(),
        }
    }

    /// Waits for this batch's end as well.
    pub(super) fn attach(&mut self) -> oneshot::Receiver<Settled> {
        let (sender, receiver) = oneshot::channel();
        self.waiting.push(sender);
        receiver
    }

    pub(super) fn settle(self, outcome: &Settled) {
        for waiting in self.waiting {
            // Whoever waited may have gone.
            let _ = waiting.send(outcome.clone());
        }
    }
}

/// Where the committer hands batches back; closed for good by the first failure.
#[derive(Debug)]
pub(super) struct Sink {
    cell: Weak<PartitionCell>,
    closed: AtomicBool,
}

impl Sink {
    pub(super) const fn new(cell: Weak<PartitionCell>) -> Self {
        Self {
            cell,
            closed: AtomicBool::new(false),
        }
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }
}

impl CommitSink for Sink {
    fn accepts(&self) -> bool {
        !self.closed.load(Ordering::Acquire)
    }

    fn apply(&self, batches: &[RecordBatch]) -> StorageResult<()> {
        let cell = self.cell.upgrade().ok_or(StorageError::Closed)?;
        cell.apply(self, batches)
    }

    fn fail(&self, batch: RecordBatch, error: &CommitError) {
        if let Some(cell) = self.cell.upgrade() {
            cell.commit_failed(self, &batch, error);
        }
    }
}

impl PartitionCell {
    /// Appends committed batches and lets readers see them.
    fn apply(&self, sink: &Sink, batches: &[RecordBatch]) -> StorageResult<()> {
        let mut inner = self.inner.lock();
        let pending: Vec<_> = batches
            .iter()
            .filter_map(|batch| inner.take_pending(batch))
            .collect();
        let applied = match &mut inner.state {
            State::Open(open) if sink.accepts() => open.append(batches).map(|()| open.log_end),
            _ => Err(Failure::Storage(StorageError::Closed)),
        };
        let (outcome, answer) = match applied {
            Ok(log_end) => {
                self.advance_high_watermark(log_end);
                for batch in batches {
                    self.count_readable(batch.header().record_count, batch.total_bytes());
                }
                self.snapshot_if_due(&mut inner);
                (Ok(()), Ok(()))
            }
            Err(failure) => {
                let reason = failure.to_string();
                if sink.accepts() {
                    self.take_offline(&mut inner, &reason);
                }
                let error = match failure {
                    Failure::Storage(error) => error,
                    failure => {
                        StorageError::io("append", std::io::Error::other(failure.to_string()))
                    }
                };
                (Err(Error::OutcomeUnknown { reason }), Err(error))
            }
        };
        self.notify_settled(&inner);
        drop(inner);
        for pending in pending {
            pending.settle(&outcome);
        }
        self.wake();
        answer
    }

    /// A batch will not be appended, or nobody knows: what was submitted behind it cannot be either.
    fn commit_failed(&self, sink: &Sink, batch: &RecordBatch, error: &CommitError) {
        let mut inner = self.inner.lock();
        let pending = inner.take_pending(batch);
        if sink.accepts() {
            sink.close();
            let base_offset = batch.header().base_offset;
            tracing::warn!(topic = %self.topic.name, partition = %self.index, %base_offset, %error,
                "a batch was not committed");
            if let State::Open(open) = &mut inner.state {
                open.drop_pending(Sink::new(Weak::clone(&self.this)));
            }
        }
        if let CommitError::Unknown(StorageError::Fenced { reason })
        | CommitError::Failed(StorageError::Fenced { reason }) = error
        {
            self.context.fence(reason);
        }
        self.notify_settled(&inner);
        drop(inner);
        self.topic.counters.refused();
        if let Some(pending) = pending {
            pending.settle(&Err(error.clone().into()));
        }
    }

    /// Makes sure that a task is on its way to flush the log, `after` from now.
    pub(super) fn flush_soon(&self, open: &mut OpenLog, opening: u64, after: Duration) {
        if open.flushing {
            return;
        }
        open.flushing = true;
        let Some(this) = self.this.upgrade() else {
            return;
        };
        self.context.runtime.spawn(async move {
            if !after.is_zero() {
                tokio::select! {
                    () = tokio::time::sleep(after) => {}
                    // Shutting down flushes every partition anyway.
                    () = this.context.stopped() => {}
                }
            }
            this.flush_pending(opening).await;
        });
    }

    /// Flushes until nothing is pending.
    async fn flush_pending(&self, opening: u64) {
        loop {
            let Some(log) = self
                .inner
                .lock()
                .open_as_of(opening)
                .map(|open| open.log.clone())
            else {
                return;
            };
            let flushed = caught_async(async { log.flush().await }).await;
            let mut inner = self.inner.lock();
            if inner.open_as_of(opening).is_none() {
                return;
            }
            let durable_end = match flushed {
                Ok(durable_end) => durable_end,
                Err(failure) => {
                    // What a failed flush left behind cannot be known, so it is never tried again
                    // on the same handle, whatever kind of error it was.
                    self.take_offline(&mut inner, &failure.to_string());
                    return;
                }
            };
            let settled = self.flushed(&mut inner, durable_end);
            let more = !inner.pending.is_empty();
            if !more && let Some(open) = inner.open_as_of(opening) {
                open.flushing = false;
                if let CommitPath::Interval(every) = open.path
                    && durable_end < open.log_end
                {
                    self.flush_soon(open, opening, every);
                }
            }
            self.notify_settled(&inner);
            drop(inner);
            for pending in settled {
                pending.settle(&Ok(()));
            }
            self.wake();
            if !more {
                return;
            }
        }
    }

    /// Lets readers see what is durable by now.
    fn flushed(&self, inner: &mut Inner, durable_end: Offset) -> VecDeque<Pending> {
        let mut settled = VecDeque::new();
        if let State::Open(open) = &inner.state
            && matches!(open.path, CommitPath::Flush)
        {
            let kept = inner
                .pending
                .partition_point(|pending| pending.end_offset <= durable_end);
            let rest = inner.pending.split_off(kept);
            settled = std::mem::replace(&mut inner.pending, rest);
            self.advance_high_watermark(durable_end.min(open.log_end));
            for pending in &settled {
                self.count_readable(pending.records, pending.bytes);
            }
        }
        settled
    }

    /// Takes the partition down; the caller holds the lock. What a flush would have settled is now
    /// unknown; what a committer holds is still for it to settle.
    pub(super) fn take_offline(&self, inner: &mut Inner, reason: &str) {
        let closed = State::Offline {
            reason: reason.to_owned(),
        };
        let State::Open(open) = std::mem::replace(&mut inner.state, closed) else {
            return;
        };
        let ran = self
            .context
            .clock
            .monotonic()
            .saturating_sub(open.opened_at);
        if ran > self.context.config.restart_backoff_max {
            inner.restarts = 0;
        }
        tracing::warn!(topic = %self.topic.name, partition = %self.index, reason, "partition offline");
        self.close_open(inner, *open, &self.offline(reason));
        self.spawn_restart(inner);
    }

    /// Ends everything that goes with an open log, which the caller has just replaced.
    pub(super) fn close_open(&self, inner: &mut Inner, open: OpenLog, error: &Error) {
        inner.opening += 1;
        self.reader.store(None);
        match open.path {
            CommitPath::Committer(sink) => sink.close(),
            CommitPath::Immediate | CommitPath::Interval(_) | CommitPath::Flush => {
                let unknown = Err(Error::OutcomeUnknown {
                    reason: error.to_string(),
                });
                for pending in inner.pending.drain(..) {
                    pending.settle(&unknown);
                }
            }
        }
        for held in open.held {
            let _ = held.answer.send(Err(error.clone()));
        }
        self.settled.notify_waiters();
        self.changed();
    }

    fn notify_settled(&self, inner: &Inner) {
        if inner.pending.is_empty() {
            self.settled.notify_waiters();
        }
    }
}

impl Inner {
    /// Takes out what is pending of this batch. That is nearly always the first: only a batch that is
    /// turned away because its sink was closed may be answered before those that are being written.
    fn take_pending(&mut self, batch: &RecordBatch) -> Option<Pending> {
        let base_offset = batch.header().base_offset;
        let mut pending = self.pending.iter();
        let at = pending.position(|pending| pending.base_offset == base_offset)?;
        self.pending.remove(at)
    }
}

impl OpenLog {
    /// Goes back to what the log holds: nothing that is pending will be appended.
    fn drop_pending(&mut self, sink: Sink) {
        self.next_offset = self.log_end;
        self.producers.forget_from(self.log_end);
        self.path = CommitPath::Committer(sink.into());
    }
}
