//! Asking a partition for an offset: its ends, or the first record of a time.

use crate::{
    batch::{RecordLimits, batches},
    broker::{
        Broker,
        partition::{PartitionCell, Wanted},
    },
    error::Error,
    name::TopicName,
    offset::{Bounds, Offset, PartitionIndex},
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
}

/// The first record that readers see of this time or later.
pub(super) async fn first_record_at(
    cell: &PartitionCell,
    at: Timestamp,
) -> Result<Option<Offset>, Error> {
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
                        return Ok(Some(record.offset));
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
