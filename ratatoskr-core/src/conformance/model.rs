//! What a partition must be like: a log as a plain `Vec` of batches.

use super::batches::{BatchSpec, bytes_of, bytes_read, outline};
use crate::{
    batch::RecordBatch,
    offset::{Bounds, Offset},
    storage::{
        Access, Appended, BatchSlices, Partition, ReadRequest, SegmentStats, StorageError,
        TimestampedOffset, TryRead,
    },
    time::Timestamp,
};

/// A log as the contract has it. Methods that compare answer with what differs.
#[derive(Clone, Debug, Default)]
pub struct Model {
    log_start: Offset,
    log_end: Offset,
    /// Those that end beyond the log start.
    batches: Vec<RecordBatch>,
}

impl Model {
    /// Where the log begins.
    pub const fn log_start(&self) -> Offset {
        self.log_start
    }

    /// Where the log ends.
    pub const fn log_end(&self) -> Offset {
        self.log_end
    }

    /// Its batches; the first may begin below the log start.
    pub fn batches(&self) -> &[RecordBatch] {
        &self.batches
    }

    /// Batches as they would be appended now, one after the other.
    pub fn next_batches(&self, specs: &[BatchSpec]) -> Vec<RecordBatch> {
        let mut base_offset = self.log_end;
        let build = |spec: &BatchSpec| {
            let batch = spec.build(base_offset);
            base_offset = batch.header().end_offset();
            batch
        };
        specs.iter().map(build).collect()
    }

    /// Appends batches that are in order.
    pub fn append(&mut self, batches: &[RecordBatch]) -> Appended {
        let base_offset = batches
            .first()
            .map_or(self.log_end, |batch| batch.header().base_offset);
        for batch in batches {
            assert!(batch.header().base_offset >= self.log_end, "a wrong test");
            self.log_end = batch.header().end_offset();
            self.batches.push(batch.clone());
        }
        Appended {
            base_offset,
            log_end: self.log_end,
        }
    }

    /// Moves the log start up to `to`, which lies at or before the log end.
    pub fn trim(&mut self, to: Offset) {
        assert!(to <= self.log_end, "a wrong test");
        self.log_start = self.log_start.max(to);
        let start = self.log_start;
        self.batches.retain(|b| b.header().end_offset() > start);
    }

    /// Forgets what lies at or beyond `log_end`, as a backend may that lost what was not flushed.
    ///
    /// # Errors
    /// Where that is not between two batches of the log.
    pub fn cut(&mut self, log_end: Offset) -> Result<(), String> {
        let (start, end) = (self.log_start, self.log_end);
        if log_end < start || log_end > end {
            return Err(format!("log end {log_end} of a log {start} to {end}"));
        }
        self.batches
            .retain(|batch| batch.header().base_offset < log_end);
        let last = self.batches.last().map(|batch| batch.header().end_offset());
        if last.is_some_and(|last| last > log_end) {
            return Err(format!("log end {log_end} lies within a batch"));
        }
        self.log_end = log_end;
        Ok(())
    }

    /// The batches that a read must find; `None` where it is out of range.
    pub fn read(&self, request: &ReadRequest) -> Option<&[RecordBatch]> {
        if request.from < self.log_start || request.from > self.log_end {
            return None;
        }
        let first = self
            .batches
            .partition_point(|batch| batch.header().end_offset() <= request.from);
        let mut bytes = 0;
        let mut end = first;
        for batch in self.batches.iter().skip(first) {
            bytes += batch.total_bytes();
            let is_full = end > first && bytes > request.bytes_max;
            if is_full || batch.header().base_offset >= request.until {
                break;
            }
            end += 1;
        }
        self.batches.get(first..end)
    }

    /// What a lookup by time must find.
    pub fn offset_for_timestamp(&self, at: Timestamp) -> Option<TimestampedOffset> {
        let headers = self.batches.iter().map(RecordBatch::header);
        let mut reaching = headers.filter(|header| header.max_timestamp >= at);
        reaching.next().map(|header| TimestampedOffset {
            offset: header.base_offset,
            max_timestamp: header.max_timestamp,
        })
    }

    /// Bytes of its batches.
    pub fn bytes(&self) -> u64 {
        let bytes = self.batches.iter().map(RecordBatch::total_bytes);
        bytes.sum::<usize>() as u64
    }

    /// Compares the partition's bounds.
    ///
    /// # Errors
    /// What differs.
    pub fn compare_bounds(&self, bounds: &Bounds) -> Result<(), String> {
        let expected = Bounds::of_log(self.log_start, self.log_end, bounds.durable_end);
        if *bounds != expected {
            return Err(format!("expected {expected:?}, got {bounds:?}"));
        }
        if bounds.durable_end > bounds.log_end {
            return Err(format!("durable beyond the log end: {bounds:?}"));
        }
        Ok(())
    }

