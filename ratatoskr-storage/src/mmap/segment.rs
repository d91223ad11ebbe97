//! One segment: a log file and the index beside it, named alike by their place in the log.
//!
//! A segment is **active** (the last of its log; written to, never mapped) or **sealed** (never written
//! again, may be mapped). What it knows of itself:
//! - an active one has its entries and its extent in memory;
//! - a sealed one loads them when they are asked for, and may drop them again.
//!
//! Files are opened when they are needed, and closed by `files.rs`.

use std::{
    fmt, io,
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use ratatoskr_core::{
    offset::Offset,
    storage::{StorageError, StorageResult},
    sync::{Mutex, RwLock},
    time::Timestamp,
};

use super::{
    LogId,
    files::{Held, SharedCaches},
    index::{ENTRY_BYTES, HEADER_BYTES, IndexEntry, IndexHeader, Seed},
    names::SegmentName,
};
use crate::io::{File, FileSystem, OpenMode};

/// How far a segment reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// Bytes of its batches.
    pub(super) bytes: u64,
    /// One past its last offset.
    pub(super) end_offset: Offset,
    /// The greatest timestamp in it.
    pub(super) max_timestamp: Timestamp,
}

impl Extent {
    /// That of a segment without batches.
    pub(super) const fn empty(base_offset: Offset) -> Self {
        Self {
            bytes: 0,
            end_offset: base_offset,
            max_timestamp: Timestamp::NONE,
        }
    }
}

/// What a segment knows of its contents.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) is_sealed: bool,
    /// Index entries; `None` only where it is sealed.
    pub(super) entries: Option<Held<Vec<IndexEntry>>>,
    /// `None` only where it is sealed, and then only until it was loaded once.
    pub(super) extent: Option<Extent>,
}

#[derive(Debug, Default)]
struct Files {
    log: Option<Held<Arc<dyn File>>>,
    index: Option<Held<Arc<dyn File>>>,
    map: Option<Bytes>,
    /// Whether the segment is in the ring of `files.rs`.
    in_ring: bool,
}

/// A segment of a log.
pub(super) struct Segment {
    pub(super) base_offset: Offset,
    pub(super) name: SegmentName,
    pub(super) seed: Seed,
    id: LogId,
    fs: Arc<dyn FileSystem>,
    dir: Arc<Path>,
    caches: Arc<SharedCaches>,
    files: Mutex<Files>,
    pub(super) contents: RwLock<Contents>,
    was_used: AtomicBool,
    is_dirty: AtomicBool,
    readers: AtomicUsize,
    /// Bytes of its log up to which it was read past the cache.
    uncached_to: AtomicU64,
}

/// Keeps a segment's index in memory while it lives.
#[derive(Debug)]
pub(super) struct InUse<'a>(&'a AtomicUsize);

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Where segments live.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) fs: Arc<dyn FileSystem>,
    pub(super) dir: Arc<Path>,
    pub(super) id: LogId,
    pub(super) caches: Arc<SharedCaches>,
}

impl Segment {
    /// A segment whose files are there, of which nothing is known yet.
    pub(super) fn sealed(place: &Place, name: SegmentName) -> Arc<Self> {
        Self::new(
            place,
            name,
            Contents {
                is_sealed: true,
                entries: None,
                extent: None,
            },
        )
    }

    /// A segment whose contents were read.
    pub(super) fn known(
        place: &Place,
        name: SegmentName,
        is_sealed: bool,
        entries: Vec<IndexEntry>,
        extent: Extent,
    ) -> Arc<Self> {
        let bytes = size_of_val(entries.as_slice());
        let entries = place.caches.segments.index_bytes.hold(entries, bytes);
        Self::new(
            place,
            name,
            Contents {
                is_sealed,
                entries: Some(entries),
                extent: Some(extent),
            },
        )
    }

    fn new(place: &Place, name: SegmentName, contents: Contents) -> Arc<Self> {
        let base_offset = name.base_offset;
        Arc::new(Self {
            base_offset,
            name,
            seed: Seed::new(place.id, base_offset),
            id: place.id,
            fs: Arc::clone(&place.fs),
            dir: Arc::clone(&place.dir),
            caches: Arc::clone(&place.caches),
            files: Mutex::default(),
            contents: RwLock::new(contents),
            was_used: AtomicBool::new(true),
            is_dirty: AtomicBool::new(false),
            readers: AtomicUsize::new(0),
            uncached_to: AtomicU64::new(0),
        })
    }

