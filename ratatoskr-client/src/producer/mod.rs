//! Sending records: gathered into batches, sent in order, sent again where that is safe.
//!
//! ```text
//! options.rs   what a producer was told      lane.rs      one partition's batches, and their order
//! delivery.rs  what became of a record       driver.rs    answers, deadlines, retries
//! ```
//! A send puts its record into its partition's batch and, where nothing is to be waited for, puts
//! that batch on the wire then and there; the driver, one task a producer, does the rest.

mod delivery;
mod driver;
mod lane;
mod options;

use std::{
    collections::BTreeMap,
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use ratatoskr_core::{
    Error as BrokerError,
    batch::BatchBuilder,
    broker::{ProducerIdentity, TopicDescription},
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

use crate::{Error, batches::PendingBatch, client::Client, remote::Taken};
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
    /// Batches whose answers the driver is to wait for.
    started: Vec<Started>,
    closed: bool,
}

/// A batch that was sent.
#[derive(Debug)]
struct Started {
    partition: PartitionIndex,
    id: u64,
    pending: Pending,
}

/// What a batch that was sent is waited for with.
#[derive(Debug)]
enum Pending {
    Acknowledgement(PendingBatch),
    Taken(Taken),
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

    /// Accepts a record into the buffer, waiting for room if need be. It is on its way when this
    /// returns; the [`Delivery`] tells where it went.
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
    async fn admit(&self, record: &Record) -> Result<usize, Error> {
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

    /// Puts a record into its partition's batch, and sends what is due.
    fn accept(
        &self,
        partition: PartitionIndex,
        record: &Record,
        cost: usize,
    ) -> Result<Delivery, Error> {
        let now = wall_clock();
        let mut state = self.state.lock();
        if state.closed {
            drop(state);
            self.room.add_permits(cost);
            return Err(Error::Closed);
        }
        let batch_bytes = self.options.batch_bytes;
        let lane = state.lanes.entry(partition).or_insert_with(|| {
            let comes_back = self.client.broker_comes_back();
            Lane::new(partition, self.identity, &self.options, comes_back)
        });
        let pushed = lane.push(record, cost, batch_bytes, now);
        let delivery = match pushed {
            Ok((delivery, filled)) => {
                if filled {
                    self.router.next_batch();
                }
                delivery
            }
            Err(error) => {
                drop(state);
                self.room.add_permits(cost);
                return Err(error.into());
            }
        };
        self.pump(&mut state, partition);
        drop(state);
        self.wake.notify_one();
        Ok(delivery)
    }

    /// Sends what is due of one partition.
    fn pump(&self, state: &mut State, partition: PartitionIndex) {
        let State { lanes, started, .. } = state;
        let Some(lane) = lanes.get_mut(&partition) else {
            return;
        };
        let now = Instant::now();
        let mut freed = 0;
        loop {
            if lane.seal_if_due(now, self.options.linger) {
                self.router.next_batch();
            }
            let Some((id, batch)) = lane.next_to_send(now) else {
                break;
            };
            if self.options.acks == Acks::None {
                let sent = self
                    .client
                    .produce_unacknowledged(&self.topic, partition, batch);
                match sent {
                    Ok(Some(taken)) => started.push(Started {
                        partition,
                        id,
                        pending: Pending::Taken(taken),
                    }),
                    Ok(None) => freed += lane.gone(id, Ok(())),
                    Err(error) => freed += lane.gone(id, Err(error)),
                }
                continue;
            }
            match self.client.produce_batch(&self.topic, partition, &batch) {
                Ok(pending) => match pending.ready() {
                    Some(produced) => freed += lane.answered(id, Ok(produced), now),
                    None => started.push(Started {
                        partition,
                        id,
                        pending: Pending::Acknowledgement(pending),
                    }),
                },
                Err(error) => freed += lane.answered(id, Err(error), now),
            }
        }
        if freed > 0 {
            self.room.add_permits(freed);
        }
    }

    /// Makes everything due that is gathered; the ends of everything that is held.
    fn hurry(&self) -> Vec<Arc<delivery::BatchOutcome>> {
        let mut state = self.state.lock();
        let partitions: Vec<_> = state.lanes.keys().copied().collect();
        let mut outcomes = Vec::new();
        for partition in partitions {
            if let Some(lane) = state.lanes.get_mut(&partition) {
                lane.hurry();
                outcomes.extend(lane.outcomes());
            }
            self.pump(&mut state, partition);
        }
        drop(state);
        self.wake.notify_one();
        outcomes
    }

    /// Looks for partitions that were added.
    async fn refresh(&self) -> Result<(), Error> {
        let topic = self.client.describe_topic(&self.topic).await?;
        // A topic never has fewer than before; one that was made anew may.
        self.partitions.store(count(&topic), Ordering::Relaxed);
        Ok(())
    }

    fn close(&self) {
        self.state.lock().closed = true;
        self.room.close();
        self.wake.notify_one();
    }
}

fn count(topic: &TopicDescription) -> u32 {
    u32::try_from(topic.partitions.len())
        .unwrap_or(u32::MAX)
        .max(1)
}

/// The machine's time.
fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let ms = since.unwrap_or_default().as_millis();
    Timestamp::new(i64::try_from(ms).unwrap_or(i64::MAX))
}
