//! The records inside a batch, read in place.
//!
//! ```text
//! length          varint   of what follows
//! attributes      i8       (unused)
//! timestamp delta varlong  to the batch's base timestamp
//! offset delta    varint   to the batch's base offset
//! key             varint length (negative: absent), bytes
//! value           varint length (negative: absent), bytes
//! headers         varint count, then for each: key (varint length, bytes), value (as above)
//! ```
//! Keys, values and headers are slices of the batch's bytes (or of the one buffer that these were
//! decompressed into). What a length promises is compared with the bytes that are there before it
//! is believed; nothing is allocated by a length or a count.

use std::{borrow::Cow, iter::FusedIterator};

use bytes::Bytes;

use super::{
    BatchError, BatchHeader,
    varint::{take_varint, take_varlong},
};
use crate::{
    config::TimestampType,
    limits,
    offset::Offset,
    record::{Header, Record},
    time::Timestamp,
};

/// What reading a batch's records may cost.
///
/// The broker does not open compressed batches when they are produced, so a record that passes these
/// is refused there only in a batch without compression, and else found by those who read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordLimits {
    /// Most bytes that the records may decompress to.
    pub decompressed_bytes_max: usize,
    /// Most times their compressed size that they may decompress to, once they pass
    /// [`limits::DECOMPRESSION_RATIO_FREE_BYTES`].
    pub decompression_ratio_max: usize,
    /// Most headers of a record.
    pub headers_max: usize,
    /// Longest key of a record in bytes.
    pub key_bytes_max: usize,
}

impl Default for RecordLimits {
    fn default() -> Self {
        Self {
            decompressed_bytes_max: limits::DECOMPRESSED_BYTES_MAX,
            decompression_ratio_max: limits::DECOMPRESSION_RATIO_MAX,
            headers_max: limits::HEADERS_MAX,
            key_bytes_max: limits::KEY_BYTES_MAX,
        }
    }
}

/// One record of a batch, as slices of it. It keeps the whole batch in memory while it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordView {
    /// Its offset in the partition (from 0 in a batch that has no place yet).
    pub offset: Offset,
    /// The producer's time, or the log's where the batch carries that.
    pub timestamp: Timestamp,
    /// Absent is not the same as empty.
    pub key: Option<Bytes>,
    /// Absent is not the same as empty.
    pub value: Option<Bytes>,
    /// In the producer's order.
    pub headers: Headers,
}

impl RecordView {
    /// The record without its place; keys and values are shared, not copied.
    ///
    /// Header keys that are not UTF-8 come with replacement characters, as Kafka's clients read them.
    pub fn into_record(self) -> Record {
        Record {
            headers: self
                .headers
                .iter()
                .map(|header| Header {
                    key: header.key_lossy().into_owned(),
                    value: header.value,
                })
                .collect(),
            key: self.key,
            value: self.value,
            timestamp: Some(self.timestamp),
        }
    }
}

/// The headers of a record, still encoded but known to be well formed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    encoded: Bytes,
    count: usize,
}

impl Headers {
    /// How many there are.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Each header, in the producer's order.
    pub fn iter(&self) -> impl Iterator<Item = HeaderView> + '_ {
        let mut rest = &self.encoded[..];
        // A `Headers` is only made of bytes that have been walked once, so no header is left out.
        std::iter::from_fn(move || {
            let (key, value) = take_header(&mut rest).ok()?;
            Some(HeaderView {
                key: self.encoded.slice_ref(key),
                value: value.map(|value| self.encoded.slice_ref(value)),
            })
        })
    }
}

/// One header of a record, as slices of the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderView {
    /// UTF-8 by Kafka's format, though nothing enforces it.
    pub key: Bytes,
    /// Absent is not the same as empty.
    pub value: Option<Bytes>,
}

impl HeaderView {
    /// The key as text, with replacement characters for what is not UTF-8.
    pub fn key_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.key)
    }
}

/// Reads a batch's records one after the other; ends after the first error.
#[derive(Clone, Debug)]
pub struct Records {
    header: BatchHeader,
    body: Bytes,
    limits: RecordLimits,
    /// Bytes of `body` already read.
    position: usize,
    /// Records already read.
    index: u32,
    /// The least offset delta that the next record may have.
    offset_delta_min: i32,
    failed: bool,
}

impl Records {
    /// Over `body`, the records of a batch with this header, not compressed (any more).
    pub(super) fn new(header: BatchHeader, body: Bytes, limits: RecordLimits) -> Self {
        Self {
            header,
            body,
            limits,
            position: 0,
            index: 0,
            offset_delta_min: 0,
            failed: false,
        }
    }

    fn remaining(&self) -> u32 {
        let count = u32::try_from(self.header.record_count).unwrap_or(0);
        count.saturating_sub(self.index)
    }

