//! What the tests of this module share: partitions that are vectors, and files that can be told to
//! fail or to wait.

use std::{
    collections::{HashMap, HashSet},
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use ratatoskr_core::{
    batch::{BatchBuilder, RecordBatch},
    commit::{CommitError, CommitSink, Submission},
    config::Compression,
    name::TopicId,
    offset::{LeaderEpoch, Offset, PartitionIndex},
    record::Record,
    storage::{IoKind, StorageError, StorageResult},
    sync::{Condvar, Mutex},
    time::Timestamp,
};

use super::{Partitions, ScanRange, Wal, WalOptions, WalPartition, WalPoint};
use crate::io::{DirEntry, File, FileSystem, LockGuard, OpenMode, OsFileSystem};

pub(super) const SEED: u32 = 0x5eed_5eed;

/// Everything a test has written.
pub(super) const ALL: ScanRange = all_from(WalPoint::START);

pub(super) const fn all_from(from: WalPoint) -> ScanRange {
    ScanRange { from, until: None }
}

/// A batch of `values` at `base`.
pub(super) fn batch(base: u64, values: &[&str]) -> RecordBatch {
    let mut builder = BatchBuilder::new(Compression::None);
    for value in values {
        let record = Record::new(value.as_bytes().to_vec());
        builder.push(&record, Timestamp::new(1_000)).unwrap();
    }
    let mut batch = builder.build().unwrap();
    batch.assign(Offset::new(base), LeaderEpoch::new(0));
    batch
}

pub(super) fn topic() -> TopicId {
    TopicId::from_bytes(*b"topic of a test.").unwrap()
}

/// Logs of batches, as a storage would keep them.
#[derive(Debug, Default)]
pub(super) struct Logs {
    batches: Mutex<HashMap<PartitionIndex, Vec<RecordBatch>>>,
    failures: Mutex<Vec<(Offset, bool)>>,
    kept: Mutex<Vec<Offset>>,
    full: Mutex<HashSet<PartitionIndex>>,
    closed: Mutex<HashSet<PartitionIndex>>,
    panics: AtomicBool,
    pub(super) checkpoints_wanted: AtomicU64,
}

impl Logs {
    pub(super) fn end(&self, partition: u32) -> Offset {
        let batches = self.batches.lock();
        let last = batches.get(&partition.into()).and_then(|log| log.last());
        last.map_or(Offset::ZERO, |batch| batch.header().end_offset())
    }

    /// Base offsets of the batches that were failed, and whether the outcome was unknown.
    pub(super) fn failures(&self) -> Vec<(u64, bool)> {
        let failures = self.failures.lock();
        failures
            .iter()
            .map(|(at, what)| (at.get(), *what))
            .collect()
    }

    /// Base offsets of the batches that were durable and could not be applied.
    pub(super) fn kept(&self) -> Vec<u64> {
        self.kept.lock().iter().map(|offset| offset.get()).collect()
    }

    pub(super) fn set_full(&self, partition: u32, full: bool) {
        let mut set = self.full.lock();
        if full {
            set.insert(partition.into());
        } else {
            set.remove(&partition.into());
        }
    }

    /// Lets the partition's sinks turn everything away.
    pub(super) fn close(&self, partition: u32) {
        self.closed.lock().insert(partition.into());
    }

    pub(super) fn panic_on_apply(&self) {
        self.panics.store(true, Ordering::SeqCst);
    }

    pub(super) fn submission(self: &Arc<Self>, partition: u32, batch: RecordBatch) -> Submission {
        Submission {
            topic: topic(),
            partition: partition.into(),
            batch,
            append_time: Timestamp::new(2_000),
            sink: Arc::new(Sink {
                logs: self.clone(),
                partition: partition.into(),
            }),
        }
    }
}

impl Partitions for Logs {
    fn partition(
        &self,
        _: TopicId,
        partition: PartitionIndex,
    ) -> StorageResult<Arc<dyn WalPartition>> {
        Ok(Arc::new(OneLog {
            log_end: self.end(partition.get()),
            is_full: self.full.lock().contains(&partition),
        }))
    }

    fn apply_failed(&self, _: TopicId, _: PartitionIndex, batch: &RecordBatch, _: &StorageError) {
        self.kept.lock().push(batch.header().base_offset);
    }

    fn checkpoint_wanted(&self) {
        self.checkpoints_wanted.fetch_add(1, Ordering::SeqCst);
    }
}

/// One of them, as it was when a group asked for it.
struct OneLog {
    log_end: Offset,
    is_full: bool,
}

impl WalPartition for OneLog {
    fn log_end(&self) -> StorageResult<Offset> {
        Ok(self.log_end)
    }

    fn reserve(&self, _: u64) -> StorageResult<()> {
        if self.is_full {
            return Err(StorageError::Io {
                kind: IoKind::Full,
                operation: "reserve".into(),
                source: Arc::new(io::Error::from(io::ErrorKind::StorageFull)),
            });
        }
        Ok(())
    }

    fn durable(&self, _: Offset, _: Offset) {}
}

#[derive(Debug)]
struct Sink {
    logs: Arc<Logs>,
    partition: PartitionIndex,
}

impl CommitSink for Sink {
    fn accepts(&self) -> bool {
        !self.logs.closed.lock().contains(&self.partition)
    }

    fn apply(&self, applied: &[RecordBatch]) -> StorageResult<()> {
        assert!(
            !self.logs.panics.load(Ordering::SeqCst),
            "planned: a sink that panics"
        );
        for batch in applied {
            let end = self.logs.end(self.partition.get());
            assert_eq!(batch.header().base_offset, end, "applied out of order");
            let mut batches = self.logs.batches.lock();
            batches
                .entry(self.partition)
                .or_default()
                .push(batch.clone());
        }
        Ok(())
    }

    fn fail(&self, batch: RecordBatch, error: &CommitError) {
        let unknown = matches!(error, CommitError::Unknown(_));
        let base = batch.header().base_offset;
        self.logs.failures.lock().push((base, unknown));
    }
}

/// How syncs of files behave.
#[derive(Debug, Default)]
pub(super) struct Syncs {
    state: Mutex<SyncState>,
    changed: Condvar,
    pub(super) count: AtomicU64,
}

#[derive(Debug, Default)]
struct SyncState {
    fail: bool,
    panic: bool,
    hold: bool,
    waiting: u32,
}

impl Syncs {
    pub(super) fn fail(&self) {
        self.state.lock().fail = true;
    }

    pub(super) fn panic(&self) {
        self.state.lock().panic = true;
    }

    /// Lets syncs wait until [`release`](Self::release).
    pub(super) fn hold(&self) {
        self.state.lock().hold = true;
    }

    pub(super) fn release(&self) {
        self.state.lock().hold = false;
        self.changed.notify_all();
    }

    /// Returns once a sync waits.
    pub(super) fn wait_for_one(&self) {
        let mut state = self.state.lock();
        while state.waiting == 0 {
            self.changed.wait(&mut state);
        }
    }

    fn sync(&self, file: &dyn File) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.hold {
            state.waiting += 1;
            self.changed.notify_all();
            while state.hold {
                self.changed.wait(&mut state);
            }
            state.waiting -= 1;
        }
        assert!(!state.panic, "planned: a sync that panics");
        if state.fail {
            return Err(io::Error::other("planned: a sync that fails"));
        }
        drop(state);
        self.count.fetch_add(1, Ordering::SeqCst);
        file.sync_data()
    }
}

