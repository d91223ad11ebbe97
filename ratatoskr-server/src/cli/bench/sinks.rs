//! What the load generator sends to: a producer that gathers records, or batches made here.

use std::{
    num::NonZeroU32,
    pin::Pin,
    task::{Context, Poll},
};

use ratatoskr_client::{Client, Delivery, Error, PendingBatch, Produced, Producer, RecordMetadata};
use ratatoskr_core::{
    batch::BatchBuilder, config::Compression, name::TopicName, offset::PartitionIndex,
    record::Record, time::Timestamp,
};
use ratatoskr_server::load::{Payloads, Sink};

/// Records that prove themselves, with as many keys as asked for, in turn.
pub(super) struct Making {
    payloads: Payloads,
    keys: Option<NonZeroU32>,
    made: u64,
}

impl Making {
    /// The records of these values; without keys where none are asked for.
    pub(super) const fn new(payloads: Payloads, keys: Option<NonZeroU32>) -> Self {
        Self {
            payloads,
            keys,
            made: 0,
        }
    }

    /// Bytes of each value.
    fn value_bytes(&self) -> u64 {
        self.payloads.record_bytes()
    }

    fn next_record(&mut self) -> Record {
        let record = Record::new(self.payloads.next_record());
        let number = self.made;
        self.made += 1;
        match self.keys {
            Some(keys) => record.with_key((number % u64::from(keys.get())).to_string()),
            None => record,
        }
    }
}

/// Record by record through producers, one a topic, which take turns.
pub(super) struct Records {
    pub(super) producers: Vec<Producer>,
    pub(super) making: Making,
    /// Whose turn it is.
    pub(super) turn: usize,
}

impl Sink for Records {
    type Acknowledged = RecordMetadata;
    type Error = Error;
    type Receipt = Delivery;

    async fn send(&mut self) -> Result<Delivery, Error> {
        let record = self.making.next_record();
        self.turn = if self.turn + 1 < self.producers.len() {
            self.turn + 1
        } else {
            0
        };
        match self.producers.get(self.turn) {
            Some(producer) => producer.enqueue(record).await,
            None => Err(Error::Closed),
        }
    }

    fn bytes_per_send(&self) -> u64 {
        self.making.value_bytes()
    }
}

/// Whole batches of a fixed number of records, to partitions that take turns.
pub(super) struct Batches {
    pub(super) client: Client,
    pub(super) places: Vec<(TopicName, PartitionIndex)>,
    pub(super) payloads: Payloads,
    pub(super) compression: Compression,
    /// Records in each.
    pub(super) records: u32,
    /// Whose turn it is.
    pub(super) turn: usize,
}

impl Batches {
    /// Bytes that a batch takes beside its values, at most: its header, and lengths a record.
    fn capacity(&self) -> usize {
        let values = usize::try_from(self.bytes_per_send()).unwrap_or(usize::MAX);
        values.saturating_add(100 + 24 * self.records as usize)
    }
}

impl Sink for Batches {
    type Acknowledged = Produced;
    type Error = Error;
    type Receipt = BatchReceipt;

    async fn send(&mut self) -> Result<BatchReceipt, Error> {
        let now = Timestamp::new(jiff::Timestamp::now().as_millisecond());
        let mut builder = BatchBuilder::new(self.compression).with_capacity(self.capacity());
        for _ in 0..self.records {
            builder.push(&Record::new(self.payloads.next_record()), now)?;
        }
        let batch = builder.build()?;
        self.turn = if self.turn + 1 < self.places.len() {
            self.turn + 1
        } else {
            0
        };
        let (topic, partition) = self.places.get(self.turn).ok_or(Error::Closed)?;
        let pending = self.client.produce_batch(topic, *partition, &batch)?;
        Ok(BatchReceipt::of(pending))
    }

    fn records_per_send(&self) -> u64 {
        self.records.into()
    }

    fn bytes_per_send(&self) -> u64 {
        self.payloads.record_bytes() * u64::from(self.records)
    }
}

/// Tells when a batch is acknowledged; a broker in this process may have answered already.
pub(super) enum BatchReceipt {
    Ready(Produced),
    Waiting(Pin<Box<dyn Future<Output = Result<Produced, Error>> + Send>>),
}

impl BatchReceipt {
    pub(super) fn of(pending: PendingBatch) -> Self {
        match pending.ready() {
            Some(produced) => Self::Ready(produced),
            None => Self::Waiting(Box::pin(pending.wait())),
        }
    }
}

impl Future for BatchReceipt {
    type Output = Result<Produced, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Ready(produced) => Poll::Ready(Ok(*produced)),
            Self::Waiting(wait) => wait.as_mut().poll(cx),
        }
    }
}
