//! Where the next group goes: the active file, what waits for a checkpoint, and what is free.
//!
//! ```text
//! retired, retired, … │ active ░░░░░░ │ free, …
//! ```
//! Their bytes together stay within `wal_bytes_max`: beyond it the log waits for a checkpoint. (A
//! group that is larger than a file gets a file of its own size as soon as nothing is retired.)

use std::ops::Range;

use ratatoskr_core::{
    batch::RecordBatch,
    name::TopicId,
    offset::{LeaderEpoch, Offset, PartitionIndex},
    storage::{StorageError, StorageResult},
    time::Timestamp,
};

use super::{
    FrameHeader, FrameKind, GROUP_ALIGNMENT, HEADER_BYTES, Lsn, WalFileId, WalOptions, WalPoint,
    file::{IdleFile, WalDirectory, WalFile},
};
use crate::planted::{self, Bug};

/// Records up to this many bytes are copied beside the headers; more go to the file from where they
/// are.
const COPY_BYTES_MAX: usize = 4 << 10;
/// Free files kept for recycling.
const FREE_FILES_MAX: usize = 2;
#[expect(clippy::cast_possible_truncation, reason = "4096 fits everywhere")]
const PADDING: [u8; GROUP_ALIGNMENT as usize] = [0; GROUP_ALIGNMENT as usize];

/// One frame to be written; the writer adds file, numbers and flags.
#[derive(Debug)]
pub(super) struct Outgoing<'a> {
    pub(super) kind: FrameKind,
    pub(super) topic: TopicId,
    pub(super) partition: PartitionIndex,
    pub(super) base_offset: Offset,
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) append_time: Timestamp,
    pub(super) payload: Payload<'a>,
}

#[derive(Debug)]
pub(super) enum Payload<'a> {
    Batch(&'a RecordBatch),
    Bytes(&'a [u8]),
}

/// Whether a group can be written now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Ready,
    /// All room is taken by frames that no checkpoint covers yet.
    AfterCheckpoint,
}

#[derive(Debug)]
pub(super) struct Writer {
    directory: WalDirectory,
    options: WalOptions,
    seed: u32,
    active: Option<Active>,
    retired: Vec<IdleFile>,
    free: Vec<IdleFile>,
    next_file: WalFileId,
    next_lsn: Lsn,
    durable: Lsn,
    /// Bytes of groups written since the last checkpoint, and whether one was asked for since.
    uncovered_bytes: u64,
    asked: bool,
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct Active {
    file: WalFile,
    position: u64,
}

impl Writer {
    /// Continues after what recovery found: in a new file.
    pub(super) fn new(
        directory: WalDirectory,
        options: WalOptions,
        seed: u32,
        next_lsn: Lsn,
        next_file: WalFileId,
    ) -> Self {
        Self {
            directory,
            options,
            seed,
            active: None,
            retired: Vec::new(),
            free: Vec::new(),
            next_file,
            next_lsn,
            durable: next_lsn.previous(),
            uncovered_bytes: 0,
            asked: false,
            scratch: Vec::new(),
        }
    }

    /// Where the next group will begin.
    pub(super) fn point(&self) -> WalPoint {
        let (file, position) = match &self.active {
            Some(active) => (active.file.id, active.position),
            None => (self.next_file, 0),
        };
        WalPoint {
            lsn: self.next_lsn,
            file,
            position,
        }
    }

    /// Whether a quarter of the log has been written since the last checkpoint; says so once.
    pub(super) fn checkpoint_is_due(&mut self) -> bool {
        let is_due = self.uncovered_bytes >= self.options.wal_bytes_max / 4;
        let asked = std::mem::replace(&mut self.asked, is_due);
        is_due && !asked
    }

    /// Sees to it that a group of `bytes` bytes fits into the active file.
    ///
    /// # Errors
    /// Where a new file cannot be made. Nothing was written then.
    pub(super) fn make_room(&mut self, bytes: u64) -> StorageResult<Room> {
        let needed = bytes.next_multiple_of(GROUP_ALIGNMENT);
        if let Some(active) = &self.active
            && active.file.bytes - active.position >= needed
        {
            return Ok(Room::Ready);
        }
        let recycled = self.free.iter().position(|free| free.bytes >= needed);
        let file = if let Some(at) = recycled {
            let free = self.free.swap_remove(at);
            let id = self.take_file_id();
            self.directory.recycle(free, id)?
        } else {
            let first = self.active.is_none() && self.retired.is_empty();
            let usual = if first {
                self.options.first_file_bytes
            } else {
                self.options.file_bytes
            };
            let bytes = usual.max(needed);
            if self.live_bytes() + bytes > self.options.wal_bytes_max && !self.retired.is_empty() {
                return Ok(Room::AfterCheckpoint);
            }
            let id = self.take_file_id();
            // Only the first file is filled with zeros here, it is small. The others are made ahead of
            // time; where that did not happen in time, slower syncs are better than a long wait.
            match self.directory.create(id, bytes, first) {
                Err(error) if error.is_retryable() && !self.retired.is_empty() => {
                    return Ok(Room::AfterCheckpoint);
                }
                created => created?,
            }
        };
        if let Some(full) = self.active.replace(Active { file, position: 0 }) {
            self.retired.push(IdleFile {
                id: full.file.id,
                bytes: full.file.bytes,
            });
        }
        Ok(Room::Ready)
    }

