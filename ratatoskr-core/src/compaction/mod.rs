//! Compaction: of the records of a key only the latest stays.
//!
//! ```text
//!   log start      compacted to            until          log end
//!      │ ── clean ──── │ ──────── dirty ────── │ ── active ── │
//!                      └ Mapping: key → latest offset
//!      └───────── Cleaner: batch by batch ─────┘
//! ```
//! The engine says when and how far ([`CompactRequest`]); a backend carries it out
//! ([`Partition::compact`](crate::storage::Partition::compact)) with what is here:
//! 1. A [`Mapping`] goes along the dirty batches and notes where the latest record of each key lies,
//!    until it is full or they end. That is how far the pass reaches.
//! 2. A [`Cleaner`] is given every batch from the log start to there, in order, and gives out what
//!    takes their place.
//!
//! Invariants:
//! - A record goes only if a later one of its key lies in the pass, or if it is a tombstone whose
//!   time is up. Offsets of those that stay, and of batches, stay what they were.
//! - Batches that lost all records leave one empty batch behind that stands for their offsets, so a
//!   log without gaps still has none. A header that the engine wants kept
//!   ([`CompactRequest::kept_batches`]) stays by itself: its producer's sequence hangs on it.
//! - **A tombstone's time begins with the first pass that sees it.** That pass removes what the
//!   tombstone deletes and writes the time into the batch (its *delete horizon*, KIP-534). So a reader
//!   who met the deleted record has the whole time to meet the tombstone, however late compaction
//!   came.
//! - What has no key, what belongs to a transaction, control batches, and batches that cannot be
//!   read stay as they are.

mod cleaner;
mod key_map;
mod pace;

use std::{
    ops::{AddAssign, Range},
    sync::Arc,
    time::Duration,
};

pub use cleaner::{Cleaner, Mapping, Pass};
pub use pace::Pace;

use crate::{offset::Offset, time::Timestamp};

/// What a partition is to compact.
#[derive(Clone, Debug)]
pub struct CompactRequest {
    /// Records from here on stay as they are.
    pub until: Offset,
    /// The time: tombstones go whose delete horizon is not later.
    pub now: Timestamp,
    /// How long tombstones stay that this pass is the first to see.
    pub tombstone_retention: Duration,
    /// Base offsets, in order, of batches whose headers must stay.
    pub kept_batches: Arc<[Offset]>,
    /// Most bytes of memory for the keys of a pass. Where it does not suffice, the pass ends earlier.
    pub key_map_bytes_max: usize,
    /// What reading and writing has to wait for.
    pub pace: Pace,
}

/// What a compaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Up to here the log is compacted now.
    pub to: Offset,
    /// Bytes and records of the batches that were gone through.
    pub before: Amount,
    /// Bytes and records of what took their place.
    pub after: Amount,
}

/// Up to where a log is compacted whose segments, in order, span these offsets and were compared with
/// all later records below the offset beside them.
pub fn compacted_to(segments: impl IntoIterator<Item = (Range<Offset>, Offset)>) -> Offset {
    let mut to = Offset::ZERO;
    for (offsets, compared_to) in segments {
        to = to.max(offsets.start).max(compared_to.min(offsets.end));
        if compared_to < offsets.end {
            break;
        }
    }
    to
}

/// So many bytes and records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Bytes of batches.
    pub bytes: u64,
    /// Records in them.
    pub records: u64,
}

impl AddAssign for Amount {
    fn add_assign(&mut self, more: Self) {
        self.bytes += more.bytes;
        self.records += more.records;
    }
}

impl Compacted {
    /// Nothing was done: the log is compacted up to here already, as far as was asked.
    pub fn nothing(to: Offset) -> Self {
        Self {
            to,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests;
