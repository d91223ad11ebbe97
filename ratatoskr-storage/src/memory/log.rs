//! A partition's batches, in segments.
//!
//! Invariants: segments and the batches in them lie in the order of their offsets and do not
//! overlap; no segment is empty; every batch ends beyond the log start. Segments exist only because
//! retention removes whole ones: a batch that would take the last one past the topic's
//! `segment_bytes` or `segment_age` begins a new one. Age is told by the records' own times, as
//! Kafka tells it, since a backend has no clock.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use ratatoskr_core::{
    batch::RecordBatch,
    config::TopicConfig,
    offset::{Bounds, Offset},
    storage::{
        Appended, BatchSlices, PartitionStats, ReadRequest, SegmentStats, StorageResult,
        TimestampedOffset,
    },
    time::Timestamp,
};

#[derive(Debug, Default)]
pub(super) struct Log {
    start: Offset,
    end: Offset,
    segments: VecDeque<Segment>,
}

#[derive(Debug)]
struct Segment {
    batches: VecDeque<Batch>,
    bytes: u64,
    first_timestamp: Timestamp,
    max_timestamp: Timestamp,
}

#[derive(Debug)]
struct Batch {
    base_offset: Offset,
    end_offset: Offset,
    max_timestamp: Timestamp,
    bytes: Bytes,
}

impl Log {
    pub(super) const fn bounds(&self) -> Bounds {
        Bounds::of_log(self.start, self.end, self.end)
    }

    /// What appending `batches` will answer, if they are in order.
    pub(super) fn plan(&self, batches: &[RecordBatch]) -> StorageResult<Appended> {
        Appended::of(batches, self.end)
    }

    /// Appends what [`plan`](Self::plan) has passed; `encoded` are the same batches.
    pub(super) fn append(
        &mut self,
        batches: &[RecordBatch],
        encoded: Vec<Bytes>,
        config: &TopicConfig,
    ) {
        for (batch, bytes) in batches.iter().zip(encoded) {
            let header = batch.header();
            assert!(header.base_offset >= self.end, "batches were not checked");
            self.end = header.end_offset();
            self.push(
                Batch {
                    base_offset: header.base_offset,
                    end_offset: self.end,
                    max_timestamp: header.max_timestamp,
                    bytes,
                },
                config,
            );
        }
    }

    fn push(&mut self, batch: Batch, config: &TopicConfig) {
        match self.segments.back_mut() {
            Some(last) if last.has_room_for(&batch, config) => last.push(batch),
            _ => self.segments.push_back(Segment::of(batch)),
        }
    }

    pub(super) fn read(&self, request: &ReadRequest) -> StorageResult<BatchSlices> {
        self.bounds().check(request.from)?;
        let mut found = Vec::new();
        let mut bytes = 0;
        for batch in self.batches_from(request.from) {
            bytes += batch.bytes.len();
            let is_full = !found.is_empty() && bytes > request.bytes_max;
            if is_full || batch.base_offset >= request.until {
                break;
            }
            found.push(batch.bytes.clone());
        }
        Ok(BatchSlices::new(found))
    }

    /// Batches from the first that ends beyond `from`.
    fn batches_from(&self, from: Offset) -> impl Iterator<Item = &Batch> {
        let first = self
            .segments
            .partition_point(|segment| segment.end_offset() <= from);
        let segments = self.segments.range(first..);
        segments.enumerate().flat_map(move |(index, segment)| {
            // Only the first segment can hold batches that end at or before `from`.
            let skipped = if index == 0 {
                let batches = &segment.batches;
                batches.partition_point(|batch| batch.end_offset <= from)
            } else {
                0
            };
            segment.batches.range(skipped..)
        })
    }

    pub(super) fn offset_for_timestamp(&self, at: Timestamp) -> Option<TimestampedOffset> {
        let mut segments = self.segments.iter();
        let segment = segments.find(|segment| segment.max_timestamp >= at)?;
        let batch = segment.batches.iter().find(|b| b.max_timestamp >= at)?;
        Some(TimestampedOffset {
            offset: batch.base_offset,
            max_timestamp: batch.max_timestamp,
        })
    }

    /// Moves the log start up to `to` and answers how many bytes of batches are gone.
    pub(super) fn advance_start(&mut self, to: Offset) -> StorageResult<u64> {
        let to = to.max(self.start);
        self.bounds().check(to)?;
        self.start = to;
        let mut freed = 0;
        while let Some(first) = self.segments.front_mut() {
            freed += first.trim(self.start);
            if !first.batches.is_empty() {
                break;
            }
            self.segments.pop_front();
        }
        Ok(freed)
    }

    /// Drops every batch and answers how many bytes they had. The bounds stay.
    pub(super) fn clear(&mut self) -> u64 {
        let bytes = self.segments.iter().map(|segment| segment.bytes).sum();
        self.segments = VecDeque::new();
        bytes
    }

    pub(super) fn stats(&self) -> PartitionStats {
        self.segments.iter().filter_map(Segment::stats).collect()
    }
}

impl Segment {
    fn of(batch: Batch) -> Self {
        let mut segment = Self {
            batches: VecDeque::new(),
            bytes: 0,
            first_timestamp: batch.max_timestamp,
            max_timestamp: batch.max_timestamp,
        };
        segment.push(batch);
        segment
    }

    fn has_room_for(&self, batch: &Batch, config: &TopicConfig) -> bool {
        let first_ms = self.first_timestamp.get();
        let age_ms = batch.max_timestamp.get().saturating_sub(first_ms);
        let age = Duration::from_millis(u64::try_from(age_ms).unwrap_or(0));
        self.bytes + batch.bytes.len() as u64 <= config.segment_bytes
            && config.segment_age.is_none_or(|age_max| age < age_max)
    }

    fn push(&mut self, batch: Batch) {
        self.bytes += batch.bytes.len() as u64;
        self.max_timestamp = self.max_timestamp.max(batch.max_timestamp);
        self.batches.push_back(batch);
    }

    /// Drops batches that end at or before `start`; answers their bytes.
    fn trim(&mut self, start: Offset) -> u64 {
        let before = self.bytes;
        let mut lost_maximum = false;
        while let Some(first) = self.batches.front()
            && first.end_offset <= start
        {
            self.bytes -= first.bytes.len() as u64;
            lost_maximum |= first.max_timestamp == self.max_timestamp;
            self.batches.pop_front();
        }
        if lost_maximum && let Some(max) = self.batches.iter().map(|b| b.max_timestamp).max() {
            self.max_timestamp = max;
        }
        before - self.bytes
    }

    fn end_offset(&self) -> Offset {
        self.batches
            .back()
            .map_or(Offset::ZERO, |batch| batch.end_offset)
    }

    fn stats(&self) -> Option<SegmentStats> {
        Some(SegmentStats {
            base_offset: self.batches.front()?.base_offset,
            end_offset: self.end_offset(),
            bytes: self.bytes,
            max_timestamp: self.max_timestamp,
        })
    }
}