    /// Writes a group and syncs it. [`make_room`](Self::make_room) has said `Ready` for its bytes.
    ///
    /// # Errors
    /// Nobody knows then what is on the disk, and nothing more may be written.
    pub(super) fn write_group(&mut self, frames: &[Outgoing<'_>]) -> StorageResult<()> {
        let Some(active) = &self.active else {
            return Err(StorageError::Closed);
        };
        let file = active.file.clone();
        let position = active.position;
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        let pieces = self.encode(frames, file.id, &mut scratch);
        let parts: Vec<&[u8]> = pieces.iter().map(|piece| piece.of(&scratch)).collect();
        let bytes: u64 = parts.iter().map(|part| part.len() as u64).sum();
        assert!(
            position + bytes <= file.bytes,
            "a group was to be written past the end of its file"
        );
        let written = file.file.write_all_at(&parts, position);
        drop(parts);
        self.scratch = scratch;
        let failed = |operation: &str, error| {
            let path = self.directory.path_of(file.id);
            StorageError::io(format_args!("{operation} {}", path.display()), error)
        };
        written.map_err(|error| failed("write", error))?;
        if !planted::is(Bug::AckBeforeSync) {
            let synced = file.file.sync_data();
            synced.map_err(|error| failed("sync", error))?;
        }
        self.next_lsn = Lsn::new(self.next_lsn.get() + frames.len() as u64);
        self.durable = self.next_lsn.previous();
        self.uncovered_bytes += bytes;
        if let Some(active) = &mut self.active {
            active.position += bytes;
        }
        Ok(())
    }

    /// The group's bytes, up to a boundary, as pieces of `scratch` and of the batches themselves.
    fn encode<'a>(
        &self,
        frames: &[Outgoing<'a>],
        file: WalFileId,
        scratch: &mut Vec<u8>,
    ) -> Vec<Piece<'a>> {
        let mut pieces = Vec::new();
        let mut copied = 0;
        let mut bytes = 0;
        for (at, frame) in frames.iter().enumerate() {
            let batch_header;
            let (start, rest): (&[u8], &'a [u8]) = match frame.payload {
                Payload::Batch(batch) => {
                    batch_header = batch.header().encode();
                    (&batch_header, batch.records_bytes())
                }
                Payload::Bytes(payload) => (payload, &[]),
            };
            let header = FrameHeader {
                kind: frame.kind,
                last_of_group: at + 1 == frames.len(),
                payload_bytes: u32::try_from(start.len() + rest.len()).unwrap_or(u32::MAX),
                file,
                lsn: Lsn::new(self.next_lsn.get() + at as u64),
                durable: self.durable,
                topic: frame.topic,
                partition: frame.partition,
                leader_epoch: frame.leader_epoch,
                base_offset: frame.base_offset,
                append_time: frame.append_time,
            };
            scratch.extend_from_slice(&header.encode(self.seed, start));
            scratch.extend_from_slice(start);
            bytes += (HEADER_BYTES + start.len() + rest.len()) as u64;
            if rest.len() <= COPY_BYTES_MAX {
                scratch.extend_from_slice(rest);
            } else {
                pieces.push(Piece::Scratch(copied..scratch.len()));
                pieces.push(Piece::Records(rest));
                copied = scratch.len();
            }
        }
        let padding = bytes.next_multiple_of(GROUP_ALIGNMENT) - bytes;
        scratch.extend(PADDING.iter().take(usize::try_from(padding).unwrap_or(0)));
        pieces.push(Piece::Scratch(copied..scratch.len()));
        pieces
    }

    /// Takes over files whose frames a checkpoint covers: those before `before`.
    ///
    /// Answers which of them are not kept and may be removed.
    pub(super) fn release(&mut self, before: WalFileId) -> Vec<WalFileId> {
        let (covered, waiting) = std::mem::take(&mut self.retired)
            .into_iter()
            .partition(|file| file.id < before);
        self.retired = waiting;
        self.uncovered_bytes = 0;
        self.asked = false;
        self.keep_free(covered)
    }

    /// Keeps as many of `files` for recycling as are worth it, and answers the others.
    pub(super) fn keep_free(&mut self, files: Vec<IdleFile>) -> Vec<WalFileId> {
        let mut unneeded = Vec::new();
        for file in files {
            if self.wants_free_file() && file.bytes == self.options.file_bytes {
                self.free.push(file);
            } else {
                unneeded.push(file.id);
            }
        }
        unneeded
    }

    /// A file to be made ahead of time, if the log will soon want one: its id and size.
    pub(super) fn plan_ahead(&mut self) -> Option<(WalFileId, u64)> {
        let active = self.active.as_ref()?;
        let bytes = self.options.file_bytes;
        let soon = active.position > active.file.bytes / 2;
        let fits = self.live_bytes() + bytes <= self.options.wal_bytes_max;
        (soon && fits && self.free.is_empty()).then(|| (self.take_file_id(), bytes))
    }

    fn wants_free_file(&self) -> bool {
        self.free.len() < FREE_FILES_MAX
            && self.live_bytes() + self.options.file_bytes <= self.options.wal_bytes_max
    }

    fn live_bytes(&self) -> u64 {
        let active = self.active.as_ref().map_or(0, |active| active.file.bytes);
        let idle = self.retired.iter().chain(&self.free);
        active + idle.map(|file| file.bytes).sum::<u64>()
    }

    fn take_file_id(&mut self) -> WalFileId {
        let id = self.next_file;
        self.next_file = id.next();
        id
    }
}

/// A piece of an encoded group.
enum Piece<'a> {
    Scratch(Range<usize>),
    Records(&'a [u8]),
}

impl<'a> Piece<'a> {
    fn of<'b>(&self, scratch: &'b [u8]) -> &'b [u8]
    where
        'a: 'b,
    {
        match self {
            Self::Scratch(range) => &scratch[range.clone()],
            Self::Records(records) => records,
        }
    }
}
