//! Takes records out of a batch, as compaction does, and leaves the rest of it as it was.
//!
//! A batch keeps its base offset, last offset, epoch, producer stamp and timestamps whatever goes out
//! of it, so that offsets and sequences stay what they were. Records that stay are copied as they
//! lie; only where the batch is given a delete horizon are their timestamp deltas written anew, since
//! the horizon takes the place of the base timestamp.

use bytes::Bytes;

use super::{
    BatchError, HEADER_BYTES, RecordBatch, RecordLimits, compression,
    records::RawRecord,
    varint::{put_varint, put_varlong, take_varint, take_varlong, varint_len},
};
use crate::{config::Compression, limits, offset::Offset, time::Timestamp};

/// A record as compaction looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyedRecord<'a> {
    /// Its offset in the partition.
    pub offset: Offset,
    /// What the latest record is kept of.
    pub key: Option<&'a [u8]>,
    /// Whether it has no value, which says that its key is deleted.
    pub is_tombstone: bool,
}

/// A batch's records one after the other, as they are encoded.
#[derive(Debug)]
pub(super) struct RawRecords {
    body: Bytes,
    position: usize,
    index: u32,
    count: u32,
}

impl RawRecords {
    /// The next record; after an error there is none.
    pub(super) fn next(&mut self) -> Option<Result<RawRecord<'_>, BatchError>> {
        if self.index >= self.count {
            return None;
        }
        let body = self.body.get(self.position..).unwrap_or_default();
        let mut rest = body;
        let taken = RawRecord::take(&mut rest, self.index, &RecordLimits::default());
        match &taken {
            Ok(_) => self.index += 1,
            Err(_) => self.index = self.count,
        }
        self.position += body.len() - rest.len();
        Some(taken)
    }
}

impl RecordBatch {
    pub(super) fn raw_records(&self, limits: &RecordLimits) -> Result<RawRecords, BatchError> {
        Ok(RawRecords {
            body: compression::decompress(self.header.codec()?, &self.records, limits)?,
            position: 0,
            index: 0,
            count: self.header.record_count.unsigned_abs(),
        })
    }

