//! Reading batches, with long poll: an answer comes once there is enough, or the time is up.
//!
//! A waiting fetch costs one registration a partition and is woken only by those partitions. It
//! reads when it starts and when there may be enough; in between it looks at counters.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

pub use crate::broker::partition::Fetched;
use crate::{
    broker::{
        Broker,
        partition::{PartitionCell, Progress, Wanted},
        waiters::{Registration, Waiter},
    },
    error::Error,
    limits,
    name::TopicName,
    offset::{IsolationLevel, Offset, PartitionIndex},
    storage::{Access, BatchSlices},
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
    /// How long to wait for `bytes_min`; zero answers at once, and more than
    /// [`limits::FETCH_WAIT_MAX`] is that.
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

/// A partition that was found.
struct Source {
    cell: Arc<PartitionCell>,
    /// How far it had come before it was read.
    seen: Progress,
    registration: Option<Arc<Registration>>,
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
        self.shared.context.check_running()?;
        let deadline = Instant::now() + request.wait_max.min(limits::FETCH_WAIT_MAX);
        let bytes_min = request.bytes_min_possible();
        let mut sources = self.sources(request);
        // Most fetches find something at once, and never register.
        let mut results = read_all(request, &mut sources).await;
        if !request.wait_max.is_zero() && bytes_of(&results).is_some_and(|bytes| bytes < bytes_min)
        {
            let waiter = Arc::new(Waiter::default());
            // Woken when the broker stops as well.
            let stop = Registration::new(&waiter);
            self.shared.context.register(&stop);
            for source in sources.iter_mut().flatten() {
                source.registration = Some(Registration::new(&waiter));
            }
            while let Some(bytes) = bytes_of(&results).filter(|&bytes| bytes < bytes_min) {
                if Instant::now() >= deadline {
                    break;
                }
                self.wait_for(&sources, bytes_min - bytes, &waiter, deadline)
                    .await;
                self.shared.context.check_running()?;
                results = read_all(request, &mut sources).await;
            }
        }
        for (source, result) in sources.iter().zip(&results) {
            if let (Ok(source), Ok(fetched)) = (source, result) {
                source.cell.count_read(fetched.batches.len());
            }
        }
        let partitions = request.partitions.iter().zip(results);
        Ok(FetchResponse {
            partitions: partitions
                .map(|(wanted, result)| FetchedPartition {
                    topic: wanted.topic.clone(),
                    partition: wanted.partition,
                    result,
                })
                .collect(),
        })
    }

    /// Looks up each partition asked for.
    fn sources(&self, request: &FetchRequest) -> Vec<Result<Source, Error>> {
        let wanted = request.partitions.iter();
        wanted
            .map(|wanted| {
                let cell = self.topic(&wanted.topic)?.partition(wanted.partition)?;
                Ok(Source {
                    seen: cell.progress(),
                    cell,
                    registration: None,
                })
            })
            .collect()
    }

    /// Waits until `missing` more bytes may be there, something else happened, or the time is up.
    async fn wait_for(
        &self,
        sources: &[Result<Source, Error>],
        missing: usize,
        waiter: &Waiter,
        deadline: Instant,
    ) {
        loop {
            let mut gained = 0;
            let mut changed = false;
            for source in sources.iter().flatten() {
                if let Some(registration) = &source.registration {
                    source.cell.register(registration);
                }
                let now = source.cell.progress();
                gained += now.bytes_readable - source.seen.bytes_readable;
                changed |= now.changes != source.seen.changes;
            }
            let stopped = self.shared.context.check_running().is_err();
            if changed || stopped || gained >= missing as u64 {
                return;
            }
            tokio::select! {
                () = waiter.woken() => {}
                () = tokio::time::sleep_until(deadline) => return,
            }
        }
    }
}

impl FetchRequest {
    /// The bytes to wait for: never more than the answer has room for.
    fn bytes_min_possible(&self) -> usize {
        let room: usize = self
            .partitions
            .iter()
            .map(|partition| partition.bytes_max)
            .fold(0, usize::saturating_add);
        self.bytes_min.min(self.bytes_max).min(room).max(1)
    }
}

/// Reads each partition once, in order, as long as there is room.
async fn read_all(
    request: &FetchRequest,
    sources: &mut [Result<Source, Error>],
) -> Vec<Result<Fetched, Error>> {
    let mut results = Vec::with_capacity(sources.len());
    let mut room = request.bytes_max;
    let mut empty = true;
    for (wanted, source) in request.partitions.iter().zip(sources) {
        let source = match source {
            Ok(source) => source,
            Err(error) => {
                results.push(Err(error.clone()));
                continue;
            }
        };
        source.seen = source.cell.progress();
        // The first batch of all is answered whatever its size, later ones only if they fit.
        let bytes_max = wanted.bytes_max.min(room).max(usize::from(empty));
        let isolation = request.isolation;
        let wanted = Wanted {
            isolation,
            ..Wanted::from(wanted.from, bytes_max, request.access)
        };
        let mut result = source.cell.serve(&wanted).await;
        if let Ok(fetched) = &mut result {
            let bytes = fetched.batches.len();
            if !empty && bytes > room {
                fetched.batches = BatchSlices::default();
            } else {
                empty &= bytes == 0;
                room = room.saturating_sub(bytes);
            }
        }
        results.push(result);
    }
    results
}

/// Bytes in all results; `None` where one is an error.
fn bytes_of(results: &[Result<Fetched, Error>]) -> Option<usize> {
    let bytes = |result: &Result<Fetched, Error>| Some(result.as_ref().ok()?.batches.len());
    results.iter().map(bytes).sum()
}
