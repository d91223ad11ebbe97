//! Record batches: the unit of storage, checksum, compression and transfer.
//!
//! Kafka's message format v2, byte for byte: a header of [`HEADER_BYTES`], then the records, which
//! may be compressed together. `BatchHeader` and `Records` draw the layouts.
//!
//! Invariants:
//! - A batch is *viewed*, not decoded: [`RecordBatch`] holds the decoded header and the producer's
//!   bytes after it, untouched. What the broker sets lies outside the CRC (base offset, leader
//!   epoch), or the CRC is renewed (append time).
//! - Records are read in place: keys, values and headers are slices of the batch, or of the one
//!   buffer that it was decompressed into.
//! - Bytes from disk or network never panic, and no length or count among them is believed before it
//!   has been compared with the bytes that are there. [`RecordLimits`] bound what they decompress to.
//! - A batch that [`BatchBuilder`] has built is taken by
//!   [`validate_from_producer`](RecordBatch::validate_from_producer), and read under the default
//!   limits.
//!
//! ```
//! use ratatoskr_core::{
//!     batch::{BatchBuilder, RecordBatch, RecordLimits},
//!     config::Compression,
//!     limits,
//!     offset::{LeaderEpoch, Offset},
//!     record::Record,
//!     time::Timestamp,
//! };
//!
//! // A producer collects records and sends the batch's bytes.
//! let now = Timestamp::new(1_700_000_000_000);
//! let mut builder = BatchBuilder::new(Compression::None);
//! builder.push(&Record::new("signed up").with_key("user-1"), now)?;
//! builder.push(&Record::new("logged in").with_key("user-1"), now)?;
//! let sent = builder.build()?.to_bytes();
//!
//! // The broker checks them and gives the batch its place in a log.
//! let mut batch = RecordBatch::view(sent)?;
//! batch.validate_from_producer(limits::BATCH_BYTES_DEFAULT)?;
//! batch.assign(Offset::new(41), LeaderEpoch::new(0));
//!
//! // A consumer reads the records where they lie.
//! let mut records = batch.records(&RecordLimits::default())?;
//! let first = records.next().expect("there are two")?;
//! assert_eq!(first.offset, Offset::new(41));
//! assert_eq!(first.value.as_deref(), Some(&b"signed up"[..]));
//! # Ok::<(), ratatoskr_core::batch::BatchError>(())
//! ```

mod builder;
mod compression;
mod error;
mod header;
mod records;
mod retain;
mod validate;
mod varint;

use std::iter::FusedIterator;

use bytes::{BufMut, Bytes};

pub use builder::BatchBuilder;
pub use error::BatchError;
pub use header::{BatchHeader, HEADER_BYTES};
pub use records::{HeaderView, Headers, RecordLimits, RecordView, Records};
pub use retain::KeyedRecord;

use crate::{
    offset::{LeaderEpoch, Offset},
    producer::ProducerStamp,
    time::Timestamp,
};

/// One record batch: its header and the bytes of its (perhaps compressed) records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordBatch {
    header: BatchHeader,
    records: Bytes,
}

impl RecordBatch {
    /// Views the batch that `bytes` is: exactly one, with a right CRC.
    ///
    /// # Errors
    /// [`BatchError`]; bytes after the batch are [`BatchError::TrailingBytes`].
    pub fn parse(bytes: Bytes) -> Result<Self, BatchError> {
        let batch = Self::view(bytes)?;
        batch.verify_crc()?;
        Ok(batch)
    }

    /// Views the batch that `bytes` is: exactly one. Does not check the CRC, which
    /// [`validate_from_producer`](Self::validate_from_producer) does.
    ///
    /// # Errors
    /// [`BatchError`]; bytes after the batch are [`BatchError::TrailingBytes`].
    pub fn view(mut bytes: Bytes) -> Result<Self, BatchError> {
        let batch = Self::split_first(&mut bytes)?;
        if bytes.is_empty() {
            Ok(batch)
        } else {
            Err(BatchError::TrailingBytes(bytes.len()))
        }
    }

    /// Takes the first batch off `bytes`, which may hold more; does not check the CRC.
    ///
    /// # Errors
    /// [`BatchError`]; `bytes` is then as it was.
    pub fn split_first(bytes: &mut Bytes) -> Result<Self, BatchError> {
        let header = BatchHeader::decode(bytes)?;
        let records = bytes
            .split_to(header.total_bytes as usize)
            .slice(HEADER_BYTES..);
        Ok(Self { header, records })
    }

    /// Compares the CRC with the bytes.
    ///
    /// # Errors
    /// [`BatchError::CrcMismatch`].
    pub fn verify_crc(&self) -> Result<(), BatchError> {
        let found = self.compute_crc();
        if found == self.header.crc {
            Ok(())
        } else {
            Err(BatchError::CrcMismatch {
                expected: self.header.crc,
                found,
            })
        }
    }

    #[inline]
    fn compute_crc(&self) -> u32 {
        let header = self.header.encode();
        let crc = crc32c::crc32c(&header[header::CRC_COVER_START..]);
        crc32c::crc32c_append(crc, &self.records)
    }

    /// The header.
    #[inline]
    pub const fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The bytes after the header: records, compressed as the header says.
    #[inline]
    pub const fn records_bytes(&self) -> &Bytes {
        &self.records
    }

    /// Reads the records, decompressing them first where they are compressed. Does not check the CRC.
    ///
    /// # Errors
    /// [`BatchError::CodecNotBuilt`], [`BatchError::Codec`],
    /// [`BatchError::DecompressedTooLarge`]; the iterator answers what is wrong with a record.
    pub fn records(&self, limits: &RecordLimits) -> Result<Records, BatchError> {
        let body = compression::decompress(self.header.codec()?, &self.records, limits)?;
        Ok(Records::new(self.header, body, *limits))
    }

    /// Bytes of the whole batch.
    #[inline]
    pub const fn total_bytes(&self) -> usize {
        HEADER_BYTES + self.records.len()
    }

    /// Gives the batch its place in a log; the CRC does not cover it.
    #[inline]
    pub const fn assign(&mut self, base_offset: Offset, leader_epoch: LeaderEpoch) {
        self.header.base_offset = base_offset;
        self.header.leader_epoch = leader_epoch;
    }

    /// Says which idempotent producer the batch is of, and renews the CRC.
    pub fn set_producer(&mut self, producer: ProducerStamp) {
        self.header.set_producer(producer);
        self.header.crc = self.compute_crc();
    }

    /// Stamps the batch with the broker's time (`timestamp_type = append`) and renews the CRC.
    pub fn set_log_append_time(&mut self, now: Timestamp) {
        self.header.set_log_append_time(now);
        self.header.crc = self.compute_crc();
    }

    /// Appends the batch's bytes to `out`.
    #[inline]
    pub fn encode_to(&self, out: &mut impl BufMut) {
        out.put_slice(&self.header.encode());
        out.put_slice(&self.records);
    }

    /// The batch's bytes, copied into one piece.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.total_bytes());
        self.encode_to(&mut out);
        out.into()
    }
}

/// The batches that lie back to back in `bytes`, such as a slice that a partition was read into.
/// Their CRCs are not checked. Ends after the first error.
pub fn batches(bytes: Bytes) -> Batches {
    Batches { rest: bytes }
}

/// See [`batches`].
#[derive(Clone, Debug)]
pub struct Batches {
    rest: Bytes,
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let batch = RecordBatch::split_first(&mut self.rest);
        if batch.is_err() {
            self.rest.clear();
        }
        Some(batch)
    }
}

impl FusedIterator for Batches {}

#[cfg(test)]
mod tests;
