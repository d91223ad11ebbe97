//! Record batches: the unit of storage, checksum, compression and transfer.
//!
//! A batch is *viewed*, not decoded: [`RecordBatch`] holds the decoded header and the producer's
//! bytes after it, untouched. What the broker sets (base offset, leader epoch) is in the header.

mod header;

use bytes::{BufMut, Bytes};

pub use header::{BatchHeader, HEADER_BYTES};

use crate::{
    offset::{LeaderEpoch, Offset},
    time::Timestamp,
};

/// Why bytes are not a record batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// The bytes end too early.
    #[error("batch is cut short: {needed} bytes needed, {have} there")]
    Truncated {
        /// Bytes that the batch should have.
        needed: usize,
        /// Bytes that there are.
        have: usize,
    },
    /// Not message format v2.
    #[error("message format {0} is not supported, only 2")]
    UnsupportedMagic(i8),
    /// The length field cannot be.
    #[error("batch length {0} cannot be")]
    InvalidLength(i32),
    /// A base offset below zero, or not zero where a producer sends.
    #[error("base offset {0} cannot be")]
    InvalidBaseOffset(i64),
    /// Count and offsets do not agree.
    #[error("{count} records do not agree with a last offset delta of {last_offset_delta}")]
    InvalidCount {
        /// Records that the header names.
        count: i32,
        /// Last offset minus base offset, as the header has it.
        last_offset_delta: i32,
    },
    /// The bytes are not those that were sent.
    #[error("CRC-32C is {found:08x}, the batch says {expected:08x}")]
    CrcMismatch {
        /// As the header has it.
        expected: u32,
        /// As computed.
        found: u32,
    },
    /// A codec nobody has defined.
    #[error("compression codec {0} is unknown")]
    UnknownCodec(i16),
}

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
    /// [`BatchError`]; bytes after the batch are [`BatchError::InvalidLength`].
    pub fn parse(bytes: Bytes) -> Result<Self, BatchError> {
        let mut rest = bytes;
        let batch = Self::split_first(&mut rest)?;
        if !rest.is_empty() {
            let length =
                i32::from_be_bytes(batch.header.encode()[8..12].try_into().unwrap_or_default());
            return Err(BatchError::InvalidLength(length));
        }
        batch.verify_crc()?;
        Ok(batch)
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

    fn compute_crc(&self) -> u32 {
        let header = self.header.encode();
        let crc = crc32c::crc32c(&header[header::CRC_COVER_START..]);
        crc32c::crc32c_append(crc, &self.records)
    }

    /// The header.
    pub const fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The bytes after the header: records, compressed as the header says.
    pub const fn records_bytes(&self) -> &Bytes {
        &self.records
    }

    /// Bytes of the whole batch.
    pub const fn total_bytes(&self) -> usize {
        HEADER_BYTES + self.records.len()
    }

    /// Gives the batch its place in a log; the CRC does not cover it.
    pub const fn assign(&mut self, base_offset: Offset, leader_epoch: LeaderEpoch) {
        self.header.base_offset = base_offset;
        self.header.leader_epoch = leader_epoch;
    }

    /// Stamps the batch with the broker's time (`timestamp_type = append`) and renews the CRC.
    pub fn set_log_append_time(&mut self, now: Timestamp) {
        self.header.set_log_append_time(now);
        self.header.crc = self.compute_crc();
    }

    /// Appends the batch's bytes to `out`.
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
