//! Reads a topic record by record, from where it is told to start: beneath streams and
//! subscriptions.
//!
//! Invariants:
//! - A reader holds an offset a partition and what one read of it returned, nothing else: records
//!   are slices of what was read, shared by all who read them.
//! - Records of one partition come in the order of their offsets; none is left out without an
//!   error that says which.
//! - It is woken by the partitions, never by time, except while it waits out an error.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::{
    batch::{RecordBatch, RecordLimits, Records, batches},
    broker::{
        Broker, offsets::first_record_at, partition::PartitionCell, topic::TopicState,
        waiters::Registration,
    },
    error::Error,
    name::TopicName,
    offset::{IsolationLevel, Offset, PartitionIndex},
    record::ConsumedRecord,
    storage::Access,
    time::Timestamp,
};

/// Where reading a topic begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StartAt {
    /// At the oldest record of each partition.
    #[default]
    Start,
    /// After the newest record of each partition.
    End,
    /// At this offset of each partition.
    Offset(Offset),
    /// At the first record of this time or later; after the newest if there is none.
    Timestamp(Timestamp),
    /// At an offset for each partition; at the oldest record of those not named.
    Offsets(Vec<(PartitionIndex, Offset)>),
}

/// What to read.
#[derive(Clone, Debug)]
pub(super) struct ReaderOptions {
    pub(super) start: StartAt,
    pub(super) partitions: Option<Vec<PartitionIndex>>,
    pub(super) bytes_max: usize,
    pub(super) isolation: IsolationLevel,
}

/// Reads records of one topic.
#[derive(Debug)]
pub(super) struct TopicReader {
    broker: Broker,
    topic: Arc<TopicState>,
    options: ReaderOptions,
    lanes: Vec<Lane>,
    /// The lane whose turn it is.
    turn: usize,
    waiter: Arc<Notify>,
    /// For partitions that are added.
    registration: Arc<Registration>,
}

/// One partition that is read.
#[derive(Debug)]
struct Lane {
    cell: Arc<PartitionCell>,
    registration: Arc<Registration>,
    /// The next offset to read; `None` while it is not known where to start.
    next: Option<Offset>,
    /// Changes of the partition, other than new records, up to the last read.
    changes: Option<u64>,
    /// What was read and not handed out yet.
    batches: VecDeque<RecordBatch>,
    records: Option<OpenBatch>,
    /// A record that is to be handed out again.
    again: Option<ConsumedRecord>,
    /// Nothing is handed out before this moment.
    paused_until: Option<Instant>,
    failures: u32,
}

/// A batch whose records are being handed out.
#[derive(Debug)]
struct OpenBatch {
    records: Records,
    end_offset: Offset,
}

