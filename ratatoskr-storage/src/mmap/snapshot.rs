//! What the broker keeps beside a log to open it faster: one file, whose contents are the broker's own
//! and checked by it. It is not synced.

use std::io;

use bytes::Bytes;
use ratatoskr_core::storage::StorageResult;

use super::{
    PartitionLog,
    names::{SNAPSHOT, failed, new_name},
};
use crate::io::OpenMode;

/// A larger file is no snapshot: nobody allocates what a damaged directory says.
const BYTES_MAX: u64 = 64 << 20;

impl PartitionLog {
    /// Puts `snapshot` in the place of what was kept before.
    ///
    /// # Errors
    /// [`StorageError::Io`](ratatoskr_core::storage::StorageError::Io), also for more than 64 MiB; what
    /// was kept before stays.
    ///
    /// # Cancel safety
    /// Dropping the future leaves what was kept before, or this.
    pub async fn keep_snapshot(&self, snapshot: Bytes) -> StorageResult<()> {
        self.waiting(move |log| {
            let place = &log.0.place;
            let path = place.dir.join(SNAPSHOT);
            let new = place.dir.join(new_name(SNAPSHOT));
            let write = || {
                check(snapshot.len() as u64)?;
                let file = match place.fs.open(&new, OpenMode::CreateNew) {
                    // A process ended while it wrote this.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        place.fs.remove_file(&new)?;
                        place.fs.open(&new, OpenMode::CreateNew)?
                    }
                    other => other?,
                };
                file.write_all_at(&[&snapshot], 0)?;
                place.fs.rename(&new, &path)
            };
            write().map_err(|error| failed("keep a snapshot in", &path, error))
        })
        .await
    }

    /// What was kept last; `None` where nothing was.
    ///
    /// # Errors
    /// [`StorageError::Io`](ratatoskr_core::storage::StorageError::Io), also for more than 64 MiB.
    ///
    /// # Cancel safety
    /// Dropping the future reads nothing.
    pub async fn snapshot(&self) -> StorageResult<Option<Bytes>> {
        self.waiting(|log| {
            let place = &log.0.place;
            let path = place.dir.join(SNAPSHOT);
            let read = || -> io::Result<Vec<u8>> {
                let file = place.fs.open(&path, OpenMode::Read)?;
                let mut snapshot = vec![0; check(file.size()?)?];
                file.read_exact_at(&mut snapshot, 0)?;
                Ok(snapshot)
            };
            match read() {
                Ok(snapshot) => Ok(Some(snapshot.into())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(failed("read", &path, error)),
            }
        })
        .await
    }
}

/// So many bytes, if a snapshot may have them.
fn check(bytes: u64) -> io::Result<usize> {
    if bytes > BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    usize::try_from(bytes).map_err(io::Error::other)
}
