//! What a load needs of a broker, and the brokers.

mod nats;
mod ratatoskr;
mod redis;

use std::{future::Future, time::Duration};

use anyhow::{Context as _, Result};
use ratatoskr_client::{Durability, bytes::Bytes};
use ratatoskr_server::load::{
    Payloads, Sink, Verifier,
    work::{Taken, Worker},
};

pub(crate) use self::{nats::Nats, ratatoskr::Ratatoskr, redis::Redis};

/// How long a record that must come may take.
pub(crate) const RECORD_WAIT_MAX: Duration = Duration::from_mins(1);

/// A stream, topic or whatever the broker calls it, of this name.
const NAME: &str = "bench";
/// What the consumers of a queue share, whatever the broker calls it.
const GROUP: &str = "workers";
/// How long a consumer of a queue waits for records that others may give back.
const TAKE_WAIT: Duration = Duration::from_millis(100);

/// A connection to a broker.
pub(crate) trait Target: Send + Sync + Sized + 'static {
    /// What a reader must know of how it is used.
    const WORDS: &'static str;
    /// What sends.
    type Sink: Sink;
    /// What reads.
    type Records: Records;
    /// What takes records that others then do not get.
    type Worker: Worker<Error = anyhow::Error>;

    /// Connects.
    fn connect(address: &str) -> impl Future<Output = Result<Self>> + Send;

    /// Creates the stream.
    fn create(&self, durability: Durability, kind: Kind)
    -> impl Future<Output = Result<()>> + Send;

    /// Gets ready to send these records.
    fn sink(&self, payloads: Payloads) -> impl Future<Output = Result<Self::Sink>> + Send;

    /// Gets ready to read; what is sent once this has returned is in it.
    fn read(&self, start: Start) -> impl Future<Output = Result<Self::Records>> + Send;

    /// Gets ready to take up to `batch` records at a time as the consumer of this number.
    fn worker(&self, number: u32, batch: u32) -> impl Future<Output = Result<Self::Worker>> + Send;
}

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Everybody may read all of it.
    Stream,
    /// Consumers share its records.
    Queue,
}

/// Where reading begins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start {
    /// At the oldest record.
    Oldest,
    /// At the next one to come.
    Next,
}

/// A stream of records.
pub(crate) trait Records: Send + 'static {
    /// The next one, as soon as it is there.
    fn next(&mut self) -> impl Future<Output = Result<Bytes>> + Send;
}

/// Records that were taken from a queue, each of which must be as it was sent.
struct Takings<H> {
    taken: Taken<Vec<H>>,
}

impl<H> Takings<H> {
    fn new() -> Self {
        Self {
            taken: Taken {
                numbers: Vec::new(),
                bytes: 0,
                handles: Vec::new(),
            },
        }
    }

    fn records(&self) -> usize {
        self.taken.handles.len()
    }

    /// One more record, with what acknowledges it.
    ///
    /// # Errors
    /// It is not what was sent.
    fn add(&mut self, record: &[u8], handle: H) -> Result<()> {
        // A queue promises no order, so each record is judged by itself.
        let label = Verifier::default().take(0, record);
        let number = label.context("a record is not what was sent")?.sequence;
        match self.taken.numbers.last_mut() {
            Some(range) if range.end == number => range.end += 1,
            _ => self.taken.numbers.push(number..number + 1),
        }
        self.taken.bytes += record.len() as u64;
        self.taken.handles.push(handle);
        Ok(())
    }

    fn taken(self) -> Taken<Vec<H>> {
        self.taken
    }
}

/// What each record of a batch is acknowledged by.
fn one_by_one<H>(handles: Vec<H>) -> Vec<Vec<H>> {
    handles.into_iter().map(|handle| vec![handle]).collect()
}