    /// Creates the files of a new, active segment with `room` bytes of log. Nothing is left behind
    /// where that fails.
    pub(super) fn create(
        place: &Place,
        base_offset: Offset,
        durable_end: Offset,
        room: u64,
    ) -> StorageResult<Arc<Self>> {
        let segment = Self::known(
            place,
            SegmentName::appended(base_offset),
            false,
            Vec::new(),
            Extent::empty(base_offset),
        );
        let created = segment.create_files(durable_end, room);
        if let Err(error) = created {
            segment.remove_files();
            return Err(StorageError::io(
                format_args!("create {}", segment.log_path().display()),
                error,
            ));
        }
        segment.set_dirty(true);
        Ok(segment)
    }

    fn create_files(self: &Arc<Self>, durable_end: Offset, room: u64) -> io::Result<()> {
        let log = self.fs.open(&self.log_path(), OpenMode::CreateNew)?;
        log.allocate(room)?;
        self.files.lock().log = Some(self.caches.segments.files.hold(log, 1));
        self.create_index(durable_end)?;
        // It is not needed for a while, and can be built from the log whatever becomes of its bytes: so
        // thousands of new segments at once cost a descriptor each, not two.
        self.files.lock().index = None;
        self.enter_ring();
        Ok(())
    }

    /// Makes the index file anew, with no entries.
    pub(super) fn create_index(&self, durable_end: Offset) -> io::Result<()> {
        let path = self.index_path();
        let index = match self.fs.open(&path, OpenMode::CreateNew) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let index = self.fs.open(&path, OpenMode::Write)?;
                index.set_len(0)?;
                index
            }
            other => other?,
        };
        let header = IndexHeader {
            id: self.id,
            base_offset: self.base_offset,
            durable_end,
        };
        index.write_all_at(&[&header.encode()], 0)?;
        self.files.lock().index = Some(self.caches.segments.files.hold(index, 1));
        Ok(())
    }

    /// Makes the index file of a sealed segment anew and syncs it.
    pub(super) fn rewrite_index(self: &Arc<Self>, entries: &[IndexEntry]) -> io::Result<()> {
        self.create_index(Offset::ZERO)?;
        self.write_entries(0, entries)?;
        self.index_file()?.sync_data()
    }

    pub(super) fn log_path(&self) -> PathBuf {
        self.dir.join(self.name.log())
    }

    pub(super) fn index_path(&self) -> PathBuf {
        self.dir.join(self.name.index())
    }

    /// Its log file, opened if need be.
    pub(super) fn log_file(self: &Arc<Self>) -> io::Result<Arc<dyn File>> {
        self.file(|files| &mut files.log, Self::log_path)
    }

    /// Its index file, opened if need be, and made anew if it is gone and may be written to.
    pub(super) fn index_file(self: &Arc<Self>) -> io::Result<Arc<dyn File>> {
        let open = || self.file(|files| &mut files.index, Self::index_path);
        match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.is_dirty() => {
                self.create_index(Offset::ZERO)?;
                open()
            }
            other => other,
        }
    }

    /// Closes its index file, whose bytes are synced. Nobody needs it before the next sync, and where
    /// thousands of logs are written to, each has one file open so and not two: with two, there might
    /// be too many, which only syncing all of them again could mend. The writers' lock is held.
    pub(super) fn close_index(&self) {
        self.files.lock().index = None;
    }

    fn file(
        self: &Arc<Self>,
        slot: impl Fn(&mut Files) -> &mut Option<Held<Arc<dyn File>>>,
        path: impl Fn(&Self) -> PathBuf,
    ) -> io::Result<Arc<dyn File>> {
        self.was_used.store(true, Ordering::Relaxed);
        let file = {
            let mut files = self.files.lock();
            if let Some(held) = slot(&mut files) {
                return Ok(Arc::clone(&held.value));
            }
            let mode = if self.contents.read().is_sealed && !self.is_dirty() {
                OpenMode::Read
            } else {
                OpenMode::Write
            };
            let file = self.fs.open(&path(self), mode)?;
            let held = self.caches.segments.files.hold(Arc::clone(&file), 1);
            *slot(&mut files) = Some(held);
            file
        };
        self.enter_ring();
        Ok(file)
    }

    /// The map of a sealed segment's log file; `None` while it is active.
    pub(super) fn map(self: &Arc<Self>, bytes: u64) -> io::Result<Option<Bytes>> {
        if !self.contents.read().is_sealed {
            return Ok(None);
        }
        let log = self.log_file()?;
        let mut files = self.files.lock();
        if let Some(map) = &files.map {
            return Ok(Some(map.clone()));
        }
        let map = log.map(bytes)?;
        files.map = Some(map.clone());
        Ok(Some(map))
    }

    fn enter_ring(self: &Arc<Self>) {
        if !std::mem::replace(&mut self.files.lock().in_ring, true) {
            self.caches.segments.enter(self);
        }
        self.caches.segments.make_room();
    }

    /// From now on an index that is in memory stays there, and one that is loaded too.
    pub(super) fn in_use(&self) -> InUse<'_> {
        self.was_used.store(true, Ordering::Relaxed);
        self.readers.fetch_add(1, Ordering::AcqRel);
        InUse(&self.readers)
    }

    /// Gives back files and index unless it was used since it was last asked, or has bytes that are
    /// not synced. Whether it did, and so has left the ring.
    pub(super) fn release_if_idle(&self) -> bool {
        if self.was_used.swap(false, Ordering::Relaxed) || self.is_dirty() {
            return false;
        }
        let (Some(mut files), Some(mut contents)) =
            (self.files.try_lock(), self.contents.try_write())
        else {
            return false;
        };
        // Asked under the lock under which a reader looks for the index.
        if self.readers.load(Ordering::Acquire) > 0 {
            return false;
        }
        *files = Files::default();
        if contents.is_sealed {
            contents.entries = None;
        }
        true
    }

    /// Whether it has bytes that are not synced.
    pub(super) fn is_dirty(&self) -> bool {
        self.is_dirty.load(Ordering::Acquire)
    }

    /// Marks it; answers what it was before.
    pub(super) fn set_dirty(&self, is_dirty: bool) -> bool {
        self.is_dirty.swap(is_dirty, Ordering::AcqRel)
    }

    /// Marks a sealed segment's index as loaded.
    pub(super) fn set_loaded(self: &Arc<Self>, entries: Vec<IndexEntry>, extent: Extent) {
        let bytes = size_of_val(entries.as_slice());
        let entries = self.caches.segments.index_bytes.hold(entries, bytes);
        {
            let mut contents = self.contents.write();
            contents.entries = Some(entries);
            contents.extent = Some(extent);
        }
        self.was_used.store(true, Ordering::Relaxed);
        self.enter_ring();
    }

    /// Whether these bytes of its log all are on the disk, and most of them were never read past the
    /// cache before; from now on they have been. (A window begins where a span does, so it holds again
    /// the end of what the one before it held.)
    pub(super) fn begin_first_read(&self, bytes: Range<u64>) -> bool {
        self.contents.read().is_sealed
            && !self.is_dirty()
            && self.uncached_to.fetch_max(bytes.end, Ordering::Relaxed)
                <= bytes.start.midpoint(bytes.end)
    }

    /// Reads its log past the system's cache, as [`FileSystem::read_uncached`] does.
    pub(super) fn read_uncached(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.fs.read_uncached(&self.log_path(), buffer, position)
    }

    /// Adds what was appended to an active segment.
    pub(super) fn grow(&self, entry: Option<IndexEntry>, extent: Extent) {
        let mut contents = self.contents.write();
        contents.extent = Some(extent);
        if let (Some(entries), Some(entry)) = (&mut contents.entries, entry) {
            entries.value.push(entry);
            entries.grow(size_of_val(&entry));
        }
    }

    /// How many entries are in memory.
    pub(super) fn entries_in_memory(&self) -> usize {
        let contents = self.contents.read();
        contents.entries.as_ref().map_or(0, |held| held.value.len())
    }

    /// Writes entries from `number` on to the index file.
    pub(super) fn write_entries(
        self: &Arc<Self>,
        number: usize,
        entries: &[IndexEntry],
    ) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(entries.len() * ENTRY_BYTES);
        for (entry, number) in entries.iter().zip(number..) {
            bytes.extend_from_slice(&self.seed.encode_entry(number, entry));
        }
        self.index_file()?
            .write_all_at(&[&bytes], index_position(number))
    }

    /// Unlinks its files; open handles and maps stay valid. Errors are logged: what stays behind is
    /// removed when the log is opened the next time.
    pub(super) fn remove_files(&self) {
        for path in [self.log_path(), self.index_path()] {
            match self.fs.remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(path = %path.display(), %error, "a segment file stays behind");
                }
                _ => {}
            }
        }
    }
}

/// Where entry `number` lies in an index file.
pub(super) const fn index_position(number: usize) -> u64 {
    (HEADER_BYTES + number * ENTRY_BYTES) as u64
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment")
            .field("base_offset", &self.base_offset)
            .finish_non_exhaustive()
    }
}
