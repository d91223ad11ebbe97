//! Reading whole batches of a topic's partitions, one read after another, from where each ended.
//!
//! Against a [fetch](Broker::fetch) for each read, a reader keeps what a fetch makes anew: the
//! partitions it has looked up, its registrations with them, and where it stands in each.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use crate::{
    broker::{
        Broker,
        context::Context as BrokerContext,
        fetch::{Fetched, FetchedPartition},
        partition::Wanted,
        partition_reader::PartitionReader,
        waiters::{Registration, Waiter},
    },
    error::Error,
    name::TopicName,
    offset::{IsolationLevel, Offset, PartitionIndex},
    storage::Access,
};

/// What a [`BatchReader`] reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchReaderOptions {
    /// The partitions, each with the first offset wanted.
    pub partitions: Vec<(PartitionIndex, Offset)>,
    /// Whether to stop at open transactions.
    pub isolation: IsolationLevel,
    /// Whether the caller looks at the bytes or only passes them on.
    pub access: Access,
}

/// How much one read brings at most, except that it brings one batch whatever its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimits {
    /// No batch that begins so many offsets or more behind the first offset wanted.
    pub offsets_max: u64,
    /// Bytes.
    pub bytes_max: usize,
}

/// Reads whole batches of some partitions of one topic, each from where the last read of it ended,
/// and waits where there are none yet. The partitions take turns, so that a busy one does not starve
/// the rest.
///
/// ```
/// # use ratatoskr_core::{Broker, Error, name::TopicName, offset::{Offset, PartitionIndex}};
/// # use ratatoskr_core::broker::{BatchReaderOptions, ReadLimits};
/// # async fn follow(broker: Broker, orders: TopicName) -> Result<(), Error> {
/// let options = BatchReaderOptions {
///     partitions: vec![(PartitionIndex::new(0), Offset::ZERO)],
///     ..BatchReaderOptions::default()
/// };
/// let mut reader = broker.read_batches(&orders, options)?;
/// let limits = ReadLimits { offsets_max: u64::MAX, bytes_max: 1 << 20 };
/// while let Some(read) = reader.next(limits).await {
///     let fetched = read?.result?;
///     println!("{} bytes up to {}", fetched.batches.len(), fetched.next_offset());
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "a reader reads nothing until it is asked to"]
pub struct BatchReader {
    context: Arc<BrokerContext>,
    topic: TopicName,
    isolation: IsolationLevel,
    access: Access,
    lanes: Vec<Lane>,
    /// The lane whose turn it is.
    turn: usize,
    /// Partitions that were asked for and are not there.
    unknown: Vec<(PartitionIndex, Error)>,
    waiter: Arc<Waiter>,
    /// For the end of the broker.
    stop: Arc<Registration>,
}

#[derive(Debug)]
struct Lane {
    reader: PartitionReader,
    next: Offset,
}

impl Broker {
    /// A reader of batches. It is of the topic that has the name now: one that is created under it
    /// later, after a deletion, is another topic.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], [`Error::ShuttingDown`], [`Error::Fenced`]. A partition that is not
    /// there is told as that partition's error by [`BatchReader::next`].
    pub fn read_batches(
        &self,
        topic: &TopicName,
        options: BatchReaderOptions,
    ) -> Result<BatchReader, Error> {
        self.shared.context.check_running()?;
        let topic = self.topic(topic)?;
        let waiter = Arc::new(Waiter::default());
        let mut lanes = Vec::with_capacity(options.partitions.len());
        let mut unknown = Vec::new();
        for (index, next) in options.partitions {
            match topic.partition(index) {
                Ok(cell) => lanes.push(Lane {
                    reader: PartitionReader::new(cell, &waiter),
                    next,
                }),
                Err(error) => unknown.push((index, error)),
            }
        }
        Ok(BatchReader {
            context: Arc::clone(&self.shared.context),
            topic: topic.name().clone(),
            isolation: options.isolation,
            access: options.access,
            lanes,
            turn: 0,
            unknown,
            stop: Registration::new(&waiter),
            waiter,
        })
    }
}

impl BatchReader {
    /// The partitions that have not ended, each with the offset that is read next.
    pub fn partitions(&self) -> impl Iterator<Item = (PartitionIndex, Offset)> {
        let lanes = self.lanes.iter();
        lanes.map(|lane| (lane.reader.cell().index(), lane.next))
    }

    /// The next batches of one of the partitions, once there are any. `None` when no partition is
    /// left.
    ///
    /// # Errors
    /// [`Error::ShuttingDown`], [`Error::Fenced`]: nothing can be read any more. An error in the
    /// result of a partition ends that partition alone: [`Error::UnknownPartition`],
    /// [`Error::UnknownTopic`] (deleted), [`Error::OffsetOutOfRange`], [`Error::CorruptRecords`],
    /// [`Error::PartitionOffline`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves out no batch.
    pub async fn next(&mut self, limits: ReadLimits) -> Option<Result<FetchedPartition, Error>> {
        poll_fn(|context| self.poll_next(limits, context)).await
    }

    /// [`next`](Self::next), for who polls. A read that has to wait for a disk keeps the limits it
    /// began with.
    pub fn poll_next(
        &mut self,
        limits: ReadLimits,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<FetchedPartition, Error>>> {
        if let Some((partition, error)) = self.unknown.pop() {
            return Poll::Ready(Some(Ok(self.told(partition, Err(error)))));
        }
        if self.lanes.is_empty() {
            return Poll::Ready(None);
        }
        // Who reads on and on lets others run.
        ready!(pin!(tokio::task::consume_budget()).poll(context));
        loop {
            self.context.register(&self.stop);
            if let Err(error) = self.context.check_running() {
                return Poll::Ready(Some(Err(error)));
            }
            if let Some(read) = self.read_some(limits, context) {
                return Poll::Ready(Some(Ok(read)));
            }
            ready!(self.waiter.poll(context));
        }
    }

    /// Reads the first lane that has something, beginning with the one whose turn it is.
    fn read_some(
        &mut self,
        limits: ReadLimits,
        context: &mut Context<'_>,
    ) -> Option<FetchedPartition> {
        let count = self.lanes.len();
        for step in 0..count {
            let at = (self.turn + step) % count;
            let lane = &mut self.lanes[at];
            let partition = lane.reader.cell().index();
            let wanted = Wanted {
                from: lane.next,
                offsets_max: limits.offsets_max,
                bytes_max: limits.bytes_max.max(1),
                isolation: self.isolation,
                access: self.access,
            };
            match lane.reader.poll_read(&wanted, context) {
                // The context is woken when the disk has answered; meanwhile others are read.
                Poll::Pending | Poll::Ready(Ok(None)) => {}
                Poll::Ready(Ok(Some(fetched))) => {
                    lane.next = fetched.next_offset();
                    self.turn = at + 1;
                    return Some(self.told(partition, Ok(fetched)));
                }
                Poll::Ready(Err(error)) => {
                    self.lanes.remove(at);
                    self.turn = at;
                    return Some(self.told(partition, Err(error)));
                }
            }
        }
        None
    }

    fn told(&self, partition: PartitionIndex, result: Result<Fetched, Error>) -> FetchedPartition {
        FetchedPartition {
            topic: self.topic.clone(),
            partition,
            result,
        }
    }
}

impl fmt::Debug for BatchReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchReader")
            .field("topic", &self.topic)
            .field("lanes", &self.lanes)
            .finish_non_exhaustive()
    }
}
