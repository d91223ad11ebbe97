//! Reading past the system's cache: when it is done, and that it gives the same bytes.

use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::*;
use crate::io::{DirEntry, File, FileSystem, LockGuard, OpenMode};

/// The operating system's file system, and how often it was asked to read past its cache.
#[derive(Debug, Default)]
struct Asked {
    times: AtomicUsize,
    /// It cannot do it.
    refuses: bool,
}

impl FileSystem for Asked {
    fn read_uncached(&self, path: &Path, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.times.fetch_add(1, Ordering::Relaxed);
        if self.refuses {
            return Err(io::ErrorKind::Unsupported.into());
        }
        OsFileSystem.read_uncached(path, buffer, position)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        OsFileSystem.open(path, mode)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        OsFileSystem.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        OsFileSystem.remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        OsFileSystem.create_dir(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        OsFileSystem.remove_dir(path)
    }

    fn list_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        OsFileSystem.list_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        OsFileSystem.sync_dir(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        OsFileSystem.lock(path)
    }
}

/// A log of some segments of 1 MiB, the last of which is written to, all of it on disk.
fn large(dir: &Path, fs: &Arc<Asked>) -> (PartitionLog, Vec<RecordBatch>) {
    let config = LogConfig {
        segment_bytes: 1 << 20,
        ..SMALL
    };
    let limits = CacheLimits {
        tail_bytes_max: 0,
        ..CacheLimits::default()
    };
    let fs: Arc<dyn FileSystem> = Arc::clone(fs) as _;
    let caches = SharedCaches::new(limits);
    let opened = PartitionLog::open(
        fs,
        dir.join("0"),
        log_id(),
        config,
        None,
        caches,
        Verify::Tail,
    );
    let log = opened.unwrap().0;
    let batches: Vec<_> = (0..400)
        .map(|base| {
            let mut builder = BatchBuilder::new(Compression::None);
            // Not a multiple of any block's size.
            let value = vec![u8::try_from(base % 251).unwrap(); 9_001];
            builder.push(&Record::new(value), at(base)).unwrap();
            let mut batch = builder.build().unwrap();
            batch.assign(base.into(), 3.into());
            log.append(std::slice::from_ref(&batch)).unwrap();
            batch
        })
        .collect();
    log.sync().unwrap();
    (log, batches)
}

/// Reads all of a log in pieces, as a reader does that waits for the disk each time.
fn replay(log: &PartitionLog, bytes_max: usize) -> Vec<RecordBatch> {
    let mut from = 0;
    let mut all = Vec::new();
    while from < log.bounds().log_end.get() {
        let found = log.read_blocking(&request(from, bytes_max)).unwrap();
        from = found.end_offset().unwrap().get();
        all.extend(parse(found));
    }
    all
}

#[test]
fn what_is_read_once_goes_past_the_cache_and_what_is_read_again_through_it() {
    let dir = tempfile::tempdir().unwrap();
    let fs = Arc::new(Asked::default());
    let (log, batches) = large(dir.path(), &fs);
    assert_eq!(replay(&log, 300_000), batches);
    let once = fs.times.load(Ordering::Relaxed);
    // Three sealed segments; what is left of each at its end is a small piece.
    assert!((6..=12).contains(&once), "asked {once} times");
    assert_eq!(replay(&log, 300_000), batches);
    assert_eq!(fs.times.load(Ordering::Relaxed), once);
}

#[test]
fn small_pieces_go_through_the_cache() {
    let dir = tempfile::tempdir().unwrap();
    let fs = Arc::new(Asked::default());
    let (log, batches) = large(dir.path(), &fs);
    assert_eq!(replay(&log, 50_000), batches);
    assert_eq!(fs.times.load(Ordering::Relaxed), 0);
}

#[test]
fn a_file_system_that_cannot_do_it_is_asked_once() {
    let dir = tempfile::tempdir().unwrap();
    let fs = Arc::new(Asked {
        refuses: true,
        ..Asked::default()
    });
    let (log, batches) = large(dir.path(), &fs);
    assert_eq!(replay(&log, 300_000), batches);
    assert_eq!(fs.times.load(Ordering::Relaxed), 1);
}

#[test]
fn what_rots_is_found_past_the_cache_as_well() {
    use std::os::unix::fs::FileExt;

    let dir = tempfile::tempdir().unwrap();
    let fs = Arc::new(Asked::default());
    let (log, batches) = large(dir.path(), &fs);
    // Of batch 50, far within the first segment.
    let rotten: usize = batches[..50].iter().map(RecordBatch::total_bytes).sum();
    let name = SegmentName::appended(0.into()).log();
    let mut options = std::fs::OpenOptions::new();
    let file = options
        .write(true)
        .open(dir.path().join("0").join(name))
        .unwrap();
    file.write_all_at(b"rot", rotten as u64 + 4_000).unwrap();
    let found = log.read_blocking(&request(40, 300_000)).unwrap();
    assert_eq!(parse(found), batches[40..50]);
    let error = log.read_blocking(&request(50, 300_000)).unwrap_err();
    assert!(error.to_string().contains("corrupt"), "{error}");
    assert_eq!(fs.times.load(Ordering::Relaxed), 1);
}
