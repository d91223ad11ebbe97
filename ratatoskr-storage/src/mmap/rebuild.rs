//! Making files anew after a failed sync.
//!
//! A sync that failed says so once. Bytes that it should have written may be marked clean in the page
//! cache and not be on the disk, so that a later sync of the same file returns 0 and means nothing.
//! Written to a new file, they are dirty again.
//!
//! That a sync has failed is remembered where the page cache's own memory ends: in this process, and by
//! a file beside the segments for a process that comes after it. The file need not be synced, since a
//! machine that starts anew has forgotten its page cache as well.

use std::{io, path::Path, sync::Arc};

use ratatoskr_core::storage::StorageResult;

use super::{
    LogCheckpoint,
    log::Log,
    names::{IN_DOUBT, Named, failed, new_name},
    scan::LogReader,
    segment::Place,
};
use crate::io::{DirEntry, File, FileSystem, OpenMode};

/// Bytes copied at once.
const COPY_BYTES: u64 = 1 << 20;

impl Log {
    /// Remembers that a sync has failed.
    pub(super) fn mark_in_doubt(&self) {
        let dir = &self.place.dir;
        self.place.caches.in_doubt.lock().insert(Arc::clone(dir));
        match self.place.fs.open(&dir.join(IN_DOUBT), OpenMode::CreateNew) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                tracing::error!(dir = %dir.display(), %error, "a failed sync could not be noted");
            }
            _ => {}
        }
    }
}

/// Makes files anew if a sync of the log has failed since they were made: those from the checkpoint's
/// segment on (all without one) are copied as they can be read, synced, and renamed over the old ones.
/// Maps of the old files stay valid. Safe to crash in and to repeat.
///
/// # Errors
/// [`StorageError::Io`](ratatoskr_core::storage::StorageError::Io): of kind `Full` where there is no
/// room for the copies.
pub(super) fn rebuild_if_in_doubt(place: &Place, from: Option<LogCheckpoint>) -> StorageResult<()> {
    let (fs, dir) = (&place.fs, &*place.dir);
    let entries = match fs.list_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(|e| failed("list", dir, e))?,
    };
    let is_noted = |entry: &DirEntry| entry.name == IN_DOUBT;
    if !place.caches.in_doubt.lock().contains(dir) && !entries.iter().any(is_noted) {
        return Ok(());
    }
    tracing::warn!(dir = %dir.display(), "making files anew whose sync has failed");
    let first = from.map(|from| from.segment_base).unwrap_or_default();
    for entry in entries.iter().filter(|entry| !entry.is_dir) {
        let name = match Named::parse(&entry.name) {
            Some(Named::Log(name)) if name.base_offset >= first => name.log(),
            Some(Named::Index(name)) if name.base_offset >= first => name.index(),
            _ => continue,
        };
        let path = dir.join(&name);
        copy(fs, &path, &dir.join(new_name(&name))).map_err(|e| failed("make anew", &path, e))?;
    }
    fs.sync_dir(dir).map_err(|e| failed("sync", dir, e))?;
    place.caches.in_doubt.lock().remove(dir);
    match fs.remove_file(&dir.join(IN_DOUBT)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove the note in", dir, error))
        }
        _ => Ok(()),
    }
}

fn copy(fs: &Arc<dyn FileSystem>, path: &Path, new: &Path) -> io::Result<()> {
    let old = fs.open(path, OpenMode::Read)?;
    match fs.remove_file(new) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => other?,
    }
    let file = fs.open(new, OpenMode::CreateNew)?;
    let copied = copy_bytes(&*old, &*file);
    if copied.is_err() {
        // The room it took is needed; the first error is the one to report.
        let _ = fs.remove_file(new);
    }
    copied?;
    fs.rename(new, path)
}

fn copy_bytes(old: &dyn File, new: &dyn File) -> io::Result<()> {
    let mut reader = LogReader::new(old)?;
    // Zeros at the end need not be written, but may belong to the last batch.
    let end = reader.end_of_data(0)?;
    new.allocate(reader.size())?;
    let mut position = 0;
    while position < end {
        let bytes = reader.bytes(position, COPY_BYTES.min(end - position))?;
        new.write_all_at(&[&bytes], position)?;
        position += bytes.len() as u64;
    }
    new.sync_data()
}
