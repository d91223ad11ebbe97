//! Writing a log: reserve, append, roll, sync.
//!
//! One lock serializes writers; readers take another one, only to learn where the log ends and which
//! segments there are, and never wait for a disk. A sync works beside appends: it takes down the end
//! of the log, lets go of the lock, and syncs the files.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use ratatoskr_core::{
    batch::{BatchHeader, RecordBatch},
    limits::BATCH_BYTES_MAX,
    offset::{Bounds, LeaderEpoch, Offset},
    storage::{Appended, IoKind, StorageError, StorageResult},
    time::Timestamp,
};

use super::{
    LogCheckpoint, LogConfig, LogId, Quarantined, Recovered,
    files::SharedCaches,
    index::OpenSpan,
    recover::{is_full, recover},
    segment::{Extent, Place, Segment, index_position},
    tail::Tail,
};
use crate::io::FileSystem;

/// Bytes reserved for a new segment.
const ALLOCATE_FIRST: u64 = 64 << 10;
/// What is reserved doubles up to steps of this many bytes.
const ALLOCATE_STEP_MAX: u64 = 16 << 20;
/// What is reserved is a multiple of this, the block size of most file systems.
const ALLOCATE_UNIT: u64 = 4 << 10;
/// Index entries are written together once there are this many (and at each sync).
const ENTRIES_PER_WRITE: usize = 170;

/// A partition's log on disk. Clones are handles to the same log.
///
/// Methods that say "blocks" wait for the disk: keep them off a runtime's workers.
#[derive(Clone, Debug)]
pub struct PartitionLog(pub(super) Arc<Log>);

#[derive(Debug)]
pub(super) struct Log {
    pub(super) place: Place,
    pub(super) config: RwLock<LogConfig>,
    pub(super) view: RwLock<View>,
    pub(super) tail: Arc<Tail>,
    pub(super) writer: Mutex<Writer>,
    /// Held while files are synced, so that a later sync returns after an earlier one.
    syncing: Mutex<()>,
    /// The first error that left unknown bytes or an unknown disk behind.
    failure: OnceLock<StorageError>,
}

/// What readers see.
#[derive(Debug)]
pub(super) struct View {
    pub(super) log_start: Offset,
    pub(super) log_end: Offset,
    pub(super) durable_end: Offset,
    /// In order; the last may be active.
    pub(super) segments: Vec<Arc<Segment>>,
    pub(super) quarantined: Vec<Quarantined>,
}

#[derive(Debug)]
pub(super) struct Writer {
    pub(super) active: Option<Active>,
    log_end: Offset,
    leader_epoch: LeaderEpoch,
    max_timestamp: Timestamp,
    /// Bytes promised by `reserve` and not yet appended.
    reserved: u64,
    has_dir: bool,
    /// Files were created or removed since the directory was synced.
    pub(super) dir_is_dirty: bool,
    /// The directory itself was created since its parent was synced.
    parent_is_dirty: bool,
    /// As of the last sync.
    pub(super) checkpoint: LogCheckpoint,
}

/// The segment that is appended to.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) segment: Arc<Segment>,
    /// Bytes of its batches.
    pub(super) bytes: u64,
    /// Bytes of its file.
    pub(super) allocated: u64,
    pub(super) open: OpenSpan,
    pub(super) max_timestamp: Timestamp,
    /// Entries that are in the index file.
    pub(super) entries_written: usize,
    /// The maximum timestamp of its first batch.
    pub(super) first_timestamp: Option<Timestamp>,
}

/// Batches to append, checked and encoded.
struct Run<'a> {
    batches: &'a [RecordBatch],
    encoded: Vec<Bytes>,
    bytes: u64,
    base_offset: Offset,
    end_offset: Offset,
    max_timestamp: Timestamp,
}

