//! What all logs of a storage share: which files are open, how much of indexes and tails is in memory,
//! how much was appended since the last checkpoint.
//!
//! Files and indexes of segments are closed and dropped by a clock (second chance): a segment that was
//! used since the hand came by stays. On the way of an append or a read this costs one relaxed store;
//! the ring's lock is taken only when something is opened. Invariant: **a file with bytes that are not
//! synced is never closed**, since the error of their writing could get lost. So the limits are soft
//! by as much as is dirty: where nothing else is left to close, a checkpoint is asked for, and nobody
//! looks again before it is over.

use std::{
    collections::{HashSet, VecDeque},
    fmt,
    path::Path,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use ratatoskr_core::sync::Mutex;
use tokio::sync::Semaphore;

use super::{Blocking, helpers::Helpers, segment::Segment, tail::TailCache, uncached::Uncached};

/// Bounds of what all logs of a storage share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// Open files (of which each may be mapped once).
    pub open_files_max: usize,
    /// Bytes of index entries in memory, those of active segments included.
    pub index_bytes_max: usize,
    /// Bytes of recently appended batches in memory.
    pub tail_bytes_max: usize,
    /// Reads that wait for the disk at a time.
    pub cold_reads_max: usize,
    /// Threads that read logs at a time where all of them are verified.
    pub verifying_threads_max: usize,
    /// Bytes appended, to all logs together, after which a checkpoint is asked for: about so many are
    /// read when the logs are opened after a crash.
    pub unsynced_bytes_max: u64,
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self {
            open_files_max: 10_000,
            index_bytes_max: 64 << 20,
            tail_bytes_max: 64 << 20,
            cold_reads_max: 32,
            verifying_threads_max: std::thread::available_parallelism()
                .map_or(1, std::num::NonZero::get),
            unsynced_bytes_max: 64 << 20,
        }
    }
}

/// What all logs of a storage share.
#[derive(Debug)]
pub struct SharedCaches {
    pub(super) segments: SegmentCache,
    pub(super) tails: TailCache,
    pub(super) cold_reads: Arc<Semaphore>,
    pub(super) uncached: Uncached,
    pub(crate) blocking: Blocking,
    pub(crate) helpers: Helpers,
    /// Bytes appended since the last checkpoint began.
    unsynced: AtomicU64,
    unsynced_bytes_max: u64,
    /// Directories of logs whose last sync has failed (see `rebuild.rs`).
    pub(super) in_doubt: Mutex<HashSet<Arc<Path>>>,
}

impl SharedCaches {
    /// Empty ones, of logs that wait for the disk off the runtime's workers.
    pub fn new(limits: CacheLimits) -> Arc<Self> {
        Self::with_blocking(limits, Blocking::OffTheWorkers)
    }

    /// As [`new`](Self::new), saying where is waited for the disk.
    pub fn with_blocking(limits: CacheLimits, blocking: Blocking) -> Arc<Self> {
        Arc::new(Self {
            segments: SegmentCache {
                files: Gauge::default(),
                files_max: limits.open_files_max,
                index_bytes: Gauge::default(),
                index_bytes_max: limits.index_bytes_max,
                ring: Mutex::default(),
                waits: AtomicBool::new(false),
                sync_wanted: SyncWanted::default(),
            },
            tails: TailCache::new(limits.tail_bytes_max),
            cold_reads: Arc::new(Semaphore::new(limits.cold_reads_max.max(1))),
            uncached: Uncached::default(),
            blocking,
            // One more thread is there already: whoever opens the logs.
            helpers: Helpers::new(limits.verifying_threads_max.saturating_sub(1)),
            unsynced: AtomicU64::new(0),
            unsynced_bytes_max: limits.unsynced_bytes_max,
            in_doubt: Mutex::default(),
        })
    }

    /// Has `wanted` called when files can only be closed after they are synced, or much was appended;
    /// [`begins_to_sync`](Self::begins_to_sync) is to be called before that, and
    /// [`synced`](Self::synced) after it, or after the attempt.
    pub fn on_sync_wanted(&self, wanted: impl Fn() + Send + Sync + 'static) {
        // Nobody calls it twice.
        let _ = self.segments.sync_wanted.0.set(Box::new(wanted));
    }

