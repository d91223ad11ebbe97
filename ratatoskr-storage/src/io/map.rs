//! Read-only maps of files: the one module of this project with `unsafe` code.
//!
//! What makes a map sound here, and who keeps it so:
//! - It is read-only and shared; nobody writes through it.
//! - Only **sealed** files are mapped: nothing writes to them, grows or cuts them any more
//!   (`mmap/segment.rs` cuts a file to its size *before* it is mapped for the first time). Unlinking a
//!   mapped file is fine, its pages live until the map is gone.
//! - Its bytes are handed to the operating system, not looked at (`Access::Forward`): where somebody
//!   else cuts the file nevertheless, a `writev` from it is an error, where a load would be `SIGBUS`.

#![expect(
    unsafe_code,
    reason = "mapping a file is unsafe by nature; the argument is above and at the block"
)]

use std::{fs::File, io};

use bytes::Bytes;
use memmap2::MmapOptions;

/// Maps the first `size` bytes of `file`, which must be sealed (see the module's page).
///
/// # Errors
/// `UnexpectedEof` where the file is shorter; what the system says.
pub(super) fn map(file: &File, size: u64) -> io::Result<Bytes> {
    if file.metadata()?.len() < size {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let length = usize::try_from(size).map_err(|_| io::ErrorKind::InvalidInput)?;
    if length == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: The map is of shared, read-only pages, all within the file (checked above). The bytes
    // behind the `&[u8]` that `Bytes` gives out must not change while it lives: the callers of
    // `File::map` map sealed files only, which this process never writes or cuts again, and the
    // directory lock keeps other brokers out. The `Mmap` is owned by the `Bytes`, so the pages stay
    // mapped until its last clone is gone.
    let map = unsafe { MmapOptions::new().len(length).map(file)? };
    Ok(Bytes::from_owner(map))
}
