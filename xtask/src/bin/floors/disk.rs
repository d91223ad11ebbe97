//! Writes to files: synced one at a time, synced in groups, and left to the page cache.

use std::{
    fs::File,
    hint::black_box,
    io::Write,
    iter,
    os::unix::fs::FileExt,
    path::Path,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;
use rustix::fs::{FallocateFlags, fallocate, statfs};
use serde::Serialize;
use tokio::{sync::oneshot, task::JoinSet};

use crate::{
    MIB, at_most, network,
    report::{Latencies, Sample, rates},
};

const APPEND_BYTES: usize = 512 * MIB;
const WARM_UP_MAX: Duration = Duration::from_secs(3);
const BLOCK_BYTES: usize = 4_096;
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// Says on stderr when `dir` is not on a disk.
pub(crate) fn note_if_in_memory(dir: &Path) -> Result<()> {
    if u64::try_from(statfs(dir).context("looking at --dir")?.f_type) == Ok(TMPFS_MAGIC) {
        eprintln!("note: --dir is a tmpfs, so the disk's figures are those of memory");
    }
    Ok(())
}

/// A file of zeros that were written and synced, so that a commit changes no metadata.
pub(crate) struct Wal {
    file: File,
    position: usize,
}

impl Wal {
    const BYTES: usize = 64 * MIB;

    pub(crate) fn create(dir: &Path) -> Result<Self> {
        let mut file = tempfile::tempfile_in(dir).context("creating a file in --dir")?;
        file.write_all(&vec![0; Self::BYTES])?;
        file.sync_all()?;
        Ok(Self { file, position: 0 })
    }

    /// pwrite of `bytes` at the next block boundary (where they don't fit, at the start), fdatasync.
    fn commit(&mut self, bytes: &[u8]) -> Result<()> {
        if self.position + bytes.len() > Self::BYTES {
            self.position = 0;
        }
        self.file.write_all_at(bytes, self.position as u64)?;
        self.file.sync_data()?;
        self.position += bytes.len().next_multiple_of(BLOCK_BYTES);
        Ok(())
    }
}

/// One pwrite of N bytes at the next 4 KiB boundary of a pre-zeroed 64 MiB file, and fdatasync
#[derive(Args, Serialize)]
pub(crate) struct Sync {
    #[arg(long, default_value_t = 4_096, value_parser = at_most(16 * MIB))]
    bytes: usize,
}

impl Sync {
    pub(crate) fn measure(&self, wal: &mut Wal, duration: Duration) -> Result<Sample> {
        let record = vec![7; self.bytes];
        let mut latencies = Latencies::new()?;
        let deadline = Instant::now() + duration;
        while Instant::now() < deadline {
            let start = Instant::now();
            wal.commit(&record)?;
            latencies.record(start)?;
        }
        Ok(latencies.figures())
    }
}

/// K tokio tasks, each with one record of N bytes in flight until it is synced; one thread commits
/// all that came since its last commit by one pwrite and one fdatasync to a pre-zeroed 64 MiB file
#[derive(Args, Clone, Copy, Serialize)]
pub(crate) struct GroupCommit {
    #[arg(long, default_value_t = 1_024, value_parser = at_most(MIB))]
    bytes: usize,
    #[arg(long, default_value_t = 64, value_parser = at_most(4_096))]
    in_flight: usize,
}

/// A record, and who waits until it is synced.
type Submission = (Arc<[u8]>, oneshot::Sender<()>);

impl GroupCommit {
    /// Latency is from before the record is submitted until its task runs again.
    pub(crate) fn measure(self, wal: &mut Wal, duration: Duration) -> Result<Sample> {
        ensure!(
            self.bytes * self.in_flight <= Wal::BYTES,
            "the records in flight exceed the file"
        );
        let (submissions, received) = mpsc::channel();
        thread::scope(|scope| {
            let flusher = scope.spawn(move || flush(wal, &received));
            let sample = network::runtime()?.block_on(self.publish_all(submissions, duration));
            flusher
                .join()
                .map_err(|_| anyhow!("the flusher panicked"))??;
            sample
        })
    }

    async fn publish_all(
        self,
        submissions: mpsc::Sender<Submission>,
        duration: Duration,
    ) -> Result<Sample> {
        let mut tasks = JoinSet::new();
        let start = Instant::now();
        for _ in 0..self.in_flight {
            tasks.spawn(self.publish(submissions.clone(), start + duration));
        }
        let mut latencies = Latencies::new()?;
        while let Some(task) = tasks.join_next().await {
            latencies.0.add(&task??.0)?;
        }
        let mut sample = rates(latencies.0.len(), self.bytes, start);
        sample.extend(latencies.figures());
        Ok(sample)
    }

    async fn publish(
        self,
        submissions: mpsc::Sender<Submission>,
        deadline: Instant,
    ) -> Result<Latencies> {
        let record: Arc<[u8]> = vec![7; self.bytes].into();
        let mut latencies = Latencies::new()?;
        while Instant::now() < deadline {
            let start = Instant::now();
            let (waiter, synced) = oneshot::channel();
            submissions
                .send((Arc::clone(&record), waiter))
                .ok()
                .context("the flusher ended")?;
            synced.await.context("the commit failed")?;
            latencies.record(start)?;
        }
        Ok(latencies)
    }
}

/// Commits groups until nobody can submit any more. An error drops, and so fails, all who wait.
fn flush(wal: &mut Wal, submissions: &mpsc::Receiver<Submission>) -> Result<()> {
    let (mut group, mut waiters) = (Vec::new(), Vec::new());
    while let Ok(first) = submissions.recv() {
        for (record, waiter) in iter::once(first).chain(submissions.try_iter()) {
            group.extend_from_slice(&record);
            waiters.push(waiter);
        }
        wal.commit(&group)?;
        group.clear();
        for waiter in waiters.drain(..) {
            let _ = waiter.send(()); // a task that is gone has reported its own error
        }
    }
    Ok(())
}

/// pwrite of batches of N bytes one after the other into a new, fallocated file of 512 MiB, never
/// synced, until it is full or the time is over; an untimed file written and dropped just before
/// leaves warm pages to the page cache
#[derive(Args, Serialize)]
pub(crate) struct Append {
    #[arg(long, default_value_t = 131_072, value_parser = at_most(64 * MIB))]
    batch: usize,
}

impl Append {
    pub(crate) fn measure(&self, dir: &Path, duration: Duration) -> Result<Sample> {
        write_file(dir, MIB, WARM_UP_MAX)?;
        write_file(dir, self.batch, duration)
    }
}

fn write_file(dir: &Path, batch_bytes: usize, duration: Duration) -> Result<Sample> {
    let file = tempfile::tempfile_in(dir).context("creating a file in --dir")?;
    fallocate(&file, FallocateFlags::empty(), 0, APPEND_BYTES as u64)?;
    let batch = vec![7; batch_bytes];
    let mut batches = 0;
    let start = Instant::now();
    for position in (0..=APPEND_BYTES - batch.len()).step_by(batch.len()) {
        if start.elapsed() >= duration {
            break;
        }
        file.write_all_at(&batch, position as u64)?;
        batches += 1;
    }
    Ok(rates(batches, batch_bytes, start))
}

/// Touches and frees twice the memory that an append fills: a hypervisor hands out fresh pages
/// slowly, and the first to use them would pay for it.
pub(crate) fn warm_guest_memory() {
    black_box(vec![1_u8; 2 * APPEND_BYTES]);
}
