//! The files of the log: `<id>.wal`, the id as 20 decimal digits.
//!
//! A file is made once, filled with zeros and synced, since a sync of blocks that were never written
//! takes twice as long. When a checkpoint covers all its frames it is free; a free file is *renamed*
//! to the next id when the log needs one, and the directory is synced before the first frame goes in.
//! So a name on the disk tells which frames belong in the file.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use ratatoskr_core::storage::{StorageError, StorageResult};

use super::WalFileId;
use crate::io::{File, FileSystem, OpenMode};

const EXTENSION: &str = ".wal";
const ID_DIGITS: usize = 20;
/// So many zeros are synced at a time. A file that is made beside a log in use would else keep the
/// log's own syncs waiting for all of it: 27 ms for 64 MiB where a sync takes 0.1 ms.
const ZEROS_PER_SYNC: u64 = 1 << 20;
/// Zeros are written in pieces of this many bytes, of which a sync takes a whole number.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// The directory that holds the files.
#[derive(Clone, Debug)]
pub(super) struct WalDirectory {
    fs: Arc<dyn FileSystem>,
    path: PathBuf,
}

/// One file, open.
#[derive(Clone, Debug)]
pub(super) struct WalFile {
    pub(super) id: WalFileId,
    pub(super) bytes: u64,
    pub(super) file: Arc<dyn File>,
}

/// A file that is not written to: all its frames wait for a checkpoint, or it is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IdleFile {
    pub(super) id: WalFileId,
    pub(super) bytes: u64,
}

impl WalDirectory {
    pub(super) fn new(fs: Arc<dyn FileSystem>, path: &Path) -> Self {
        Self {
            fs,
            path: path.to_owned(),
        }
    }

    /// The ids of all files, ascending. Files that do not look like ours are left alone.
    pub(super) fn list(&self) -> StorageResult<Vec<WalFileId>> {
        let entries = self.fs.list_dir(&self.path);
        let entries = entries.map_err(|error| self.failed("list", &self.path, error))?;
        let mut ids: Vec<_> = entries
            .iter()
            .filter(|entry| !entry.is_dir)
            .filter_map(|entry| parse_name(&entry.name))
            .collect();
        ids.sort_unstable();
        Ok(ids)
    }

    pub(super) fn open(&self, id: WalFileId, mode: OpenMode) -> StorageResult<WalFile> {
        let path = self.path_of(id);
        let open = || {
            let file = self.fs.open(&path, mode)?;
            let bytes = file.size()?;
            Ok(WalFile { id, bytes, file })
        };
        open().map_err(|error| self.failed("open", &path, error))
    }

    /// Makes a file of `bytes` bytes; its name lasts on return. `zeroed` also writes the zeros.
    pub(super) fn create(&self, id: WalFileId, bytes: u64, zeroed: bool) -> StorageResult<WalFile> {
        let path = self.path_of(id);
        let create = || {
            let file = self.fs.open(&path, OpenMode::CreateNew)?;
            file.allocate(bytes)?;
            if zeroed {
                write_zeros(&*file, bytes)?;
            }
            file.sync_data()?;
            self.fs.sync_dir(&self.path)?;
            Ok(WalFile { id, bytes, file })
        };
        create().map_err(|error| {
            // A file that could not be made whole only takes room. Where it cannot be removed either,
            // the next opening finds that it holds no frame and removes it.
            let _ = self.fs.remove_file(&path);
            self.failed("create", &path, error)
        })
    }

    /// Gives a free file the next id; its new name lasts on return.
    pub(super) fn recycle(&self, free: IdleFile, id: WalFileId) -> StorageResult<WalFile> {
        let (from, to) = (self.path_of(free.id), self.path_of(id));
        let rename = || {
            self.fs.rename(&from, &to)?;
            if !crate::planted::is(crate::planted::Bug::SkippedDirectorySync) {
                self.fs.sync_dir(&self.path)?;
            }
            Ok(())
        };
        rename().map_err(|error| self.failed("rename", &from, error))?;
        self.open(id, OpenMode::Write)
    }

    pub(super) fn remove(&self, id: WalFileId) -> StorageResult<()> {
        let path = self.path_of(id);
        match self.fs.remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.failed("remove", &path, error))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn path_of(&self, id: WalFileId) -> PathBuf {
        self.path.join(format!("{:020}{EXTENSION}", id.get()))
    }

    #[expect(
        clippy::unused_self,
        reason = "reads as what the directory says of a failure"
    )]
    fn failed(&self, what: &str, path: &Path, error: io::Error) -> StorageError {
        StorageError::io(format_args!("{what} {}", path.display()), error)
    }
}

fn parse_name(name: &str) -> Option<WalFileId> {
    let digits = name.strip_suffix(EXTENSION)?;
    let plain = digits.len() == ID_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    let id = digits.parse().ok().filter(|_| plain)?;
    Some(WalFileId::new(id))
}

fn write_zeros(file: &dyn File, bytes: u64) -> io::Result<()> {
    let mut position = 0;
    while position < bytes {
        let left = usize::try_from(bytes - position).unwrap_or(usize::MAX);
        let piece = &ZEROS[..left.min(ZEROS.len())];
        file.write_all_at(&[piece], position)?;
        position += piece.len() as u64;
        if position.is_multiple_of(ZEROS_PER_SYNC) {
            file.sync_data()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_were_given_by_the_log_are_parsed() {
        let id = WalFileId::new(42);
        assert_eq!(parse_name("00000000000000000042.wal"), Some(id));
        for name in [
            "42.wal",
            "00000000000000000042",
            "00000000000000000042.wal.tmp",
            "+0000000000000000042.wal",
            "99999999999999999999.wal",
            "",
        ] {
            assert_eq!(parse_name(name), None, "{name:?} passed");
        }
    }
}
