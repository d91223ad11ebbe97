//! A partition's log on disk: batches in segment files, each with a sparse index beside it.
//!
//! ```text
//!  open ──► recover.rs ──► scan.rs, cut.rs, helpers.rs         names.rs   file names
//!  append ► append.rs, sync.rs, retain.rs ─┐                   index.rs   bytes of the index
//!  read ──► tail.rs (heap), else read.rs,  ├─► segment.rs ──►  files.rs   what is open
//!           window.rs, times.rs ───────────┤                   uncached.rs  past the page cache
//!  compact  compact.rs, cleaned.rs ────────┘                   snapshot.rs  what the broker keeps
//! ```
//! [`PartitionLog`] knows nothing of the write-ahead log: it is handed batches that are committed, and
//! told from which checkpoint to recover. The formats are in `docs/format.md`.
//!
//! Invariants:
//! - Appends are written into space that was reserved; a full disk is an error before anything changed.
//! - Only the last segment is ever written to. Only the others are ever mapped, after their files were
//!   cut to size, so no mapped file changes.
//! - Segments tile the log: each is named by the offset where the one before it ends, so one that is
//!   missing shows.
//! - Compaction never changes a file: it makes a new segment of sealed ones, under a name of its own,
//!   and one rename puts it in their place. It keeps away from what a checkpoint may be recovered from.
//! - After an error that leaves unknown bytes behind, or a failed sync, the log answers that error to
//!   every write until it is opened anew; after a failed sync, its files are made anew then.

mod append;
mod cleaned;
mod compact;
mod cut;
mod files;
mod helpers;
mod index;
mod load;
mod log;
mod names;
mod read;
mod rebuild;
mod recover;
mod retain;
mod scan;
mod segment;
mod snapshot;
mod sync;
mod tail;
#[cfg(test)]
mod tests;
mod times;
mod uncached;
mod window;

use std::time::Duration;

use ratatoskr_core::{
    config::TopicConfig,
    name::TopicId,
    offset::{LeaderEpoch, Offset, PartitionIndex},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

pub use crate::blocking::Blocking;
pub use files::{CacheLimits, SharedCaches};
pub use log::PartitionLog;

/// Which partition a log is of; part of every checksum of its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionIndex,
}

/// What a log is configured with; may be changed while it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// A segment is sealed before it passes this many bytes (one append that is larger, and what was
    /// reserved while the disk was full, may pass it).
    pub segment_bytes: u64,
    /// A segment is sealed when a batch's maximum timestamp is this much later than its first batch's.
    pub segment_age: Option<Duration>,
    /// An index entry is written each time this many bytes of log were appended. Any value is read.
    pub index_span_bytes: u64,
}

impl LogConfig {
    /// Log bytes from one index entry to the next.
    pub const INDEX_SPAN_BYTES_DEFAULT: u64 = 4 << 10;
}

impl From<&TopicConfig> for LogConfig {
    fn from(topic: &TopicConfig) -> Self {
        Self {
            segment_bytes: topic.segment_bytes,
            segment_age: topic.segment_age,
            index_span_bytes: Self::INDEX_SPAN_BYTES_DEFAULT,
        }
    }
}

/// How much of a log is read and verified when it is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// What lies beyond its checkpoint.
    #[default]
    Tail,
    /// Every byte of it. The checkpoint still says what was promised to last, so that what is bad
    /// below it is quarantined and not cut off.
    All,
}

/// A place up to which everything is on disk, from which a log is recovered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogCheckpoint {
    /// The highest log start that is durable (by a checkpoint or by a frame of the write-ahead log).
    pub log_start: Offset,
    /// One past the last record on disk.
    pub log_end: Offset,
    /// Base offset of the segment in which the log ends.
    pub segment_base: Offset,
    /// Where in that segment's log file it ends, in bytes.
    pub position: u64,
    /// The leader epoch of the last batch.
    pub leader_epoch: LeaderEpoch,
    /// The greatest timestamp in the log so far, records since removed included.
    pub max_timestamp: Timestamp,
}

/// What opening a log found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Bytes of log that were read and verified.
    pub scanned_bytes: u64,
    /// The torn tail, where there was one: it was never promised to be durable, and is cut off.
    pub cut: Option<Cut>,
    /// Offsets below the durable end whose bytes are corrupt or gone. Reading them is an error, all
    /// others can be read.
    pub quarantined: Vec<Quarantined>,
    /// Segments whose index was missing or wrong and was built from the log.
    pub indexes_rebuilt: u32,
}

/// A torn tail that was cut off at its first bad batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The log ends here now.
    pub at: Offset,
    /// Bytes cut, zeros at the end not counted.
    pub bytes: u64,
    /// Files that now hold them, in the log's directory. Fewer than were cut where the disk is full.
    pub files: Vec<String>,
    /// What was wrong with the first bad batch.
    pub detail: String,
}

/// Offsets whose bytes are not those that were appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// The first offset concerned.
    pub from: Offset,
    /// One past the last.
    pub until: Offset,
    /// What was seen.
    pub detail: String,
}
