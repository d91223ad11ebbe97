//! Asking a partition for an offset: its ends, or the first record of a time.

use crate::{
    batch::{BatchHeader, RecordLimits, batches},
    broker::{
        Broker,
        partition::{PartitionCell, Wanted},
    },
    error::Error,
    name::TopicName,
    offset::{Bounds, LeaderEpoch, Offset, PartitionIndex},
    storage::Access,
    time::Timestamp,
};

/// Bytes read at a time while a record is looked for by its time.
const SEARCH_BYTES: usize = 64 << 10;

/// Which offset of a partition is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum OffsetSpec {
    /// The first record there is.
    Start,
    /// One past the last record that can be read.
    End,
    /// The first record of this time or later.
    Timestamp(Timestamp),
    /// This offset, if it is between the ends.
    Offset(Offset),
}

impl Broker {
    /// Where the log of a partition begins and ends, for readers.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], [`Error::UnknownPartition`], [`Error::PartitionOffline`],
    /// [`Error::ShuttingDown`], [`Error::Fenced`].
    pub fn bounds(&self, topic: &TopicName, partition: PartitionIndex) -> Result<Bounds, Error> {
        self.shared.context.check_running()?;
        self.topic(topic)?.partition(partition)?.bounds()
    }

    /// The offset that `spec` means now; `None` where no record is of that time or later.
    ///
    /// # Errors
    /// [`Error::OffsetOutOfRange`] for an offset that is not between the ends, as
    /// [`bounds`](Self::bounds), [`Error::CorruptRecords`], [`Error::InvalidBatch`] where a batch
    /// that has to be searched cannot be decompressed.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn offset_at(
        &self,
        topic: &TopicName,
        partition: PartitionIndex,
        spec: OffsetSpec,
    ) -> Result<Option<Offset>, Error> {
        self.shared.context.check_running()?;
        let cell = self.topic(topic)?.partition(partition)?;
        let bounds = cell.bounds()?;
        match spec {
            OffsetSpec::Start => Ok(Some(bounds.log_start)),
            OffsetSpec::End => Ok(Some(bounds.high_watermark)),
            OffsetSpec::Offset(requested)
                if requested < bounds.log_start || requested > bounds.high_watermark =>
            {
                Err(Error::OffsetOutOfRange { requested, bounds })
            }
            OffsetSpec::Offset(offset) => Ok(Some(offset)),
            OffsetSpec::Timestamp(at) => first_record_at(&cell, at).await,
        }
    }

    /// The first record that readers see of this time or later, with its own time.
    ///
    /// # Errors
    /// As [`offset_at`](Self::offset_at).
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn first_record_at(
        &self,
        topic: &TopicName,
        partition: PartitionIndex,
        at: Timestamp,
    ) -> Result<Option<TimestampedRecord>, Error> {
        self.shared.context.check_running()?;
        let cell = self.topic(topic)?.partition(partition)?;
        record_at_time(&cell, at).await
    }

    /// The first of the records whose time is the greatest; `None` in an empty partition.
    ///
    /// # Errors
    /// As [`offset_at`](Self::offset_at).
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn newest_record(
        &self,
        topic: &TopicName,
        partition: PartitionIndex,
    ) -> Result<Option<TimestampedRecord>, Error> {
        self.shared.context.check_running()?;
        let cell = self.topic(topic)?.partition(partition)?;
        let segments = cell.log_stats()?.segments;
        let Some(newest) = segments.iter().map(|segment| segment.max_timestamp).max() else {
            return Ok(None);
        };
        record_at_time(&cell, newest).await
    }

    /// Where the records of a leader epoch end, or of the greatest epoch before it that wrote any
    /// (KIP-320): a reader that has read further has read records that are not in this log.
    ///
    /// # Errors
    /// As [`bounds`](Self::bounds), [`Error::CorruptRecords`], [`Error::InvalidBatch`].
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn end_of_epoch(
        &self,
        topic: &TopicName,
        partition: PartitionIndex,
        epoch: LeaderEpoch,
    ) -> Result<EpochEnd, Error> {
        self.shared.context.check_running()?;
        let cell = self.topic(topic)?.partition(partition)?;
        let bounds = cell.bounds()?;
        let (_, current) = cell.state();
        if epoch >= current {
            return Ok(EpochEnd {
                epoch: current,
                end: bounds.high_watermark,
            });
        }
        // Epochs only grow along a log, so the first batch of a later one is found by halves.
        let mut found = EpochEnd {
            epoch: LeaderEpoch::new(-1),
            end: bounds.log_start,
        };
        let (mut from, mut until) = (bounds.log_start, bounds.high_watermark);
        while from < until {
            let middle = from.plus(until.distance_from(from) / 2);
            let Some(header) = batch_at(&cell, middle).await? else {
                until = middle;
                continue;
            };
            if header.leader_epoch <= epoch {
                found = EpochEnd {
                    epoch: header.leader_epoch,
                    end: header.end_offset(),
                };
                from = header.end_offset().max(from.plus(1));
            } else {
                until = middle;
            }
        }
        Ok(found)
    }
}

/// A record found by its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampedRecord {
    /// Where it is.
    pub offset: Offset,
    /// Its own time.
    pub timestamp: Timestamp,
}

/// Where the records of a leader epoch end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// The epoch; -1 where none so early wrote any record that is kept.
    pub epoch: LeaderEpoch,
    /// One past its last record.
    pub end: Offset,
}

/// The header of the batch that holds `at`, or of the first one after it.
async fn batch_at(cell: &PartitionCell, at: Offset) -> Result<Option<BatchHeader>, Error> {
    let wanted = Wanted::from(at, 1, Access::Inspect);
    let fetched = cell.read(&wanted).await?;
    let slice = fetched.batches.into_slices().into_iter().next();
    let header = slice.map(|slice| BatchHeader::decode(&slice)).transpose()?;
    Ok(header)
}

/// The offset of the first record that readers see of this time or later.
pub(super) async fn first_record_at(
    cell: &PartitionCell,
    at: Timestamp,
) -> Result<Option<Offset>, Error> {
    let found = record_at_time(cell, at).await?;
    Ok(found.map(|record| record.offset))
}

/// The first record that readers see of this time or later.
async fn record_at_time(
    cell: &PartitionCell,
    at: Timestamp,
) -> Result<Option<TimestampedRecord>, Error> {
    let Some(found) = cell.offset_for_timestamp(at).await? else {
        return Ok(None);
    };
    let mut from = found.offset.max(cell.bounds()?.log_start);
    // The batch found may hold no such record: its header may say more than its records do, and
    // the ones that are meant may lie before the log start. Then a later one does.
    loop {
        let wanted = Wanted::from(from, SEARCH_BYTES, Access::Inspect);
        let fetched = cell.read(&wanted).await?;
        let mut next = from;
        for slice in fetched.batches.into_slices() {
            for batch in batches(slice) {
                let batch = batch?;
                next = batch.header().end_offset();
                if batch.header().max_timestamp < at {
                    continue;
                }
                for record in batch.records(&RecordLimits::default())? {
                    let record = record?;
                    if record.timestamp >= at && record.offset >= from {
                        return Ok(Some(TimestampedRecord {
                            offset: record.offset,
                            timestamp: record.timestamp,
                        }));
                    }
                }
            }
        }
        if next <= from {
            return Ok(None);
        }
        from = next;
    }
}
