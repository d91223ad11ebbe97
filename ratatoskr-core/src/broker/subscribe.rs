//! A topic delivered to a callback, which acknowledges each record or asks for it again.
//!
//! Invariants:
//! - The callback is called with one record at a time, and those of a partition in the order of
//!   their offsets. A record that is not acknowledged comes again, after a while that doubles, and
//!   the records behind it in its partition wait for it; other partitions go on.
//! - A callback that panics has not acknowledged. It ends nothing but its own call.

use std::{
    collections::BTreeMap,
    future::Future,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{
    broker::{
        Broker,
        problems::{Problem, ProblemScope},
        reader::{ReaderOptions, StartAt, TopicReader},
        stream::{StreamOptions, ends},
        supervision::panic_message,
    },
    error::Error,
    name::TopicName,
    offset::PartitionIndex,
    record::ConsumedRecord,
    sync::Mutex,
};

/// What a callback says of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledgement {
    /// Done with it.
    Ack,
    /// Not done: deliver it again.
    Nack,
}

/// What a subscription reads, and how it repeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// Where it begins.
    pub start: StartAt,
    /// Which partitions; `None` for all, those that are added later as well.
    pub partitions: Option<Vec<PartitionIndex>>,
    /// Wait before a record comes for the second time; it doubles each time.
    pub backoff_min: Duration,
    /// Longest wait before a record comes again.
    pub backoff_max: Duration,
}

impl Default for SubscribeOptions {
    /// All partitions from their oldest record, again after 100 ms to 30 s.
    fn default() -> Self {
        Self {
            start: StartAt::default(),
            partitions: None,
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(30),
        }
    }
}

/// A subscription that runs. It ends when this is dropped, once the call in progress has returned.
#[derive(Debug)]
#[must_use = "a subscription ends when its handle is dropped"]
pub struct Subscription {
    close: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), Error>>,
    ended: Option<Result<(), Error>>,
}

impl Subscription {
    /// Ends the subscription. Returns once the call in progress has; whether that was acknowledged
    /// is then of no matter to the broker, which keeps no place for this subscription.
    ///
    /// # Errors
    /// Why it had ended already: [`Error::UnknownTopic`], [`Error::ShuttingDown`],
    /// [`Error::Fenced`].
    ///
    /// # Cancel safety
    /// Dropping the future ends the subscription all the same.
    pub async fn close(mut self) -> Result<(), Error> {
        drop(self.close.take());
        self.wait().await
    }

    /// Waits until the subscription ends by itself.
    ///
    /// # Errors
    /// Why it ended: [`Error::UnknownTopic`] (deleted), [`Error::ShuttingDown`],
    /// [`Error::Fenced`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves the subscription running.
    pub async fn wait(&mut self) -> Result<(), Error> {
        if let Some(ended) = &self.ended {
            return ended.clone();
        }
        let ended = (&mut self.task)
            .await
            .unwrap_or_else(|error| Err(Error::Internal(error.to_string())));
        self.ended.insert(ended).clone()
    }
}

impl Broker {
    /// Calls `callback` with each record of a topic, one at a time. Where it begins is settled when
    /// this returns. For partitions to be worked on side by side, subscribe to each by itself.
    ///
    /// Records that were removed before they could be delivered, or that cannot be read, are
    /// counted ([`BrokerStats::subscription_skips`](super::BrokerStats::subscription_skips)) and
    /// logged, and delivery goes on behind them; who must know which reads a
    /// [stream](Self::stream).
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], [`Error::UnknownPartition`], [`Error::LimitReached`] at
    /// `subscriptions_max`, [`Error::Storage`], [`Error::ShuttingDown`], [`Error::Fenced`].
    ///
    /// # Cancel safety
    /// Dropping the future subscribes to nothing.
    pub async fn subscribe<F, A>(
        &self,
        topic: &TopicName,
        options: SubscribeOptions,
        callback: F,
    ) -> Result<Subscription, Error>
    where
        F: Fn(ConsumedRecord) -> A + Send + Sync + 'static,
        A: Future<Output = Acknowledgement> + Send + 'static,
    {
        let entry = self
            .shared
            .subscriptions
            .enter(topic, self.shared.context.config.subscriptions_max)?;
        let reader = ReaderOptions::from(StreamOptions {
            start: options.start.clone(),
            partitions: options.partitions.clone(),
            ..StreamOptions::default()
        });
        let reader = TopicReader::open(self, topic, reader).await?;
        let (close, closed) = oneshot::channel();
        let delivery = Delivery {
            reader,
            callback,
            options,
            entry,
        };
        Ok(Subscription {
            close: Some(close),
            task: self.shared.context.runtime.spawn(delivery.run(closed)),
            ended: None,
        })
    }
}