    /// Shows each record to `look` until that answers `false`; whether it never did.
    ///
    /// # Errors
    /// What keeps the records from being read.
    pub fn look_at_keys(
        &self,
        mut look: impl FnMut(KeyedRecord<'_>) -> bool,
    ) -> Result<bool, BatchError> {
        let mut records = self.raw_records(&RecordLimits::default())?;
        while let Some(record) = records.next() {
            if !look(self.keyed(&record?)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The batch with those records alone that `keep` answers `true` for. Where `horizon`, asked
    /// behind the last record, names a time, that is when tombstones of this batch may go. `None`
    /// where nothing changes.
    ///
    /// # Errors
    /// What keeps the records from being read; [`BatchError::TooLarge`] where a horizon would make the
    /// batch too large. Nothing is taken out of such a batch.
    pub fn retain(
        &self,
        mut keep: impl FnMut(KeyedRecord<'_>) -> bool,
        horizon: impl FnOnce() -> Option<Timestamp>,
    ) -> Result<Option<Self>, BatchError> {
        let mut records = self.raw_records(&RecordLimits::default())?;
        let mut kept = Vec::new();
        let mut count = 0;
        loop {
            let start = records.position;
            let Some(record) = records.next() else { break };
            let stays = keep(self.keyed(&record?));
            if stays {
                count += 1;
                kept.extend_from_slice(&records.body[start..records.position]);
            }
        }
        let mut header = self.header;
        let horizon = horizon().filter(|_| header.delete_horizon().is_none());
        if count == header.record_count && horizon.is_none() {
            return Ok(None);
        }
        if count == 0 {
            return Ok(Some(self.emptied()));
        }
        if let Some(horizon) = horizon {
            let moved = header.base_timestamp.get().wrapping_sub(horizon.get());
            kept = with_moved_times(&kept, moved)?;
            header.set_delete_horizon(horizon);
        }
        header.record_count = count;
        let (codec, records) = compression::compress(header.codec()?, kept)?;
        header.set_codec(codec);
        let bytes = HEADER_BYTES + records.len();
        if bytes > limits::BATCH_BYTES_MAX as usize {
            // Times told from a horizon take more room.
            let max = limits::BATCH_BYTES_MAX as usize;
            return Err(BatchError::TooLarge { bytes, max });
        }
        Ok(Some(Self { header, records }.sealed()))
    }

    /// The batch with those of its records alone whose offsets lie in these ranges (first and last),
    /// which are ascending. Of a record only its length and offset are looked at, and of what lies behind
    /// the last range nothing; so this is much cheaper than [`retain`](Self::retain). `None` where it
    /// is compressed.
    ///
    /// # Errors
    /// [`BatchError::InvalidRecord`].
    pub(crate) fn cut_to(
        &self,
        ranges: impl Iterator<Item = (u64, u64)>,
    ) -> Result<Option<Self>, BatchError> {
        let mut header = self.header;
        if header.codec()? != Compression::None {
            return Ok(None);
        }
        let base = header.base_offset.get();
        let mut ranges = ranges.peekable();
        let mut kept = Vec::new();
        let mut rest = &self.records[..];
        header.record_count = 0;
        for index in 0..self.header.record_count.unsigned_abs() {
            let (whole, delta) = split_record(&mut rest).ok_or(BatchError::InvalidRecord {
                index,
                problem: "a field passes the end of the record",
            })?;
            let offset = base + u64::from(delta.unsigned_abs());
            while ranges.next_if(|&(_, last)| last < offset).is_some() {}
            match ranges.peek() {
                None => break,
                Some(&(first, _)) if first <= offset => {
                    kept.extend_from_slice(whole);
                    header.record_count += 1;
                }
                Some(_) => {}
            }
        }
        let records = Bytes::from(kept);
        Ok(Some(Self { header, records }.sealed()))
    }

    /// The batch without any record: its offsets and its producer's sequences stay.
    #[must_use]
    pub fn emptied(&self) -> Self {
        let mut header = self.header;
        header.record_count = 0;
        header.set_codec(Compression::None);
        let records = Bytes::new();
        Self { header, records }.sealed()
    }

    /// A batch without records and without a producer that takes the place of those from `first` to
    /// `last`, which follow each other; `None` where they span more offsets than a batch can.
    pub fn standing_for(first: &Self, last: &Self) -> Option<Self> {
        let base_offset = first.header.base_offset;
        let span = last.header.last_offset().distance_from(base_offset);
        let mut header = last.header;
        header.base_offset = base_offset;
        header.last_offset_delta = i32::try_from(span).ok()?;
        header.max_timestamp = header.max_timestamp.max(first.header.max_timestamp);
        header.base_timestamp = header.max_timestamp;
        header.attributes = 0;
        header.producer_id = (-1).into();
        header.producer_epoch = (-1).into();
        header.base_sequence = (-1).into();
        header.record_count = 0;
        let records = Bytes::new();
        Some(Self { header, records }.sealed())
    }

    /// With the length and CRC that its contents ask for.
    fn sealed(mut self) -> Self {
        let bytes = u32::try_from(HEADER_BYTES + self.records.len());
        self.header.total_bytes = bytes.expect("a batch has at most BATCH_BYTES_MAX bytes");
        self.header.crc = self.compute_crc();
        self
    }

    fn keyed<'a>(&self, record: &RawRecord<'a>) -> KeyedRecord<'a> {
        let delta = u64::from(record.offset_delta.unsigned_abs());
        KeyedRecord {
            offset: self.header.base_offset.plus(delta),
            key: record.key,
            is_tombstone: record.value.is_none(),
        }
    }
}

/// The next record as it lies, and its offset delta.
fn split_record<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], i32)> {
    let whole = *rest;
    let length = usize::try_from(take_varint(rest)?).ok()?;
    let mut record = rest.split_off(..length)?;
    let _attributes = record.split_off_first()?;
    let _timestamp_delta = take_varlong(&mut record)?;
    let delta = take_varint(&mut record)?;
    Some((&whole[..whole.len() - rest.len()], delta))
}

/// The same records, their times told from a base timestamp that lies `moved` earlier.
fn with_moved_times(mut records: &[u8], moved: i64) -> Result<Vec<u8>, BatchError> {
    let mut out = Vec::with_capacity(records.len());
    let mut index = 0;
    while !records.is_empty() {
        let cut_short = || BatchError::InvalidRecord {
            index,
            problem: "a field passes the end of the record",
        };
        let length = take_varint(&mut records).ok_or_else(cut_short)?;
        let length = usize::try_from(length).map_err(|_| cut_short())?;
        let mut record = records.split_off(..length).ok_or_else(cut_short)?;
        let attributes = *record.split_off_first().ok_or_else(cut_short)?;
        let delta = take_varlong(&mut record).ok_or_else(cut_short)?;
        let delta = delta.wrapping_add(moved);
        let length = 1 + varint_len(delta) + record.len();
        put_varint(&mut out, i32::try_from(length).map_err(|_| cut_short())?);
        out.push(attributes);
        put_varlong(&mut out, delta);
        out.extend_from_slice(record);
        index += 1;
    }
    Ok(out)
}