    /// Compares what this request finds, through `read` and `try_read`.
    ///
    /// # Errors
    /// What differs.
    pub async fn compare_read(
        &self,
        partition: &dyn Partition,
        request: &ReadRequest,
    ) -> Result<(), String> {
        let expected = self.read(request).map(bytes_of);
        let found = partition.read(request).await;
        self.compare_found(expected.as_deref(), found, request)
            .map_err(|difference| format!("read of {request:?}: {difference}"))?;
        let found = match partition.try_read(request) {
            Ok(TryRead::WouldBlock) => return Ok(()),
            Ok(TryRead::Ready(found)) => Ok(found),
            Err(error) => Err(error),
        };
        self.compare_found(expected.as_deref(), found, request)
            .map_err(|difference| format!("try_read of {request:?}: {difference}"))
    }

    fn compare_found(
        &self,
        expected: Option<&[u8]>,
        found: Result<BatchSlices, StorageError>,
        request: &ReadRequest,
    ) -> Result<(), String> {
        match (expected, found) {
            (Some(expected), Ok(found)) => {
                let found = bytes_read(&found)?;
                if found == expected {
                    return Ok(());
                }
                let (expected, found) = (outline(expected), outline(&found));
                Err(if expected == found {
                    format!("the bytes of {found} differ from those appended")
                } else {
                    format!("expected {expected}, got {found}")
                })
            }
            (None, Err(StorageError::OffsetOutOfRange { requested, bounds })) => {
                self.compare_bounds(&bounds)?;
                if requested == request.from {
                    Ok(())
                } else {
                    Err(format!("the error names {requested}"))
                }
            }
            (None, Ok(found)) => Err(format!("expected out of range, got {} bytes", found.len())),
            (_, Err(error)) => Err(format!("{error:?}")),
        }
    }

    /// Compares everything that can be asked of a partition, over the whole log.
    ///
    /// # Errors
    /// What differs.
    pub async fn compare(&self, partition: &dyn Partition) -> Result<(), String> {
        self.compare_bounds(&partition.bounds())?;
        let whole = request(self.log_start, Offset::MAX, usize::MAX);
        self.compare_read(partition, &whole).await?;
        for batch in &self.batches {
            let header = batch.header();
            for from in [header.base_offset, header.last_offset()] {
                let bytes = batch.total_bytes();
                for bytes_max in [0, bytes, bytes.saturating_mul(3)] {
                    let request = request(from, self.log_end, bytes_max);
                    self.compare_read(partition, &request).await?;
                }
            }
            self.compare_time(partition, header.max_timestamp).await?;
        }
        self.compare_stats(partition)
    }

    /// Compares a lookup by time.
    ///
    /// # Errors
    /// What differs.
    pub async fn compare_time(
        &self,
        partition: &dyn Partition,
        at: Timestamp,
    ) -> Result<(), String> {
        let expected = self.offset_for_timestamp(at);
        match partition.offset_for_timestamp(at).await {
            Ok(found) if found == expected => Ok(()),
            other => Err(format!("time {at}: expected {expected:?}, got {other:?}")),
        }
    }

    /// Compares the partition's statistics.
    ///
    /// # Errors
    /// What differs.
    pub fn compare_stats(&self, partition: &dyn Partition) -> Result<(), String> {
        let stats = partition.stats();
        let segments = &stats.segments;
        let wrong = |what: &str| Err(format!("{what}: {stats:?} of {self:?}"));
        // A segment that is cut by the log start may still hold what lies before it.
        if stats.bytes < self.bytes() || self.batches.is_empty() && stats.bytes > 0 {
            return wrong("bytes of the log's batches");
        }
        if segments.iter().map(|segment| segment.bytes).sum::<u64>() < stats.bytes {
            return wrong("bytes of the segments");
        }
        let in_order = |pair: &[SegmentStats]| {
            pair.first().map(|s| s.end_offset) <= pair.get(1).map(|s| s.base_offset)
        };
        if !segments.windows(2).all(in_order) {
            return wrong("order of the segments");
        }
        for batch in &self.batches {
            let header = batch.header();
            let holds_it = |segment: &&SegmentStats| {
                segment.base_offset <= header.base_offset
                    && header.end_offset() <= segment.end_offset
                    && header.max_timestamp <= segment.max_timestamp
            };
            if segments.iter().filter(holds_it).count() != 1 {
                return wrong("segments that hold a batch");
            }
        }
        Ok(())
    }
}

/// A read on behalf of somebody who looks at the bytes.
pub(super) const fn request(from: Offset, until: Offset, bytes_max: usize) -> ReadRequest {
    ReadRequest {
        from,
        until,
        bytes_max,
        access: Access::Inspect,
    }
}
