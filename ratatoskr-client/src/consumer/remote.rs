//! A consumer over the network: a subscription under credit, begun again where it was cut.
//!
//! Invariants:
//! - a partition's `next` is the first offset that was not received; it alone decides where a new
//!   subscription begins, so nothing is received twice or left out;
//! - what is received and not yet taken is bounded by the credit: credit is granted again only for
//!   batches that were taken to their end.

use std::{
    collections::{BTreeMap, VecDeque, btree_map::Entry},
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use ratatoskr_core::{
    Error as BrokerError,
    batch::{RecordBatch, RecordLimits, Records},
    name::TopicName,
    offset::{Offset, PartitionIndex},
    record::ConsumedRecord,
    wire::{Credit, Deliver},
};
use tokio::time::{Instant, Sleep};

use super::{
    ConsumerOptions,
    plan::{Plan, Subscribed},
};
use crate::{Error, client::Client, remote::Pushed};

/// What is taken of what was pushed at once.
const PUSHED_MAX: usize = 256;
/// Wait before a partition that is down is asked for again; it doubles with each attempt.
const RETRY_MIN: Duration = Duration::from_millis(50);
/// Longest such wait.
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Reads records of one topic from a server.
pub(super) struct RemoteReader {
    plan: Arc<Plan>,
    /// The first offset of each partition that was not received.
    next: BTreeMap<PartitionIndex, Offset>,
    subscription: Option<Subscribed>,
    /// What the server is being asked.
    asking: Option<BoxFuture<'static, Answer>>,
    /// When to begin a new subscription, and after how many failures.
    resume_at: Option<Instant>,
    failures: u32,
    refresh_at: Instant,
    /// For the earlier of both.
    timer: Pin<Box<Sleep>>,
    /// What was pushed, on its way into `received`; empty in between.
    pushed: Vec<Pushed>,
    received: VecDeque<Received>,
    reading: Option<Reading>,
    /// What was taken and is not yet granted again.
    taken: Window,
    /// Why no record can follow those received.
    over: Option<Error>,
}

/// What the server has answered.
enum Answer {
    Subscribed(Result<Subscribed, Error>),
    Partitions(Result<Vec<PartitionIndex>, Error>),
}

/// An amount of credit.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    records: u64,
    bytes: u64,
}

/// What is to be handed out, in order.
#[derive(Debug)]
enum Received {
    Batch {
        partition: PartitionIndex,
        /// Records before this one were not asked for.
        from: Offset,
        batch: RecordBatch,
        cost: Window,
    },
    Error(Error),
}

/// A batch that is being handed out.
#[derive(Debug)]
struct Reading {
    partition: PartitionIndex,
    from: Offset,
    records: Records,
    cost: Window,
}

impl RemoteReader {
    pub(super) async fn open(
        client: Client,
        topic: TopicName,
        options: ConsumerOptions,
    ) -> Result<Self, Error> {
        let plan = Plan {
            client,
            topic,
            options,
        };
        let mut next = BTreeMap::new();
        for partition in plan.partitions().await? {
            next.insert(partition, plan.start_of(partition).await?);
        }
        let refresh_at = Instant::now() + plan.options.partitions_refresh;
        Ok(Self {
            plan: Arc::new(plan),
            next,
            subscription: None,
            asking: None,
            resume_at: None,
            failures: 0,
            refresh_at,
            timer: Box::pin(tokio::time::sleep_until(refresh_at)),
            pushed: Vec::new(),
            received: VecDeque::new(),
            reading: None,
            taken: Window::default(),
            over: None,
        })
    }

