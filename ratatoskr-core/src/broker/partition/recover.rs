//! What a log tells when it is opened: who its producers are and which leader wrote last.
//!
//! Both are functions of the log's batches, so they are read from the batch headers, behind the latest
//! snapshot (`snapshot.rs`) if there is one. Reading goes on meanwhile; sends are held until it is done.

use std::sync::Arc;

use super::{Inner, PartitionCell, State};
use crate::{
    batch::RecordBatch,
    broker::{
        producers::ProducerTable,
        supervision::{Failure, caught, caught_async},
    },
    config::Durability,
    offset::{Bounds, LeaderEpoch, Offset},
    storage::{Access, BatchSlices, Partition, ReadRequest, StorageError, TryRead},
};

/// Bytes read at a time while batch headers are walked.
const WALK_BYTES: usize = 1 << 20;

/// What the walk has found so far.
pub(super) struct Found {
    pub(super) producers: ProducerTable,
    leader_epoch: LeaderEpoch,
}

impl PartitionCell {
    pub(super) fn spawn_recover(&self, opening: u64, log: &Arc<dyn Partition>, bounds: &Bounds) {
        let Some(this) = self.this.upgrade() else {
            return;
        };
        let (log, bounds) = (Arc::clone(log), *bounds);
        self.context.runtime.spawn(async move {
            let walked = this.walk(&*log, &bounds).await;
            this.recovered(opening, walked);
        });
    }

    /// Reads the headers of all batches that no snapshot knows.
    pub(super) async fn walk(
        &self,
        log: &dyn Partition,
        bounds: &Bounds,
    ) -> Result<Found, Failure> {
        let config = &self.context.config;
        let mut found = Found {
            producers: ProducerTable::new(
                config.producers_per_partition_max,
                config.producer_expiry,
            ),
            leader_epoch: LeaderEpoch::new(0),
        };
        let mut from = bounds.log_start;
        if let Some(snapshot) = self.kept_snapshot(log, bounds).await {
            from = snapshot.as_of;
            found.leader_epoch = snapshot.leader_epoch;
            let now = self.context.clock.monotonic();
            found.producers.restore(snapshot.producers, now);
        }
        while from < bounds.log_end {
            let request = ReadRequest {
                from,
                until: bounds.log_end,
                bytes_max: WALK_BYTES,
                access: Access::Inspect,
            };
            let next = match read_either(log, &request).await {
                Ok(slices) => self.note(&mut found, &slices, from)?,
                // Retention was faster.
                Err(Failure::Storage(StorageError::OffsetOutOfRange { bounds, .. })) => {
                    bounds.log_start
                }
                Err(Failure::Storage(StorageError::Corrupt { until, detail, .. })) => {
                    tracing::warn!(topic = %self.topic.name, partition = %self.index, %from, %until,
                        detail, "producers of corrupt records are forgotten");
                    until
                }
                Err(failure) => return Err(failure),
            };
            if next <= from {
                break;
            }
            from = next;
        }
        Ok(found)
    }

    /// Takes note of each batch, and answers where to read on.
    fn note(
        &self,
        found: &mut Found,
        slices: &BatchSlices,
        from: Offset,
    ) -> Result<Offset, Failure> {
        // A batch does not say when it was appended; that its producer is remembered for longer
        // than it need be does no harm.
        let now = self.context.clock.monotonic();
        let mut next = from;
        for slice in slices.slices() {
            let mut rest = slice.clone();
            while !rest.is_empty() {
                let batch = RecordBatch::split_first(&mut rest).map_err(|error| {
                    Failure::Defect(format!("the log holds no batch at offset {next}: {error}"))
                })?;
                let header = batch.header();
                next = header.end_offset();
                found.leader_epoch = found.leader_epoch.max(header.leader_epoch);
                found.producers.record(header, now, next);
            }
        }
        Ok(next)
    }

    fn recovered(&self, opening: u64, walked: Result<Found, Failure>) {
        let mut inner = self.inner.lock();
        let Some(open) = inner.open_as_of(opening) else {
            return;
        };
        match walked {
            Ok(found) => {
                open.producers = found.producers;
                open.leader_epoch = next_epoch(found.leader_epoch, open.durability);
                self.release_under_lock(&mut inner);
            }
            Err(failure) => {
                self.take_offline(&mut inner, &failure.to_string());
            }
        }
        drop(inner);
        self.wake();
    }

    /// Ends one hold; the last one to end lets the held sends through, in order. The caller wakes
    /// readers once it has let go of the lock.
    pub(super) fn release_under_lock(&self, inner: &mut Inner) {
        let State::Open(open) = &mut inner.state else {
            return;
        };
        open.holds = open.holds.saturating_sub(1);
        if open.holds > 0 {
            return;
        }
        for held in std::mem::take(&mut open.held) {
            let submitted = self
                .context
                .check_running()
                .and_then(|()| self.submit_under_lock(inner, held.batch, Some(held.reservation)));
            // Whoever sent it may have gone; the batch stays where it is.
            let _ = held.answer.send(submitted);
        }
        self.settled.notify_waiters();
    }
}

/// The epoch of what is sent from now on. A log that is not synced before it is read may have lost
/// its end, and what is written there next has offsets that somebody may have read other records at,
/// or committed. A new epoch tells them apart.
const fn next_epoch(last: LeaderEpoch, durability: Durability) -> LeaderEpoch {
    match durability {
        Durability::Fsync => last,
        Durability::Interval(_) | Durability::Os | Durability::Memory => {
            LeaderEpoch::new(last.get().saturating_add(1))
        }
    }
}

pub(super) async fn read_either(
    log: &dyn Partition,
    request: &ReadRequest,
) -> Result<BatchSlices, Failure> {
    match caught(|| log.try_read(request))? {
        TryRead::Ready(found) => Ok(found),
        TryRead::WouldBlock => caught_async(async { log.read(request).await }).await,
    }
}
