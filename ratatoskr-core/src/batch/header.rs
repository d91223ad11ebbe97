//! The 61 bytes that open a record batch (Kafka's message format v2).
//!
//! ```text
//! at  0 base offset      i64    at 23 last offset delta i32
//! at  8 length           i32    at 27 base timestamp    i64
//! at 12 leader epoch     i32    at 35 max timestamp     i64
//! at 16 magic (2)        i8     at 43 producer id       i64
//! at 17 CRC-32C          u32    at 51 producer epoch    i16
//! at 21 attributes       i16    at 53 base sequence     i32
//!                               at 57 record count      i32
//! ```
//! All numbers are big endian. `length` counts what follows it, so a batch has `length + 12` bytes.
//! The CRC covers everything from `attributes` on; base offset and leader epoch lie outside it, so
//! the broker may set them without touching the producer's bytes.

use crate::{
    batch::BatchError,
    config::{Compression, TimestampType},
    offset::{LeaderEpoch, Offset},
    producer::{ProducerEpoch, ProducerId, ProducerStamp, Sequence},
    time::Timestamp,
};

/// Bytes of a batch before its records.
pub const HEADER_BYTES: usize = 61;
/// Bytes before and including `length`, which `length` does not count.
pub(super) const LENGTH_END: usize = 12;
/// Where the CRC's cover begins.
pub(super) const CRC_COVER_START: usize = 21;

const ATTRIBUTE_COMPRESSION: i16 = 0b111;
const ATTRIBUTE_LOG_APPEND_TIME: i16 = 1 << 3;
const ATTRIBUTE_TRANSACTIONAL: i16 = 1 << 4;
const ATTRIBUTE_CONTROL: i16 = 1 << 5;
const ATTRIBUTE_DELETE_HORIZON: i16 = 1 << 6;