    /// The next item that is there already.
    pub(super) fn next_ready(&mut self) -> Option<Result<ConsumedRecord, Error>> {
        loop {
            if let Some(reading) = &mut self.reading {
                match reading.records.next() {
                    Some(Ok(record)) if record.offset < reading.from => {}
                    Some(Ok(record)) => {
                        return Some(Ok(ConsumedRecord {
                            topic: self.plan.topic.clone(),
                            partition: reading.partition,
                            offset: record.offset,
                            record: record.into_record(),
                        }));
                    }
                    Some(Err(error)) => {
                        self.end_batch();
                        return Some(Err(error.into()));
                    }
                    None => self.end_batch(),
                }
                continue;
            }
            match self.received.pop_front()? {
                Received::Error(error) => return Some(Err(error)),
                Received::Batch {
                    partition,
                    from,
                    batch,
                    cost,
                } => {
                    let records = batch
                        .verify_crc()
                        .and_then(|()| batch.records(&RecordLimits::default()));
                    match records {
                        Ok(records) => {
                            self.reading = Some(Reading {
                                partition,
                                from,
                                records,
                                cost,
                            });
                        }
                        Err(error) => {
                            self.give_back(cost);
                            return Some(Err(error.into()));
                        }
                    }
                }
            }
        }
    }

    fn end_batch(&mut self) {
        if let Some(reading) = self.reading.take() {
            self.give_back(reading.cost);
        }
    }

    /// Grants credit again once a good part of it was taken, so that few frames do it.
    fn give_back(&mut self, cost: Window) {
        self.taken.records += cost.records;
        self.taken.bytes += cost.bytes;
        let enough = self.taken.records * 2 >= u64::from(self.plan.options.buffer_records)
            || self.taken.bytes * 2 >= u64::from(self.plan.options.buffer_bytes);
        if enough && let Some((subscription, _)) = &self.subscription {
            subscription.grant(self.taken.credit());
            self.taken = Window::default();
        }
    }