/// One subscription at work.
struct Delivery<F> {
    reader: TopicReader,
    callback: F,
    options: SubscribeOptions,
    entry: Entry,
}

impl<F, A> Delivery<F>
where
    F: Fn(ConsumedRecord) -> A + Send + Sync,
    A: Future<Output = Acknowledgement> + Send,
{
    async fn run(mut self, mut closed: oneshot::Receiver<()>) -> Result<(), Error> {
        loop {
            let next = tokio::select! {
                biased;
                _ = &mut closed => return Ok(()),
                next = self.reader.next() => next,
            };
            match next {
                Ok(record) => self.deliver(record).await,
                Err(error) if ends(&error) => return Err(error),
                Err(error) => {
                    self.entry.all.skips.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(topic = %self.entry.topic, %error, "a subscription skips records");
                }
            }
            // A callback that never waits must not keep others from running.
            tokio::task::consume_budget().await;
        }
    }

    async fn deliver(&mut self, record: ConsumedRecord) {
        let call = AssertUnwindSafe(async { (self.callback)(record.clone()).await });
        let reason = match call.catch_unwind().await {
            Ok(Acknowledgement::Ack) => {
                self.entry.acknowledged(record.partition);
                return;
            }
            Ok(Acknowledgement::Nack) => "the record was not acknowledged".to_owned(),
            Err(panic) => format!("the callback panicked: {}", panic_message(&*panic)),
        };
        let failures = self.entry.failed(record.partition, reason);
        let doublings = failures.saturating_sub(1).min(31);
        let backoff = self
            .options
            .backoff_min
            .saturating_mul(1 << doublings)
            .min(self.options.backoff_max);
        self.reader.retry(record, backoff);
    }
}

/// The subscriptions there are, and what is wrong with them.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    inner: Arc<AllSubscriptions>,
}

#[derive(Debug, Default)]
struct AllSubscriptions {
    next: AtomicU64,
    count: AtomicU64,
    skips: AtomicU64,
    /// Only those whose last delivery failed.
    failing: Mutex<BTreeMap<(u64, PartitionIndex), Problem>>,
}

impl Subscriptions {
    fn enter(&self, topic: &TopicName, subscriptions_max: usize) -> Result<Entry, Error> {
        let max = subscriptions_max as u64;
        let all = &self.inner;
        all.count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                (count < max).then_some(count + 1)
            })
            .map_err(|_| Error::LimitReached {
                limit: "subscriptions_max",
                max,
            })?;
        Ok(Entry {
            all: Arc::clone(all),
            id: all.next.fetch_add(1, Ordering::Relaxed),
            topic: topic.clone(),
            failing: BTreeMap::new(),
        })
    }

    pub(super) fn count(&self) -> u64 {
        self.inner.count.load(Ordering::Relaxed)
    }

    pub(super) fn skips(&self) -> u64 {
        self.inner.skips.load(Ordering::Relaxed)
    }

    pub(super) fn problems(&self) -> Vec<Problem> {
        self.inner.failing.lock().values().cloned().collect()
    }
}

/// One subscription among all; it leaves them when dropped.
#[derive(Debug)]
struct Entry {
    all: Arc<AllSubscriptions>,
    id: u64,
    topic: TopicName,
    /// Failures in a row of each partition's record that is being repeated.
    failing: BTreeMap<PartitionIndex, u32>,
}

impl Entry {
    fn acknowledged(&mut self, partition: PartitionIndex) {
        if self.failing.remove(&partition).is_some() {
            self.all.failing.lock().remove(&(self.id, partition));
        }
    }

    /// Takes note of a delivery that failed, and answers for the how manieth time it did.
    fn failed(&mut self, partition: PartitionIndex, reason: String) -> u32 {
        let failures = self.failing.entry(partition).or_default();
        *failures = failures.saturating_add(1);
        let problem = Problem {
            scope: ProblemScope::Subscription {
                id: self.id,
                topic: self.topic.clone(),
                partition,
            },
            reason,
            failures: *failures,
        };
        self.all
            .failing
            .lock()
            .insert((self.id, partition), problem);
        *failures
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.all.count.fetch_sub(1, Ordering::Relaxed);
        let mut failing = self.all.failing.lock();
        for &partition in self.failing.keys() {
            failing.remove(&(self.id, partition));
        }
    }
}
