//! One partition as the broker holds it: a cell with a lock around the state of its log.
//!
//! Invariants:
//! - Offsets are assigned and batches submitted under the lock, so the order of submission is the
//!   order of offsets. Nothing is awaited under it, and no waiter is woken under it.
//! - `high watermark ≤ log end ≤ next offset`; `next offset - log end` is what is pending at a
//!   committer, and no reader sees anything from the high watermark on.
//! - Whoever holds a log handle of an earlier opening changes nothing: every opening has a number,
//!   and work that was begun under another number is dropped.
//! - A failure of the backend takes the partition offline and touches nothing else.

mod compact;
mod maintain;
mod open;
mod read;
mod recover;
mod retain;
mod run;
mod settle;
mod snapshot;
mod submit;

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tokio::sync::{Notify, oneshot};

pub use maintain::PartitionState;
pub use read::Fetched;
pub(super) use read::{Progress, TryFetched, Wanted};
pub(super) use settle::Settled;
use settle::{Pending, Sink};

use crate::{
    batch::RecordBatch,
    broker::{
        context::Context,
        in_flight::Reservation,
        produce::PendingProduce,
        producers::ProducerTable,
        stats::Readable,
        topic::TopicShared,
        waiters::{Registration, Waiters},
    },
    config::{Durability, TopicConfig},
    error::Error,
    name::TopicName,
    offset::{LeaderEpoch, Offset, PartitionIndex},
    storage::Partition,
    sync::Mutex,
};

/// One partition.
pub(super) struct PartitionCell {
    topic: Arc<TopicShared>,
    index: PartitionIndex,
    context: Arc<Context>,
    this: Weak<Self>,
    inner: Mutex<Inner>,
    /// The log for readers, who do not take the lock; there while the partition is open.
    reader: ArcSwapOption<Reader>,
    /// Written under the lock.
    high_watermark: AtomicU64,
    readable: Readable,
    /// Changes other than new records: opened, offline, trimmed, deleted.
    changes: AtomicU64,
    waiters: Waiters,
    /// Notified when nothing is pending, or nothing held.
    settled: Notify,
}

#[derive(Debug)]
struct Inner {
    state: State,
    /// Submitted, neither committed nor failed; in the order of their offsets within one opening.
    pending: VecDeque<Pending>,
    /// The number of this opening.
    opening: u64,
    /// How often the partition was brought back since it last ran for a while.
    restarts: u32,
}

#[derive(Debug)]
enum State {
    /// Nobody has asked for it yet.
    Closed,
    Open(Box<OpenLog>),
    /// Down, to be brought back.
    Offline {
        reason: String,
    },
    /// Its topic is deleted.
    Deleted,
}

/// The log of one opening, for readers.
#[derive(Debug)]
struct Reader {
    opening: u64,
    log: Arc<dyn Partition>,
}

/// What is known of a log while it is open.
#[derive(Debug)]
struct OpenLog {
    log: Arc<dyn Partition>,
    path: CommitPath,
    durability: Durability,
    /// Up to here batches are in the log.
    log_end: Offset,
    /// What the next batch gets: the log end, and what is pending at a committer.
    next_offset: Offset,
    leader_epoch: LeaderEpoch,
    producers: ProducerTable,
    snapshots: snapshot::Pace,
    /// While anybody holds sends back, they queue up here in order.
    holds: u32,
    held: VecDeque<Held>,
    /// Whether a task is on its way to flush the log.
    flushing: bool,
    opened_at: Duration,
}

/// How a batch becomes readable.
#[derive(Debug)]
enum CommitPath {
    /// As soon as it is appended.
    Immediate,
    /// As soon as it is appended; flushed in the background this much later.
    Interval(Duration),
    /// Appended at once, readable once it is flushed.
    Flush,
    /// Handed to the committer, which gives it back to this sink.
    Committer(Arc<Sink>),
}

/// A send that waits for the partition to take sends again.
#[derive(Debug)]
struct Held {
    batch: RecordBatch,
    reservation: Reservation,
    answer: oneshot::Sender<Result<PendingProduce, Error>>,
}

impl PartitionCell {
    pub(super) fn new(
        topic: Arc<TopicShared>,
        index: PartitionIndex,
        context: Arc<Context>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            topic,
            index,
            context,
            this: Weak::clone(this),
            inner: Mutex::new(Inner {
                state: State::Closed,
                pending: VecDeque::new(),
                opening: 0,
                restarts: 0,
            }),
            reader: ArcSwapOption::empty(),
            high_watermark: AtomicU64::new(0),
            readable: Readable::default(),
            changes: AtomicU64::new(0),
            waiters: Waiters::default(),
            settled: Notify::new(),
        })
    }

    pub(super) const fn index(&self) -> PartitionIndex {
        self.index
    }

    pub(super) fn topic_name(&self) -> &TopicName {
        &self.topic.name
    }

    pub(super) fn topic_config(&self) -> Arc<TopicConfig> {
        Arc::clone(&self.topic.config())
    }

    pub(super) const fn context(&self) -> &Arc<Context> {
        &self.context
    }

    pub(super) const fn readable(&self) -> &Readable {
        &self.readable
    }

    /// Lets everyone who waits for this partition look again.
    fn wake(&self) {
        self.waiters.wake(&self.context.runtime);
    }

    /// Tells everyone who waits for this partition that it changed in a way that readers must look
    /// at anew. May be called under the lock: it only counts, and hands the waking to a task.
    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Release);
        self.wake();
    }

    /// Notifies the waiter of the next change, once.
    pub(super) fn register(&self, registration: &Arc<Registration>) {
        self.waiters.register(registration);
    }

    /// Up to here records can be read.
    pub(super) fn high_watermark(&self) -> Offset {
        Offset::new(self.high_watermark.load(Ordering::Acquire))
    }

    /// Whether the log is open.
    pub(super) fn is_open(&self) -> bool {
        self.reader.load().is_some()
    }

    /// Why the partition is down, if it is, and for the how manieth time.
    pub(super) fn offline_reason(&self) -> Option<(String, u32)> {
        let inner = self.inner.lock();
        match &inner.state {
            State::Offline { reason } => Some((reason.clone(), inner.restarts)),
            _ => None,
        }
    }

    fn offline(&self, reason: &str) -> Error {
        Error::PartitionOffline {
            topic: self.topic.name.clone(),
            partition: self.index,
            reason: reason.to_owned(),
        }
    }

    /// Makes everything below `end` readable; the caller holds the lock.
    fn advance_high_watermark(&self, end: Offset) {
        if end.get() > self.high_watermark.load(Ordering::Relaxed) {
            self.high_watermark.store(end.get(), Ordering::Release);
        }
    }
}

impl fmt::Debug for PartitionCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartitionCell")
            .field("topic", &self.topic.name)
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

impl Inner {
    /// The open log, if this is still the opening that the caller means.
    fn open_as_of(&mut self, opening: u64) -> Option<&mut OpenLog> {
        match &mut self.state {
            State::Open(open) if self.opening == opening => Some(open),
            _ => None,
        }
    }
}
