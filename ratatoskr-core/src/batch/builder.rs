//! Builds a batch out of records: encodes each as it comes, compresses them all at the end.

use bytes::Bytes;

use super::{
    BatchError, BatchHeader, HEADER_BYTES, RecordBatch, compression,
    varint::{put_varint, put_varlong, varint_len},
};
use crate::{
    config::Compression,
    limits,
    offset::{LeaderEpoch, Offset},
    producer::{ProducerEpoch, ProducerId, ProducerStamp, Sequence},
    record::{Header, Record},
    time::Timestamp,
};

/// Most bytes that a record's encoding adds to its key, value and header bytes, headers aside:
/// length 5, attributes 1, timestamp delta 10, offset delta 5, key, value and headers 5 each.
const RECORD_OVERHEAD_MAX: usize = 36;
/// The same for each header: two lengths.
const HEADER_OVERHEAD_MAX: usize = 10;

/// Collects records into one batch.
#[derive(Clone, Debug, Default)]
pub struct BatchBuilder {
    compression: Compression,
    producer: Option<ProducerStamp>,
    records: Vec<u8>,
    count: i32,
    base_timestamp: Timestamp,
    max_timestamp: Timestamp,
}

impl BatchBuilder {
    /// An empty batch whose records will be compressed so.
    pub fn new(compression: Compression) -> Self {
        Self {
            compression,
            ..Self::default()
        }
    }

    /// Makes room for so many bytes of records at once.
    #[must_use]
    pub fn with_capacity(mut self, bytes: usize) -> Self {
        self.records.reserve(bytes);
        self
    }

    /// The batch is this idempotent producer's.
    #[must_use]
    pub fn with_producer(mut self, producer: ProducerStamp) -> Self {
        self.producer = Some(producer);
        self
    }

