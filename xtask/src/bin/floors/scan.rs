//! Reads of a file that is not in the page cache, from end to end.

use std::{
    fs::File, hint::black_box, io::Write, os::unix::fs::FileExt, path::Path, thread, time::Instant,
};

use anyhow::{Context, Result, anyhow};
use clap::Args;
use rustix::fs::{Advice, fadvise};
use serde::Serialize;

use crate::{
    MIB, at_most,
    report::{Sample, rates},
};

const FILE_BYTES: usize = 512 * MIB;

/// pread of windows of N bytes of a file of 512 MiB that is not in the page cache, one after the
/// other by as many threads as there are processors, each in a part of its own, and CRC-32C of each
#[derive(Args, Serialize)]
pub(crate) struct Scan {
    #[arg(long, default_value_t = MIB, value_parser = at_most(64 * MIB))]
    window: usize,
}

/// The file that is read.
pub(crate) fn file(dir: &Path) -> Result<File> {
    let mut file = tempfile::tempfile_in(dir).context("creating a file in --dir")?;
    let chunk: Vec<u8> = (0..=u8::MAX).cycle().take(MIB).collect();
    for _ in 0..FILE_BYTES / MIB {
        file.write_all(&chunk)?;
    }
    // What is dirty cannot be dropped.
    file.sync_all()?;
    Ok(file)
}

impl Scan {
    pub(crate) fn measure(&self, file: &File) -> Result<Sample> {
        fadvise(file, 0, None, Advice::DontNeed)?;
        let threads = thread::available_parallelism()?.get();
        let part = (FILE_BYTES / threads).next_multiple_of(self.window);
        let start = Instant::now();
        thread::scope(|scope| {
            let parts = (0..threads).map(|number| number * part);
            let parts = parts.map(|from| from..(from + part).min(FILE_BYTES));
            let running: Vec<_> = parts
                .map(|part| scope.spawn(|| self.read(file, part)))
                .collect();
            running.into_iter().try_for_each(|thread| {
                let read = thread.join().map_err(|_| anyhow!("a reader panicked"))?;
                read.context("reading the file")
            })
        })?;
        Ok(rates((FILE_BYTES / MIB) as u64, MIB, start))
    }

    fn read(&self, file: &File, part: std::ops::Range<usize>) -> std::io::Result<()> {
        let mut buffer = vec![0; self.window];
        for position in part.clone().step_by(self.window) {
            let window = &mut buffer[..self.window.min(part.end - position)];
            file.read_exact_at(window, position as u64)?;
            black_box(crc32c::crc32c(window));
        }
        Ok(())
    }
}
