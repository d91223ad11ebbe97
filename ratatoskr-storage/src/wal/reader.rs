//! Reads what a crash left of the log.
//!
//! The scan starts at the checkpoint's point and hands out frames as long as they are whole and their
//! numbers dense. Where that ends it looks on, at every 4 KiB of what is left: a later frame that was
//! written when the missing one was already durable proves that the missing one **rotted**, and the
//! scan fails. Otherwise what is missing was never acknowledged: it is a torn tail, and is cut.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use ratatoskr_core::storage::{StorageError, StorageResult};

use super::{
    Frame, FrameError, FrameHeader, GROUP_ALIGNMENT, HEADER_BYTES, Lsn, WalFileId, WalPoint,
    file::{WalDirectory, WalFile},
    frame::{decode_needs, file_named_by},
};
use crate::{
    io::{FileSystem, OpenMode},
    planted::{self, Bug},
};

/// Bytes read at once, unless a frame is larger.
const WINDOW_BYTES: u64 = 1 << 20;

/// What a scan found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scan {
    /// The number after the last good frame.
    pub next_lsn: Lsn,
    /// A file id above every one there is.
    pub next_file: WalFileId,
    /// Good frames.
    pub frames: u64,
    /// Bytes of good frames.
    pub bytes: u64,
    /// Where frames were cut that a crash had left in pieces, if it left any.
    pub torn: Option<Torn>,
}

/// A group that was being written when the process or the machine died.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Torn {
    /// The file.
    pub path: PathBuf,
    /// Where the first frame that is not whole begins.
    pub position: u64,
    /// What is wrong with it.
    pub error: FrameError,
}

/// What is to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScanRange {
    /// Where to begin.
    pub from: WalPoint,
    /// The frame to stop before, where the log is being written to; `None` after a restart, for all
    /// there is.
    pub until: Option<Lsn>,
}

/// Reads the frames of the log in `path` and hands them to `each` in the order of their numbers.
///
/// # Errors
/// [`StorageError::Damaged`] where a frame that was durable is not there any more, or is of a newer
/// version; what `each` or the file system says.
pub(crate) fn scan(
    fs: &Arc<dyn FileSystem>,
    path: &Path,
    seed: u32,
    range: ScanRange,
    mut each: impl FnMut(Frame) -> StorageResult<()>,
) -> StorageResult<Scan> {
    let directory = WalDirectory::new(fs.clone(), path);
    let ScanRange { from, until } = range;
    let mut found = Scan {
        next_lsn: from.lsn,
        next_file: from.file,
        frames: 0,
        bytes: 0,
        torn: None,
    };
    let mut stops = Vec::new();
    for id in directory.list()? {
        found.next_file = found.next_file.max(id.next());
        if id < from.file || until == Some(found.next_lsn) {
            continue;
        }
        let start = if id == from.file { from.position } else { 0 };
        let mut reader = FileReader::new(directory.open(id, OpenMode::Read)?, seed);
        let before = found.frames;
        let stop = reader.read_frames(start, until, &mut found, &mut each)?;
        if found.frames > before {
            // The log went on in this file, so it had come to its end in those before.
            stops.clear();
        }
        stops.push(stop);
    }
    match until {
        None => {
            for stop in &stops {
                look_past(&directory, seed, stop, &mut found)?;
            }
        }
        Some(until) if found.next_lsn < until => {
            return Err(StorageError::Damaged {
                file: path.display().to_string(),
                detail: format!("frame {} was durable and cannot be read", found.next_lsn),
            });
        }
        Some(_) => {}
    }
    Ok(found)
}

/// Where the good frames of a file end.
struct Stop {
    file: WalFileId,
    position: u64,
    error: FrameError,
    in_group: bool,
}

/// Fails if anything after `stop` proves that the frame numbered `found.next_lsn` was durable.
fn look_past(
    directory: &WalDirectory,
    seed: u32,
    stop: &Stop,
    found: &mut Scan,
) -> StorageResult<()> {
    let mut reader = FileReader::new(directory.open(stop.file, OpenMode::Read)?, seed);
    let mut torn = stop.in_group;
    let mut position = stop.position.next_multiple_of(GROUP_ALIGNMENT);
    while position < reader.file.bytes {
        if let Ok(header) = reader.read_header(position)? {
            if header.durable >= found.next_lsn {
                let what = &stop.error;
                return Err(StorageError::Damaged {
                    file: directory.path_of(stop.file).display().to_string(),
                    detail: format!(
                        "frame {} at byte {} was durable and is not there any more ({what})",
                        found.next_lsn, stop.position
                    ),
                });
            }
            torn |= header.lsn >= found.next_lsn;
        }
        position += GROUP_ALIGNMENT;
    }
    if torn && found.torn.is_none() {
        found.torn = Some(Torn {
            path: directory.path_of(stop.file),
            position: stop.position,
            error: stop.error.clone(),
        });
    }
    Ok(())
}

