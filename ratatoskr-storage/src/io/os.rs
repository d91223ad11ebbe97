//! The operating system's file system.
//!
//! Where a system lacks a call, the answer is the safe one: no `RWF_NOWAIT` means "would wait", no
//! `fallocate` means that zeros are written.

use std::{
    fs::{self, OpenOptions, TryLockError},
    io::{self, IoSlice},
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use rustix::{
    fs::{FallocateFlags, SeekFrom},
    io::{Errno, retry_on_intr},
};

use super::{DirEntry, File, FileSystem, LockGuard, OpenMode, UNCACHED_ALIGN, map};

/// Slices handed to one `pwritev` (POSIX promises 16, Linux takes 1,024).
const SLICES_PER_WRITE_MAX: usize = 1024;
/// Bytes of zeros written at once where there is no `fallocate`.
const ZEROS_PER_WRITE: usize = 16 << 10;

/// The file system of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsFileSystem;

impl FileSystem for OsFileSystem {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => {}
            OpenMode::Write => {
                options.write(true);
            }
            OpenMode::CreateNew => {
                options.write(true).create_new(true);
            }
        }
        Ok(Arc::new(OsFile(options.open(path)?)))
    }

    #[cfg(target_os = "linux")]
    fn read_uncached(&self, path: &Path, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        use rustix::fs::{Mode, OFlags};

        let flags = OFlags::RDONLY | OFlags::DIRECT | OFlags::CLOEXEC;
        let file = match retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty())) {
            // Not every file system knows the flag.
            Err(Errno::INVAL) => return Err(io::ErrorKind::Unsupported.into()),
            file => fs::File::from(file?),
        };
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, position + filled as u64) {
                Ok(read) => {
                    filled += read;
                    // Only the end of the file is not at a block.
                    if read % UNCACHED_ALIGN != 0 || read == 0 {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    return Err(io::ErrorKind::Unsupported.into());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        match fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            other => other,
        }
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn list_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let is_dir = entry.file_type()?.is_dir();
            entries.push(DirEntry { name, is_dir });
        }
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(OsLock { file })),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// The lock is the open file's. The end of the process gives it back; so would closing the file, but
/// not while a child that another thread is just starting holds a copy of it, so it is unlocked.
#[derive(Debug)]
struct OsLock {
    file: fs::File,
}

impl LockGuard for OsLock {}

impl Drop for OsLock {
    fn drop(&mut self) {
        if let Err(error) = self.file.unlock() {
            tracing::warn!(%error, "a lock could not be given back; closing the file will do so");
        }
    }
}

#[derive(Debug)]
struct OsFile(fs::File);

impl File for OsFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, position)
    }

    fn try_read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<bool> {
        try_read_exact_at(&self.0, buffer, position)
    }

    fn next_data(&self, position: u64) -> io::Result<u64> {
        // What was reserved and never written to is a hole to most file systems. No other call here
        // depends on where the file's own cursor is.
        match rustix::fs::seek(&self.0, SeekFrom::Data(position)) {
            Ok(found) => Ok(found),
            Err(Errno::NXIO) => Ok(self.size()?.max(position)),
            Err(_) => Ok(position),
        }
    }

    fn write_all_at(&self, parts: &[&[u8]], position: u64) -> io::Result<()> {
        if let [part] = parts {
            return self.0.write_all_at(part, position);
        }
        let mut slices: Vec<_> = parts
            .iter()
            .filter(|part| !part.is_empty())
            .map(|part| IoSlice::new(part))
            .collect();
        let mut rest = slices.as_mut_slice();
        let mut position = position;
        while !rest.is_empty() {
            let now = rest.get(..SLICES_PER_WRITE_MAX).unwrap_or(rest);
            let written = retry_on_intr(|| rustix::io::pwritev(&self.0, now, position))?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            position += written as u64;
            IoSlice::advance_slices(&mut rest, written);
        }
        Ok(())
    }

    fn allocate(&self, size: u64) -> io::Result<()> {
        let before = self.size()?;
        let Some(more) = size.checked_sub(before).filter(|&more| more > 0) else {
            return Ok(());
        };
        let outcome =
            retry_on_intr(|| rustix::fs::fallocate(&self.0, FallocateFlags::empty(), before, more));
        let outcome = match outcome {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => write_zeros(&self.0, before, size),
            other => other.map_err(io::Error::from),
        };
        if outcome.is_err() {
            // Some file systems keep what they got before the room ran out. The first error is the
            // one to report; a size that cannot be put back is only a longer tail of zeros.
            let _ = self.0.set_len(before);
        }
        outcome
    }

    fn set_len(&self, size: u64) -> io::Result<()> {
        self.0.set_len(size)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn map(&self, size: u64) -> io::Result<Bytes> {
        map::map(&self.0, size)
    }
}

#[cfg(target_os = "linux")]
fn try_read_exact_at(file: &fs::File, buffer: &mut [u8], position: u64) -> io::Result<bool> {
    use rustix::io::{ReadWriteFlags, preadv2};
    use std::io::IoSliceMut;

    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let at = position + filled as u64;
        let outcome = retry_on_intr(|| {
            preadv2(
                file,
                &mut [IoSliceMut::new(rest)],
                at,
                ReadWriteFlags::NOWAIT,
            )
        });
        match outcome {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => filled += read,
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

#[cfg(not(target_os = "linux"))]
fn try_read_exact_at(_: &fs::File, _: &mut [u8], _: u64) -> io::Result<bool> {
    Ok(false)
}

fn write_zeros(file: &fs::File, from: u64, to: u64) -> io::Result<()> {
    let zeros = [0; ZEROS_PER_WRITE];
    let mut position = from;
    while position < to {
        let length = usize::try_from(to - position)
            .unwrap_or(ZEROS_PER_WRITE)
            .min(ZEROS_PER_WRITE);
        file.write_all_at(zeros.get(..length).unwrap_or_default(), position)?;
        position += length as u64;
    }
    Ok(())
}

#[cfg(test)]
#[path = "os_tests.rs"]
mod tests;
