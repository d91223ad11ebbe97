//! The write-ahead log: one for all partitions of a data directory.
//!
//! ```text
//! submit ─► queue ─► group: encode ─► write ─► fdatasync ─► apply to partitions ─► wake
//!                            └── one file at a time, groups start on 4 KiB boundaries ──┘
//! ```
//! Layers, each knowing only those before it: `frame` (bytes of one frame), `file` (the files on
//! disk: made, recycled, removed), `reader` (what a crash left), `writer` (where the next group
//! goes), `queue` (who waits, who leads), `places` (the partitions of a group), `group` (one group
//! from taken to settled), `committer` (what the engine sees) and `thread` (leads where no task can).
//!
//! Invariants:
//! - A log sequence number ([`Lsn`]) names one frame; numbers are dense and never used twice in
//!   what recovery reads.
//! - A file id is never used twice. A recycled file gets a new id, so its old frames are strangers.
//! - Group *n + 1* is written only after the sync of group *n* returned 0. A frame that says "LSN
//!   *m* was durable when I was written" therefore proves it.
//! - After a failed write or sync nothing is written any more: the log is fenced.
//! - Recovery never appends after what it found; it starts a new file.

mod committer;
mod file;
mod frame;
mod group;
mod options;
mod places;
mod queue;
mod reader;
mod thread;
mod writer;

#[cfg(test)]
mod reader_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub(crate) use committer::{Partitions, Wal, WalPartition};
pub(crate) use frame::{Frame, FrameError, FrameHeader, FrameKind, HEADER_BYTES};
pub use options::{InvalidWalOptions, WalOptions};
pub(crate) use queue::Command;
pub(crate) use reader::{Scan, ScanRange, scan};

use std::fmt;

use serde::{Deserialize, Serialize};

/// Groups of frames start on multiples of this many bytes, so that recovery can look past a bad one.
pub(crate) const GROUP_ALIGNMENT: u64 = 4096;

/// Names one frame of the log: 1, 2, 3, … without gaps. 0 stands for "none yet".
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub(crate) struct Lsn(u64);

impl Lsn {
    /// The first frame of a data directory.
    pub(crate) const FIRST: Self = Self(1);

    /// Wraps the number.
    pub(crate) const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The bare number.
    pub(crate) const fn get(self) -> u64 {
        self.0
    }

    /// The one after this.
    #[must_use]
    pub(crate) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The one before this; 0 before the first.
    #[must_use]
    pub(crate) const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names one file of the log for ever: 1, 2, 3, … in the order in which they are written.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub(crate) struct WalFileId(u64);

impl WalFileId {
    /// The first file of a data directory.
    pub(crate) const FIRST: Self = Self(1);

    /// Wraps the number.
    pub(crate) const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The bare number.
    pub(crate) const fn get(self) -> u64 {
        self.0
    }

    /// The one after this.
    #[must_use]
    pub(crate) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for WalFileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A place between two groups: everything before it is applied, or everything after it is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WalPoint {
    /// The next frame's number.
    pub lsn: Lsn,
    /// The file it is (or will be) in, unless that file has no room and a later one takes it.
    pub file: WalFileId,
    /// Where in that file, in bytes.
    pub position: u64,
}

impl WalPoint {
    /// Where the log of a new data directory begins.
    pub(crate) const START: Self = Self {
        lsn: Lsn::FIRST,
        file: WalFileId::FIRST,
        position: 0,
    };
}