/// Reads one file through a window.
struct FileReader {
    file: WalFile,
    seed: u32,
    window: Bytes,
    window_at: u64,
}

impl FileReader {
    fn new(file: WalFile, seed: u32) -> Self {
        Self {
            file,
            seed,
            window: Bytes::new(),
            window_at: 0,
        }
    }

    fn read_frames(
        &mut self,
        start: u64,
        until: Option<Lsn>,
        found: &mut Scan,
        each: &mut impl FnMut(Frame) -> StorageResult<()>,
    ) -> StorageResult<Stop> {
        let mut position = start;
        let mut in_group = false;
        let error = loop {
            if until == Some(found.next_lsn) {
                break FrameError::Absent;
            }
            let frame = match self.read_frame(position)? {
                Ok(frame) => frame,
                Err(error @ FrameError::Unknown { .. }) => {
                    return Err(self.refuse(position, &error));
                }
                Err(FrameError::Batch(_)) if planted::is(Bug::CutAtLastValid) => {
                    let header = self.read_header(position)?;
                    let bytes = header.map_or(0, |header| u64::from(header.payload_bytes));
                    position += HEADER_BYTES as u64 + bytes;
                    continue;
                }
                Err(error) => break error,
            };
            let header = frame.header;
            let may_be_any =
                planted::is(Bug::StaleFrameAccepted) || planted::is(Bug::CutAtLastValid);
            if header.lsn != found.next_lsn && !may_be_any {
                break FrameError::OutOfSequence { lsn: header.lsn };
            }
            each(frame)?;
            let bytes = HEADER_BYTES as u64 + u64::from(header.payload_bytes);
            found.next_lsn = header.lsn.next();
            found.frames += 1;
            found.bytes += bytes;
            position += bytes;
            in_group = !header.last_of_group;
            if header.last_of_group {
                position = position.next_multiple_of(GROUP_ALIGNMENT);
            }
        };
        Ok(Stop {
            file: self.file.id,
            position,
            error,
            in_group,
        })
    }

    fn read_frame(&mut self, position: u64) -> StorageResult<Result<Frame, FrameError>> {
        let header = match self.read_header(position)? {
            Ok(header) => header,
            Err(error) => return Ok(Err(error)),
        };
        let bytes = HEADER_BYTES + header.payload_bytes as usize;
        Ok(match self.bytes(position, bytes)? {
            Some(bytes) => Frame::decode(&bytes, self.seed, header.file),
            None => Err(FrameError::Truncated),
        })
    }

    fn read_header(&mut self, position: u64) -> StorageResult<Result<FrameHeader, FrameError>> {
        let Some(start) = self.bytes(position, HEADER_BYTES)? else {
            return Ok(Err(FrameError::Truncated));
        };
        let Some(needed) = decode_needs(&start) else {
            return Ok(Err(FrameError::Absent));
        };
        // What an earlier use of the file left may name any length: it is not worth reading.
        if let Some(file) = file_named_by(&start)
            && file != self.file.id
            && !planted::is(Bug::StaleFrameAccepted)
        {
            return Ok(Err(FrameError::Stale { file }));
        }
        let Some(covered) = self.bytes(position, needed)? else {
            return Ok(Err(FrameError::Truncated));
        };
        Ok(FrameHeader::decode(&covered, self.seed, self.file.id))
    }

    /// These bytes of the file, if it has them. The length is checked before anything is allocated.
    fn bytes(&mut self, position: u64, length: usize) -> StorageResult<Option<Bytes>> {
        let left = self.file.bytes.saturating_sub(position);
        if (length as u64) > left {
            return Ok(None);
        }
        let inside = |reader: &Self| {
            let start = usize::try_from(position.checked_sub(reader.window_at)?).ok()?;
            let end = start.checked_add(length)?;
            (end <= reader.window.len()).then(|| reader.window.slice(start..end))
        };
        if let Some(bytes) = inside(self) {
            return Ok(Some(bytes));
        }
        let size = left.min(WINDOW_BYTES.max(length as u64));
        let mut window = vec![0; usize::try_from(size).unwrap_or(length)];
        let read = self.file.file.read_exact_at(&mut window, position);
        read.map_err(|error| {
            let file = self.file.id;
            StorageError::io(format_args!("read write-ahead log file {file}"), error)
        })?;
        self.window = window.into();
        self.window_at = position;
        Ok(inside(self))
    }

    fn refuse(&self, position: u64, error: &FrameError) -> StorageError {
        StorageError::Damaged {
            file: format!("write-ahead log file {}", self.file.id),
            detail: format!("at byte {position}: {error}"),
        }
    }
}