    /// Adds a record; one without a time gets `now`.
    ///
    /// # Errors
    /// [`BatchError::KeyTooLarge`], [`BatchError::TooManyHeaders`], and [`BatchError::TooLarge`]
    /// where the batch would pass [`limits::BATCH_BYTES_MAX`] before compression. The batch is then
    /// as it was.
    #[inline]
    pub fn push(&mut self, record: &Record, now: Timestamp) -> Result<(), BatchError> {
        if let Some(key) = &record.key
            && key.len() > limits::KEY_BYTES_MAX
        {
            return Err(BatchError::KeyTooLarge {
                bytes: key.len(),
                max: limits::KEY_BYTES_MAX,
            });
        }
        if record.headers.len() > limits::HEADERS_MAX {
            return Err(BatchError::TooManyHeaders {
                count: record.headers.len(),
                max: limits::HEADERS_MAX,
            });
        }
        let bytes = self.total_bytes_with(record);
        if bytes > limits::BATCH_BYTES_MAX as usize {
            return Err(BatchError::TooLarge {
                bytes,
                max: limits::BATCH_BYTES_MAX as usize,
            });
        }
        let timestamp = record.timestamp.unwrap_or(now);
        if self.count == 0 {
            self.base_timestamp = timestamp;
            self.max_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        // Wraps as Java's does, and as it is read again.
        let timestamp_delta = timestamp.get().wrapping_sub(self.base_timestamp.get());
        self.encode(record, timestamp_delta);
        self.count += 1;
        Ok(())
    }

    #[inline]
    fn encode(&mut self, record: &Record, timestamp_delta: i64) {
        let out = &mut self.records;
        let length = body_len(record, timestamp_delta, self.count);
        if out.is_empty() {
            // Exactly as much, since many batches hold one record: `Bytes` takes such a vector as it is.
            out.reserve_exact(varint_len(i64::from(wire_len(length))) + length);
        }
        put_varint(out, wire_len(length));
        let body_start = out.len();
        out.push(0);
        put_varlong(out, timestamp_delta);
        put_varint(out, self.count);
        put_sized(out, record.key.as_deref());
        put_sized(out, record.value.as_deref());
        put_varint(out, wire_len(record.headers.len()));
        for Header { key, value } in &record.headers {
            put_sized(out, Some(key.as_bytes()));
            put_sized(out, value.as_deref());
        }
        assert_eq!(out.len() - body_start, length, "a record's length is wrong");
    }

    /// How many records there are.
    #[inline]
    pub const fn record_count(&self) -> u32 {
        self.count.unsigned_abs()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of the batch as it is, before compression.
    #[inline]
    pub const fn total_bytes(&self) -> usize {
        HEADER_BYTES + self.records.len()
    }

    /// Bytes of the batch before compression if `record` were added, or a few more: never less.
    #[inline]
    pub fn total_bytes_with(&self, record: &Record) -> usize {
        self.total_bytes() + Self::bytes_max_of(record)
    }

    /// Most bytes that a record adds to a batch before compression.
    #[inline]
    pub(crate) fn bytes_max_of(record: &Record) -> usize {
        let payload = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let headers: usize = record
            .headers
            .iter()
            .map(|header| HEADER_OVERHEAD_MAX + header.key.len() + payload(&header.value))
            .sum();
        RECORD_OVERHEAD_MAX + payload(&record.key) + payload(&record.value) + headers
    }

    /// The batch, at base offset 0 and without a leader epoch, as a producer sends it.
    ///
    /// Records that compression would not make smaller, or would make so small that
    /// [`RecordLimits`](super::RecordLimits) call it a bomb, are left uncompressed.
    ///
    /// # Errors
    /// [`BatchError::Empty`]; [`BatchError::CodecNotBuilt`] where this build lacks the codec.
    #[inline]
    pub fn build(self) -> Result<RecordBatch, BatchError> {
        if self.count == 0 {
            return Err(BatchError::Empty);
        }
        let (codec, records) = compression::compress(self.compression, self.records)?;
        let producer = self.producer.unwrap_or(ProducerStamp {
            id: ProducerId::new(-1),
            epoch: ProducerEpoch::new(-1),
            base_sequence: Sequence::new(-1),
        });
        let mut batch = RecordBatch {
            header: BatchHeader {
                base_offset: Offset::ZERO,
                total_bytes: wire_len(HEADER_BYTES + records.len()).unsigned_abs(),
                leader_epoch: LeaderEpoch::new(-1),
                crc: 0,
                attributes: codec as i16,
                last_offset_delta: self.count - 1,
                base_timestamp: self.base_timestamp,
                max_timestamp: self.max_timestamp,
                producer_id: producer.id,
                producer_epoch: producer.epoch,
                base_sequence: producer.base_sequence,
                record_count: self.count,
            },
            records,
        };
        batch.header.crc = batch.compute_crc();
        Ok(batch)
    }
}

/// Bytes of a record after its length.
#[inline]
fn body_len(record: &Record, timestamp_delta: i64, offset_delta: i32) -> usize {
    let headers: usize = record
        .headers
        .iter()
        .map(|header| sized_len(Some(header.key.as_bytes())) + sized_len(header.value.as_deref()))
        .sum();
    1 + varint_len(timestamp_delta)
        + varint_len(i64::from(offset_delta))
        + sized_len(record.key.as_deref())
        + sized_len(record.value.as_deref())
        + varint_len(i64::from(wire_len(record.headers.len())))
        + headers
}

#[inline]
fn sized_len(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(varint_len(-1), |bytes| {
        varint_len(i64::from(wire_len(bytes.len()))) + bytes.len()
    })
}

#[inline]
fn put_sized(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    put_varint(out, bytes.map_or(-1, |bytes| wire_len(bytes.len())));
    out.extend_from_slice(bytes.unwrap_or_default());
}

/// A length as it travels. [`BatchBuilder::push`] has refused what would not fit.
fn wire_len(length: usize) -> i32 {
    i32::try_from(length).expect("a batch has at most BATCH_BYTES_MAX bytes")
}
