//! All file I/O of this crate goes through the two small traits here, maps included, so that faults
//! and crashes can be injected.
//!
//! What a crash leaves behind (and a simulation must offer): between two successful syncs any subset
//! of the sectors written may persist, in any order, across files; creation, rename and removal last
//! only once the **directory** is synced, sizes and contents once the **file** is.

#[cfg(feature = "mmap")]
mod map;
#[cfg(feature = "mmap")]
mod os;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
#[cfg(all(test, feature = "mmap"))]
pub(crate) mod small_disk;

use std::{fmt, io, path::Path, sync::Arc};

use bytes::Bytes;

#[cfg(feature = "mmap")]
pub use os::OsFileSystem;

/// Buffers, positions and lengths of [`FileSystem::read_uncached`] are multiples of this: what any disk's
/// blocks divide.
pub const UNCACHED_ALIGN: usize = 4 << 10;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// It must exist; for reading.
    Read,
    /// It must exist; for reading and writing.
    Write,
    /// It must not exist.
    CreateNew,
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// Its name; entries whose names are not UTF-8 are not ours and are left out.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// A file system, as far as a log needs one. Nothing here retries; nothing here syncs on its own.
pub trait FileSystem: Send + Sync + fmt::Debug {
    /// Opens a file.
    ///
    /// # Errors
    /// `NotFound`, `AlreadyExists`, or what the system says.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>>;

    /// Reads past the system's cache (`O_DIRECT`): the disk writes into `buffer`, which nobody copies and
    /// which takes no room from what others read. Answers how many bytes were read, fewer than the
    /// buffer has only where the file ends. Address and length of the buffer and `position` are
    /// multiples of [`UNCACHED_ALIGN`].
    ///
    /// # Errors
    /// `Unsupported` where system or file system cannot do it; what the system says.
    fn read_uncached(&self, path: &Path, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let _ = (path, buffer, position);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Renames a file or directory, replacing a file that has the name.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file; handles and maps that are open stay valid.
    ///
    /// # Errors
    /// What the system says.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Creates a directory whose parent exists; one that is there is fine.
    ///
    /// # Errors
    /// What the system says.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory.
    ///
    /// # Errors
    /// What the system says.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;

    /// Lists a directory, sorted by name.
    ///
    /// # Errors
    /// What the system says.
    fn list_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>>;

    /// Makes creations, renames and removals in this directory last.
    ///
    /// # Errors
    /// What the system says.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Takes the lock file at `path` for this process, creating it; dropping the guard gives it back,
    /// and so does the end of the process.
    ///
    /// # Errors
    /// `WouldBlock` where another holder has it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>>;
}

/// Holds a lock file until it is dropped.
pub trait LockGuard: Send + Sync + fmt::Debug {}

/// An open file, written and read at positions.
pub trait File: Send + Sync + fmt::Debug {
    /// Its size in bytes.
    ///
    /// # Errors
    /// What the system says.
    fn size(&self) -> io::Result<u64>;

    /// Fills `buffer` from `position` on.
    ///
    /// # Errors
    /// `UnexpectedEof` where the file ends before the buffer is full.
    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()>;

    /// As [`read_exact_at`](Self::read_exact_at), but only if that needs no disk: `false` where it
    /// would have to wait (or the system cannot tell).
    ///
    /// # Errors
    /// As `read_exact_at`.
    fn try_read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<bool>;

    /// Where the next bytes at or after `position` lie that may be other than zero; at or beyond the
    /// file's size if there are none. `position` itself is always a right answer.
    ///
    /// # Errors
    /// What the system says.
    fn next_data(&self, position: u64) -> io::Result<u64>;

    /// Writes all of `parts`, one after the other, from `position` on; the file grows if need be.
    /// After an error any part of it may have been written.
    ///
    /// # Errors
    /// `StorageFull` and the like.
    fn write_all_at(&self, parts: &[&[u8]], position: u64) -> io::Result<()>;

    /// Reserves space up to `size` bytes and grows the file to it; new bytes read as zero, and
    /// writing within them never lacks room. A smaller size changes nothing.
    ///
    /// # Errors
    /// `StorageFull`; the file's contents are then as they were.
    fn allocate(&self, size: u64) -> io::Result<()>;

    /// Cuts or grows the file to `size` bytes. Never called on a file that is mapped.
    ///
    /// # Errors
    /// What the system says.
    fn set_len(&self, size: u64) -> io::Result<()>;

    /// Makes contents and size last (`fdatasync`). **Never retried**: after an error nobody knows
    /// what is on the disk.
    ///
    /// # Errors
    /// What the system says, once.
    fn sync_data(&self) -> io::Result<()>;

    /// Maps the first `size` bytes for reading. The file must be sealed: from now on nobody writes,
    /// grows or cuts it. The map lives until the last clone of the answer is gone, the file's
    /// removal notwithstanding.
    ///
    /// # Errors
    /// `UnexpectedEof` where the file is shorter; what the system says.
    fn map(&self, size: u64) -> io::Result<Bytes>;
}