impl PartitionLog {
    /// Opens the log in `dir`, which need not exist yet: nothing is created before the first append.
    /// Blocks.
    ///
    /// Without a checkpoint everything is read and verified; with one, what lies beyond it. A torn
    /// tail is cut off at its first bad batch; corruption below the checkpoint is quarantined.
    /// `from.log_start` may be raised to what the write-ahead log has made durable since. The log end
    /// is never below the checkpoint's log end and log start, whatever became of the files.
    ///
    /// Opening again after a crash in here is the same as opening once. Nothing is durable by it: call
    /// [`sync`](Self::sync) before the checkpoint is replaced.
    ///
    /// # Errors
    /// [`StorageError::NewerFormat`]; [`StorageError::Io`] where a file cannot be read or changed.
    pub fn open(
        fs: Arc<dyn FileSystem>,
        dir: PathBuf,
        id: LogId,
        config: LogConfig,
        from: Option<LogCheckpoint>,
        shared: Arc<SharedCaches>,
    ) -> StorageResult<(Self, Recovered)> {
        let place = Place {
            fs,
            dir: dir.into(),
            id,
            caches: shared,
        };
        let opened = recover(&place, &config, from)?;
        let log = Log {
            tail: place.caches.tails.tail(),
            view: RwLock::new(View {
                log_start: opened.checkpoint.log_start,
                log_end: opened.log_end,
                durable_end: opened.checkpoint.log_end.max(opened.checkpoint.log_start),
                segments: opened.segments,
                quarantined: opened.report.quarantined.clone(),
            }),
            writer: Mutex::new(Writer {
                active: opened.active,
                log_end: opened.log_end,
                leader_epoch: opened.leader_epoch,
                max_timestamp: opened.max_timestamp,
                reserved: 0,
                has_dir: opened.has_dir,
                dir_is_dirty: opened.has_dir,
                parent_is_dirty: opened.has_dir,
                checkpoint: opened.checkpoint,
            }),
            config: RwLock::new(config),
            syncing: Mutex::default(),
            failure: OnceLock::new(),
            place,
        };
        Ok((Self(Arc::new(log)), opened.report))
    }

    /// Replaces the configuration; what is there stays as it is.
    pub fn set_config(&self, config: LogConfig) {
        *self.0.config.write() = config;
    }

    /// Where the log begins and ends now.
    pub fn bounds(&self) -> Bounds {
        self.0.view.read().bounds()
    }

    /// The leader epoch of the last batch appended.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.0.writer.lock().leader_epoch
    }

    /// The place up to which the log is on disk: as the last [`sync`](Self::sync) left it, or the
    /// checkpoint it was opened from; with the log start as of now.
    pub fn checkpoint(&self) -> LogCheckpoint {
        self.0.writer.lock().checkpoint
    }

    /// Promises room for `bytes` more to be appended, beside what was promised before: those appends
    /// cannot fail for want of space. An append uses the promise up;
    /// [`unreserve`](Self::unreserve) gives back what will not be appended.
    ///
    /// # Errors
    /// [`StorageError::Io`] of kind [`IoKind::Full`] where there is no room; nothing has changed.
    pub fn reserve(&self, bytes: u64) -> StorageResult<()> {
        let mut writer = self.0.writer.lock();
        self.0.check_usable()?;
        let reserved = writer.reserved.saturating_add(bytes);
        self.0.make_room(&mut writer, reserved)?;
        writer.reserved = reserved;
        Ok(())
    }

    /// Takes back a promise of [`reserve`](Self::reserve).
    pub fn unreserve(&self, bytes: u64) {
        let mut writer = self.0.writer.lock();
        writer.reserved = writer.reserved.saturating_sub(bytes);
    }

    /// Appends whole batches, as `Partition::append` does; all of one call go into one segment.
    ///
    /// # Errors
    /// [`StorageError::OutOfOrder`] where a base offset lies below the log end, and
    /// [`StorageError::Io`] of kind [`IoKind::Full`] where there is no room: nothing is appended.
    /// [`StorageError::Unsupported`] for a batch of more than [`BATCH_BYTES_MAX`] bytes.
    /// After any other error the log answers that error until it is opened anew.
    pub fn append(&self, batches: &[RecordBatch]) -> StorageResult<Appended> {
        let encoded = batches.iter().map(RecordBatch::to_bytes).collect();
        let mut writer = self.0.writer.lock();
        self.0.check_usable()?;
        let run = Run::check(batches, encoded, writer.log_end)?;
        if !batches.is_empty() {
            self.0.roll_if_due(&mut writer, &run)?;
            let room = writer.reserved.max(run.bytes);
            self.0.make_room(&mut writer, room)?;
            self.0.write(&mut writer, &run)?;
        }
        Ok(Appended {
            base_offset: run.base_offset,
            log_end: run.end_offset,
        })
    }

    /// Makes everything appended before the call last, and says how far that is. Blocks. A failed
    /// sync is never tried again: the log answers its error from then on.
    ///
    /// # Errors
    /// [`StorageError::Io`]: nobody knows what is on the disk beyond the last checkpoint.
    pub fn sync(&self) -> StorageResult<LogCheckpoint> {
        let _one_at_a_time = self.0.syncing.lock();
        self.0.check_usable()?;
        self.0.sync().inspect_err(|error| self.0.fail(error))
    }
}

