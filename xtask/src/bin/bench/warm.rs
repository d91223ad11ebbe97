//! The state of memory and page cache before a run.
//!
//! A hypervisor hands out fresh pages slowly: the first program to use them pays for it, and would
//! hide everything else. So memory is touched and freed before a point, and just before each timed
//! run an untimed file is written and dropped, which leaves warm pages to the page cache.

use std::{
    fs::{self, File},
    hint::black_box,
    io::Write as _,
    path::Path,
};

use anyhow::{Context, Result};
use rustix::fs::{Advice, fadvise};

/// More than a run of a few seconds writes.
const MEMORY_BYTES: usize = 2 << 30;
/// What a timed run finds in the page cache's free pages.
const FILE_BYTES: usize = 1 << 30;
/// The same where little time is to be spent.
const FILE_BYTES_QUICK: usize = 256 << 20;
const CHUNK_BYTES: usize = 1 << 20;

/// Touches and frees memory.
pub(crate) fn memory() {
    black_box(vec![1_u8; MEMORY_BYTES]);
}

/// Writes and drops a file in this directory.
///
/// # Errors
/// It cannot be written.
pub(crate) fn page_cache(directory: &Path, quick: bool) -> Result<()> {
    let bytes = if quick { FILE_BYTES_QUICK } else { FILE_BYTES };
    let mut file = tempfile::tempfile_in(directory).context("a file to warm the page cache")?;
    let chunk = vec![7; CHUNK_BYTES];
    for _ in 0..bytes / CHUNK_BYTES {
        file.write_all(&chunk)?;
    }
    Ok(())
}

/// Drops every file of a directory from the page cache. A file that somebody has mapped stays, so
/// the broker must not run.
///
/// # Errors
/// A file cannot be read or synced.
pub(crate) fn drop_cached(directory: &Path) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            drop_cached(&entry.path())?;
            continue;
        }
        let file = File::open(entry.path())?;
        // What is dirty cannot be dropped.
        file.sync_all()?;
        fadvise(&file, 0, None, Advice::DontNeed)?;
    }
    Ok(())
}