    /// So many bytes were appended to a log.
    pub(super) fn appended(&self, bytes: u64) {
        let before = self.unsynced.fetch_add(bytes, Ordering::Relaxed);
        let max = self.unsynced_bytes_max;
        if before < max && before + bytes >= max {
            self.segments.sync_wanted.tell();
        }
    }

    /// What is appended from now on is for the next time.
    pub fn begins_to_sync(&self) {
        self.unsynced.store(0, Ordering::Relaxed);
    }

    /// What was dirty is synced, as far as that was possible.
    pub fn synced(&self) {
        self.segments.waits.store(false, Ordering::Release);
        self.segments.make_room();
    }

    /// How many files are open.
    pub fn open_files(&self) -> usize {
        self.segments.files.get()
    }

    /// Bytes of recently appended batches in memory.
    pub fn tail_bytes(&self) -> usize {
        self.tails.bytes()
    }
}

/// Counts what is held of something.
#[derive(Clone, Debug, Default)]
pub(super) struct Gauge(Arc<AtomicUsize>);

impl Gauge {
    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// `value`, counted as `amount` until it is dropped.
    pub(super) fn hold<T>(&self, value: T, amount: usize) -> Held<T> {
        self.0.fetch_add(amount, Ordering::Relaxed);
        Held {
            value,
            amount,
            gauge: self.clone(),
        }
    }
}

/// Something counted by a [`Gauge`].
#[derive(Debug)]
pub(super) struct Held<T> {
    pub(super) value: T,
    amount: usize,
    gauge: Gauge,
}

impl<T> Held<T> {
    /// Counts it as `amount` more.
    pub(super) fn grow(&mut self, amount: usize) {
        self.amount += amount;
        self.gauge.0.fetch_add(amount, Ordering::Relaxed);
    }
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        self.gauge.0.fetch_sub(self.amount, Ordering::Relaxed);
    }
}

/// The clock over segments that hold files or an index.
#[derive(Debug)]
pub(super) struct SegmentCache {
    pub(super) files: Gauge,
    files_max: usize,
    pub(super) index_bytes: Gauge,
    index_bytes_max: usize,
    ring: Mutex<VecDeque<Weak<Segment>>>,
    /// Whether only a sync can make room.
    waits: AtomicBool,
    sync_wanted: SyncWanted,
}

/// Who is told that files should be synced.
#[derive(Default)]
struct SyncWanted(OnceLock<Box<dyn Fn() + Send + Sync>>);

impl SyncWanted {
    fn tell(&self) {
        if let Some(wanted) = self.0.get() {
            wanted();
        }
    }
}

impl fmt::Debug for SyncWanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SyncWanted")
    }
}

impl SegmentCache {
    /// Takes in a segment that was not in the ring, and makes room if too much is held. The caller
    /// holds no lock of any segment.
    pub(super) fn enter(&self, segment: &Arc<Segment>) {
        self.ring.lock().push_back(Arc::downgrade(segment));
    }

    /// Closes what was not used for longest while too much is held. As above, no locks.
    pub(super) fn make_room(&self) {
        if !self.is_over() || self.waits.load(Ordering::Acquire) {
            return;
        }
        let mut ring = self.ring.lock();
        // Twice round: the first time takes the marks of use away.
        for _ in 0..ring.len() * 2 {
            if !self.is_over() {
                return;
            }
            let Some(weak) = ring.pop_front() else { break };
            if let Some(segment) = weak.upgrade()
                && !segment.release_if_idle()
            {
                ring.push_back(weak);
            }
        }
        drop(ring);
        if self.is_over() && self.sync_wanted.0.get().is_some() {
            self.waits.store(true, Ordering::Release);
            self.sync_wanted.tell();
        }
    }

    fn is_over(&self) -> bool {
        self.files.get() > self.files_max || self.index_bytes.get() > self.index_bytes_max
    }
}
