//! A consumer over the network: a subscription under credit, begun again where it was cut.
//!
//! Invariants:
//! - a partition's `next` is the first offset that was not received; it alone decides where a new
//!   subscription begins, so nothing is received twice or left out;
//! - what is received and not yet taken is bounded by the credit: credit is granted again only for
//!   batches that were taken to their end.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use ratatoskr_core::{
    Error as BrokerError,
    batch::{RecordBatch, RecordLimits, Records},
    name::TopicName,
    offset::{IsolationLevel, Offset, PartitionIndex},
    record::ConsumedRecord,
    wire::{Credit, Deliver, Subscribe},
};
use tokio::{sync::mpsc, time::Instant};

use super::{ConsumerOptions, start::start_of};
use crate::{
    Error,
    client::{Client, Transport},
    remote::{Pushed, RemoteSubscription},
};

/// Wait before a partition that is down is asked for again; it doubles with each attempt.
const RETRY_MIN: Duration = Duration::from_millis(50);
/// Longest such wait.
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Reads records of one topic from a server.
#[derive(Debug)]
pub(super) struct RemoteReader {
    client: Client,
    topic: TopicName,
    options: ConsumerOptions,
    /// The first offset of each partition that was not received.
    next: BTreeMap<PartitionIndex, Offset>,
    subscription: Option<(RemoteSubscription, mpsc::UnboundedReceiver<Pushed>)>,
    /// When to begin a new subscription, and after how many failures.
    resume_at: Option<Instant>,
    failures: u32,
    refresh_at: Instant,
    received: VecDeque<Received>,
    reading: Option<Reading>,
    /// What was taken and is not yet granted again.
    taken: Window,
    /// Why no record can follow those received.
    over: Option<Error>,
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
        let mut reader = Self {
            client,
            topic,
            refresh_at: Instant::now() + options.partitions_refresh,
            options,
            next: BTreeMap::new(),
            subscription: None,
            resume_at: None,
            failures: 0,
            received: VecDeque::new(),
            reading: None,
            taken: Window::default(),
            over: None,
        };
        for partition in reader.partitions().await? {
            let start = &reader.options.start;
            let at = start_of(&reader.client, &reader.topic, partition, start).await?;
            reader.next.insert(partition, at);
        }
        Ok(reader)
    }

    /// The partitions to read, as far as they are there.
    async fn partitions(&self) -> Result<Vec<PartitionIndex>, Error> {
        let topic = self.client.describe_topic(&self.topic).await?;
        let there: Vec<_> = topic.partitions.iter().map(|part| part.index).collect();
        let Some(wanted) = &self.options.partitions else {
            return Ok(there);
        };
        match wanted.iter().find(|wanted| !there.contains(wanted)) {
            None => Ok(wanted.clone()),
            Some(&partition) => Err(Error::Broker(BrokerError::UnknownPartition {
                topic: self.topic.clone(),
                partition,
            })),
        }
    }

    /// The next item that is there already.
    pub(super) fn next_ready(&mut self) -> Option<Result<ConsumedRecord, Error>> {
        loop {
            if let Some(reading) = &mut self.reading {
                match reading.records.next() {
                    Some(Ok(record)) if record.offset < reading.from => {}
                    Some(Ok(record)) => {
                        return Some(Ok(ConsumedRecord {
                            topic: self.topic.clone(),
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
        let enough = self.taken.records * 2 >= u64::from(self.options.buffer_records)
            || self.taken.bytes * 2 >= u64::from(self.options.buffer_bytes);
        if enough && let Some((subscription, _)) = &self.subscription {
            subscription.grant(self.taken.credit());
            self.taken = Window::default();
        }
    }

    /// Waits until there is something to hand out.
    ///
    /// # Errors
    /// No record can follow.
    pub(super) async fn fill(&mut self) -> Result<(), Error> {
        while self.received.is_empty() {
            if let Some(error) = self.over.take() {
                return Err(error);
            }
            if self.subscription.is_none() && self.resume_at.is_none() {
                self.subscribe().await?;
                continue;
            }
            self.wait().await?;
        }
        Ok(())
    }

    async fn wait(&mut self) -> Result<(), Error> {
        let wake_at = self
            .resume_at
            .map_or(self.refresh_at, |at| at.min(self.refresh_at));
        let pushed = async {
            match &mut self.subscription {
                Some((_, pushed)) => pushed.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            pushed = pushed => match pushed {
                Some(Pushed::Delivered(deliver, batches)) => self.take(deliver, batches),
                Some(Pushed::Lost) | None => self.subscription = None,
            },
            () = tokio::time::sleep_until(wake_at) => {
                if self.resume_at.take_if(|at| *at <= Instant::now()).is_some() {
                    self.subscription = None;
                } else {
                    self.refresh().await?;
                }
            }
        }
        Ok(())
    }

    /// Looks for partitions that were added; they are read from their first record.
    async fn refresh(&mut self) -> Result<(), Error> {
        self.refresh_at = Instant::now() + self.options.partitions_refresh;
        match self.partitions().await {
            Ok(partitions) => {
                for partition in partitions {
                    if let std::collections::btree_map::Entry::Vacant(entry) =
                        self.next.entry(partition)
                    {
                        entry.insert(Offset::ZERO);
                        self.subscription = None;
                    }
                }
                Ok(())
            }
            Err(error) => self.failed(error),
        }
    }

    async fn subscribe(&mut self) -> Result<(), Error> {
        let Transport::Remote(remote) = &self.client.transport else {
            return Err(Error::Closed);
        };
        match remote.subscribe(&self.subscribe_body()).await {
            Ok(subscription) => {
                self.subscription = Some(subscription);
                self.taken = Window::default();
                Ok(())
            }
            Err(error) => self.failed(error),
        }
    }

    fn subscribe_body(&self) -> Subscribe {
        let mut room = Window {
            records: self.options.buffer_records.into(),
            bytes: self.options.buffer_bytes.into(),
        };
        let reading = self.reading.iter().map(|reading| reading.cost);
        let received = self.received.iter().filter_map(|received| match received {
            Received::Batch { cost, .. } => Some(*cost),
            Received::Error(_) => None,
        });
        for held in reading.chain(received) {
            room.records = room.records.saturating_sub(held.records);
            room.bytes = room.bytes.saturating_sub(held.bytes);
        }
        Subscribe {
            topic: self.topic.clone(),
            partitions: self.next.iter().map(|(&index, &at)| (index, at)).collect(),
            committed: self.options.isolation == IsolationLevel::ReadCommitted,
            credit: room.credit(),
        }
    }

    /// Goes on later, unless no record can follow.
    fn failed(&mut self, error: Error) -> Result<(), Error> {
        if matches!(error, Error::Closed | Error::Protocol(_))
            || matches!(&error, Error::Broker(BrokerError::UnknownTopic(_)))
        {
            return Err(error);
        }
        tracing::debug!(%error, topic = %self.topic, "a consumer goes on later");
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
            let covered = header
                .end_offset()
                .distance_from(header.base_offset.max(*next));
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
