//! What a load needs of a broker, and the brokers.

mod nats;
mod ratatoskr;
mod redis;

use std::{future::Future, time::Duration};

use anyhow::Result;
use ratatoskr_client::{Durability, bytes::Bytes};
use ratatoskr_server::load::{Payloads, Sink};

pub(crate) use self::{nats::Nats, ratatoskr::Ratatoskr, redis::Redis};

/// How long a record that must come may take.
pub(crate) const RECORD_WAIT_MAX: Duration = Duration::from_mins(1);

/// A stream, topic or whatever the broker calls it, of this name.
const NAME: &str = "bench";

/// A connection to a broker.
pub(crate) trait Target: Send + Sync + Sized + 'static {
    /// What a reader must know of how it is used.
    const WORDS: &'static str;
    /// What sends.
    type Sink: Sink;
    /// What reads.
    type Records: Records;

    /// Connects.
    fn connect(address: &str) -> impl Future<Output = Result<Self>> + Send;

    /// Creates the stream.
    fn create(&self, durability: Durability) -> impl Future<Output = Result<()>> + Send;

    /// Gets ready to send these records.
    fn sink(&self, payloads: Payloads) -> impl Future<Output = Result<Self::Sink>> + Send;

    /// Gets ready to read; what is sent once this has returned is in it.
    fn read(&self, start: Start) -> impl Future<Output = Result<Self::Records>> + Send;
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
