//! A partition's `pending` file: frames that are durable and not in its log yet.
//!
//! When a batch cannot be applied, its partition goes offline, but the write-ahead log must not wait
//! for it: the next checkpoint copies the partition's frames here. Opening the partition applies them
//! first, and removes the file once the log is synced. The file holds frames back to back as the
//! write-ahead log has them, written for file 0, and is only ever replaced as a whole.

use std::{collections::BTreeMap, path::PathBuf};

use bytes::{Buf, Bytes};
use ratatoskr_core::storage::{StorageError, StorageResult};

use super::{layout::Layout, recovery::log_of, replay::Logs};
use crate::{
    mmap::LogId,
    wal::{Frame, FrameHeader, FrameKind, HEADER_BYTES, ScanRange, WalFileId, scan},
};

const NAME: &str = "pending";
/// No file of the write-ahead log has this id.
const FILE: WalFileId = WalFileId::new(0);
/// Largest file that is read: a partition that is offline takes no new batches, so it holds no more
/// than what one write-ahead log could.
const BYTES_MAX: u64 = 4 << 30;

fn path(layout: &Layout, id: LogId) -> PathBuf {
    layout.partition(id).join(NAME)
}

/// The frames that wait for this partition, in order.
///
/// # Errors
/// [`StorageError::Damaged`] where they are not what was written.
pub(super) fn read(layout: &Layout, seed: u32, id: LogId) -> StorageResult<Vec<Frame>> {
    let path = path(layout, id);
    let Some(bytes) = layout.read_file(&path, BYTES_MAX)? else {
        return Ok(Vec::new());
    };
    let damaged = |detail: String| StorageError::Damaged {
        file: path.display().to_string(),
        detail,
    };
    let mut rest = Bytes::from(bytes);
    let mut frames = Vec::new();
    while rest.has_remaining() {
        let header = FrameHeader::decode(&rest, seed, FILE);
        let header = header.map_err(|error| damaged(error.to_string()))?;
        let length = HEADER_BYTES + header.payload_bytes as usize;
        if length > rest.len() {
            return Err(damaged("it is cut short".into()));
        }
        let frame = Frame::decode(&rest.split_to(length), seed, FILE);
        frames.push(frame.map_err(|error| damaged(error.to_string()))?);
    }
    Ok(frames)
}

/// Copies the frames of the logs that `is_kept` names from the write-ahead log to their pending
/// files, behind those that are there; they last on return.
pub(super) fn keep(
    logs: &Logs,
    range: ScanRange,
    is_kept: impl Fn(LogId) -> bool,
) -> StorageResult<()> {
    let mut kept: BTreeMap<LogId, Vec<Frame>> = BTreeMap::new();
    let (fs, path) = (&logs.layout.fs, logs.layout.wal());
    scan(fs, &path, logs.seed, range, |frame| {
        let is_of_log = matches!(
            frame.header.kind,
            FrameKind::Batch | FrameKind::LogStartMoved
        );
        if is_of_log && is_kept(log_of(&frame)) {
            kept.entry(log_of(&frame)).or_default().push(frame);
        }
        Ok(())
    })?;
    for (id, frames) in kept {
        add(&logs.layout, logs.seed, id, &frames)?;
    }
    Ok(())
}

fn add(layout: &Layout, seed: u32, id: LogId, frames: &[Frame]) -> StorageResult<()> {
    let mut bytes = Vec::new();
    for frame in read(layout, seed, id)?.iter().chain(frames) {
        let header = FrameHeader {
            file: FILE,
            ..frame.header
        };
        bytes.extend_from_slice(&header.encode(seed, &frame.payload));
        bytes.extend_from_slice(&frame.payload);
    }
    layout.create_topic(id.topic)?;
    layout.create_dir(&layout.partition(id))?;
    layout.sync_dir(&layout.topic(id.topic))?;
    layout.sync_dir(&layout.topics())?;
    layout.replace_file(&path(layout, id), &[&bytes])
}

/// Removes the file: its frames are on disk in the log, and the checkpoint says so.
pub(super) fn remove(layout: &Layout, id: LogId) -> StorageResult<()> {
    let path = path(layout, id);
    let removed = layout.fs.remove_file(&path);
    removed.map_err(|error| StorageError::io(format_args!("remove {}", path.display()), error))?;
    layout.sync_dir(&layout.partition(id))
}
