//! Crashes at every change, with any legal subset of what was not synced; recovery crashes as well.

use std::path::PathBuf;

use fastrand::Rng;
use ratatoskr_core::storage::StorageError;

use super::*;
use crate::io::{FileSystem, OpenMode, sim::SimFileSystem};

/// A log over many lives, and what must be found in it.
struct Lives {
    fs: SimFileSystem,
    rng: Rng,
    /// All that was appended or tried to, in order.
    tried: Vec<RecordBatch>,
    /// Checkpoints of this life, and the one it began with; any of them may be all that the
    /// write-ahead log's owner has got on disk.
    checkpoints: Vec<LogCheckpoint>,
    /// Durable by the write-ahead log.
    log_start: Offset,
    seed: u64,
}

impl Lives {
    fn new(seed: u64) -> Self {
        Self {
            fs: SimFileSystem::new(),
            rng: Rng::with_seed(seed),
            tried: Vec::new(),
            // A log that is new is known to begin at 0, with nothing on disk.
            checkpoints: vec![LogCheckpoint::default()],
            log_start: Offset::ZERO,
            seed,
        }
    }

    fn open(&self, from: Option<LogCheckpoint>) -> StorageResult<(PartitionLog, Recovered)> {
        let from = from.map(|from| LogCheckpoint {
            log_start: self.log_start,
            ..from
        });
        PartitionLog::open(
            Arc::new(self.fs.clone()),
            PathBuf::from("/0"),
            log_id(),
            SMALL,
            from,
            SharedCaches::new(CacheLimits {
                tail_bytes_max: 0,
                ..CacheLimits::default()
            }),
            Verify::Tail,
        )
    }

    /// Works until the machine stops, or is done.
    fn live(&mut self, log: &PartitionLog) {
        for _ in 0..self.rng.usize(1..30) {
            let done = match self.rng.u8(0..10) {
                0..6 => self.append(log),
                6 => log.reserve(self.rng.u64(1..2_000)),
                7 | 8 => log
                    .sync()
                    .map(|checkpoint| self.checkpoints.push(checkpoint)),
                _ => {
                    let bounds = log.bounds();
                    let to = self.rng.u64(bounds.log_start.get()..=bounds.log_end.get());
                    // The frame comes first; with all that is before it in the write-ahead log.
                    if log.sync().map(|c| self.checkpoints.push(c)).is_err() {
                        return;
                    }
                    self.log_start = to.into();
                    log.set_log_start(self.log_start).map(drop)
                }
            };
            if done.is_err() {
                assert!(self.fs.is_stopped(), "seed {}: {done:?}", self.seed);
                return;
            }
        }
    }

    fn append(&mut self, log: &PartitionLog) -> StorageResult<()> {
        let mut end = log.bounds().log_end.get();
        let batches: Vec<_> = (0..self.rng.u64(1..4))
            .map(|_| {
                let batch = batch(end, self.rng.u64(1..5));
                end = batch.header().end_offset().get();
                batch
            })
            .collect();
        self.tried.extend(batches.iter().cloned());
        log.append(&batches).map(drop)
    }

    /// Crashes, recovers (and crashes while that goes on), and checks what is found.
    fn crash(&mut self) -> PartitionLog {
        let from = self.checkpoints[self.rng.usize(0..self.checkpoints.len())];
        let durable = from.log_end;
        // Without a checkpoint the directory alone tells where the log begins, once that is on disk.
        let is_known = durable > self.log_start;
        let from = (!is_known || self.rng.u8(0..4) > 0).then_some(from);
        self.fs = self.fs.crash(self.rng.u64(..));
        while self.rng.bool() {
            self.fs.stop_before(self.rng.u64(0..12));
            if let Err(error) = self.open(from) {
                assert!(self.fs.is_stopped(), "seed {}: {error}", self.seed);
            }
            self.fs = self.fs.crash(self.rng.u64(..));
        }
        let (log, recovered) = self.open(from).unwrap();
        assert_eq!(recovered.quarantined, [], "seed {}", self.seed);
        let bounds = log.bounds();
        let bounds = log
            .set_log_start(self.log_start.max(bounds.log_start))
            .unwrap();
        assert_eq!(bounds.log_start, self.log_start, "seed {}", self.seed);
        assert!(
            bounds.log_end >= durable.max(bounds.log_start),
            "seed {}",
            self.seed
        );
        let expected: Vec<_> = self
            .tried
            .iter()
            .filter(|batch| batch.header().end_offset() > bounds.log_start)
            .filter(|batch| batch.header().base_offset < bounds.log_end)
            .cloned()
            .collect();
        let found = read_all(&log, bounds.log_start.get());
        assert_eq!(found, expected, "seed {}", self.seed);
        let end = expected.last().map(|batch| batch.header().end_offset());
        assert!(
            end.is_none_or(|end| end == bounds.log_end),
            "seed {}",
            self.seed
        );
        self.tried
            .retain(|batch| batch.header().base_offset < bounds.log_end);
        log
    }
}

fn run(seed: u64) {
    let mut lives = Lives::new(seed);
    let (mut log, _) = lives.open(None).unwrap();
    for _ in 0..4 {
        if lives.rng.u8(0..4) > 0 {
            let changes = lives.fs.changes();
            lives.fs.stop_before(changes + lives.rng.u64(0..80));
        }
        lives.live(&log);
        drop(log);
        log = lives.crash();
        // As the owner does before it lets go of the write-ahead log's frames.
        let checkpoint = log.sync().unwrap();
        lives.checkpoints = vec![checkpoint];
    }
}

