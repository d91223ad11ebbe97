//! Bugs planted on purpose, to prove that the crash model finds them.
//!
//! Without the feature `planted-bugs` nothing of this is compiled in: [`is`] is `false` for good.
//! With it, a bug is chosen per thread, so tests that run side by side do not meet each other's.

/// A mistake that a storage can make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A group is applied and acknowledged without having been synced.
    AckBeforeSync,
    /// A recycled file is written before its new name lasts.
    SkippedDirectorySync,
    /// Recovery takes a frame that an earlier life of the file left.
    StaleFrameAccepted,
    /// Recovery skips a frame that is not whole and goes on with what is whole further on.
    CutAtLastValid,
    /// Recovery trusts a frame whose batch it has not verified.
    BatchCrcSkipped,
    /// A checkpoint says that a partition's files are on disk, and they were not synced.
    PartitionNotSynced,
    /// A file is put in place that was not synced.
    ReplacedUnsynced,
    /// Files of the log are recycled before the checkpoint that covers them is in place.
    RecycledTooEarly,
    /// A log start is moved that is not in the write-ahead log yet.
    TrimNotLogged,
    /// A compacted segment takes the place of others before it is synced.
    CompactedUnsynced,
    /// Segments are removed before what compaction made of them lasts.
    ReplacedTooEarly,
    /// Batches are submitted without the partition's lock, and nobody checks that they continue it.
    SubmittedOutsideLock,
}

/// Whether `bug` is planted in this thread.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn is(_bug: Bug) -> bool {
    false
}

#[cfg(feature = "planted-bugs")]
pub use switch::{is, plant};

#[cfg(feature = "planted-bugs")]
mod switch {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Whether `bug` is planted in this thread.
    pub fn is(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }

    /// Plants `bug` in this thread; `None` takes it out again.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }
}
