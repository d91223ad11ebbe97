//! Tests of partition logs. Segments are shrunk, so that every test crosses a roll.

mod append;
mod compact;
mod crash;
mod damage;
mod format;
mod model;
mod open;
mod read;
mod uncached;

use std::{path::Path, sync::Arc, time::Duration};

use ratatoskr_core::{
    batch::{BatchBuilder, RecordBatch, batches},
    config::Compression,
    name::TopicId,
    offset::Offset,
    record::Record,
    storage::{Access, BatchSlices, ReadRequest, StorageResult},
    time::Timestamp,
};

use super::{
    CacheLimits, LogCheckpoint, LogConfig, LogId, PartitionLog, Recovered, SharedCaches, Verify,
    names::SegmentName,
};
use crate::io::OsFileSystem;

const ID: [u8; 16] = *b"a topic, 16 byte";

/// Three batches of [`batch`] make a span, five or six a segment.
const SMALL: LogConfig = LogConfig {
    segment_bytes: 600,
    segment_age: Some(Duration::from_hours(1)),
    index_span_bytes: 250,
};

/// A log in a directory of its own.
struct Fixture {
    dir: tempfile::TempDir,
    config: LogConfig,
    limits: CacheLimits,
}

impl Fixture {
    fn new() -> Self {
        Self {
            // In memory where the system has a place for that: some tests sync thousands of times.
            dir: tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap()),
            config: SMALL,
            // Without tails, reads go to the files.
            limits: CacheLimits {
                tail_bytes_max: 0,
                ..CacheLimits::default()
            },
        }
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("0")
    }

    fn open(&self, from: Option<LogCheckpoint>) -> (PartitionLog, Recovered) {
        self.try_open(from).unwrap()
    }

    fn try_open(&self, from: Option<LogCheckpoint>) -> StorageResult<(PartitionLog, Recovered)> {
        self.try_open_with(from, Verify::Tail)
    }

    fn try_open_with(
        &self,
        from: Option<LogCheckpoint>,
        verify: Verify,
    ) -> StorageResult<(PartitionLog, Recovered)> {
        PartitionLog::open(
            Arc::new(OsFileSystem),
            self.path(),
            log_id(),
            self.config,
            from,
            SharedCaches::new(self.limits),
            verify,
        )
    }

    /// The log of a fixture with `count` batches of 2 records, synced, and closed again.
    fn filled(count: u64) -> (Self, Vec<RecordBatch>, LogCheckpoint) {
        let fixture = Self::new();
        let (log, _) = fixture.open(None);
        let all = append(&log, count);
        let checkpoint = log.sync().unwrap();
        (fixture, all, checkpoint)
    }

    fn log_path(&self, base_offset: u64) -> std::path::PathBuf {
        self.path()
            .join(SegmentName::appended(base_offset.into()).log())
    }

    fn index_path(&self, base_offset: u64) -> std::path::PathBuf {
        self.path()
            .join(SegmentName::appended(base_offset.into()).index())
    }

    fn names(&self) -> Vec<String> {
        names(&self.path())
    }

    fn paths(&self, extension: &str) -> Vec<std::path::PathBuf> {
        let names = self.names().into_iter();
        names
            .map(|name| self.path().join(name))
            .filter(|path| path.extension().is_some_and(|found| found == extension))
            .collect()
    }
}

fn log_id() -> LogId {
    LogId {
        topic: TopicId::from_bytes(ID).unwrap(),
        partition: 7.into(),
    }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A batch of `records` records at `base`, about 100 bytes, whose time is 1,000 times its base offset.
fn batch(base: u64, records: u64) -> RecordBatch {
    let mut builder = BatchBuilder::new(Compression::None);
    for offset in base..base + records {
        let record = Record::new(format!("record {offset}"));
        builder.push(&record, at(base)).unwrap();
    }
    let mut batch = builder.build().unwrap();
    batch.assign(base.into(), 3.into());
    batch
}

fn at(base: u64) -> Timestamp {
    Timestamp::new(i64::try_from(base).unwrap() * 1_000)
}

/// Appends `count` batches of 2 records.
fn append(log: &PartitionLog, count: u64) -> Vec<RecordBatch> {
    (0..count)
        .map(|_| {
            let batch = batch(log.bounds().log_end.get(), 2);
            log.append(std::slice::from_ref(&batch)).unwrap();
            batch
        })
        .collect()
}

fn request(from: u64, bytes_max: usize) -> ReadRequest {
    ReadRequest {
        from: from.into(),
        until: Offset::MAX,
        bytes_max,
        access: Access::Inspect,
    }
}

fn parse(slices: BatchSlices) -> Vec<RecordBatch> {
    slices
        .into_slices()
        .into_iter()
        .flat_map(batches)
        .map(|batch| {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            batch
        })
        .collect()
}

/// Everything from `from` on.
fn read_all(log: &PartitionLog, from: u64) -> Vec<RecordBatch> {
    parse(log.read_blocking(&request(from, usize::MAX)).unwrap())
}