impl View {
    pub(super) fn bounds(&self) -> Bounds {
        Bounds::of_log(self.log_start, self.log_end, self.durable_end)
    }
}

impl<'a> Run<'a> {
    fn check(
        batches: &'a [RecordBatch],
        encoded: Vec<Bytes>,
        log_end: Offset,
    ) -> StorageResult<Self> {
        let mut end_offset = log_end;
        let mut max_timestamp = Timestamp::NONE;
        let mut bytes = 0;
        for batch in batches {
            let header = batch.header();
            if header.base_offset < end_offset {
                return Err(StorageError::OutOfOrder {
                    base_offset: header.base_offset,
                    log_end: end_offset,
                });
            }
            if batch.total_bytes() > BATCH_BYTES_MAX as usize {
                return Err(StorageError::Unsupported(format!(
                    "a batch of {} bytes, {BATCH_BYTES_MAX} are the most",
                    batch.total_bytes()
                )));
            }
            end_offset = header.end_offset();
            max_timestamp = max_timestamp.max(header.max_timestamp);
            bytes += batch.total_bytes() as u64;
        }
        Ok(Self {
            base_offset: batches.first().map_or(log_end, |b| b.header().base_offset),
            batches,
            encoded,
            bytes,
            end_offset,
            max_timestamp,
        })
    }
}

impl Active {
    /// Whether positions and relative offsets of the index could not hold `run` as well.
    fn is_exhausted(&self, run: &Run<'_>) -> bool {
        let offsets = run.end_offset.distance_from(self.segment.base_offset);
        u32::try_from(offsets.max(self.bytes + run.bytes)).is_err()
    }

    fn is_due(&self, run: &Run<'_>, config: &LogConfig) -> bool {
        let age = |first: Timestamp| {
            config
                .segment_age
                .is_some_and(|age| run.max_timestamp >= first.plus(age))
        };
        self.bytes > 0
            && (self.bytes + run.bytes > config.segment_bytes
                || self.first_timestamp.is_some_and(age))
    }

    fn extent(&self) -> Extent {
        Extent {
            bytes: self.bytes,
            end_offset: self.open.end_offset(),
            max_timestamp: self.max_timestamp,
        }
    }
}

impl Log {
    pub(super) fn check_usable(&self) -> StorageResult<()> {
        self.failure
            .get()
            .map_or(Ok(()), |error| Err(error.clone()))
    }

    /// From now on this is the answer to every write.
    pub(super) fn fail(&self, error: &StorageError) {
        // The first failure is the cause; a later one is its consequence.
        let _ = self.failure.set(error.clone());
    }

