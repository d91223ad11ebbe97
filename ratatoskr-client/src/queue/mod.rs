//! Working off a topic as a queue: records are taken under a lease, and settled one by one.
//!
//! ```text
//! QueueBuilder ── open ──▶ Queue ── next ──▶ LeasedRecord ── ack, retry, reject, …
//!                            │                     │
//!   fetcher.rs  takes records ahead                │      settler.rs  what is settled at the same
//!   held.rs     what is held, to be renewed        ▼                  time travels together
//!   work.rs     for_each_concurrent          door.rs, requests.rs  in process or over the network
//! ```

mod admin;
mod door;
mod fetcher;
mod held;
mod leased;
mod requests;
mod settler;
mod work;

use std::{sync::Arc, time::Duration};

use ratatoskr_core::{
    delivery::ConsumerId,
    name::{GroupId, TopicName},
    record::ConsumedRecord,
};
use tokio::{sync::mpsc, time::Instant};

pub use leased::LeasedRecord;
pub use work::{Nack, Stopper, Work};

use crate::{Error, client::Client, options::FOREVER};
use door::Door;
use fetcher::{Fetcher, Room};
use held::Held;
use settler::Settler;
use work::OnRefused;

/// Records taken ahead at most, unless told otherwise.
const PREFETCH_RECORDS_DEFAULT: u32 = 100;
/// Bytes of batches taken at a time at most, unless told otherwise.
const PREFETCH_BYTES_DEFAULT: u32 = 1 << 20;
/// How long work may take to come to its end once it is to stop, unless told otherwise.
const DRAIN_DEFAULT: Duration = Duration::from_secs(30);

/// A consumer of a queue to be configured and opened.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is opened"]
pub struct QueueBuilder {
    client: Client,
    topic: TopicName,
    group: GroupId,
    options: QueueOptions,
}

#[derive(Clone, Debug)]
struct QueueOptions {
    consumer: Option<ConsumerId>,
    prefetch_records: u32,
    prefetch_bytes: u32,
    lease: Option<Duration>,
    drain: Duration,
    refused: Option<OnRefused>,
}

impl Client {
    /// A consumer of a topic as a queue, to be configured and opened. Consumers that name the same
    /// group share the records of the topic: each goes to one of them.
    pub fn queue(&self, topic: &TopicName, group: &GroupId) -> QueueBuilder {
        QueueBuilder {
            client: self.clone(),
            topic: topic.clone(),
            group: group.clone(),
            options: QueueOptions {
                consumer: None,
                prefetch_records: PREFETCH_RECORDS_DEFAULT,
                prefetch_bytes: PREFETCH_BYTES_DEFAULT,
                lease: None,
                drain: DRAIN_DEFAULT,
                refused: None,
            },
        }
    }
}

impl QueueBuilder {
    /// What the consumer is called, for people and for the group's limits; a name that nobody else
    /// has unless told otherwise.
    pub fn consumer(mut self, consumer: ConsumerId) -> Self {
        self.options.consumer = Some(consumer);
        self
    }

    /// How much is taken ahead: records (100 unless told otherwise), and bytes of batches at a time
    /// (1 MiB); at least 1 each. The lease of what is taken ahead runs, so take no more than can be
    /// worked off within it; [`for_each_concurrent`](Queue::for_each_concurrent) renews it.
    pub fn prefetch(mut self, records: u32, bytes: u32) -> Self {
        self.options.prefetch_records = records.max(1);
        self.options.prefetch_bytes = bytes.max(1);
        self
    }