impl TopicReader {
    /// A reader that is told now where to start: records appended later are all "later".
    pub(super) async fn open(
        broker: &Broker,
        name: &TopicName,
        options: ReaderOptions,
    ) -> Result<Self, Error> {
        broker.shared.context.check_running()?;
        let topic = broker.topic(name)?;
        let cells = match &options.partitions {
            None => topic.partitions(),
            Some(indexes) => BTreeSet::from_iter(indexes)
                .into_iter()
                .map(|&index| topic.partition(index))
                .collect::<Result<_, _>>()?,
        };
        let waiter = Arc::new(Notify::new());
        let mut lanes: Vec<_> = cells
            .into_iter()
            .map(|cell| Lane::new(cell, &waiter))
            .collect();
        for lane in &mut lanes {
            match lane.resolve(&options.start).await {
                Ok(()) => {}
                // It will be asked again when it is back.
                Err(error) if error.is_retryable() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self {
            broker: broker.clone(),
            topic,
            options,
            lanes,
            turn: 0,
            registration: Registration::new(&waiter),
            waiter,
        })
    }

    /// The next record, if it is at hand.
    pub(super) fn next_ready(&mut self) -> Option<Result<ConsumedRecord, Error>> {
        // A lane keeps its turn until it has handed out what was read of it.
        for _ in 0..self.lanes.len() {
            let lane = &mut self.lanes[self.turn];
            match lane.take().transpose() {
                None => self.turn = (self.turn + 1) % self.lanes.len(),
                found => return found,
            }
        }
        None
    }

    /// The next record, or an error. After [`Error::UnknownTopic`], [`Error::ShuttingDown`] and
    /// [`Error::Fenced`] nothing comes any more; after any other error, reading goes on.
    ///
    /// # Cancel safety
    /// Dropping the future loses no record.
    pub(super) async fn next(&mut self) -> Result<ConsumedRecord, Error> {
        loop {
            if let Some(next) = self.next_ready() {
                return next;
            }
            self.fill().await?;
        }
    }

    /// Waits until a record is at hand.
    ///
    /// # Cancel safety
    /// Dropping the future loses no record.
    pub(super) async fn fill(&mut self) -> Result<(), Error> {
        loop {
            self.broker.shared.context.check_running()?;
            // Registered before anything is looked at, so that nothing that comes after is missed.
            self.topic.register(&self.registration);
            if self.topic.is_deleted() {
                return Err(Error::UnknownTopic(self.topic.name().clone()));
            }
            self.add_lanes();
            for lane in &self.lanes {
                lane.cell.register(&lane.registration);
            }
            if self.read_some().await? {
                return Ok(());
            }
            self.wait().await;
        }
    }

    /// Hands out a record again, after a while; records behind it in its partition wait for it.
    pub(super) fn retry(&mut self, record: ConsumedRecord, after: Duration) {
        let lane = self
            .lanes
            .iter_mut()
            .find(|lane| lane.cell.index() == record.partition);
        if let Some(lane) = lane {
            lane.again = Some(record);
            lane.paused_until = Some(Instant::now() + after);
        }
    }

    /// Picks up partitions that were added; they are read from their first record.
    fn add_lanes(&mut self) {
        if self.options.partitions.is_some() {
            return;
        }
        let have = self.lanes.len();
        if self.topic.partition_count() as usize > have {
            let added = self.topic.partitions().into_iter().skip(have);
            self.lanes.extend(added.map(|cell| Lane {
                next: Some(Offset::ZERO),
                ..Lane::new(cell, &self.waiter)
            }));
        }
    }

    /// Reads the first lane that has something, beginning with the one whose turn it is.
    async fn read_some(&mut self) -> Result<bool, Error> {
        for step in 0..self.lanes.len() {
            let at = (self.turn + step) % self.lanes.len();
            let lane = &mut self.lanes[at];
            match lane.read(&self.options).await {
                // A partition that is offline notifies the waiter when it is back.
                Ok(false) | Err(Error::PartitionOffline { .. }) => {}
                Ok(true) => {
                    lane.failures = 0;
                    self.turn = at;
                    return Ok(true);
                }
                Err(error) if error.is_retryable() => self.pause(at),
                Err(error) => {
                    self.after(at, &error);
                    return Err(error);
                }
            }
        }
        Ok(false)
    }

    /// Where reading of a lane goes on after an error that its reader is told of.
    fn after(&mut self, at: usize, error: &Error) {
        match *error {
            Error::OffsetOutOfRange { bounds, requested } => {
                // Beyond the end there is nothing to go on with but the end itself.
                self.lanes[at].next =
                    Some(requested.clamp(bounds.log_start, bounds.high_watermark));
            }
            Error::CorruptRecords { until, .. } => self.lanes[at].next = Some(until),
            _ => self.pause(at),
        }
    }

    fn pause(&mut self, at: usize) {
        let lane = &mut self.lanes[at];
        let backoff = self.broker.shared.context.restart_backoff(lane.failures);
        lane.failures = lane.failures.saturating_add(1);
        lane.paused_until = Some(Instant::now() + backoff);
    }

    /// Waits for a change of any lane, or for the end of a pause.
    async fn wait(&self) {
        let until = self.lanes.iter().filter_map(|lane| lane.paused_until).min();
        let pause = async {
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.waiter.notified() => {}
            () = pause => {}
            () = self.broker.shared.context.stopped() => {}
        }
    }
}

impl Lane {
    fn new(cell: Arc<PartitionCell>, waiter: &Arc<Notify>) -> Self {
        Self {
            cell,
            registration: Registration::new(waiter),
            next: None,
            changes: None,
            batches: VecDeque::new(),
            records: None,
            again: None,
            paused_until: None,
            failures: 0,
        }
    }

