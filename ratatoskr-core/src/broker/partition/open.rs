//! Opening a partition's log: on first use, and again after a failure.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
};

use super::{CommitPath, Inner, OpenLog, PartitionCell, Reader, State, settle::Sink};
use crate::{
    broker::{
        producers::ProducerTable,
        supervision::{Failure, caught},
    },
    config::Durability,
    error::Error,
    offset::{Bounds, LeaderEpoch, Offset},
    storage::StorageError,
};

impl PartitionCell {
    /// The open log, opened now if nobody has asked for it before.
    ///
    /// # Errors
    /// [`Error::PartitionOffline`], [`Error::UnknownTopic`], and what opening answers.
    #[inline]
    pub(super) fn open_under_lock<'a>(
        &self,
        inner: &'a mut Inner,
    ) -> Result<&'a mut OpenLog, Error> {
        if matches!(inner.state, State::Closed) {
            self.open_log(inner)?;
        }
        match &mut inner.state {
            State::Open(open) => Ok(open),
            State::Offline { reason } => Err(self.offline(reason)),
            State::Closed => Err(self.offline("not open")),
            State::Deleted => Err(Error::UnknownTopic(self.topic.name.clone())),
        }
    }

    /// Asks the backend for the log. On a terminal error the partition is offline afterwards.
    pub(super) fn open_log(&self, inner: &mut Inner) -> Result<(), Error> {
        self.context.check_running()?;
        let opened = caught(|| {
            let log = self.topic.log.partition(self.index)?;
            let bounds = log.bounds();
            Ok((log, bounds))
        });
        let (log, bounds) = match opened {
            Ok(opened) => opened,
            Err(failure) => {
                if failure.is_terminal() {
                    inner.state = State::Offline {
                        reason: failure.to_string(),
                    };
                    self.spawn_restart(inner);
                }
                return Err(self.error_of(&failure));
            }
        };
        inner.opening += 1;
        let durability = self.topic.config().durability;
        let path = self.commit_path(durability);
        let readable_end = self.readable_end(&bounds);
        self.set_high_watermark(readable_end);
        let mut open = OpenLog {
            log: log.clone(),
            path,
            durability,
            log_end: bounds.log_end,
            next_offset: bounds.log_end,
            leader_epoch: LeaderEpoch::new(0),
            producers: ProducerTable::new(
                self.context.config.producers_per_partition_max,
                self.context.config.producer_expiry,
            ),
            snapshots: super::snapshot::Pace::new(self.context.config.snapshot_bytes),
            holds: 0,
            held: VecDeque::new(),
            flushing: false,
            opened_at: self.context.clock.monotonic(),
        };
        if readable_end < bounds.log_end {
            self.flush_soon(&mut open, inner.opening, std::time::Duration::ZERO);
        }
        if bounds.log_start < bounds.log_end {
            // Sends wait until the log has told which producers wrote it.
            open.holds = 1;
            self.spawn_recover(inner.opening, &log, &bounds);
        }
        self.reader.store(Some(Arc::new(Reader {
            opening: inner.opening,
            log,
        })));
        inner.state = State::Open(Box::new(open));
        self.changed();
        Ok(())
    }

    /// Up to here records of a log that was just opened can be read.
    pub(super) fn readable_end(&self, bounds: &Bounds) -> Offset {
        let durability = self.topic.config().durability;
        if durability == Durability::Fsync && self.context.committer.is_none() {
            return bounds.durable_end;
        }
        bounds.log_end
    }

    pub(super) fn commit_path(&self, durability: Durability) -> CommitPath {
        match durability {
            Durability::Fsync if self.context.committer.is_some() => {
                CommitPath::Committer(Sink::new(Weak::clone(&self.this)).into())
            }
            Durability::Fsync => CommitPath::Flush,
            Durability::Interval(every) => CommitPath::Interval(every),
            Durability::Os | Durability::Memory => CommitPath::Immediate,
        }
    }

    fn set_high_watermark(&self, end: Offset) {
        use std::sync::atomic::Ordering;
        let before = self.high_watermark.swap(end.get(), Ordering::AcqRel);
        if end.get() < before {
            tracing::error!(topic = %self.topic.name, partition = %self.index, before, now = %end,
                "the log came back shorter than it was read");
        }
    }

    /// What a failure of the backend means for the caller. Takes the partition offline if the
    /// handle cannot be used any more.
    pub(super) fn failed_under_lock(&self, inner: &mut Inner, failure: &Failure) -> Error {
        if let Failure::Storage(StorageError::Fenced { reason }) = failure {
            self.context.fence(reason);
        }
        if failure.is_terminal() {
            self.take_offline(inner, &failure.to_string());
        }
        self.error_of(failure)
    }

    /// The same for a caller that does not hold the lock and used the log of this opening.
    pub(super) fn failed(&self, opening: u64, failure: &Failure) -> Error {
        let mut inner = self.inner.lock();
        if inner.opening == opening {
            return self.failed_under_lock(&mut inner, failure);
        }
        self.error_of(failure)
    }

    /// The error that callers see of this failure.
    pub(super) fn error_of(&self, failure: &Failure) -> Error {
        match failure {
            Failure::Storage(StorageError::UnknownTopic(_)) => {
                Error::UnknownTopic(self.topic.name.clone())
            }
            Failure::Storage(StorageError::UnknownPartition(_)) => Error::UnknownPartition {
                topic: self.topic.name.clone(),
                partition: self.index,
            },
            Failure::Storage(error @ StorageError::Fenced { .. }) => error.clone().into(),
            failure if failure.is_terminal() => self.offline(&failure.to_string()),
            Failure::Storage(error) => error.clone().into(),
            failure => self.offline(&failure.to_string()),
        }
    }

    /// Brings an offline partition back after a while, and again until it stays.
    pub(super) fn spawn_restart(&self, inner: &mut Inner) {
        let Some(this) = self.this.upgrade() else {
            return;
        };
        let backoff = self.context.restart_backoff(inner.restarts);
        inner.restarts = inner.restarts.saturating_add(1);
        let opening = inner.opening;
        self.context.runtime.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(backoff) => this.restart(opening).await,
                () = this.context.stopped() => {}
            }
        });
    }

    async fn restart(&self, opening: u64) {
        // What the committer still holds of the old log it settles with the backend, which must be
        // done before the backend opens the log anew.
        self.drained().await;
        let mut inner = self.inner.lock();
        if inner.opening == opening
            && matches!(inner.state, State::Offline { .. })
            && self.open_log(&mut inner).is_ok()
        {
            tracing::info!(topic = %self.topic.name, partition = %self.index, "partition online");
        }
    }
}
