//! The tail cache: what was appended last, in the heap, so that readers who keep up touch no file.
//!
//! Each log has a [`Tail`]: batches without a gap, up to the log end. All tails share one bound: when
//! it is passed, the tail that grew gives up its oldest batches down to its fair share, then a hand
//! goes round the others and does the same to them. [`Pieces`] tells how the batches lie.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use ratatoskr_core::{batch::RecordBatch, offset::Offset, storage::BatchSlices, sync::Mutex};

use crate::pieces::Pieces;

/// The bound that all tails share.
#[derive(Debug)]
pub(super) struct TailCache {
    bytes: Arc<AtomicUsize>,
    bytes_max: usize,
    tails: Mutex<VecDeque<Weak<Tail>>>,
}

impl TailCache {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes: Arc::default(),
            bytes_max,
            tails: Mutex::default(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// A new, empty tail.
    pub(super) fn tail(&self) -> Arc<Tail> {
        let tail = Arc::new(Tail {
            pieces: Mutex::default(),
            bytes_all: Arc::clone(&self.bytes),
        });
        let mut tails = self.tails.lock();
        // The ring is swept of dead tails as it grows, so that it stays in proportion to the live.
        if tails.len().is_power_of_two() {
            tails.retain(|tail| tail.strong_count() > 0);
        }
        tails.push_back(Arc::downgrade(&tail));
        tail
    }

    /// Adds batches that end the log now. A batch that would fill a quarter of the cache is not kept,
    /// and with it nothing before it.
    pub(super) fn push<'a>(
        &self,
        tail: &Tail,
        batches: impl Iterator<Item = (&'a RecordBatch, Bytes)>,
    ) {
        {
            let mut pieces = tail.pieces.lock();
            for (batch, bytes) in batches {
                if bytes.len() > self.bytes_max / 4 {
                    tail.clear(&mut pieces);
                    continue;
                }
                tail.bytes_all.fetch_add(bytes.len(), Ordering::Relaxed);
                pieces.push_encoded(batch.header(), bytes);
            }
        }
        if self.bytes() > self.bytes_max {
            self.shrink(tail);
        }
    }

    fn shrink(&self, grown: &Tail) {
        let mut tails = self.tails.lock();
        let share = self.bytes_max / tails.len().max(1);
        grown.shrink_to(share, self.bytes_max);
        for _ in 0..tails.len() {
            if self.bytes() <= self.bytes_max {
                break;
            }
            let Some(weak) = tails.pop_front() else { break };
            if let Some(tail) = weak.upgrade() {
                tail.shrink_to(share, self.bytes_max);
                tails.push_back(weak);
            }
        }
    }
}

/// One log's tail.
#[derive(Debug)]
pub(super) struct Tail {
    pieces: Mutex<Pieces>,
    bytes_all: Arc<AtomicUsize>,
}

impl Tail {
    /// Reads as `Partition::read` does; `None` where the tail does not reach back to `from`.
    pub(super) fn read(
        &self,
        from: Offset,
        until: Offset,
        bytes_max: usize,
    ) -> Option<BatchSlices> {
        let mut pieces = self.pieces.lock();
        if pieces.offsets()?.start > from {
            return None;
        }
        let mut found = BatchSlices::default();
        pieces.read(from, until, bytes_max, &mut found)?;
        Some(found)
    }

    /// Drops what ends at or below `offset`.
    pub(super) fn drop_before(&self, offset: Offset) {
        let freed = self.pieces.lock().drop_before(offset);
        self.bytes_all.fetch_sub(freed, Ordering::Relaxed);
    }

    fn shrink_to(&self, share: usize, bytes_all_max: usize) {
        let mut pieces = self.pieces.lock();
        while pieces.bytes() > share && self.bytes_all.load(Ordering::Relaxed) > bytes_all_max {
            self.bytes_all.fetch_sub(pieces.pop(), Ordering::Relaxed);
        }
    }

    fn clear(&self, pieces: &mut Pieces) {
        self.bytes_all.fetch_sub(pieces.bytes(), Ordering::Relaxed);
        *pieces = Pieces::default();
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let bytes = self.pieces.get_mut().bytes();
        self.bytes_all.fetch_sub(bytes, Ordering::Relaxed);
    }
}
