//! What a storage on disk can be told.

use std::time::Duration;

use crate::{
    mmap::{CacheLimits, Verify},
    wal::WalOptions,
};

/// Options of a [`MmapStorage`](super::MmapStorage). Topics carry their own configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MmapOptions {
    /// Sizes of the write-ahead log.
    pub wal: WalOptions,
    /// How many files are open and how many bytes are kept in memory.
    pub caches: CacheLimits,
    /// A checkpoint is written at least this often while there is something new; besides, whenever a
    /// quarter of the write-ahead log has been written, or the logs have grown by
    /// [`CacheLimits::unsynced_bytes_max`]. Default 10 s.
    pub checkpoint_interval: Duration,
    /// Whether threads lead groups of the write-ahead log, write checkpoints, and wait for the disk.
    /// Where not, for simulations, all of it happens on the thread that calls:
    /// [`MmapStorage::drive`](super::MmapStorage::drive) and
    /// [`MmapStorage::checkpoint`](super::MmapStorage::checkpoint) do the first two. Default true.
    pub threads: bool,
    /// What is read and verified when the directory is opened. With [`Verify::All`] that is every log
    /// from end to end, as fast as the disk allows; whoever opens waits for it. Default
    /// [`Verify::Tail`].
    pub verify: Verify,
}

impl Default for MmapOptions {
    fn default() -> Self {
        Self {
            wal: WalOptions::default(),
            caches: CacheLimits::default(),
            checkpoint_interval: Duration::from_secs(10),
            threads: true,
            verify: Verify::Tail,
        }
    }
}
