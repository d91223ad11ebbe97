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
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::time::{Instant, Sleep};

use crate::{
    batch::{RecordBatch, RecordLimits, Records, batches},
    broker::{
        Broker,
        context::Context as BrokerContext,
        offsets::first_record_at,
        partition::{PartitionCell, Wanted},
        partition_reader::PartitionReader,
        topic::TopicState,
        waiters::{Registration, Waiter},
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
pub(super) struct TopicReader {
    context: Arc<BrokerContext>,
    topic: Arc<TopicState>,
    options: ReaderOptions,
    lanes: Vec<Lane>,
    /// The lane whose turn it is.
    turn: usize,
    waiter: Arc<Waiter>,
    /// For partitions that are added.
    registration: Arc<Registration>,
    /// For the end of the broker.
    stop: Arc<Registration>,
    /// For the first pause that ends.
    timer: Option<Pin<Box<Sleep>>>,
}

/// One partition that is read.
struct Lane {
    reader: PartitionReader,
    /// The next offset to read; `None` while it is not known where to start.
    next: Option<Offset>,
    /// Finds out where to start.
    resolving: Option<BoxFuture<'static, Result<Offset, Error>>>,
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
        let waiter = Arc::new(Waiter::default());
        let mut lanes = Vec::with_capacity(cells.len());
        for cell in cells {
            let next = match start_of(&cell, &options.start).await {
                Ok(next) => Some(next),
                // It will be asked again when it is back.
                Err(error) if error.is_retryable() => None,
                Err(error) => return Err(error),
            };
            lanes.push(Lane::new(cell, &waiter, next));
        }
        Ok(Self {
            context: Arc::clone(&broker.shared.context),
            topic,
            options,
            lanes,
            turn: 0,
            registration: Registration::new(&waiter),
            stop: Registration::new(&waiter),
            waiter,
            timer: None,
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
        poll_fn(|context| self.poll_next(context)).await
    }

    /// [`next`](Self::next), for who polls.
    pub(super) fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<ConsumedRecord, Error>> {
        loop {
            if let Some(next) = self.next_ready() {
                return Poll::Ready(next);
            }
            ready!(self.poll_fill(context))?;
        }
    }

    /// Waits until a record is at hand.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        // Who reads on and on lets others run.
        ready!(pin!(tokio::task::consume_budget()).poll(context));
        loop {
            // Registered before anything is looked at, so that nothing that comes after is missed.
            self.context.register(&self.stop);
            self.context.check_running()?;
            self.topic.register(&self.registration);
            if self.topic.is_deleted() {
                return Poll::Ready(Err(Error::UnknownTopic(self.topic.name().clone())));
            }
            self.add_lanes();
            if self.read_some(context)? {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_wait(context));
        }
    }

    /// Hands out a record again, after a while; records behind it in its partition wait for it.
    pub(super) fn retry(&mut self, record: ConsumedRecord, after: Duration) {
        let lane = self
            .lanes
            .iter_mut()
            .find(|lane| lane.reader.cell().index() == record.partition);
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
            let waiter = &self.waiter;
            self.lanes
                .extend(added.map(|cell| Lane::new(cell, waiter, Some(Offset::ZERO))));
        }
    }

    /// Reads the first lane that has something, beginning with the one whose turn it is.
    fn read_some(&mut self, context: &mut Context<'_>) -> Result<bool, Error> {
        for step in 0..self.lanes.len() {
            let at = (self.turn + step) % self.lanes.len();
            let lane = &mut self.lanes[at];
            match lane.poll_read(&self.options, context) {
                // A partition that is offline notifies the waiter when it is back; the context is
                // woken when a disk has answered.
                Poll::Pending | Poll::Ready(Ok(false) | Err(Error::PartitionOffline { .. })) => {}
                Poll::Ready(Ok(true)) => {
                    lane.failures = 0;
                    self.turn = at;
                    return Ok(true);
                }
                Poll::Ready(Err(error)) if error.is_retryable() => self.pause(at),
                Poll::Ready(Err(error)) => {
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
        let backoff = self.context.restart_backoff(lane.failures);
        lane.failures = lane.failures.saturating_add(1);
        lane.paused_until = Some(Instant::now() + backoff);
    }

    /// Waits for a change of any lane, or for the end of a pause.
    fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let until = self.lanes.iter().filter_map(|lane| lane.paused_until).min();
        let Some(until) = until else {
            return self.waiter.poll(context);
        };
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if timer.deadline() != until {
            timer.as_mut().reset(until);
        }
        if timer.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        self.waiter.poll(context)
    }
}

/// Where reading of a partition starts.
async fn start_of(cell: &PartitionCell, start: &StartAt) -> Result<Offset, Error> {
    let bounds = cell.bounds()?;
    Ok(match start {
        StartAt::Start => bounds.log_start,
        StartAt::End => bounds.high_watermark,
        StartAt::Offset(offset) => *offset,
        StartAt::Timestamp(at) => first_record_at(cell, *at)
            .await?
            .unwrap_or(bounds.high_watermark),
        StartAt::Offsets(offsets) => offsets
            .iter()
            .find(|(index, _)| *index == cell.index())
            .map_or(bounds.log_start, |&(_, offset)| offset),
    })
}

impl Lane {
    fn new(cell: Arc<PartitionCell>, waiter: &Arc<Waiter>, next: Option<Offset>) -> Self {
        Self {
            reader: PartitionReader::new(cell, waiter),
            next,
            resolving: None,
            batches: VecDeque::new(),
            records: None,
            again: None,
            paused_until: None,
            failures: 0,
        }
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
                        topic: self.reader.cell().topic_name().clone(),
                        partition: self.reader.cell().index(),
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
    fn poll_read(
        &mut self,
        options: &ReaderOptions,
        context: &mut Context<'_>,
    ) -> Poll<Result<bool, Error>> {
        if self.is_paused() {
            return Poll::Ready(Ok(false));
        }
        if self.again.is_some() || self.records.is_some() || !self.batches.is_empty() {
            return Poll::Ready(Ok(true));
        }
        let next = match self.next {
            Some(next) => next,
            None => ready!(self.poll_resolve(&options.start, context))?,
        };
        let wanted = Wanted {
            isolation: options.isolation,
            ..Wanted::from(next, options.bytes_max.max(1), Access::Inspect)
        };
        let Some(fetched) = ready!(self.reader.poll_read(&wanted, context))? else {
            return Poll::Ready(Ok(false));
        };
        for slice in fetched.batches.into_slices() {
            for batch in batches(slice) {
                self.batches.push_back(batch?);
            }
        }
        Poll::Ready(Ok(!self.batches.is_empty()))
    }

    fn poll_resolve(
        &mut self,
        start: &StartAt,
        context: &mut Context<'_>,
    ) -> Poll<Result<Offset, Error>> {
        let resolving = self.resolving.get_or_insert_with(|| {
            let (cell, start) = (Arc::clone(self.reader.cell()), start.clone());
            Box::pin(async move { start_of(&cell, &start).await })
        });
        let resolved = ready!(resolving.as_mut().poll(context));
        self.resolving = None;
        let next = resolved?;
        self.next = Some(next);
        Poll::Ready(Ok(next))
    }
}

impl fmt::Debug for TopicReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicReader")
            .field("topic", self.topic.name())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
