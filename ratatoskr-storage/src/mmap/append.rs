//! Appending to a log: reserving room, rolling to a new segment, writing.
//!
//! Room is asked for before anything is written, so a full disk changes nothing. Where it is full, a
//! segment that is due to be sealed goes on in what was reserved for it.

use std::sync::Arc;

use bytes::Bytes;
use ratatoskr_core::{
    batch::RecordBatch,
    limits::BATCH_BYTES_MAX,
    offset::Offset,
    storage::{Appended, IoKind, StorageError, StorageResult},
    time::Timestamp,
};

use super::{
    LogConfig, PartitionLog,
    index::OpenSpan,
    log::{Active, Log, Writer},
    names::is_full,
    segment::{Extent, Segment, index_position},
};

/// Bytes reserved for a new segment.
const ALLOCATE_FIRST: u64 = 64 << 10;
/// What is reserved doubles up to steps of this many bytes.
const ALLOCATE_STEP_MAX: u64 = 16 << 20;
/// What is reserved is a multiple of this, the block size of most file systems.
const ALLOCATE_UNIT: u64 = 4 << 10;
/// Index entries are written together once there are this many (and at each sync).
const ENTRIES_PER_WRITE: usize = 170;

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

    pub(super) fn extent(&self) -> Extent {
        Extent {
            bytes: self.bytes,
            end_offset: self.open.end_offset(),
            max_timestamp: self.max_timestamp,
        }
    }
}

impl Log {
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
            let header = batch.header();
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
        self.place.caches.appended(run.bytes);
        let pairs = run.batches.iter().zip(run.encoded.iter().cloned());
        self.place.caches.tails.push(&self.tail, pairs);
        self.view.write().log_end = run.end_offset;
        Ok(())
    }
}

/// Bytes to reserve where `needed` are: doubled from what there is, up to steps of 16 MiB, and not
/// beyond the size of a segment unless that many are needed.
fn generous_allocation(allocated: u64, needed: u64, segment_bytes: u64) -> u64 {
    let step = allocated.clamp(ALLOCATE_FIRST, ALLOCATE_STEP_MAX);
    let most = segment_bytes.next_multiple_of(ALLOCATE_UNIT);
    (allocated + step).min(most).max(needed)
}
