//! Making a log last.
//!
//! A sync works beside appends: under the writers' lock it takes down where the log ends and which
//! files have bytes that are not synced, then it lets go and syncs them. The open span of the index is
//! closed first, so that every byte below the durable end is covered by an entry.

use std::sync::Arc;

use ratatoskr_core::storage::{IoKind, StorageError, StorageResult};

use super::{
    LogCheckpoint, PartitionLog,
    log::{Active, Log, Writer},
    names::is_full,
};
use crate::planted::{self, Bug};

impl PartitionLog {
    /// Makes everything appended before the call last, and says how far that is. Blocks. A failed
    /// sync is never tried again: the log answers its error from then on.
    ///
    /// # Errors
    /// [`StorageError::Io`]: nobody knows what is on the disk beyond the last checkpoint.
    pub fn sync(&self) -> StorageResult<LogCheckpoint> {
        let _one_at_a_time = self.0.syncing.lock();
        self.0.check_usable()?;
        self.0.sync().inspect_err(|error| {
            self.0.mark_in_doubt();
            self.0.fail(error);
        })
    }
}

impl Log {
    /// Writes entries that are not in the index file yet, after closing the open span if `close`.
    pub(super) fn write_index(&self, active: &mut Active, close: bool) -> StorageResult<()> {
        if close && let Some(entry) = active.open.close(0) {
            active.segment.grow(Some(entry), active.extent());
        }
        let number = active.entries_written;
        let new: Vec<_> = {
            let contents = active.segment.contents.read();
            let entries = contents.entries.as_ref().map(|held| held.value.as_slice());
            entries
                .and_then(|entries| entries.get(number..))
                .unwrap_or_default()
                .to_vec()
        };
        if new.is_empty() {
            return Ok(());
        }
        match active.segment.write_entries(number, &new) {
            Ok(()) => active.entries_written += new.len(),
            // The index can be built from the log, so a full disk stops neither appends nor syncs.
            Err(error) if is_full(&error) => {}
            Err(error) => return Err(self.fatal("write an index in", error)),
        }
        Ok(())
    }

    fn sync(&self) -> StorageResult<LogCheckpoint> {
        let wrap = |what: &str, error| StorageError::Io {
            kind: IoKind::Other,
            operation: format!("sync {what} {}", self.place.dir.display()),
            source: Arc::new(error),
        };
        let (checkpoint, dirty, synced, dir, parent) = {
            let mut writer = self.writer.lock();
            if let Some(active) = &mut writer.active {
                self.write_index(active, true)?;
            }
            let segments = self.view.read().segments.clone();
            let mut dirty = Vec::new();
            let segments = segments.into_iter().filter(|segment| segment.is_dirty());
            let segments: Vec<_> = segments.collect();
            for segment in &segments {
                dirty.push(segment.log_file().map_err(|e| wrap("(open) in", e))?);
                match segment.index_file() {
                    Ok(index) => dirty.push(index),
                    Err(error) if is_full(&error) => {}
                    Err(error) => return Err(wrap("(open) in", error)),
                }
                // Clean before the sync: what is written meanwhile marks it again.
                segment.set_dirty(false);
            }
            (
                writer.checkpoint_of_end(),
                dirty,
                segments,
                std::mem::take(&mut writer.dir_is_dirty),
                std::mem::take(&mut writer.parent_is_dirty),
            )
        };
        let is_skipped = planted::is(Bug::PartitionNotSynced);
        for file in dirty.iter().filter(|_| !is_skipped) {
            file.sync_data().map_err(|e| wrap("a segment in", e))?;
        }
        if dir {
            let synced = self.place.fs.sync_dir(&self.place.dir);
            synced.map_err(|error| wrap("the directory", error))?;
        }
        if let Some(above) = self.place.dir.parent().filter(|_| parent) {
            let synced = self.place.fs.sync_dir(above);
            synced.map_err(|error| wrap("the directory above", error))?;
        }
        drop(dirty);
        let mut writer = self.writer.lock();
        // One that was written to meanwhile has bytes that are not synced.
        for segment in synced.iter().filter(|segment| !segment.is_dirty()) {
            segment.close_index();
        }
        let log_start = writer.checkpoint.log_start;
        writer.checkpoint = LogCheckpoint {
            log_start,
            ..checkpoint
        };
        let mut view = self.view.write();
        view.durable_end = view.durable_end.max(checkpoint.log_end);
        Ok(writer.checkpoint)
    }
}

impl Writer {
    /// The checkpoint that holds once everything written so far is synced.
    fn checkpoint_of_end(&self) -> LogCheckpoint {
        let (segment_base, position) = self
            .active
            .as_ref()
            .map_or((self.log_end, 0), |a| (a.segment.base_offset, a.bytes));
        LogCheckpoint {
            log_start: self.checkpoint.log_start,
            log_end: self.log_end,
            segment_base,
            position,
            leader_epoch: self.leader_epoch,
            max_timestamp: self.max_timestamp,
        }
    }
}