/// The operating system's files, with [`Syncs`] in between.
#[derive(Debug, Default)]
pub(super) struct TestFiles {
    os: OsFileSystem,
    pub(super) syncs: Arc<Syncs>,
}

impl FileSystem for TestFiles {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let inner = self.os.open(path, mode)?;
        let syncs = self.syncs.clone();
        Ok(Arc::new(TestFile { inner, syncs }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.os.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.os.remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.os.create_dir(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.os.remove_dir(path)
    }

    fn list_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.os.list_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.os.sync_dir(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        self.os.lock(path)
    }
}

#[derive(Debug)]
struct TestFile {
    inner: Arc<dyn File>,
    syncs: Arc<Syncs>,
}

impl File for TestFile {
    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }

    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        self.inner.read_exact_at(buffer, position)
    }

    fn try_read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<bool> {
        self.inner.try_read_exact_at(buffer, position)
    }

    fn next_data(&self, position: u64) -> io::Result<u64> {
        self.inner.next_data(position)
    }

    fn write_all_at(&self, parts: &[&[u8]], position: u64) -> io::Result<()> {
        self.inner.write_all_at(parts, position)
    }

    fn allocate(&self, size: u64) -> io::Result<()> {
        self.inner.allocate(size)
    }

    fn set_len(&self, size: u64) -> io::Result<()> {
        self.inner.set_len(size)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.syncs.sync(&*self.inner)
    }

    fn map(&self, size: u64) -> io::Result<Bytes> {
        self.inner.map(size)
    }
}

/// A log in a directory of its own, with small files and no thread.
pub(super) struct Fixture {
    pub(super) directory: tempfile::TempDir,
    pub(super) fs: Arc<dyn FileSystem>,
    pub(super) syncs: Arc<Syncs>,
    pub(super) logs: Arc<Logs>,
    pub(super) wal: Wal,
}

pub(super) const SMALL: WalOptions = WalOptions {
    file_bytes: 64 << 10,
    first_file_bytes: 64 << 10,
    wal_bytes_max: 256 << 10,
    group_bytes_max: 1 << 20,
    queue_bytes_max: 1 << 20,
};

impl Fixture {
    pub(super) fn new(options: WalOptions) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let files = TestFiles::default();
        let syncs = files.syncs.clone();
        let fs: Arc<dyn FileSystem> = Arc::new(files);
        let logs = Arc::new(Logs::default());
        let wal = Wal::new(
            fs.clone(),
            directory.path(),
            options,
            SEED,
            WalPoint::START,
            logs.clone(),
        );
        Self {
            directory,
            fs,
            syncs,
            logs,
            wal,
        }
    }
}
