//! Batches to append, and how to tell what was read.

use bytes::Bytes;

use crate::{
    batch::{self, BatchBuilder, RecordBatch},
    config::Compression,
    offset::{LeaderEpoch, Offset},
    record::Record,
    storage::BatchSlices,
    time::Timestamp,
};

/// What a batch of the kit's is like. Its content follows from these values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSpec {
    /// How many records, at least one.
    pub records: u32,
    /// Bytes of each record's value.
    pub value_bytes: usize,
    /// The time of the last record, the greatest in the batch.
    pub max_timestamp: Timestamp,
}

impl BatchSpec {
    /// A batch of this many small records.
    pub const fn of(records: u32) -> Self {
        Self {
            records,
            value_bytes: 20,
            max_timestamp: Timestamp::new(1_000),
        }
    }

    /// The same with values of this size.
    #[must_use]
    pub const fn with_value_bytes(self, value_bytes: usize) -> Self {
        Self {
            value_bytes,
            ..self
        }
    }

    /// The same with this as its greatest time, in milliseconds.
    #[must_use]
    pub const fn at(self, max_timestamp_ms: i64) -> Self {
        Self {
            max_timestamp: Timestamp::new(max_timestamp_ms),
            ..self
        }
    }

    /// The batch, its first record at `base_offset`.
    pub fn build(&self, base_offset: Offset) -> RecordBatch {
        let mut builder = BatchBuilder::new(Compression::None);
        for index in 0..self.records {
            let before_last = i64::from(self.records - 1 - index);
            let timestamp = Timestamp::new(self.max_timestamp.get() - before_last);
            let value = value_of(base_offset.plus(u64::from(index)), self.value_bytes);
            let record = Record::new(value).with_key(format!("key-{index}"));
            builder.push(&record, timestamp).unwrap();
        }
        let mut batch = builder.build().unwrap();
        // Neither offset nor epoch is covered by the batch's CRC, so a backend has to keep them.
        let epoch = i32::try_from(base_offset.get() % 7).unwrap_or_default();
        batch.assign(base_offset, LeaderEpoch::new(epoch));
        batch
    }
}

/// Bytes that differ from offset to offset and from place to place.
fn value_of(offset: Offset, bytes: usize) -> Vec<u8> {
    let mut state = offset.get().wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    std::iter::repeat_with(step).take(bytes).collect()
}

/// The bytes of these batches, back to back.
pub(super) fn bytes_of(batches: &[RecordBatch]) -> Vec<u8> {
    let mut out = Vec::new();
    for batch in batches {
        batch.encode_to(&mut out);
    }
    out
}

/// The bytes of what was read, back to back, if each slice holds whole batches, and they end where
/// it is said that they do.
pub(super) fn bytes_read(slices: &BatchSlices) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(slices.len());
    let mut end_offset = None;
    for slice in slices.slices() {
        if slice.is_empty() {
            return Err("an empty slice".into());
        }
        for batch in batch::batches(slice.clone()) {
            let batch =
                batch.map_err(|error| format!("a slice of other than whole batches: {error}"))?;
            end_offset = Some(batch.header().end_offset());
        }
        out.extend_from_slice(slice);
    }
    if slices.end_offset() != end_offset {
        let told = slices.end_offset();
        return Err(format!(
            "batches that end at {end_offset:?} are said to end at {told:?}"
        ));
    }
    Ok(out)
}

/// Where the batches in `bytes` lie, for messages.
pub(super) fn outline(bytes: &[u8]) -> String {
    let mut places = Vec::new();
    for batch in batch::batches(Bytes::copy_from_slice(bytes)) {
        places.push(match batch {
            Ok(batch) => {
                let header = batch.header();
                format!("{}..{}", header.base_offset, header.end_offset())
            }
            Err(error) => format!("({error})"),
        });
    }
    format!("batches [{}], {} bytes", places.join(", "), bytes.len())
}