    async fn resolve(&mut self, start: &StartAt) -> Result<(), Error> {
        let bounds = self.cell.bounds()?;
        let next = match start {
            StartAt::Start => bounds.log_start,
            StartAt::End => bounds.high_watermark,
            StartAt::Offset(offset) => *offset,
            StartAt::Timestamp(at) => first_record_at(&self.cell, *at)
                .await?
                .unwrap_or(bounds.high_watermark),
            StartAt::Offsets(offsets) => offsets
                .iter()
                .find(|(index, _)| *index == self.cell.index())
                .map_or(bounds.log_start, |&(_, offset)| offset),
        };
        self.next = Some(next);
        Ok(())
    }

    fn is_paused(&mut self) -> bool {
        // The clock is asked only while there is a pause, not for each record.
        if self
            .paused_until
            .is_some_and(|until| until <= Instant::now())
        {
            self.paused_until = None;
        }
        self.paused_until.is_some()
    }

    /// The next record of what was read.
    fn take(&mut self) -> Result<Option<ConsumedRecord>, Error> {
        if self.is_paused() {
            return Ok(None);
        }
        if let Some(record) = self.again.take() {
            return Ok(Some(record));
        }
        loop {
            if let Some(open) = &mut self.records {
                if let Some(record) = open.records.next() {
                    let end_offset = open.end_offset;
                    // The rest of a damaged batch is left out, and the reader is told.
                    let record = record.inspect_err(|_| self.next = Some(end_offset))?;
                    if self.next.is_some_and(|next| record.offset < next) {
                        continue;
                    }
                    self.next = Some(record.offset.plus(1));
                    return Ok(Some(ConsumedRecord {
                        topic: self.cell.topic_name().clone(),
                        partition: self.cell.index(),
                        offset: record.offset,
                        record: record.into_record(),
                    }));
                }
                // Compaction may have taken the last records of the batch.
                self.next = Some(open.end_offset);
                self.records = None;
            }
            let Some(batch) = self.batches.pop_front() else {
                return Ok(None);
            };
            let end_offset = batch.header().end_offset();
            if batch.header().is_control() {
                self.next = Some(end_offset);
                continue;
            }
            let records = batch
                .records(&RecordLimits::default())
                .inspect_err(|_| self.next = Some(end_offset))?;
            self.records = Some(OpenBatch {
                records,
                end_offset,
            });
        }
    }

    /// Reads if there is something to read; whether there is something to hand out now.
    async fn read(&mut self, options: &ReaderOptions) -> Result<bool, Error> {
        if self.is_paused() {
            return Ok(false);
        }
        if self.again.is_some() || self.records.is_some() || !self.batches.is_empty() {
            return Ok(true);
        }
        if self.next.is_none() {
            self.resolve(&options.start).await?;
        }
        let Some(next) = self.next else {
            return Ok(false);
        };
        let changes = self.cell.progress().changes;
        if self.changes == Some(changes) && self.cell.high_watermark() <= next {
            return Ok(false);
        }
        let fetched = self
            .cell
            .read(next, options.bytes_max, options.isolation, Access::Inspect)
            .await?;
        self.changes = Some(changes);
        self.cell.count_read(fetched.batches.len());
        for slice in fetched.batches.into_slices() {
            for batch in batches(slice) {
                self.batches.push_back(batch?);
            }
        }
        Ok(!self.batches.is_empty())
    }
}
