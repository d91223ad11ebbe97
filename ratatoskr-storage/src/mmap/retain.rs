//! The start of a log: moving it, and unlinking the segments that lie wholly before it.

use ratatoskr_core::{
    offset::{Bounds, Offset},
    storage::{PartitionStats, SegmentStats, StorageError, StorageResult},
    time::Timestamp,
};

use super::{
    compact::compacted_to,
    log::{Log, PartitionLog, Writer},
};

impl PartitionLog {
    /// Moves the log start up to `to` (a smaller one changes nothing) and unlinks the segments before
    /// it. What readers hold stays valid. The caller has made the new log start durable. Blocks.
    ///
    /// Where everything goes, an empty segment takes over the log end: its name is synced before the
    /// last one with records is unlinked, so that no crash brings used offsets back. Segments are
    /// unlinked from the oldest on, each lastingly before the next, so that no crash leaves a gap.
    ///
    /// # Errors
    /// [`StorageError::OffsetOutOfRange`] where `to` lies beyond the log end.
    pub fn set_log_start(&self, to: Offset) -> StorageResult<Bounds> {
        let mut writer = self.0.writer.lock();
        self.0.check_usable()?;
        let bounds = self.bounds();
        if to > bounds.log_end {
            return Err(StorageError::OffsetOutOfRange {
                requested: to,
                bounds,
            });
        }
        if to <= bounds.log_start {
            return Ok(bounds);
        }
        writer.checkpoint.log_start = to;
        let bounds = {
            let mut view = self.0.view.write();
            view.log_start = to;
            view.durable_end = view.durable_end.max(to);
            view.quarantined.retain(|range| range.until > to);
            view.bounds()
        };
        self.0.tail.drop_before(to);
        if to == bounds.log_end {
            self.0.roll_away(&mut writer)?;
        }
        drop(writer);
        self.0.remove_before(to)?;
        Ok(bounds)
    }

    /// What the log is made of now. Blocks where the index of a sealed segment is not in memory.
    pub fn stats(&self) -> PartitionStats {
        let (log_start, log_end, segments) = {
            let view = self.0.view.read();
            (view.log_start, view.log_end, view.segments.clone())
        };
        let mut stats = PartitionStats {
            compacted_to: compacted_to(&segments, log_end),
            ..PartitionStats::default()
        };
        let ends = segments.iter().skip(1).map(|next| next.base_offset);
        for (segment, end_offset) in segments.iter().zip(ends.chain([log_end])) {
            if end_offset <= log_start || end_offset == segment.base_offset {
                continue;
            }
            // Where a segment cannot be read its time is not known: it must not look old to retention.
            let (bytes, max_timestamp) = self
                .0
                .extent(segment, end_offset)
                .map_or((0, Timestamp::new(i64::MAX)), |e| {
                    (e.bytes, e.max_timestamp)
                });
            stats.bytes += bytes;
            stats.segments.push(SegmentStats {
                base_offset: segment.base_offset,
                end_offset,
                bytes,
                max_timestamp,
            });
        }
        stats
    }
}

impl Log {
    /// Lets an empty segment begin at the log end.
    fn roll_away(&self, writer: &mut Writer) -> StorageResult<()> {
        if writer
            .active
            .as_ref()
            .is_none_or(|active| active.bytes == 0)
        {
            return Ok(());
        }
        match self.roll(writer, 0) {
            Ok(()) => {}
            // Its space is freed the next time.
            Err(error) if error.is_retryable() => return Ok(()),
            Err(error) => return Err(error),
        }
        let synced = self.place.fs.sync_dir(&self.place.dir);
        synced.map_err(|error| self.fatal("sync", error))
    }

    /// Unlinks segments whose successor begins at or before `log_start`.
    fn remove_before(&self, log_start: Offset) -> StorageResult<()> {
        // One at a time, since the order matters. Writers need not wait for it.
        let _one_at_a_time = self.removing.lock();
        let gone: Vec<_> = {
            let mut view = self.view.write();
            let later = view.segments.iter().skip(1);
            let count = later
                .take_while(|next| next.base_offset <= log_start)
                .count();
            view.segments.drain(..count).collect()
        };
        for (segment, number) in gone.iter().zip(0..) {
            if number > 0 {
                let synced = self.place.fs.sync_dir(&self.place.dir);
                synced.map_err(|error| self.fatal("sync", error))?;
            }
            segment.remove_files();
        }
        if !gone.is_empty() {
            self.writer.lock().dir_is_dirty = true;
        }
        Ok(())
    }
}