    #[inline]
    fn read_next(&mut self) -> Result<RecordView, BatchError> {
        let mut rest = self.body.get(self.position..).unwrap_or_default();
        let raw = RawRecord::take(&mut rest, self.index, &self.limits)?;
        if raw.offset_delta < self.offset_delta_min
            || raw.offset_delta > self.header.last_offset_delta
        {
            return Err(BatchError::InvalidRecord {
                index: self.index,
                problem: "its offset is out of order",
            });
        }
        let share = |slice| self.body.slice_ref(slice);
        let view = RecordView {
            offset: (self.header.base_offset).plus(u64::from(raw.offset_delta.unsigned_abs())),
            timestamp: match self.header.timestamp_type() {
                TimestampType::CreateTime => {
                    let base = self.header.base_timestamp.get();
                    Timestamp::new(base.wrapping_add(raw.timestamp_delta))
                }
                TimestampType::LogAppendTime => self.header.max_timestamp,
            },
            key: raw.key.map(share),
            value: raw.value.map(share),
            headers: Headers {
                encoded: share(raw.headers),
                count: raw.header_count,
            },
        };
        self.position = self.body.len() - rest.len();
        self.index += 1;
        self.offset_delta_min = raw.offset_delta.saturating_add(1);
        Ok(view)
    }
}

impl Iterator for Records {
    type Item = Result<RecordView, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = if self.remaining() > 0 {
            self.read_next()
        } else if self.position == self.body.len() {
            return None;
        } else {
            Err(BatchError::TrailingBytes(self.body.len() - self.position))
        };
        self.failed = next.is_err();
        Some(next)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // The count is the header's word, so it bounds nothing from below. The one more is an error.
        (0, Some(self.remaining() as usize + 1))
    }
}

impl FusedIterator for Records {}

/// A record's fields, as slices of what they were read from.
#[derive(Debug)]
pub(super) struct RawRecord<'a> {
    timestamp_delta: i64,
    pub(super) offset_delta: i32,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    headers: &'a [u8],
    header_count: usize,
}

impl<'a> RawRecord<'a> {
    /// Takes the next record off `bytes`; `index` is its place in the batch, for errors.
    #[inline]
    pub(super) fn take(
        bytes: &mut &'a [u8],
        index: u32,
        limits: &RecordLimits,
    ) -> Result<Self, BatchError> {
        let invalid = |problem| BatchError::InvalidRecord { index, problem };
        let Ok(Some(mut record)) = take_sized(bytes) else {
            return Err(invalid("its length passes the end of the batch"));
        };
        let record = &mut record;
        let cut_short = || invalid("a field passes the end of the record");
        let _attributes = record.split_off_first().ok_or_else(cut_short)?;
        let timestamp_delta = take_varlong(record).ok_or_else(cut_short)?;
        let offset_delta = take_varint(record).ok_or_else(cut_short)?;
        let key = take_sized(record).map_err(|CutShort| cut_short())?;
        let value = take_sized(record).map_err(|CutShort| cut_short())?;
        let header_count = take_varint(record).ok_or_else(cut_short)?;
        let header_count =
            usize::try_from(header_count).map_err(|_| invalid("it has less than no headers"))?;
        if let Some(key) = key.filter(|key| key.len() > limits.key_bytes_max) {
            return Err(BatchError::KeyTooLarge {
                bytes: key.len(),
                max: limits.key_bytes_max,
            });
        }
        if header_count > limits.headers_max {
            return Err(BatchError::TooManyHeaders {
                count: header_count,
                max: limits.headers_max,
            });
        }
        let headers = *record;
        for _ in 0..header_count {
            take_header(record)
                .map_err(|CutShort| invalid("a header passes the end of the record"))?;
        }
        if !record.is_empty() {
            return Err(invalid("bytes follow its last field"));
        }
        Ok(Self {
            timestamp_delta,
            offset_delta,
            key,
            value,
            headers,
            header_count,
        })
    }
}

/// The bytes end before what they promise.
struct CutShort;

/// Takes a length and that many bytes; a negative length is absence.
#[inline]
fn take_sized<'a>(bytes: &mut &'a [u8]) -> Result<Option<&'a [u8]>, CutShort> {
    let length = take_varint(bytes).ok_or(CutShort)?;
    let Ok(length) = usize::try_from(length) else {
        return Ok(None);
    };
    bytes.split_off(..length).map(Some).ok_or(CutShort)
}

/// Takes a header's key, which must be there, and its value.
fn take_header<'a>(bytes: &mut &'a [u8]) -> Result<(&'a [u8], Option<&'a [u8]>), CutShort> {
    let key = take_sized(bytes)?.ok_or(CutShort)?;
    Ok((key, take_sized(bytes)?))
}
