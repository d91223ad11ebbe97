//! How a producer gathers, sends and waits.

use std::time::Duration;

use ratatoskr_core::{batch::HEADER_BYTES, config::Compression, limits, name::TopicName};

use super::Producer;
use crate::{
    Error,
    client::Client,
    options::{FOREVER, PARTITIONS_REFRESH},
};

/// When a record counts as sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acks {
    /// When the server has taken it: neither success nor failure is told.
    None,
    /// When its leader holds it at the topic's durability. On a single node the same as `All`.
    One,
    /// When every replica that must hold it does, at the topic's durability.
    #[default]
    All,
}

/// What a send does when the buffer is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFull {
    /// Waits until there is room.
    #[default]
    Wait,
    /// Waits, but no longer than this; then [`Error::BufferFull`].
    WaitFor(Duration),
    /// Answers [`Error::BufferFull`] at once.
    Fail,
}

/// A producer to be configured and opened.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is opened"]
pub struct ProducerBuilder {
    client: Client,
    topic: TopicName,
    options: ProducerOptions,
}

/// What a producer was told.
#[derive(Clone, Debug)]
pub(super) struct ProducerOptions {
    pub(super) linger: Duration,
    pub(super) batch_bytes: usize,
    pub(super) buffer_bytes: usize,
    pub(super) on_full: OnFull,
    pub(super) compression: Option<Compression>,
    pub(super) idempotent: bool,
    pub(super) acks: Acks,
    pub(super) delivery_timeout: Duration,
    pub(super) partitions_refresh: Duration,
}

impl ProducerOptions {
    pub(super) const DEFAULT: Self = Self {
        linger: Duration::ZERO,
        batch_bytes: 256 << 10,
        buffer_bytes: 32 << 20,
        on_full: OnFull::Wait,
        compression: None,
        idempotent: true,
        acks: Acks::All,
        delivery_timeout: Duration::from_mins(2),
        partitions_refresh: PARTITIONS_REFRESH,
    };
}

impl ProducerBuilder {
    pub(crate) const fn new(client: Client, topic: TopicName) -> Self {
        Self {
            client,
            topic,
            options: ProducerOptions::DEFAULT,
        }
    }

    /// How long a batch waits for more records. Zero (unless told otherwise) sends at once whatever
    /// there is; records that come while earlier batches are on their way still travel together.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.options.linger = linger.min(FOREVER);
        self
    }

    /// Bytes at which a batch is full, before compression; 256 KiB unless told otherwise. A larger
    /// record travels alone, as long as its topic takes it.
    pub fn batch_bytes(mut self, bytes: usize) -> Self {
        self.options.batch_bytes = bytes.clamp(HEADER_BYTES, limits::BATCH_BYTES_MAX as usize);
        self
    }

    /// Bytes of records that are held until they are acknowledged; 32 MiB unless told otherwise.
    pub fn buffer_bytes(mut self, bytes: usize) -> Self {
        self.options.buffer_bytes = bytes.clamp(HEADER_BYTES, u32::MAX as usize);
        self
    }

    /// What a send does when that many are held.
    pub const fn on_full(mut self, on_full: OnFull) -> Self {
        self.options.on_full = on_full;
        self
    }

    /// How batches are compressed; as the topic is configured unless told otherwise.
    pub const fn compression(mut self, compression: Compression) -> Self {
        self.options.compression = Some(compression);
        self
    }

    /// Whether the broker recognizes a batch that was sent twice; it does unless told otherwise.
    /// Then lost connections cost neither duplicates nor order. Without, a send whose answer is lost
    /// ends as an unknown outcome, and a partition has one batch under way at a time.
    pub const fn idempotent(mut self, idempotent: bool) -> Self {
        self.options.idempotent = idempotent;
        self
    }

    /// When a record counts as sent; [`Acks::All`] unless told otherwise. With [`Acks::None`]
    /// nothing is sent again, so idempotence is off.
    pub const fn acks(mut self, acks: Acks) -> Self {
        self.options.acks = acks;
        self
    }

    /// How long a record may take in all, retries included; two minutes unless told otherwise.
    pub fn delivery_timeout(mut self, timeout: Duration) -> Self {
        self.options.delivery_timeout = timeout.min(FOREVER);
        self
    }

    /// How often the topic is asked for partitions that were added; every 30 s unless told
    /// otherwise. Keys may go to other partitions from then on.
    pub fn partitions_refresh(mut self, every: Duration) -> Self {
        self.options.partitions_refresh = every.min(FOREVER);
        self
    }

    /// Opens the producer. A topic that is not there is created, where the broker is configured to.
    ///
    /// # Errors
    /// As [`Client::ensure_topic`] and [`Client::new_producer`].
    ///
    /// # Cancel safety
    /// Dropping the future may leave the topic created.
    pub async fn open(mut self) -> Result<Producer, Error> {
        if self.options.acks == Acks::None {
            self.options.idempotent = false;
        }
        Producer::open(self.client, self.topic, self.options).await
    }
}