/// A batch's header, decoded. Its `length` is kept as the number of bytes of the whole batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record; 0 as a producer sends it.
    pub base_offset: Offset,
    /// Bytes of the whole batch, this header included.
    pub total_bytes: u32,
    /// The leader that appended it; -1 as a producer sends it.
    pub leader_epoch: LeaderEpoch,
    /// CRC-32C of all bytes from the attributes on.
    pub crc: u32,
    /// Codec, kind of timestamp, transactional, control, delete horizon: as bits.
    pub attributes: i16,
    /// Last offset minus base offset.
    pub last_offset_delta: i32,
    /// What the records' timestamps are relative to.
    pub base_timestamp: Timestamp,
    /// The greatest of the records' timestamps.
    pub max_timestamp: Timestamp,
    /// -1 for a producer that is not idempotent.
    pub producer_id: ProducerId,
    /// -1 for a producer that is not idempotent.
    pub producer_epoch: ProducerEpoch,
    /// -1 for a producer that is not idempotent.
    pub base_sequence: Sequence,
    /// How many records follow.
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads the header that opens `bytes`, checking magic, lengths and counts, but no CRC.
    ///
    /// # Errors
    /// [`BatchError`] naming what is wrong; [`BatchError::Truncated`] where bytes are missing that
    /// the header promises.
    pub fn decode(bytes: &[u8]) -> Result<Self, BatchError> {
        let header: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(BatchError::Truncated {
            needed: HEADER_BYTES,
            have: bytes.len(),
        })?;
        let magic = header[16].cast_signed();
        if magic != 2 {
            return Err(BatchError::UnsupportedMagic(magic));
        }
        let length = i32::from_be_bytes(field(header, 8));
        let total_bytes = u32::try_from(length)
            .ok()
            .and_then(|length| length.checked_add(u32::try_from(LENGTH_END).ok()?))
            .filter(|&total| total as usize >= HEADER_BYTES)
            .ok_or(BatchError::InvalidLength(length))?;
        let base_offset = i64::from_be_bytes(field(header, 0));
        let decoded = Self {
            base_offset: Offset::from_wire(base_offset)
                .ok_or(BatchError::InvalidBaseOffset(base_offset))?,
            total_bytes,
            leader_epoch: i32::from_be_bytes(field(header, 12)).into(),
            crc: u32::from_be_bytes(field(header, 17)),
            attributes: i16::from_be_bytes(field(header, 21)),
            last_offset_delta: i32::from_be_bytes(field(header, 23)),
            base_timestamp: i64::from_be_bytes(field(header, 27)).into(),
            max_timestamp: i64::from_be_bytes(field(header, 35)).into(),
            producer_id: i64::from_be_bytes(field(header, 43)).into(),
            producer_epoch: i16::from_be_bytes(field(header, 51)).into(),
            base_sequence: i32::from_be_bytes(field(header, 53)).into(),
            record_count: i32::from_be_bytes(field(header, 57)),
        };
        decoded.codec()?;
        if base_offset
            .checked_add(decoded.last_offset_delta.into())
            .is_none()
        {
            return Err(BatchError::InvalidBaseOffset(base_offset));
        }
        // Compaction may leave fewer records than offsets, never more, and may leave none.
        if decoded.last_offset_delta < 0
            || decoded.record_count < 0
            || i64::from(decoded.record_count) > i64::from(decoded.last_offset_delta) + 1
        {
            return Err(BatchError::InvalidCount {
                count: decoded.record_count,
                last_offset_delta: decoded.last_offset_delta,
            });
        }
        if bytes.len() < total_bytes as usize {
            return Err(BatchError::Truncated {
                needed: total_bytes as usize,
                have: bytes.len(),
            });
        }
        Ok(decoded)
    }

    /// The 61 bytes of this header.
    #[inline]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        let length = (self.total_bytes as usize).saturating_sub(LENGTH_END);
        let length = i32::try_from(length).unwrap_or(i32::MAX);
        out[0..8].copy_from_slice(&self.base_offset.to_wire().to_be_bytes());
        out[8..12].copy_from_slice(&length.to_be_bytes());
        out[12..16].copy_from_slice(&self.leader_epoch.get().to_be_bytes());
        out[16] = 2;
        out[17..21].copy_from_slice(&self.crc.to_be_bytes());
        out[21..23].copy_from_slice(&self.attributes.to_be_bytes());
        out[23..27].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        out[27..35].copy_from_slice(&self.base_timestamp.get().to_be_bytes());
        out[35..43].copy_from_slice(&self.max_timestamp.get().to_be_bytes());
        out[43..51].copy_from_slice(&self.producer_id.get().to_be_bytes());
        out[51..53].copy_from_slice(&self.producer_epoch.get().to_be_bytes());
        out[53..57].copy_from_slice(&self.base_sequence.get().to_be_bytes());
        out[57..61].copy_from_slice(&self.record_count.to_be_bytes());
        out
    }

    /// Offset of the last record (of the last that there was, where compaction removed some).
    #[inline]
    pub fn last_offset(&self) -> Offset {
        self.base_offset
            .plus(u64::from(self.last_offset_delta.unsigned_abs()))
    }

    /// One past the last offset.
    #[inline]
    pub fn end_offset(&self) -> Offset {
        self.last_offset().plus(1)
    }

    /// The codec of the records.
    ///
    /// # Errors
    /// [`BatchError::UnknownCodec`].
    #[inline]
    pub fn codec(&self) -> Result<Compression, BatchError> {
        let code = self.attributes & ATTRIBUTE_COMPRESSION;
        usize::try_from(code)
            .ok()
            .and_then(|code| Compression::ALL.get(code).copied())
            .ok_or(BatchError::UnknownCodec(code))
    }

    /// Whose time the records carry.
    #[inline]
    pub const fn timestamp_type(&self) -> TimestampType {
        if self.attributes & ATTRIBUTE_LOG_APPEND_TIME == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Whether the batch is part of a transaction.
    pub const fn is_transactional(&self) -> bool {
        self.attributes & ATTRIBUTE_TRANSACTIONAL != 0
    }

    /// Whether the batch carries a marker of the broker's instead of records.
    pub const fn is_control(&self) -> bool {
        self.attributes & ATTRIBUTE_CONTROL != 0
    }

    /// From when on compaction may remove the batch's tombstones; `None` until compaction has seen
    /// them. It takes the place of the base timestamp, as in Kafka (KIP-534).
    pub fn delete_horizon(&self) -> Option<Timestamp> {
        (self.attributes & ATTRIBUTE_DELETE_HORIZON != 0).then_some(self.base_timestamp)
    }

    /// The idempotent producer it came from, if it came from one.
    #[inline]
    pub fn producer(&self) -> Option<ProducerStamp> {
        (self.producer_id.get() >= 0).then_some(ProducerStamp {
            id: self.producer_id,
            epoch: self.producer_epoch,
            base_sequence: self.base_sequence,
        })
    }

    pub(super) const fn set_producer(&mut self, producer: ProducerStamp) {
        self.producer_id = producer.id;
        self.producer_epoch = producer.epoch;
        self.base_sequence = producer.base_sequence;
    }

    /// The records' timestamp deltas must be told from the new base timestamp as well.
    pub(super) const fn set_delete_horizon(&mut self, at: Timestamp) {
        self.attributes |= ATTRIBUTE_DELETE_HORIZON;
        self.base_timestamp = at;
    }

    pub(super) const fn set_codec(&mut self, codec: Compression) {
        self.attributes = (self.attributes & !ATTRIBUTE_COMPRESSION) | codec as i16;
    }

    pub(super) fn set_log_append_time(&mut self, now: Timestamp) {
        self.attributes |= ATTRIBUTE_LOG_APPEND_TIME;
        self.max_timestamp = now;
    }
}

/// The `N` bytes at `at`; every caller names a place inside the header.
fn field<const N: usize>(header: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&header[at..at + N]);
    out
}
