//! Sending records: gathered into batches, sent in order, sent again where that is safe.
//!
//! ```text
//! options.rs   what a producer was told      lane/        one partition's batches, and their order
//! delivery.rs  what became of a record       sending.rs   batches out, answers in
//! driver.rs    deadlines, retries
//! ```
//! A send puts its record into its partition's batch. Where nothing of that partition is under way
//! the batch is queued for the connection then and there, and so it is once it has half of what is
//! held at once; else when the task that sends yields, with all that was sent until then, or with an
//! answer. What is queued is written at once where nothing is under way or it is much; else by the
//! connection's task, so that the batches of many partitions share a write. That task hears the
//! answers. The driver, one task a producer, does what is due by time, and what a broker in this
//! process answers later.

mod delivery;
mod driver;
mod lane;
mod options;
mod sending;

use std::{
    collections::BTreeMap,
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use ratatoskr_core::{
    Error as BrokerError,
    batch::BatchBuilder,
    broker::{PendingProduce, ProducerIdentity, TopicDescription},
    name::TopicName,
    offset::PartitionIndex,
    record::Record,
    routing::Router,
    sync::Mutex,
    time::Timestamp,
};
use tokio::{
    sync::{Notify, Semaphore, SemaphorePermit, TryAcquireError},
    time::Instant,
};

pub use delivery::{Delivery, RecordMetadata};
pub use options::{Acks, OnFull, ProducerBuilder};

use crate::{Error, client::Client};
use lane::Lane;
use options::ProducerOptions;

/// Sends records to one topic; clones are the same producer. Records of one key, and records sent
/// to one partition, keep the order of their sends.
///
/// Dropping the last clone leaves what was accepted to be sent in the background, as long as the
/// runtime lives; [`close`](Self::close) waits for it.
#[derive(Clone, Debug)]
pub struct Producer {
    handle: Arc<Handle>,
}

/// What the clones of a producer share; the driver does not hold it.
#[derive(Debug)]
struct Handle {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: Client,
    topic: TopicName,
    /// How many partitions the topic has, as far as known.
    partitions: AtomicU32,
    options: ProducerOptions,
    identity: Option<ProducerIdentity>,
    router: Router,
    /// Bytes that may still be accepted.
    room: Semaphore,
    state: Mutex<State>,
    /// There is something for the driver to do.
    wake: Notify,
}

#[derive(Debug, Default)]
struct State {
    lanes: BTreeMap<PartitionIndex, Lane>,
    /// Partitions whose open batch is to be sent by the driver as soon as it runs.
    due: Vec<PartitionIndex>,
    /// Batches in this process whose answers the driver is to wait for.
    started: Vec<Started>,
    /// When the driver looks at every partition next; `None` while it has to do so now.
    looks_at: Option<Instant>,
    closed: bool,
}

/// A batch that a broker in this process has taken.
#[derive(Debug)]
struct Started {
    partition: PartitionIndex,
    id: u64,
    pending: PendingProduce,
}

impl Producer {
    async fn open(
        client: Client,
        topic: TopicName,
        mut options: ProducerOptions,
    ) -> Result<Self, Error> {
        let description = client.ensure_topic(&topic).await?;
        let config = &description.config;
        options.batch_bytes = options.batch_bytes.min(config.batch_bytes_max as usize);
        let compression = *options.compression.get_or_insert(config.compression);
        // A codec that is not built is found here, not with the first record.
        let now = Timestamp::new(0);
        let mut probe = BatchBuilder::new(compression);
        probe.push(&Record::new(vec![0; 64]), now)?;
        probe.build()?;
        let identity = if options.idempotent {
            Some(client.new_producer().await?)
        } else {
            None
        };
        let inner = Arc::new(Inner {
            partitions: AtomicU32::new(count(&description)),
            room: Semaphore::new(options.buffer_bytes),
            router: Router::new(fastrand::u32(..)),
            client,
            topic,
            options,
            identity,
            state: Mutex::default(),
            wake: Notify::new(),
        });
        tokio::spawn(driver::drive(Arc::clone(&inner)));
        Ok(Self {
            handle: Arc::new(Handle { inner }),
        })
    }

    /// Sends a record and waits until it is acknowledged. One at a time, this costs a round trip
    /// each; to have many under way, [`enqueue`](Self::enqueue) them.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue), and those of its [`Delivery`].
    ///
    /// # Cancel safety
    /// Dropping the future may leave the record on its way.
    pub async fn send(&self, record: Record) -> Result<RecordMetadata, Error> {
        self.enqueue(record).await?.await
    }

    /// Accepts a record into the buffer, waiting for room if need be; the [`Delivery`] tells where it
    /// went. Without a [`linger`](ProducerBuilder::linger) it leaves at once or, behind others that are
    /// on their way, when much is gathered, the calling task next waits, or others are answered. So a
    /// task that computes for long should wait for something first, as [`flush`](Self::flush) does.
    ///
    /// # Errors
    /// Nothing was accepted: [`Error::BufferFull`], [`Error::RecordTooLarge`], [`Error::Batch`],
    /// [`Error::Closed`].
    ///
    /// # Cancel safety
    /// Dropping the future accepts nothing.
    pub async fn enqueue(&self, record: Record) -> Result<Delivery, Error> {
        let inner = &self.handle.inner;
        let cost = inner.admit(&record).await?;
        let key = record.key.as_deref();
        let partition = inner.router.route(key, self.partitions());
        inner.accept(partition, &record, cost)
    }

    /// [`enqueue`](Self::enqueue) for a partition that the caller has chosen.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue), and
    /// [`UnknownPartition`](ratatoskr_core::Error::UnknownPartition).
    ///
    /// # Cancel safety
    /// Dropping the future accepts nothing.
    pub async fn enqueue_to(
        &self,
        partition: PartitionIndex,
        record: Record,
    ) -> Result<Delivery, Error> {
        let inner = &self.handle.inner;
        if partition.get() >= self.partitions() {
            inner.refresh().await?;
        }
        if partition.get() >= self.partitions() {
            return Err(Error::Broker(BrokerError::UnknownPartition {
                topic: inner.topic.clone(),
                partition,
            }));
        }
        let cost = inner.admit(&record).await?;
        inner.accept(partition, &record, cost)
    }

    /// How many partitions the topic has, as far as the producer knows; see
    /// [`partitions_refresh`](ProducerBuilder::partitions_refresh).
    pub fn partitions(&self) -> u32 {
        self.handle.inner.partitions.load(Ordering::Relaxed)
    }

    /// Sends what is gathered without further lingering, and waits until every record accepted
    /// before is acknowledged or has failed.
    ///
    /// # Errors
    /// That of the first batch that failed; each record's [`Delivery`] tells of its own.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the records on their way.
    pub async fn flush(&self) -> Result<(), Error> {
        let outcomes = self.handle.inner.hurry();
        let mut flushed = Ok(());
        for outcome in outcomes {
            let mut place = None;
            let settled = poll_fn(|cx| outcome.poll(&mut place, cx)).await;
            flushed = flushed.and(settled.map(drop));
        }
        flushed
    }

    /// Accepts no further record (nor do the clones), and waits as [`flush`](Self::flush) does.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    ///
    /// # Cancel safety
    /// Dropping the future leaves the producer closed, and the records on their way.
    pub async fn close(self) -> Result<(), Error> {
        self.handle.inner.close();
        self.flush().await
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.inner.close();
        self.inner.hurry();
    }
}

impl Inner {
    /// Waits for room for a record; what it takes of the buffer.
    async fn admit(self: &Arc<Self>, record: &Record) -> Result<usize, Error> {
        let cost = BatchBuilder::default().total_bytes_with(record);
        let bytes_max = self.options.buffer_bytes;
        let too_large = || Error::RecordTooLarge {
            bytes: cost,
            bytes_max,
        };
        let permits = u32::try_from(cost).map_err(|_| too_large())?;
        if cost > bytes_max {
            return Err(too_large());
        }
        let full = Error::BufferFull { bytes_max };
        match self.room.try_acquire_many(permits) {
            Ok(permit) => {
                permit.forget();
                return Ok(cost);
            }
            Err(TryAcquireError::Closed) => return Err(Error::Closed),
            Err(TryAcquireError::NoPermits) => {}
        }
        // Room comes only from what is sent, so nothing lingers any more.
        self.hurry();
        let permit = match self.options.on_full {
            OnFull::Fail => return Err(full),
            OnFull::Wait => self.acquire(permits).await?,
            OnFull::WaitFor(wait) => tokio::time::timeout(wait, self.acquire(permits))
                .await
                .map_err(|_| full)??,
        };
        permit.forget();
        Ok(cost)
    }

    async fn acquire(&self, permits: u32) -> Result<SemaphorePermit<'_>, Error> {
        let acquired = self.room.acquire_many(permits).await;
        acquired.map_err(|_| Error::Closed)
    }

    /// Looks for partitions that were added.
    async fn refresh(&self) -> Result<(), Error> {
        let topic = self.client.describe_topic(&self.topic).await?;
        // A topic never has fewer than before; one that was made anew may.
        self.partitions.store(count(&topic), Ordering::Relaxed);
        Ok(())
    }

    fn close(&self) {
        self.state.lock().close();
        self.room.close();
        self.wake.notify_one();
    }
}

impl State {
    fn close(&mut self) {
        self.closed = true;
        self.looks_at = None;
    }

    /// Lets the driver look at every partition now where something is due before it would; whether it
    /// is to be woken for that.
    fn look_by(&mut self, due: Option<Instant>) -> bool {
        let is_sooner = due.is_some_and(|due| self.looks_at.is_some_and(|at| due < at));
        if is_sooner {
            self.looks_at = None;
        }
        is_sooner
    }
}

fn count(topic: &TopicDescription) -> u32 {
    u32::try_from(topic.partitions.len())
        .unwrap_or(u32::MAX)
        .max(1)
}
