//! Reading batches, with long poll: an answer comes once there is enough, or the time is up.
//!
//! A waiting fetch costs one registration a partition and is woken only by those partitions. It
//! reads when it starts and when there may be enough; in between it looks at counters.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Notify, time::Instant};

pub use crate::broker::partition::Fetched;
use crate::{
    broker::{
        Broker,
        partition::{PartitionCell, Progress},
    },
    error::Error,
    name::TopicName,
    offset::{IsolationLevel, Offset, PartitionIndex},
    storage::Access,
};

/// What to read, and how long to wait for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchRequest {
    /// From where, in the order in which room in the answer is given away.
    pub partitions: Vec<FetchPartition>,
    /// Bytes that are worth an answer before the time is up; 0 and 1 are the same.
    pub bytes_min: usize,
    /// Bytes to answer with at most, except that one batch is always answered, whatever its size.
    pub bytes_max: usize,
    /// How long to wait for `bytes_min`; zero answers at once.
    pub wait_max: Duration,
    /// Whether to stop at open transactions.
    pub isolation: IsolationLevel,
    /// Whether the caller looks at the bytes or only passes them on.
    pub access: Access,
}

impl Default for FetchRequest {
    /// Nothing, up to 50 MiB, at once, to be looked at.
    fn default() -> Self {
        Self {
            partitions: Vec::new(),
            bytes_min: 1,
            bytes_max: 50 << 20,
            wait_max: Duration::ZERO,
            isolation: IsolationLevel::default(),
            access: Access::default(),
        }
    }
}

/// One partition to read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchPartition {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionIndex,
    /// The first offset wanted.
    pub from: Offset,
    /// Bytes to read from this partition at most, except for its first batch.
    pub bytes_max: usize,
}

/// One entry a partition asked for, in the same order.
#[derive(Clone, Debug)]
pub struct FetchResponse {
    /// The entries.
    pub partitions: Vec<FetchedPartition>,
}

/// What one partition had.
#[derive(Clone, Debug)]
pub struct FetchedPartition {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionIndex,
    /// Its batches, or why there are none; an error of one partition does not touch the others.
    pub result: Result<Fetched, Error>,
}

/// A partition that was found, and how far it had come before it was read.
struct Source {
    cell: Arc<PartitionCell>,
    seen: Progress,
}

impl Broker {
    /// Reads whole batches from one or more partitions. Answers as soon as `bytes_min` are there, a
    /// partition has an error, or `wait_max` has passed.
    ///
    /// # Errors
    /// [`Error::ShuttingDown`] and [`Error::Fenced`]; all else is told a partition:
    /// [`Error::UnknownTopic`], [`Error::UnknownPartition`], [`Error::OffsetOutOfRange`],
    /// [`Error::CorruptRecords`], [`Error::PartitionOffline`], [`Error::Storage`].
    ///
    /// # Cancel safety
    /// Dropping the future reads nothing.
    pub async fn fetch(&self, request: &FetchRequest) -> Result<FetchResponse, Error> {
        let deadline = Instant::now() + request.wait_max;
        let waiter = Arc::new(Notify::new());
        let mut waits = false;
        loop {
            self.shared.context.check_running()?;
            let (response, sources) = self.read_once(request, waits.then_some(&waiter)).await;
            let bytes = bytes_of(&response);
            let enough = match bytes {
                None => true,
                Some(bytes) => bytes >= request.bytes_min.max(1),
            };
            if enough || request.wait_max.is_zero() || Instant::now() >= deadline {
                count(&response, &sources);
                return Ok(response);
            }
            if !waits {
                // Most fetches find something at once and never register; this one does, and must
                // look again, since what came in between woke nobody.
                waits = true;
                continue;
            }
            let missing = request.bytes_min.max(1) - bytes.unwrap_or_default();
            self.wait_for(&sources, missing as u64, &waiter, deadline)
                .await;
        }
    }

    /// Reads each partition once. Registers `waiter` with each before looking at it.
    async fn read_once(
        &self,
        request: &FetchRequest,
        waiter: Option<&Arc<Notify>>,
    ) -> (FetchResponse, Vec<Source>) {
        let mut partitions = Vec::with_capacity(request.partitions.len());
        let mut sources = Vec::with_capacity(request.partitions.len());
        let mut room = request.bytes_max;
        let mut empty = true;
        for wanted in &request.partitions {
            let found = self
                .topic(&wanted.topic)
                .and_then(|topic| topic.partition(wanted.partition));
            let result = match found {
                Ok(cell) => {
                    if let Some(waiter) = waiter {
                        cell.register(waiter);
                    }
                    let seen = cell.progress();
                    // The first batch of all is answered whatever its size, others only if they fit.
                    let bytes_max = wanted.bytes_max.min(room).max(usize::from(empty));
                    let result = cell
                        .read(wanted.from, bytes_max, request.isolation, request.access)
                        .await
                        .map(|mut fetched| {
                            let bytes = fetched.batches.len();
                            if !empty && bytes > room {
                                fetched.batches = crate::storage::BatchSlices::default();
                            } else if bytes > 0 {
                                empty = false;
                                room = room.saturating_sub(bytes);
                            }
                            fetched
                        });
                    sources.push(Source { cell, seen });
                    result
                }
                Err(error) => Err(error),
            };
            partitions.push(FetchedPartition {
                topic: wanted.topic.clone(),
                partition: wanted.partition,
                result,
            });
        }
        (FetchResponse { partitions }, sources)
    }

    /// Waits until `missing` more bytes may be there, something else happened, or the time is up.
    async fn wait_for(
        &self,
        sources: &[Source],
        missing: u64,
        waiter: &Arc<Notify>,
        deadline: Instant,
    ) {
        let stopped = self.shared.context.stopped();
        tokio::pin!(stopped);
        loop {
            let mut gained = 0;
            let mut changed = false;
            for source in sources {
                let now = source.cell.progress();
                gained += now.bytes_readable - source.seen.bytes_readable;
                changed |= now.changes != source.seen.changes;
            }
            if changed || gained >= missing {
                return;
            }
            tokio::select! {
                () = waiter.notified() => {}
                () = tokio::time::sleep_until(deadline) => return,
                () = &mut stopped => return,
            }
            for source in sources {
                source.cell.register(waiter);
            }
        }
    }
}

/// Bytes in the response; `None` where a partition has an error.
fn bytes_of(response: &FetchResponse) -> Option<usize> {
    response
        .partitions
        .iter()
        .map(|partition| Some(partition.result.as_ref().ok()?.batches.len()))
        .sum()
}

fn count(response: &FetchResponse, sources: &[Source]) {
    for source in sources {
        let bytes = response
            .partitions
            .iter()
            .filter(|partition| {
                partition.topic == *source.cell.topic_name()
                    && partition.partition == source.cell.index()
            })
            .filter_map(|partition| partition.result.as_ref().ok())
            .map(|fetched| fetched.batches.len())
            .sum();
        source.cell.count_read(bytes);
    }
}
