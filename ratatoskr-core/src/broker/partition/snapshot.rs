//! What a partition knows of its producers, kept beside its log, so that opening it reads the log's end
//! only.
//!
//! The log alone decides. A snapshot holds what a walk over all batches before `as_of` would find, and
//! says what the last of these batches is. A backend may lose a snapshot, or give back one of a log whose
//! end was lost since and written anew: unless that batch lies there, all batches are walked. So it need
//! not be synced, and a crash may tear it, which its checksum tells.
//!
//! ```text
//! crc32 u32 LE, of what follows | version u8 | Snapshot as MessagePack
//! ```

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Inner, PartitionCell, State, recover::read_either};
use crate::{
    batch::RecordBatch,
    broker::{
        producers::KeptProducer,
        supervision::{Failure, caught_async},
    },
    offset::{Bounds, LeaderEpoch, Offset},
    storage::{Access, Partition, ReadRequest},
};

/// At least so many times as many bytes are appended between two snapshots as the first of them has, so
/// that writing them is little beside the log.
const BYTES_BETWEEN_PER_BYTE: u64 = 32;
const VERSION: u8 = 1;

/// What was known once everything before `as_of` was appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Snapshot {
    pub(super) as_of: Offset,
    /// The batch that ends there.
    last: BatchId,
    /// The greatest of all batches, or greater.
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) producers: Vec<KeptProducer>,
}

/// What tells a batch from any other that could lie in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct BatchId {
    base_offset: Offset,
    leader_epoch: LeaderEpoch,
    crc: u32,
}

impl Snapshot {
    fn encode(&self) -> Result<Bytes, Failure> {
        let mut body = vec![VERSION];
        rmp_serde::encode::write(&mut body, self)
            .map_err(|error| Failure::Defect(format!("a snapshot: {error}")))?;
        let crc = crc32fast::hash(&body).to_le_bytes();
        Ok([&crc[..], &body].concat().into())
    }

    /// The snapshot in these bytes; `None` where they are not whole, or of another version.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (crc, rest) = bytes.split_first_chunk::<4>()?;
        let body = rest.strip_prefix(&[VERSION])?;
        let is_whole = crc32fast::hash(rest) == u32::from_le_bytes(*crc);
        is_whole.then(|| rmp_serde::from_slice(body).ok())?
    }
}

/// When the next snapshot is due.
#[derive(Debug)]
pub(super) struct Pace {
    /// Bytes appended since the last one.
    bytes: u64,
    /// `None` while one is being taken.
    due_at: Option<u64>,
}

impl Pace {
    /// The first is due once `bytes_between` bytes were appended.
    pub(super) const fn new(bytes_between: u64) -> Self {
        Self {
            bytes: 0,
            due_at: Some(bytes_between),
        }
    }

    #[inline]
    pub(super) const fn appended(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// Whether one is due; then it counts as begun.
    #[inline]
    fn begin(&mut self) -> bool {
        let is_due = self.due_at.is_some_and(|due_at| self.bytes >= due_at);
        if is_due {
            self.bytes = 0;
            self.due_at = None;
        }
        is_due
    }

    /// One of `bytes` bytes was taken, or none could be.
    fn ended(&mut self, bytes: u64, bytes_between: u64) {
        self.due_at = Some(bytes_between.max(bytes.saturating_mul(BYTES_BETWEEN_PER_BYTE)));
    }
}

impl PartitionCell {
    /// Takes a snapshot in the background if one is due; to be called after an append.
    #[inline]
    pub(super) fn snapshot_if_due(&self, inner: &mut Inner) {
        let opening = inner.opening;
        if let State::Open(open) = &mut inner.state
            && open.snapshots.begin()
            && let Some(this) = self.this.upgrade()
        {
            self.context.runtime.spawn(async move {
                let taken = this.take_snapshot(opening).await;
                if let Err(failure) = &taken {
                    tracing::debug!(topic = %this.topic.name, partition = %this.index, %failure,
                        "no snapshot of the producers was kept");
                }
                if let Some(open) = this.inner.lock().open_as_of(opening) {
                    let between = this.context.config.snapshot_bytes;
                    open.snapshots.ended(taken.unwrap_or(0), between);
                }
            });
        }
    }

