//! Brokers whose commits or clocks a test has in its hands.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ratatoskr_core::{
    Broker,
    broker::NewTopic,
    commit::{CommitError, Committer, Submission, Ticket},
    config::TopicConfigChange,
    name::TopicId,
    storage::{Capabilities, Storage, StorageError, StorageResult, Topic, TopicDescriptor},
    sync::Mutex,
    time::{Clock, Timestamp},
};
use ratatoskr_storage::{MemoryStorage, SystemClock};
use tokio::sync::oneshot;

use crate::raw::topic;

/// A broker in memory with the topic `orders` of one partition.
pub(crate) async fn broker() -> Broker {
    let storage = Arc::new(MemoryStorage::new());
    let builder = Broker::builder(storage, Arc::new(SystemClock::new()));
    with_topic(builder.open().await.unwrap(), "").await
}

async fn with_topic(broker: Broker, config: &str) -> Broker {
    let mut change = TopicConfigChange::default();
    if let Some((key, value)) = config.split_once('=') {
        change.set(key, value).unwrap();
    }
    let new = NewTopic {
        partitions: Some(1),
        config: change,
    };
    broker.create_topic(&topic(), new).await.unwrap();
    broker
}

/// Holds every batch until it is let go.
#[derive(Debug, Default)]
pub(crate) struct HeldCommits {
    state: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    waiting: Vec<(Submission, oneshot::Sender<Result<(), CommitError>>)>,
    /// The most that were waiting at once: batches, bytes.
    peak: (usize, usize),
}

impl HeldCommits {
    /// A broker whose commits are held, and what holds them.
    pub(crate) async fn broker() -> (Broker, Arc<Self>) {
        let held = Arc::new(Self::default());
        let storage = Arc::new(Durable(MemoryStorage::new()));
        let builder = Broker::builder(storage, Arc::new(SystemClock::new()));
        let broker = builder
            .committer(Arc::clone(&held) as _)
            .open()
            .await
            .unwrap();
        (with_topic(broker, "durability=fsync").await, held)
    }

    /// Commits what waits, in order; how many that were.
    pub(crate) fn commit(&self) -> usize {
        let waiting = std::mem::take(&mut self.state.lock().waiting);
        let count = waiting.len();
        for (submission, done) in waiting {
            submission.sink.apply(&[submission.batch]).unwrap();
            let _ = done.send(Ok(()));
        }
        count
    }

    pub(crate) fn waiting(&self) -> usize {
        self.state.lock().waiting.len()
    }

    /// The most that were waiting at once: batches, bytes.
    pub(crate) fn peak(&self) -> (usize, usize) {
        self.state.lock().peak
    }
}

impl Committer for HeldCommits {
    fn submit(&self, submission: Submission) -> Result<Ticket, StorageError> {
        let (done, outcome) = oneshot::channel();
        let mut state = self.state.lock();
        state.waiting.push((submission, done));
        let bytes = state
            .waiting
            .iter()
            .map(|(waiting, _)| waiting.batch.total_bytes())
            .sum();
        state.peak = (
            state.peak.0.max(state.waiting.len()),
            state.peak.1.max(bytes),
        );
        Ok(Ticket::pending(async { outcome.await.unwrap() }))
    }
}

/// Memory that claims to be durable, so that its batches go through the committer.
#[derive(Debug)]
struct Durable(MemoryStorage);

#[async_trait::async_trait]
impl Storage for Durable {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            fsync: true,
            persistent: true,
            ..self.0.capabilities()
        }
    }

    async fn create_topic(&self, topic: &TopicDescriptor) -> StorageResult<Arc<dyn Topic>> {
        self.0.create_topic(topic).await
    }

    async fn open_topic(&self, id: TopicId) -> StorageResult<Arc<dyn Topic>> {
        self.0.open_topic(id).await
    }

    async fn update_topic(&self, topic: &TopicDescriptor) -> StorageResult<()> {
        self.0.update_topic(topic).await
    }

    async fn delete_topic(&self, id: TopicId) -> StorageResult<()> {
        self.0.delete_topic(id).await
    }

    async fn list_topics(&self) -> StorageResult<Vec<TopicDescriptor>> {
        self.0.list_topics().await
    }
}

/// A clock that panics when it is told to.
pub(crate) struct BrokenClock {
    inner: SystemClock,
    pub(crate) broken: AtomicBool,
}

impl BrokenClock {
    /// A broker that asks the clock for the time of every batch, and the clock.
    pub(crate) async fn broker() -> (Broker, Arc<Self>) {
        let clock = Arc::new(Self {
            inner: SystemClock::new(),
            broken: AtomicBool::new(false),
        });
        let storage = Arc::new(MemoryStorage::new());
        let broker = Broker::builder(storage, Arc::clone(&clock) as _);
        let broker = broker.open().await.unwrap();
        (with_topic(broker, "timestamp_type=append").await, clock)
    }
}

impl fmt::Debug for BrokenClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BrokenClock")
    }
}

impl Clock for BrokenClock {
    fn now(&self) -> Timestamp {
        assert!(!self.broken.load(Ordering::SeqCst), "the clock is broken");
        self.inner.now()
    }

    fn monotonic(&self) -> Duration {
        self.inner.monotonic()
    }
}