    /// Waits until there is something to hand out.
    ///
    /// # Errors
    /// No record can follow.
    pub(super) fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while self.received.is_empty() {
            if let Some(error) = self.over.take() {
                return Poll::Ready(Err(error));
            }
            if let Some(asking) = &mut self.asking
                && let Poll::Ready(answer) = asking.as_mut().poll(context)
            {
                self.asking = None;
                self.answered(answer)?;
                continue;
            }
            if self.poll_pushed(context).is_ready() {
                continue;
            }
            if self.asking.is_some() {
                return Poll::Pending;
            }
            if self.subscription.is_none() && self.resume_at.is_none() {
                self.subscribe();
                continue;
            }
            ready!(self.poll_timer(context));
        }
        Poll::Ready(Ok(()))
    }

    /// Takes in all that was pushed; ready if there was anything.
    fn poll_pushed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some((_, receiver)) = &mut self.subscription else {
            return Poll::Pending;
        };
        let mut pushed = std::mem::take(&mut self.pushed);
        let count = ready!(receiver.poll_recv_many(context, &mut pushed, PUSHED_MAX));
        if count == 0 {
            self.subscription = None;
        }
        for pushed in pushed.drain(..) {
            match pushed {
                Pushed::Delivered(deliver, batches) => self.take(deliver, batches),
                Pushed::Lost => self.subscription = None,
            }
            // What comes after it is asked for again.
            if self.subscription.is_none() {
                break;
            }
        }
        self.pushed = pushed;
        Poll::Ready(())
    }

    /// Sees to what is due by time; ready if anything was.
    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let wake_at = self
            .resume_at
            .map_or(self.refresh_at, |at| at.min(self.refresh_at));
        if self.timer.deadline() != wake_at {
            self.timer.as_mut().reset(wake_at);
        }
        ready!(self.timer.as_mut().poll(context));
        if self.resume_at.take_if(|at| *at <= Instant::now()).is_some() {
            self.subscription = None;
            return Poll::Ready(());
        }
        self.refresh_at = Instant::now() + self.plan.options.partitions_refresh;
        let plan = Arc::clone(&self.plan);
        self.asking = Some(Box::pin(async move {
            Answer::Partitions(plan.partitions().await)
        }));
        Poll::Ready(())
    }

    fn subscribe(&mut self) {
        let plan = Arc::clone(&self.plan);
        let partitions = self.next.iter().map(|(&index, &at)| (index, at)).collect();
        // Nothing is held: a new subscription begins when all that came is handed out.
        let credit = Credit {
            records: self.plan.options.buffer_records,
            bytes: self.plan.options.buffer_bytes,
        };
        self.asking = Some(Box::pin(async move {
            Answer::Subscribed(plan.subscribe(partitions, credit).await)
        }));
    }

    fn answered(&mut self, answer: Answer) -> Result<(), Error> {
        match answer {
            Answer::Subscribed(Ok(subscribed)) => {
                self.subscription = Some(subscribed);
                self.taken = Window::default();
            }
            Answer::Partitions(Ok(partitions)) => {
                // Those that were added are read from their first record.
                for partition in partitions {
                    if let Entry::Vacant(entry) = self.next.entry(partition) {
                        entry.insert(Offset::ZERO);
                        self.subscription = None;
                    }
                }
            }
            Answer::Subscribed(Err(error)) | Answer::Partitions(Err(error)) => {
                return self.failed(error);
            }
        }
        Ok(())
    }

    /// Goes on later, unless no record can follow.
    fn failed(&mut self, error: Error) -> Result<(), Error> {
        if matches!(error, Error::Closed | Error::Protocol(_))
            || matches!(&error, Error::Broker(BrokerError::UnknownTopic(_)))
        {
            return Err(error);
        }
        tracing::debug!(%error, topic = %self.plan.topic, "a consumer goes on later");
        self.retry_later();
        Ok(())
    }

    fn retry_later(&mut self) {
        let wait = RETRY_MIN
            .saturating_mul(1 << self.failures.min(16))
            .min(RETRY_MAX);
        self.failures += 1;
        let at = Instant::now() + wait;
        self.resume_at = Some(self.resume_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Takes in what was pushed.
    fn take(&mut self, deliver: Deliver, batches: Bytes) {
        let partition = deliver.partition;
        let Some(next) = self.next.get_mut(&partition) else {
            return;
        };
        if let Some(error) = deliver.error {
            let error = error.into_error().map_or_else(Error::Remote, Error::Broker);
            self.partition_failed(partition, error);
            return;
        }
        self.failures = 0;
        for batch in ratatoskr_core::batch::batches(batches) {
            let batch = match batch {
                Ok(batch) => batch,
                Err(error) => {
                    // Where the next batch begins is not known: this delivery is asked for again.
                    self.received.push_back(Received::Error(error.into()));
                    self.subscription = None;
                    self.retry_later();
                    return;
                }
            };
            let header = batch.header();
            // As the server counts: up to the end of the batch, whatever compaction left of it.
            let covered = header.end_offset().distance_from(*next);
            let from = *next;
            *next = header.end_offset().max(from);
            self.received.push_back(Received::Batch {
                partition,
                from,
                cost: Window {
                    records: covered,
                    bytes: batch.total_bytes() as u64,
                },
                batch,
            });
        }
    }

    /// A partition is no longer part of the subscription.
    fn partition_failed(&mut self, partition: PartitionIndex, error: Error) {
        if matches!(&error, Error::Broker(BrokerError::UnknownTopic(_))) {
            self.over = Some(error);
            return;
        }
        let go_on_at = match &error {
            Error::Broker(BrokerError::OffsetOutOfRange { requested, bounds }) => {
                // Held between the ends one by one: a careless peer's might be the wrong way round.
                Some(
                    (*requested)
                        .min(bounds.high_watermark)
                        .max(bounds.log_start),
                )
            }
            Error::Broker(BrokerError::CorruptRecords { until, .. }) => Some(*until),
            _ => None,
        };
        if let Some(offset) = go_on_at {
            self.next.insert(partition, offset);
            self.received.push_back(Received::Error(error));
            self.subscription = None;
            return;
        }
        // What passes by itself is waited for.
        if !error.is_retryable() {
            self.received.push_back(Received::Error(error));
        }
        self.retry_later();
    }
}

impl Window {
    fn credit(self) -> Credit {
        Credit {
            records: u32::try_from(self.records).unwrap_or(u32::MAX),
            bytes: u32::try_from(self.bytes).unwrap_or(u32::MAX),
        }
    }
}
