//! Whose turn it is to acquire records of one topic for one group.
//!
//! Invariants:
//! - One consumer looks at a time, so that each part of the log is read once.
//! - Those who found nothing wait in line, first come, first served. Only the head of the line waits
//!   for partitions, so that new records wake one consumer and not a thousand. Whoever comes while
//!   others wait goes to the end of the line, unless it does not want to wait.
//! - A consumer that may not have more waits outside of the line, for its own settlements.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(super) struct Turn {
    /// Held by the consumer that looks; the partition that is looked at first.
    pub(super) work: tokio::sync::Mutex<usize>,
    /// Held by the head of the line.
    pub(super) line: tokio::sync::Mutex<()>,
    waiting: AtomicUsize,
    /// Notified when the head of the line has to look again.
    pub(super) changed: Arc<Notify>,
    /// Notified when consumers that hold as much as they may can look again.
    pub(super) settled: Notify,
}

/// A place in the line.
#[derive(Debug)]
pub(super) struct Place<'a>(&'a Turn);

impl Turn {
    pub(super) fn enter(&self) -> Place<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Place(self)
    }

    /// Whether somebody stands in line.
    pub(super) fn is_awaited(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// There may be something to acquire.
    pub(super) fn wake(&self) {
        self.changed.notify_one();
    }

    /// Records were settled.
    pub(super) fn settled(&self, wakes: bool) {
        self.settled.notify_waiters();
        if wakes {
            self.wake();
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
