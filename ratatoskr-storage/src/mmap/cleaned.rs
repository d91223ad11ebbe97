//! A segment that compaction makes of others, and how it takes their place.
//!
//! 1. Its log is written to a file whose name ends in `.new`, its index under the name that it will
//!    keep; both are synced. Nobody reads an index without a log.
//! 2. **The log is renamed, and the directory synced.** From here on the segment is there: an opening
//!    that finds it removes what it replaces.
//! 3. Readers are shown it in place of the others, and the others are unlinked. Whoever still reads
//!    them has their files open, or looks again.

use std::{io, path::PathBuf, sync::Arc};

use ratatoskr_core::{
    batch::RecordBatch,
    compaction::{Amount, Cleaner, Pass},
    offset::Offset,
    storage::{StorageError, StorageResult},
};

use super::{
    index::{IndexEntry, IndexHeader, OpenSpan},
    log::Log,
    names::{CompactedName, SegmentName, failed, new_name},
    segment::{Extent, Place, Segment, index_position},
};
use crate::{
    io::{File, OpenMode},
    planted::Bug,
};

/// A segment in the making.
#[derive(Debug)]
pub(super) struct Cleaned {
    place: Place,
    /// What it is made of, in order.
    made_of: Vec<Arc<Segment>>,
    base_offset: Offset,
    end_offset: Offset,
    cleaner: Cleaner,
    given: Vec<RecordBatch>,
    log: Arc<dyn File>,
    log_path: PathBuf,
    /// Bytes of the log that are not in its file yet.
    buffer: Vec<u8>,
    written: u64,
    open: OpenSpan,
    entries: Vec<IndexEntry>,
    span_bytes: u64,
    extent: Extent,
    /// Its file, or files, are to go with it.
    is_unfinished: bool,
}

impl Cleaned {
    /// An empty one that begins where `first` does and reaches to its end.
    pub(super) fn create(
        log: &Log,
        first: &Arc<Segment>,
        end_offset: Offset,
    ) -> StorageResult<Self> {
        let place = log.place.clone();
        let base_offset = first.base_offset;
        let name = new_name(&SegmentName::appended(base_offset).log());
        let log_path = place.dir.join(name);
        let file = create(&place, &log_path).map_err(|e| failed("create", &log_path, e))?;
        Ok(Self {
            place,
            made_of: vec![Arc::clone(first)],
            base_offset,
            end_offset,
            cleaner: Cleaner::default(),
            given: Vec::new(),
            log: file,
            log_path,
            buffer: Vec::new(),
            written: 0,
            open: OpenSpan::new(first.seed, 0, base_offset),
            entries: Vec::new(),
            span_bytes: log.config.read().index_span_bytes,
            extent: Extent::empty(base_offset),
            is_unfinished: true,
        })
    }

    /// Whether `segment` is the last that it is made of.
    pub(super) fn ends_with(&self, segment: &Arc<Segment>) -> bool {
        self.made_of
            .last()
            .is_some_and(|last| Arc::ptr_eq(last, segment))
    }

    /// Whether a segment of so many bytes that ends there may join, without passing `bytes_max`.
    pub(super) fn has_room(&self, end_offset: Offset, bytes: u64, bytes_max: u64) -> bool {
        self.extent.bytes + bytes <= bytes_max
            && u32::try_from(end_offset.distance_from(self.base_offset)).is_ok()
    }

    /// It is made of `segment` as well from now on, and reaches to its end.
    pub(super) fn join(&mut self, segment: &Arc<Segment>, end_offset: Offset) {
        self.made_of.push(Arc::clone(segment));
        self.end_offset = end_offset;
    }

    /// Takes the next batch of what it is made of.
    pub(super) fn push(&mut self, pass: &Pass, batch: RecordBatch) -> StorageResult<()> {
        self.cleaner.push(pass, batch, &mut self.given);
        self.take_given()
    }

    fn take_given(&mut self) -> StorageResult<()> {
        for batch in std::mem::take(&mut self.given) {
            let bytes = batch.to_bytes();
            let end = self.extent.bytes + bytes.len() as u64;
            if u32::try_from(end).is_err() {
                let what = "a compacted segment of 2^32 bytes";
                return Err(StorageError::Unsupported(what.into()));
            }
            let header = batch.header();
            self.open.push(header, &[&bytes]);
            self.entries.extend(self.open.close(self.span_bytes));
            self.extent = Extent {
                bytes: end,
                end_offset: header.end_offset(),
                max_timestamp: self.extent.max_timestamp.max(header.max_timestamp),
            };
            self.buffer.extend_from_slice(&bytes);
        }
        Ok(())
    }

    /// Writes what was taken; answers its bytes.
    pub(super) fn write(&mut self) -> StorageResult<u64> {
        let bytes = self.buffer.len() as u64;
        self.log
            .write_all_at(&[&self.buffer], self.written)
            .map_err(|e| failed("write", &self.log_path, e))?;
        self.written += bytes;
        self.buffer.clear();
        Ok(bytes)
    }