    /// An error after which nobody knows which bytes are there: never one that may be tried again.
    pub(super) fn fatal(&self, operation: &str, error: std::io::Error) -> StorageError {
        let error = StorageError::Io {
            kind: IoKind::Other,
            operation: format!("{operation} {}", self.place.dir.display()),
            source: Arc::new(error),
        };
        self.fail(&error);
        error
    }

    /// Begins a new segment where this run does not belong into the active one any more.
    fn roll_if_due(&self, writer: &mut Writer, run: &Run<'_>) -> StorageResult<()> {
        let config = *self.config.read();
        let room = writer.reserved.max(run.bytes);
        if let Some(active) = &writer.active {
            let is_exhausted = active.is_exhausted(run);
            if is_exhausted || active.is_due(run, &config) {
                match self.roll(writer, room) {
                    // What was reserved lies in the active segment, so that can go on for a while.
                    Err(error) if error.is_retryable() && !is_exhausted => {}
                    other => other?,
                }
            }
        } else {
            self.roll(writer, room)?;
        }
        match &writer.active {
            Some(active) if active.is_exhausted(run) => Err(StorageError::Unsupported(
                "an append that spans 2^32 bytes or offsets".into(),
            )),
            _ => Ok(()),
        }
    }

    /// Sees to it that `bytes` more can be written without asking for space.
    fn make_room(&self, writer: &mut Writer, bytes: u64) -> StorageResult<()> {
        let segment_bytes = self.config.read().segment_bytes;
        let Some(active) = &mut writer.active else {
            return self.roll(writer, bytes);
        };
        let needed = active.bytes.saturating_add(bytes);
        if needed <= active.allocated {
            return Ok(());
        }
        let path = active.segment.log_path();
        let wrap = |error| StorageError::io(format_args!("reserve {}", path.display()), error);
        let log = active.segment.log_file().map_err(wrap)?;
        let needed = needed.next_multiple_of(ALLOCATE_UNIT);
        let generous = generous_allocation(active.allocated, needed, segment_bytes);
        active.allocated = match log.allocate(generous) {
            Ok(()) => generous,
            Err(error) if is_full(&error) && generous > needed => {
                log.allocate(needed).map_err(wrap)?;
                needed
            }
            Err(error) => return Err(wrap(error)),
        };
        Ok(())
    }

    /// Begins a new segment with room for `bytes`, and seals the active one. After a retryable error
    /// nothing has changed.
    pub(super) fn roll(&self, writer: &mut Writer, bytes: u64) -> StorageResult<()> {
        let segment_bytes = self.config.read().segment_bytes;
        self.create_dir(writer)?;
        let needed = bytes.next_multiple_of(ALLOCATE_UNIT);
        let generous = generous_allocation(0, needed, segment_bytes);
        let durable_end = writer.checkpoint.log_end;
        let create = |room| {
            Segment::create(&self.place, writer.log_end, durable_end, room).map(|s| (s, room))
        };
        let (segment, allocated) = create(generous).or_else(|error| match error {
            StorageError::Io {
                kind: IoKind::Full, ..
            } if needed < generous => create(needed),
            other => Err(other),
        })?;
        if let Some(mut old) = writer.active.take() {
            self.seal(&mut old)?;
        }
        writer.dir_is_dirty = true;
        writer.active = Some(Active {
            bytes: 0,
            allocated,
            open: OpenSpan::new(segment.seed, 0, writer.log_end),
            max_timestamp: Timestamp::NONE,
            entries_written: 0,
            first_timestamp: None,
            segment: Arc::clone(&segment),
        });
        self.view.write().segments.push(segment);
        Ok(())
    }

    fn create_dir(&self, writer: &mut Writer) -> StorageResult<()> {
        if !writer.has_dir {
            let dir = &self.place.dir;
            self.place.fs.create_dir(dir).map_err(|error| {
                StorageError::io(format_args!("create {}", dir.display()), error)
            })?;
            writer.has_dir = true;
            writer.parent_is_dirty = true;
        }
        Ok(())
    }