#[test]
fn what_was_synced_survives_and_the_rest_is_a_prefix() {
    for seed in 0..1_000 {
        run(seed);
    }
}

#[test]
fn a_failed_sync_is_the_answer_to_every_write_from_then_on() {
    use crate::io::sim::{Fault, OperationKind};

    for kind in [OperationKind::SyncData, OperationKind::SyncDir] {
        let lives = Lives::new(0);
        let (log, _) = lives.open(None).unwrap();
        append(&log, 2);
        let fails = move |operation: &crate::io::sim::Operation| operation.kind == kind;
        lives
            .fs
            .inject(fails, Fault::Error(std::io::ErrorKind::Other));
        let first = log.sync().unwrap_err();
        assert!(first.is_terminal() && !first.is_retryable(), "{first}");
        for again in [
            log.sync().map(drop),
            log.append(&[batch(4, 2)]).map(drop),
            log.reserve(1),
            log.set_log_start(Offset::new(2)).map(drop),
        ] {
            assert_eq!(again.unwrap_err().to_string(), first.to_string());
        }
        assert_eq!(log.bounds().durable_end, Offset::ZERO);
        assert_eq!(read_all(&log, 0).len(), 2);
    }
}

#[test]
fn after_a_failed_sync_the_files_are_made_anew() {
    use crate::io::sim::{Fault, OperationKind};

    let mut lost_without = 0;
    for seed in 0..60 {
        let lives = Lives::new(seed);
        let (log, _) = lives.open(None).unwrap();
        append(&log, 3);
        let checkpoint = log.sync().unwrap();
        append(&log, 9);
        let is_sync =
            |operation: &crate::io::sim::Operation| operation.kind == OperationKind::SyncData;
        lives
            .fs
            .inject(is_sync, Fault::Error(std::io::ErrorKind::Other));
        log.sync().unwrap_err();
        drop(log);
        let note = Path::new("/0/sync-failed");
        for is_noted in [false, true] {
            // Each opening is another process, and one of them does not know.
            if is_noted {
                lives.fs.open(note, OpenMode::CreateNew).unwrap();
            } else {
                lives.fs.remove_file(note).unwrap();
            }
            let (log, _) = lives.open(Some(checkpoint)).unwrap();
            assert_eq!(read_all(&log, 0).len(), 12, "seed {seed}");
            let checkpoint = log.sync().unwrap();
            drop(log);
            let after = Lives {
                fs: lives.fs.crash(seed),
                ..Lives::new(seed)
            };
            let (log, recovered) = after.open(Some(checkpoint)).unwrap();
            let read = log.read_blocking(&request(0, usize::MAX));
            let is_whole = recovered.quarantined.is_empty()
                && read.is_ok_and(|slices| parse(slices).len() == 12);
            if is_noted {
                assert!(is_whole, "seed {seed}");
            } else {
                lost_without += u32::from(!is_whole);
            }
        }
        assert!(lives.fs.open(note, OpenMode::Read).is_err());
    }
    assert!(lost_without > 0, "this test would not notice");
}

#[test]
fn an_append_that_fails_halfway_is_not_tried_again() {
    use crate::io::sim::{Fault, OperationKind};

    let lives = Lives::new(0);
    let (log, _) = lives.open(None).unwrap();
    let mut all = append(&log, 2);
    let is_append = |operation: &crate::io::sim::Operation| {
        operation.kind == OperationKind::Write
            && operation
                .path
                .ends_with(SegmentName::appended(Offset::ZERO).log())
    };
    lives.fs.inject(is_append, Fault::ShortWrite(50));
    // The space was reserved, so even "full" says that something is badly wrong.
    let error = log.append(&[batch(4, 2)]).unwrap_err();
    assert!(error.is_terminal(), "{error}");
    assert!(matches!(
        log.append(&[batch(4, 2)]),
        Err(StorageError::Io { .. })
    ));
    assert_eq!(read_all(&log, 0), all);
    drop(log);
    let (log, recovered) = lives.open(None).unwrap();
    assert_eq!(recovered.cut.map(|cut| cut.at), Some(Offset::new(4)));
    all.extend(append(&log, 2));
    assert_eq!(read_all(&log, 0), all);
}

#[test]
fn a_disk_that_is_full_changes_nothing_and_costs_nothing_later() {
    for capacity in (0..40).map(|blocks| blocks * 1024) {
        let mut lives = Lives::new(capacity);
        let (log, _) = lives.open(None).unwrap();
        lives.fs.set_capacity(Some(capacity));
        let refused = loop {
            let end = log.bounds().log_end;
            if let Err(error) = log.append(&[batch(end.get(), 2)]) {
                assert_eq!(log.bounds().log_end, end);
                break error;
            }
            let end = end.get();
            lives.tried.push(batch(end, 2));
        };
        assert!(refused.is_retryable(), "{capacity} bytes: {refused}");
        log.sync().unwrap();
        assert_eq!(read_all(&log, 0), lives.tried);
        lives.fs.set_capacity(None);
        lives.tried.extend(append(&log, 7));
        assert_eq!(read_all(&log, 0), lives.tried);
        drop(log);
        let (log, recovered) = lives.open(None).unwrap();
        assert_eq!(recovered.cut, None);
        assert_eq!(read_all(&log, 0), lives.tried, "{capacity} bytes");
    }
}