    /// Puts it in the place of what it was made of, in a log that is compacted `to` there. Answers
    /// what went in and came out; `None` where those segments are not there any more.
    pub(super) fn put_in_place(
        mut self,
        log: &Log,
        to: Offset,
        bugs: [Option<Bug>; 2],
    ) -> StorageResult<Option<(Amount, Amount)>> {
        self.cleaner.finish(&mut self.given);
        self.take_given()?;
        self.write()?;
        self.entries.extend(self.open.close(0));
        let amounts = self.cleaner.amounts();
        let [first] = self.made_of.as_slice() else {
            return self.swap(log, to, bugs).map(|done| done.then_some(amounts));
        };
        // One that only says what it said before need not be replaced.
        let is_news = self.cleaner.has_changed() || first.name.compacted.is_none();
        if is_news || first.name.compacted_to() < self.end_offset {
            return self.swap(log, to, bugs).map(|done| done.then_some(amounts));
        }
        Ok(Some(amounts))
    }

    fn swap(mut self, log: &Log, to: Offset, bugs: [Option<Bug>; 2]) -> StorageResult<bool> {
        if self.extent.end_offset != self.end_offset {
            return Err(StorageError::Corrupt {
                from: self.extent.end_offset,
                until: self.end_offset,
                detail: "records are missing at the end of a segment".into(),
            });
        }
        let compacted = CompactedName {
            end_offset: self.end_offset,
            compacted_to: to,
        };
        let name = SegmentName {
            base_offset: self.base_offset,
            compacted: Some(compacted),
        };
        let index_path = self.place.dir.join(name.index());
        let segment = Segment::sealed(&self.place, name);
        self.write_index(&segment, &index_path)
            .map_err(|e| failed("write", &index_path, e))?;
        if !bugs.contains(&Some(Bug::CompactedUnsynced)) {
            let synced = self.log.sync_data();
            synced.map_err(|e| failed("sync", &self.log_path, e))?;
        }
        segment.set_loaded(std::mem::take(&mut self.entries), self.extent);

        let _one_at_a_time = log.removing.lock();
        if log.place_of(&self.made_of).is_none() {
            remove(&self.place, &index_path);
            return Ok(false);
        }
        let (fs, dir) = (&self.place.fs, &self.place.dir);
        let path = dir.join(name.log());
        fs.rename(&self.log_path, &path)
            .map_err(|e| log.fatal("rename a segment in", e))?;
        self.is_unfinished = false;
        if bugs.contains(&Some(Bug::ReplacedTooEarly)) {
            for old in &self.made_of {
                old.remove_files();
            }
        }
        fs.sync_dir(dir).map_err(|e| log.fatal("sync", e))?;
        log.replace(&self.made_of, segment);
        log.tail.trim(self.end_offset);
        for old in &self.made_of {
            old.remove_files();
        }
        log.writer.lock().dir_is_dirty = true;
        Ok(true)
    }

    fn write_index(&self, segment: &Segment, path: &std::path::Path) -> io::Result<()> {
        let index = create(&self.place, path)?;
        let header = IndexHeader {
            id: self.place.id,
            base_offset: self.base_offset,
            durable_end: self.end_offset,
        };
        index.write_all_at(&[&header.encode()], 0)?;
        let numbered = self.entries.iter().zip(0..);
        let entries: Vec<u8> = numbered
            .flat_map(|(entry, number)| segment.seed.encode_entry(number, entry))
            .collect();
        index.write_all_at(&[&entries], index_position(0))?;
        index.sync_data()
    }
}

impl Drop for Cleaned {
    fn drop(&mut self) {
        if self.is_unfinished {
            remove(&self.place, &self.log_path);
        }
    }
}

impl Log {
    /// Where these segments lie among those of the log, if they all do, one behind the other.
    pub(super) fn place_of(&self, segments: &[Arc<Segment>]) -> Option<usize> {
        let view = self.view.read();
        let first = segments.first()?;
        let at = view.segments.iter().position(|s| Arc::ptr_eq(s, first))?;
        let there = view.segments.get(at..at + segments.len())?;
        let same = there.iter().zip(segments).all(|(a, b)| Arc::ptr_eq(a, b));
        same.then_some(at)
    }

    /// Shows readers a segment in place of others. `removing` is held.
    fn replace(&self, old: &[Arc<Segment>], new: Arc<Segment>) {
        let Some(at) = self.place_of(old) else { return };
        self.view.write().segments.splice(at..at + old.len(), [new]);
    }
}

/// Makes a file anew; what an earlier attempt has left goes.
fn create(place: &Place, path: &std::path::Path) -> io::Result<Arc<dyn File>> {
    match place.fs.remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => other?,
    }
    place.fs.open(path, OpenMode::CreateNew)
}

/// Removes a file that nobody needs; what stays behind is removed at the next opening.
fn remove(place: &Place, path: &std::path::Path) {
    if let Err(error) = place.fs.remove_file(path) {
        tracing::warn!(path = %path.display(), %error, "a file of a compaction stays behind");
    }
}