    /// How long records may be held; what the group is configured with unless told otherwise.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.options.lease = Some(lease.min(FOREVER));
        self
    }

    /// How long [`for_each_concurrent`](Queue::for_each_concurrent) lets handlers go on once it is to
    /// stop; 30 s unless told otherwise.
    pub fn drain(mut self, drain: Duration) -> Self {
        self.options.drain = drain.min(FOREVER);
        self
    }

    /// Has [`for_each_concurrent`](Queue::for_each_concurrent) call this with each record that was not
    /// settled as its handler said, and why: its lease was over, or the broker refuses what was said.
    /// The record comes again, or another consumer has it. Where nobody is to be called, it is logged.
    pub fn on_refused(
        mut self,
        call: impl Fn(&ConsumedRecord, &Error) + Send + Sync + 'static,
    ) -> Self {
        self.options.refused = Some(OnRefused(Arc::new(call)));
        self
    }

    /// Opens the consumer, which begins to take records. The group is made with the defaults if it is
    /// not there.
    ///
    /// # Errors
    /// What is wrong with the first attempt to take records, such as an unknown topic, and those of
    /// the connection.
    ///
    /// # Cancel safety
    /// Dropping the future gives back what was taken.
    pub async fn open(self) -> Result<Queue, Error> {
        let consumer = match self.options.consumer {
            Some(consumer) => consumer,
            None => ConsumerId::parse(&format!("consumer-{:016x}", fastrand::u64(..)))
                .map_err(|error| Error::Protocol(error.to_string()))?,
        };
        let door = Arc::new(Door {
            client: self.client,
            topic: self.topic,
            group: self.group,
            consumer,
        });
        let held = Arc::new(Held::default());
        let settler = Settler::spawn(Arc::clone(&door), Arc::clone(&held));
        let room = Arc::new(Room::default());
        let (sender, items) = mpsc::unbounded_channel();
        let mut fetcher = Fetcher {
            door: Arc::clone(&door),
            settler: settler.clone(),
            held: Arc::clone(&held),
            room: Arc::clone(&room),
            items: sender,
            prefetch_records: self.options.prefetch_records,
            prefetch_bytes: self.options.prefetch_bytes,
            lease: self.options.lease,
        };
        fetcher.take_at_once().await?;
        Ok(Queue {
            door,
            settler,
            held,
            room,
            items,
            drain: self.options.drain,
            refused: self.options.refused.unwrap_or_default(),
            fetcher: tokio::spawn(fetcher.run()),
            stopper: Stopper::default(),
        })
    }
}

/// A consumer of a queue: the records that it has taken, in order within each partition as far as
/// nobody else has them.
///
/// A lost connection is made again, and taking goes on; what was held over the lost one goes to
/// whoever takes it next. Nothing is left out without an error item that says so. It ends after an
/// error that no record can follow: the topic is gone, or the client is closed.
///
/// Dropping it gives back what was taken and not handed out, once the records that were handed out
/// are dropped or settled; [`close`](Self::close) does so at once, and waits.
#[derive(Debug)]
#[must_use = "a queue hands out nothing until it is asked"]
pub struct Queue {
    door: Arc<Door>,
    settler: Settler,
    held: Arc<Held>,
    room: Arc<Room>,
    items: mpsc::UnboundedReceiver<Result<LeasedRecord, Error>>,
    drain: Duration,
    refused: OnRefused,
    fetcher: tokio::task::JoinHandle<()>,
    stopper: Stopper,
}

impl Queue {
    /// The next record; `None` after the last item.
    ///
    /// # Errors
    /// See [`Queue`].
    ///
    /// # Cancel safety
    /// Dropping the future loses no record.
    pub async fn next(&mut self) -> Option<Result<LeasedRecord, Error>> {
        loop {
            let item = self.items.recv().await?;
            let Ok(record) = item else {
                return Some(item);
            };
            self.room.one_taken();
            // Its lease ran out while it waited here: somebody else has it, or will.
            if record.lease_ends() > Instant::now() {
                return Some(Ok(record));
            }
        }
    }

    /// Its name.
    pub fn consumer(&self) -> &ConsumerId {
        &self.door.consumer
    }

    /// Stops taking records, settles what was said to be settled, and gives back all that is held,
    /// which does not count as an attempt.
    ///
    /// # Errors
    /// What the broker answers, and those of the connection; leases then end by time.
    ///
    /// # Cancel safety
    /// Dropping the future may leave leases to end by time.
    pub async fn close(mut self) -> Result<(), Error> {
        self.fetcher.abort();
        // It must not take any more once we have left.
        let _ = (&mut self.fetcher).await;
        self.settler.leave().await
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.fetcher.abort();
    }
}
