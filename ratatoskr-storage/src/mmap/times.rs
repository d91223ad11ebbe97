//! Finding records by time.

use std::sync::Arc;

use ratatoskr_core::{
    batch,
    offset::Offset,
    storage::{StorageError, StorageResult, TimestampedOffset},
    time::Timestamp,
};

use super::{
    PartitionLog,
    log::Log,
    read::Mode,
    segment::{Extent, Segment},
    window::{Part, Wish, before},
};

impl PartitionLog {
    /// The first batch from log start whose maximum timestamp is at least `at`. Batches that are
    /// corrupt are passed over.
    ///
    /// # Errors
    /// [`StorageError::Io`] where a file cannot be read.
    ///
    /// # Cancel safety
    /// As [`read`](Self::read).
    pub async fn offset_for_timestamp(
        &self,
        at: Timestamp,
    ) -> StorageResult<Option<TimestampedOffset>> {
        self.waiting(move |log| log.offset_for_timestamp_blocking(at))
            .await
    }

    /// As [`offset_for_timestamp`](Self::offset_for_timestamp), on this thread. Blocks.
    ///
    /// # Errors
    /// As there.
    pub fn offset_for_timestamp_blocking(
        &self,
        at: Timestamp,
    ) -> StorageResult<Option<TimestampedOffset>> {
        let mut from = self.bounds().log_start;
        while from < self.bounds().log_end {
            if let Some(range) = self.0.quarantine_at(from) {
                from = range.until;
                continue;
            }
            let Some((segment, end_offset)) = self.0.segment_at(from) else {
                break;
            };
            let extent = self.0.extent(&segment, end_offset)?;
            let span = segment.span_for(from, at, &extent);
            let Some((start, end)) = span.filter(|_| extent.max_timestamp >= at) else {
                from = end_offset;
                continue;
            };
            match self
                .0
                .first_in_span(&segment, end_offset, from.max(start), end, at)
            {
                Ok(Some(found)) => return Ok(Some(found)),
                Ok(None) => from = end.max(from.plus(1)),
                Err(StorageError::Corrupt { until, .. }) => from = until.max(from.plus(1)),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

impl Log {
    /// The first batch of a span, from `from` on, that is as late as `at`.
    fn first_in_span(
        &self,
        segment: &Arc<Segment>,
        end_offset: Offset,
        from: Offset,
        until: Offset,
        at: Timestamp,
    ) -> StorageResult<Option<TimestampedOffset>> {
        let wish = Wish {
            from,
            until,
            room: usize::MAX,
            is_first: true,
            may_map: false,
            may_copy: true,
        };
        let Part::Found(bytes, _) = self.part(segment, end_offset, &wish, Mode::Cold)? else {
            return Ok(None);
        };
        let headers = batch::batches(bytes).map_while(Result::ok);
        Ok(headers
            .map(|batch| *batch.header())
            .find(|header| header.max_timestamp >= at)
            .map(|header| TimestampedOffset {
                offset: header.base_offset,
                max_timestamp: header.max_timestamp,
            }))
    }
}

impl Segment {
    /// Offsets of the first span that ends after `from` and has a time of `at` or later.
    fn span_for(&self, from: Offset, at: Timestamp, extent: &Extent) -> Option<(Offset, Offset)> {
        let contents = self.contents.read();
        let Some(held) = contents.entries.as_ref() else {
            return Some((self.base_offset, extent.end_offset));
        };
        let entries = held.value.as_slice();
        let first = entries.partition_point(|entry| entry.end_offset <= from);
        let late = entries
            .iter()
            .skip(first)
            .position(|entry| entry.max_timestamp >= at)
            .map_or(entries.len(), |more| first + more);
        let (_, start) = before(entries, late).unwrap_or((0, self.base_offset));
        let end = entries
            .get(late)
            .map_or(extent.end_offset, |e| e.end_offset);
        (start < end).then_some((start, end))
    }
}
