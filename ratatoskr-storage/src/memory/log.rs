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
        Appended, BatchSlices, PartitionStats, ReadRequest, SegmentStats, StorageError,
        StorageResult, TimestampedOffset,
    },
    time::Timestamp,
};

use crate::pieces::Pieces;

#[derive(Debug, Default)]
pub(super) struct Log {
    start: Offset,
    end: Offset,
    segments: VecDeque<Segment>,
}

#[derive(Debug)]
struct Segment {
    batches: Pieces,
    first_timestamp: Timestamp,
    max_timestamp: Timestamp,
}

impl Log {
    pub(super) const fn bounds(&self) -> Bounds {
        Bounds::of_log(self.start, self.end, self.end)
    }

    /// What appending `batches` will answer, if they are in order.
    pub(super) fn plan(&self, batches: &[RecordBatch]) -> StorageResult<Appended> {
        Appended::of(batches, self.end)
    }

    /// Appends what [`plan`](Self::plan) has passed; `large` are those of the batches that are
    /// [too large for a chunk](Pieces::is_large), encoded.
    pub(super) fn append(
        &mut self,
        batches: &[RecordBatch],
        large: Vec<Bytes>,
        config: &TopicConfig,
    ) {
        let mut large = large.into_iter();
        for batch in batches {
            let header = batch.header();
            assert!(header.base_offset >= self.end, "batches were not checked");
            self.end = header.end_offset();
            let segment = self.segment_for(batch, config);
            segment.max_timestamp = segment.max_timestamp.max(header.max_timestamp);
            if Pieces::is_large(batch)
                && let Some(encoded) = large.next()
            {
                segment.batches.push_encoded(header, encoded);
            } else {
                segment.batches.push(batch);
            }
        }
    }

    /// The last segment, or a new one where that has no room for the batch.
    fn segment_for(&mut self, batch: &RecordBatch, config: &TopicConfig) -> &mut Segment {
        match self.segments.back_mut() {
            Some(last) if last.has_room_for(batch, config) => {}
            last => {
                if let Some(full) = last {
                    full.batches.close();
                }
                self.segments
                    .push_back(Segment::new(batch.header().max_timestamp));
            }
        }
        let last = self.segments.len() - 1;
        &mut self.segments[last]
    }

    pub(super) fn read(&mut self, request: &ReadRequest) -> StorageResult<BatchSlices> {
        self.bounds().check(request.from)?;
        let ReadRequest {
            from,
            until,
            bytes_max,
            ..
        } = *request;
        let first = self
            .segments
            .partition_point(|segment| segment.end_offset() <= from);
        let mut found = BatchSlices::default();
        for segment in self.segments.range_mut(first..) {
            let read = segment.batches.read(from, until, bytes_max, &mut found);
            let has_room = read.ok_or_else(|| StorageError::Corrupt {
                from,
                until: segment.end_offset(),
                detail: "these are not record batches".to_owned(),
            });
            if !has_room? {
                break;
            }
        }
        Ok(found)
    }

    pub(super) fn offset_for_timestamp(&self, at: Timestamp) -> Option<TimestampedOffset> {
        let mut segments = self.segments.iter();
        let segment = segments.find(|segment| segment.max_timestamp >= at)?;
        segment.batches.first_at(at)
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
        let bytes = self.segments.iter().map(Segment::bytes).sum();
        self.segments = VecDeque::new();
        bytes
    }

    pub(super) fn stats(&self) -> PartitionStats {
        self.segments.iter().filter_map(Segment::stats).collect()
    }
}

impl Segment {
    fn new(first_timestamp: Timestamp) -> Self {
        Self {
            batches: Pieces::default(),
            first_timestamp,
            max_timestamp: first_timestamp,
        }
    }

    fn has_room_for(&self, batch: &RecordBatch, config: &TopicConfig) -> bool {
        let first_ms = self.first_timestamp.get();
        let age_ms = batch.header().max_timestamp.get().saturating_sub(first_ms);
        let age = Duration::from_millis(u64::try_from(age_ms).unwrap_or(0));
        self.bytes() + batch.total_bytes() as u64 <= config.segment_bytes
            && config.segment_age.is_none_or(|age_max| age < age_max)
    }

    /// Drops batches that end at or before `start`; answers their bytes.
    fn trim(&mut self, start: Offset) -> u64 {
        let freed = self.batches.trim(start) as u64;
        if freed > 0 && !self.batches.is_empty() {
            self.max_timestamp = self.batches.max_timestamp();
        }
        freed
    }

    const fn bytes(&self) -> u64 {
        self.batches.bytes() as u64
    }

    fn end_offset(&self) -> Offset {
        let offsets = self.batches.offsets();
        offsets.map_or(Offset::ZERO, |offsets| offsets.end)
    }

    fn stats(&self) -> Option<SegmentStats> {
        let offsets = self.batches.offsets()?;
        Some(SegmentStats {
            base_offset: offsets.start,
            end_offset: offsets.end,
            bytes: self.bytes(),
            max_timestamp: self.max_timestamp,
        })
    }
}