    /// Takes one, and answers how many bytes it has.
    async fn take_snapshot(&self, opening: u64) -> Result<u64, Failure> {
        let known = {
            let mut inner = self.inner.lock();
            inner.open_as_of(opening).map(|open| {
                let producers = open.producers.applied(open.log_end);
                (
                    Arc::clone(&open.log),
                    open.log_end,
                    open.leader_epoch,
                    producers,
                )
            })
        };
        let Some((log, as_of, leader_epoch, producers)) = known else {
            return Ok(0);
        };
        let Some(last) = batch_before(&*log, as_of).await? else {
            return Ok(0);
        };
        let snapshot = Snapshot {
            as_of,
            last,
            leader_epoch,
            producers,
        };
        let bytes = snapshot.encode()?;
        let length = bytes.len() as u64;
        caught_async(async { log.keep_snapshot(bytes).await }).await?;
        Ok(length)
    }

    /// The snapshot that was kept of this log, if it is of this log as it is.
    pub(super) async fn kept_snapshot(
        &self,
        log: &dyn Partition,
        bounds: &Bounds,
    ) -> Option<Snapshot> {
        let kept = caught_async(async { log.snapshot().await }).await;
        let kept = kept.unwrap_or_else(|failure| {
            tracing::warn!(topic = %self.topic.name, partition = %self.index, %failure,
                "the snapshot of the producers cannot be read; all batches are");
            None
        });
        let snapshot = Snapshot::decode(&kept?)?;
        let is_within = bounds.log_start < snapshot.as_of && snapshot.as_of <= bounds.log_end;
        if !is_within {
            return None;
        }
        let last = batch_before(log, snapshot.as_of).await.ok()?;
        (last == Some(snapshot.last)).then_some(snapshot)
    }
}

/// The batch that ends at `end`, which is beyond the log start.
async fn batch_before(log: &dyn Partition, end: Offset) -> Result<Option<BatchId>, Failure> {
    let Some(last) = end.get().checked_sub(1) else {
        return Ok(None);
    };
    let request = ReadRequest {
        from: Offset::new(last),
        until: end,
        bytes_max: 1,
        access: Access::Inspect,
    };
    let found = read_either(log, &request).await?;
    let Some(mut bytes) = found.slices().first().cloned() else {
        return Ok(None);
    };
    let batch = RecordBatch::split_first(&mut bytes);
    let header = batch.ok().map(|batch| *batch.header());
    let header = header.filter(|header| header.end_offset() == end);
    Ok(header.map(|header| BatchId {
        base_offset: header.base_offset,
        leader_epoch: header.leader_epoch,
        crc: header.crc,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        Snapshot {
            as_of: Offset::new(17),
            last: BatchId {
                base_offset: Offset::new(15),
                leader_epoch: LeaderEpoch::new(3),
                crc: 0xdead_beef,
            },
            leader_epoch: LeaderEpoch::new(3),
            producers: Vec::new(),
        }
    }

    #[test]
    fn what_is_whole_is_read_and_nothing_else() {
        let whole = snapshot().encode().unwrap();
        assert_eq!(Snapshot::decode(&whole), Some(snapshot()));
        for end in 0..whole.len() {
            assert_eq!(Snapshot::decode(&whole[..end]), None, "{end} bytes");
        }
        for at in 0..whole.len() {
            let mut changed = whole.to_vec();
            changed[at] ^= 1;
            assert_eq!(Snapshot::decode(&changed), None, "byte {at}");
        }
        assert_eq!(Snapshot::decode(&vec![0; 4096]), None);
    }

    #[test]
    fn one_is_due_after_so_many_bytes_and_a_large_one_later() {
        let mut pace = Pace::new(1_000);
        pace.appended(999);
        assert!(!pace.begin());
        pace.appended(1);
        assert!(pace.begin());
        pace.appended(1_000);
        assert!(!pace.begin(), "one is under way");
        pace.ended(1_000, 1_000);
        assert!(!pace.begin(), "it was large");
        pace.ended(0, 1_000);
        assert!(pace.begin());
    }
}