    /// Closes the last span and cuts both files to size. The log file is not mapped yet.
    fn seal(&self, active: &mut Active) -> StorageResult<()> {
        let segment = Arc::clone(&active.segment);
        segment.set_dirty(true);
        self.write_index(active, true)?;
        let cut_log = || segment.log_file()?.set_len(active.bytes);
        let cut_index = || {
            segment
                .index_file()?
                .set_len(index_position(active.entries_written))
        };
        let cut = cut_log().and_then(|()| match cut_index() {
            Err(error) if is_full(&error) => Ok(()),
            other => other,
        });
        cut.map_err(|error| self.fatal("seal a segment in", error))?;
        segment.contents.write().is_sealed = true;
        Ok(())
    }

    /// Writes entries that are not in the index file yet, after closing the open span if `close`.
    fn write_index(&self, active: &mut Active, close: bool) -> StorageResult<()> {
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

    fn write(&self, writer: &mut Writer, run: &Run<'_>) -> StorageResult<()> {
        let span_bytes = self.config.read().index_span_bytes;
        let Some(active) = &mut writer.active else {
            return Err(StorageError::Closed);
        };
        let segment = Arc::clone(&active.segment);
        segment.set_dirty(true);
        let parts: Vec<&[u8]> = run.encoded.iter().map(|bytes| &**bytes).collect();
        segment
            .log_file()
            .and_then(|log| log.write_all_at(&parts, active.bytes))
            .map_err(|error| self.fatal("append to", error))?;
        for (batch, bytes) in run.batches.iter().zip(&run.encoded) {
            let header: &BatchHeader = batch.header();
            active.bytes += bytes.len() as u64;
            active.max_timestamp = active.max_timestamp.max(header.max_timestamp);
            active.first_timestamp.get_or_insert(header.max_timestamp);
            active.open.push(header, &[bytes]);
            let entry = active.open.close(span_bytes);
            if entry.is_some() {
                segment.grow(entry, active.extent());
            }
            writer.leader_epoch = header.leader_epoch;
        }
        segment.grow(None, active.extent());
        if segment.entries_in_memory() >= active.entries_written + ENTRIES_PER_WRITE {
            self.write_index(active, false)?;
        }
        writer.max_timestamp = writer.max_timestamp.max(run.max_timestamp);
        writer.reserved = writer.reserved.saturating_sub(run.bytes);
        writer.log_end = run.end_offset;
        let pairs = run.batches.iter().zip(run.encoded.iter().cloned());
        self.place.caches.tails.push(&self.tail, pairs);
        self.view.write().log_end = run.end_offset;
        Ok(())
    }

    fn sync(&self) -> StorageResult<LogCheckpoint> {
        let wrap = |what: &str, error| StorageError::Io {
            kind: IoKind::Other,
            operation: format!("sync {what} {}", self.place.dir.display()),
            source: Arc::new(error),
        };
        let (checkpoint, dirty, dir, parent) = {
            let mut writer = self.writer.lock();
            if let Some(active) = &mut writer.active {
                self.write_index(active, true)?;
            }
            let segments = self.view.read().segments.clone();
            let mut dirty = Vec::new();
            for segment in segments.iter().filter(|segment| segment.is_dirty()) {
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
                std::mem::take(&mut writer.dir_is_dirty),
                std::mem::take(&mut writer.parent_is_dirty),
            )
        };
        for file in &dirty {
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
        let mut writer = self.writer.lock();
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

/// Bytes to reserve where `needed` are: doubled from what there is, up to steps of 16 MiB, and not
/// beyond the size of a segment unless that many are needed.
fn generous_allocation(allocated: u64, needed: u64, segment_bytes: u64) -> u64 {
    let step = allocated.clamp(ALLOCATE_FIRST, ALLOCATE_STEP_MAX);
    let most = segment_bytes.next_multiple_of(ALLOCATE_UNIT);
    (allocated + step).min(most).max(needed)
}
