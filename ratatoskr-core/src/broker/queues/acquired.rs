//! What a consumer asks for, and what it gets.

use std::time::Duration;

use crate::{
    batch::{RecordLimits, batches},
    delivery::FencingToken,
    error::Error,
    limits,
    name::TopicName,
    offset::{Offset, PartitionIndex},
    record::ConsumedRecord,
    storage::BatchSlices,
    time::Timestamp,
};

/// How much to acquire, and how long to wait for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcquireOptions {
    /// Most records.
    pub records_max: u32,
    /// Most bytes of batches, except that one batch is always answered, whatever its size.
    pub bytes_max: usize,
    /// How long to wait for the first record; zero answers at once, and more than
    /// [`limits::FETCH_WAIT_MAX`] is that.
    pub wait: Duration,
    /// How long the records may be held; `None` for what the group is configured with.
    pub lease: Option<Duration>,
}

impl Default for AcquireOptions {
    /// Up to 500 records and a MiB, at once, for the group's lease.
    fn default() -> Self {
        Self {
            records_max: 500,
            bytes_max: limits::STREAM_BYTES_DEFAULT,
            wait: Duration::ZERO,
            lease: None,
        }
    }
}

/// Records that a consumer holds until the deadline.
#[derive(Clone, Debug)]
pub struct Acquired {
    /// The topic.
    pub topic: TopicName,
    /// How long the records may be held, counted from the answer.
    pub lease: Duration,
    /// When that ends by the broker's wall clock. The lease itself runs on a clock that does not
    /// jump.
    pub deadline: Timestamp,
    /// Where records were acquired; empty where there were none.
    pub partitions: Vec<AcquiredPartition>,
}

/// What was acquired of one partition.
#[derive(Clone, Debug)]
pub struct AcquiredPartition {
    /// The partition.
    pub partition: PartitionIndex,
    /// Comes back with each settlement, and with all that is written on behalf of these records.
    pub token: FencingToken,
    /// Batches, in order, which hold all that was acquired, and may hold other records as well. Where
    /// less than half of one beyond 16 KiB was acquired, the rest is left out of it, unless it is
    /// compressed.
    pub batches: BatchSlices,
    /// Which records were acquired: ascending, without overlap, each offset a record.
    pub ranges: Vec<AcquiredRange>,
}

/// Records that were acquired together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AcquiredRange {
    /// The first offset.
    pub first: Offset,
    /// The last offset, included.
    pub last: Offset,
    /// How often each has been delivered, this time included. A lower bound after a crash.
    pub delivery_count: u32,
}

/// One record that a consumer holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The record and its place.
    pub record: ConsumedRecord,
    /// How often it has been delivered, this time included.
    pub delivery_count: u32,
    /// Comes back with its settlement.
    pub token: FencingToken,
}

impl Acquired {
    /// Whether there is no record.
    pub const fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// How many records were acquired.
    pub fn record_count(&self) -> u64 {
        self.partitions
            .iter()
            .map(AcquiredPartition::record_count)
            .sum()
    }

    /// Decodes each record that was acquired, those of each partition in the order of their offsets.
    ///
    /// # Errors
    /// [`Error::InvalidBatch`] where a batch cannot be decompressed or read. The records of the
    /// partition are held all the same: reject those, and decode the others
    /// [one partition](AcquiredPartition::deliveries) at a time.
    pub fn deliveries(&self) -> Result<Vec<Delivery>, Error> {
        let mut deliveries = Vec::new();
        for partition in &self.partitions {
            deliveries.extend(partition.deliveries(&self.topic)?);
        }
        Ok(deliveries)
    }
}

impl AcquiredPartition {
    /// How many records were acquired.
    pub fn record_count(&self) -> u64 {
        self.ranges.iter().map(AcquiredRange::record_count).sum()
    }

    /// Decodes each record that was acquired, in the order of their offsets.
    ///
    /// # Errors
    /// [`Error::InvalidBatch`] where a batch cannot be decompressed or read.
    pub fn deliveries(&self, topic: &TopicName) -> Result<Vec<Delivery>, Error> {
        let mut deliveries = Vec::new();
        let mut ranges = self.ranges.iter().peekable();
        for slice in self.batches.slices() {
            for batch in batches(slice.clone()) {
                let batch = batch?;
                for record in batch.records(&RecordLimits::default())? {
                    let record = record?;
                    while ranges.next_if(|range| range.last < record.offset).is_some() {}
                    let Some(range) = ranges.peek() else {
                        return Ok(deliveries);
                    };
                    if record.offset < range.first {
                        continue;
                    }
                    deliveries.push(Delivery {
                        delivery_count: range.delivery_count,
                        token: self.token,
                        record: ConsumedRecord {
                            topic: topic.clone(),
                            partition: self.partition,
                            offset: record.offset,
                            record: record.into_record(),
                        },
                    });
                }
            }
        }
        Ok(deliveries)
    }
}

impl AcquiredRange {
    /// How many records there are.
    pub const fn record_count(&self) -> u64 {
        self.last.distance_from(self.first) + 1
    }
}
