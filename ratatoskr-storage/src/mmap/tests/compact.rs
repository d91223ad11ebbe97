//! Compaction on disk: what becomes of files, and what a crash at any change leaves.

use std::{collections::BTreeMap, path::PathBuf};

use ratatoskr_core::{
    batch::{RecordLimits, RecordView},
    compaction::{CompactRequest, Compacted, Pace},
    storage::StorageError,
};

use super::*;
use crate::io::{
    FileSystem, OpenMode,
    sim::{Persist, SimFileSystem},
};

fn asked() -> CompactRequest {
    CompactRequest {
        until: Offset::MAX,
        now: Timestamp::new(0),
        tombstone_retention: Duration::from_hours(1),
        kept_batches: Arc::default(),
        key_map_bytes_max: 1 << 20,
        pace: Pace::UNLIMITED,
    }
}

/// Compacts up to what is in sealed segments as of the last sync.
fn compact(log: &PartitionLog, request: &CompactRequest) -> StorageResult<Compacted> {
    let limit = log.checkpoint().segment_base;
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(log.compact(request, limit))
}

/// Appends `count` batches of 2 records with keys out of `keys`, in turn.
fn append_keyed(log: &PartitionLog, count: u64, keys: u64) -> Vec<RecordBatch> {
    let appended = (0..count).map(|_| {
        let base = log.bounds().log_end.get();
        let mut builder = BatchBuilder::new(Compression::None);
        for offset in base..base + 2 {
            let key = format!("{:04}", offset % keys);
            let record = Record::new(format!("record {offset}")).with_key(key);
            builder.push(&record, at(base)).unwrap();
        }
        let mut batch = builder.build().unwrap();
        batch.assign(base.into(), 3.into());
        log.append(std::slice::from_ref(&batch)).unwrap();
        batch
    });
    appended.collect()
}

fn records(batches: &[RecordBatch]) -> Vec<RecordView> {
    let limits = RecordLimits::default();
    let of = |batch: &RecordBatch| batch.records(&limits).unwrap().map(Result::unwrap);
    batches.iter().flat_map(of).collect()
}

/// Panics unless `log` holds the latest record of each key and nothing that was not appended, and
/// its batches lie without a gap.
fn assert_whole(log: &PartitionLog, appended: &[RecordBatch], what: &str) {
    let all = read_all(log, 0);
    let mut next = Offset::ZERO;
    for batch in &all {
        assert_eq!(batch.header().base_offset, next, "{what}");
        next = batch.header().end_offset();
    }
    assert_eq!(next, log.bounds().log_end, "{what}");
    let appended = records(appended);
    let there = records(&all);
    assert!(there.iter().all(|r| appended.contains(r)), "{what}");
    let latest = |records: &[RecordView]| -> BTreeMap<_, _> {
        let pairs = records.iter().map(|r| (r.key.clone(), r.offset));
        pairs.collect()
    };
    assert_eq!(latest(&there), latest(&appended), "{what}");
}

/// A log of 40 batches in several segments, all but the last of which may be compacted.
fn compactable() -> (Fixture, PartitionLog, Vec<RecordBatch>, LogCheckpoint) {
    let fixture = Fixture::new();
    let (log, _) = fixture.open(None);
    let all = append_keyed(&log, 40, 5);
    let checkpoint = log.sync().unwrap();
    (fixture, log, all, checkpoint)
}

#[test]
fn sealed_segments_become_one_that_says_where_it_lies() {
    let (fixture, log, all, checkpoint) = compactable();
    let sealed = log.stats().segments.len() - 1;
    assert!(sealed > 4);
    let done = compact(&log, &asked()).unwrap();
    let end = checkpoint.segment_base;
    assert_eq!(done.to, end);
    let stats = log.stats();
    assert_eq!((stats.segments.len(), stats.compacted_to), (2, end));
    let name = format!("{:020}-{end:020}-{end:020}", 0, end = end.get());
    let active = format!("{:020}", end.get());
    let expected = [name, active].map(|name| [format!("{name}.index"), format!("{name}.log")]);
    assert_eq!(fixture.names(), expected.concat());
    assert_whole(&log, &all, "before reopening");
    let before = read_all(&log, 0);
    drop(log);
    for from in [Some(checkpoint), None] {
        let (log, recovered) = fixture.open(from);
        assert_eq!((recovered.cut, recovered.quarantined), (None, Vec::new()));
        assert_eq!(read_all(&log, 0), before);
        assert_eq!(log.stats().compacted_to, end);
    }
}

#[test]
fn a_lost_or_damaged_index_of_a_compacted_segment_is_built_again() {
    let (fixture, log, all, checkpoint) = compactable();
    compact(&log, &asked()).unwrap();
    drop(log);
    let index = fixture.paths("index").into_iter().next().unwrap();
    let good = std::fs::read(&index).unwrap();
    for damage in 0..3 {
        match damage {
            0 => std::fs::remove_file(&index).unwrap(),
            1 => std::fs::write(&index, &good[..70]).unwrap(),
            _ => std::fs::write(&index, b"nothing of the kind").unwrap(),
        }
        for from in [Some(checkpoint), None] {
            let (log, _) = fixture.open(from);
            assert_whole(&log, &all, "rebuilt");
        }
        assert_eq!(std::fs::read(&index).unwrap().len(), good.len(), "{damage}");
    }
}

#[test]
fn a_compacted_segment_of_which_a_byte_has_changed_is_noticed() {
    let (fixture, log, _, _) = compactable();
    compact(&log, &asked()).unwrap();
    append_keyed(&log, 12, 5);
    let checkpoint = log.sync().unwrap();
    drop(log);
    let path = fixture.paths("log").into_iter().next().unwrap();
    let good = std::fs::read(&path).unwrap();
    for at in (0..good.len()).step_by(7) {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        std::fs::write(&path, &bad).unwrap();
        let (log, _) = fixture.open(Some(checkpoint));
        let read = log.read_blocking(&request(0, usize::MAX));
        let all = read.map(|read| read.slices().concat()).unwrap_or_default();
        assert!(!all.starts_with(&bad), "byte {at} went unnoticed");
        // Nor does it come to look as if compaction had removed what is lost.
        let refused = compact(&log, &asked());
        assert!(
            matches!(refused, Err(StorageError::Corrupt { .. })),
            "{at}: {refused:?}"
        );
    }
}

#[test]
fn a_segment_of_which_nothing_changes_is_left_alone() {
    let (fixture, log, mut all, _) = compactable();
    // Each time other keys: they supersede nothing.
    for round in 0..2 {
        all.extend(append_keyed(&log, 30, 10_000));
        let first = fixture.names().swap_remove(0);
        let checkpoint = log.sync().unwrap();
        let done = compact(&log, &asked()).unwrap();
        assert_eq!(done.to, checkpoint.segment_base);
        assert_eq!(fixture.names().contains(&first), round == 1, "{first}");
    }
    assert_whole(&log, &all, "compacted twice");
    let stats = log.stats();
    assert!(
        stats.segments.len() > 2,
        "what is made keeps to the size of a segment"
    );
    assert!(
        stats
            .segments
            .iter()
            .all(|s| s.bytes <= SMALL.segment_bytes)
    );
}

#[test]
fn slices_of_a_map_outlive_the_segment() {
    let (_fixture, log, all, checkpoint) = compactable();
    let forward = ReadRequest {
        until: checkpoint.segment_base,
        access: Access::Forward,
        ..request(0, usize::MAX)
    };
    let held = log.read_blocking(&forward).unwrap();
    let before = held.slices().concat();
    compact(&log, &asked()).unwrap();
    assert_eq!(held.slices().concat(), before);
    assert_whole(&log, &all, "beside the slices");
}

#[test]
fn retention_takes_compacted_segments_like_others() {
    let (fixture, log, _, checkpoint) = compactable();
    compact(&log, &asked()).unwrap();
    append_keyed(&log, 20, 5);
    log.sync().unwrap();
    log.set_log_start(checkpoint.segment_base).unwrap();
    assert!(!fixture.names().iter().any(|name| name.contains('-')));
    let all = read_all(&log, checkpoint.segment_base.get());
    assert_eq!(all[0].header().base_offset, checkpoint.segment_base);
}

#[test]
fn no_compaction_reaches_beyond_the_limit_or_goes_on_once_it_is_ended() {
    let (fixture, log, all, _) = compactable();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let third = log.stats().segments[2].end_offset;
    let done = runtime.block_on(log.compact(&asked(), third)).unwrap();
    assert_eq!(done.to, third);
    let names = fixture.names();
    let nothing = runtime.block_on(log.compact(&asked(), third)).unwrap();
    assert_eq!(nothing, Compacted::nothing(third));
    log.end_compaction();
    assert!(matches!(compact(&log, &asked()), Err(StorageError::Closed)));
    assert_eq!(fixture.names(), names);
    assert_whole(&log, &all, "as it was");
}

fn open_sim(fs: &SimFileSystem, from: LogCheckpoint) -> StorageResult<(PartitionLog, Recovered)> {
    PartitionLog::open(
        Arc::new(fs.clone()),
        PathBuf::from("/0"),
        log_id(),
        SMALL,
        Some(from),
        SharedCaches::new(CacheLimits {
            tail_bytes_max: 0,
            ..CacheLimits::default()
        }),
        Verify::Tail,
    )
}

/// How many files of the log have this extension.
fn files(fs: &SimFileSystem, extension: &str) -> usize {
    let entries = fs.list_dir(Path::new("/0")).unwrap();
    let found = entries
        .iter()
        .map(|entry| Path::new(&entry.name).extension());
    found
        .filter(|found| *found == Some(extension.as_ref()))
        .count()
}

#[test]
fn a_crash_at_any_change_leaves_the_old_or_the_new() {
    let prepare = || {
        let fs = SimFileSystem::new();
        let (log, _) = open_sim(&fs, LogCheckpoint::default()).unwrap();
        let mut all = append_keyed(&log, 12, 5);
        log.sync().unwrap();
        compact(&log, &asked()).unwrap();
        // Keys enough that not all fit into one segment.
        all.extend(append_keyed(&log, 60, 23));
        let checkpoint = log.sync().unwrap();
        (fs, log, all, checkpoint)
    };
    let changes_of = |fs: &SimFileSystem| fs.changes();
    let (fs, log, all, _) = prepare();
    let first = changes_of(&fs);
    compact(&log, &asked()).unwrap();
    let last = changes_of(&fs);
    assert!(log.stats().segments.len() > 3, "several segments are made");
    assert_whole(&log, &all, "without a crash");
    let expected = read_all(&log, 0);
    assert!(last - first > 20);
    for change in first..=last {
        for seed in 0..4 {
            let (fs, log, all, checkpoint) = prepare();
            fs.stop_before(change);
            let _ = compact(&log, &asked());
            assert!(fs.is_stopped() || change == last);
            drop(log);
            let what = format!("change {change}, seed {seed}");
            let fs = fs.crash(seed);
            // A crash while that is opened, too.
            fs.stop_before(seed);
            let _ = open_sim(&fs, checkpoint);
            let fs = fs.crash(seed + 100);
            let (log, recovered) = open_sim(&fs, checkpoint).unwrap();
            assert_eq!(
                (recovered.cut, recovered.quarantined),
                (None, vec![]),
                "{what}"
            );
            assert_whole(&log, &all, &what);
            compact(&log, &asked()).unwrap();
            assert_eq!(
                records(&read_all(&log, 0)),
                records(&expected),
                "compacted again after {what}"
            );
            assert_eq!(
                files(&fs, "log"),
                log.stats().segments.len(),
                "{what}: left over"
            );
            assert_eq!(files(&fs, "new"), 0, "{what}");
        }
    }
}

#[test]
fn a_full_disk_leaves_the_log_as_it_was() {
    let fs = SimFileSystem::new();
    let (log, _) = open_sim(&fs, LogCheckpoint::default()).unwrap();
    let all = append_keyed(&log, 40, 5);
    log.sync().unwrap();
    fs.set_capacity(Some(fs.space_bytes()));
    let error = compact(&log, &asked()).unwrap_err();
    assert!(error.is_retryable(), "{error}");
    assert_eq!(read_all(&log, 0), all);
    assert_eq!(files(&fs, "new"), 0);
    fs.set_capacity(None);
    compact(&log, &asked()).unwrap();
    assert_whole(&log, &all, "once there is room");
    assert!(
        fs.open(Path::new("/0/sync-failed"), OpenMode::Read)
            .is_err()
    );
}

#[test]
fn a_reader_whose_segment_was_replaced_looks_again() {
    // So few open files that a reader's are closed at once.
    let mut fixture = Fixture::new();
    fixture.limits.open_files_max = 2;
    fixture.limits.index_bytes_max = 0;
    let (log, _) = fixture.open(None);
    let mut all = append_keyed(&log, 40, 5);
    log.sync().unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !done.load(std::sync::atomic::Ordering::Acquire) {
                let end = log.bounds().log_end;
                let mut from = Offset::ZERO;
                while from < end {
                    let found = log.read_blocking(&request(from.get(), 300)).unwrap();
                    from = parse(found).last().unwrap().header().end_offset();
                }
                log.offset_for_timestamp_blocking(at(30)).unwrap().unwrap();
                reads += 1;
            }
            reads
        });
        for _ in 0..30 {
            all.extend(append_keyed(&log, 8, 5));
            log.sync().unwrap();
            compact(&log, &asked()).unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Release);
        assert!(reader.join().unwrap() > 0);
    });
    assert_whole(&log, &all, "in the end");
}

#[test]
fn a_log_trimmed_beyond_what_a_crash_left_can_be_compacted() {
    let disk = SimFileSystem::new();
    let (log, _) = open_sim(&disk, LogCheckpoint::default()).unwrap();
    append_keyed(&log, 7, 5);
    let synced = log.sync().unwrap();
    append_keyed(&log, 7, 5);
    // The log start lasts in the write-ahead log; of what it was moved over, half never got to the disk.
    let from = LogCheckpoint {
        log_start: log.bounds().log_end,
        ..synced
    };
    drop(log);

    let disk = disk.crash_with(Persist::Nothing, 0);
    let (log, _) = open_sim(&disk, from).unwrap();
    assert_eq!(log.bounds().log_start, from.log_start);
    append_keyed(&log, 14, 5);
    log.sync().unwrap();
    let compacted = compact(&log, &asked()).unwrap();
    assert!(compacted.to > from.log_start, "{compacted:?}");
    let kept = records(&read_all(&log, from.log_start.get()));
    assert_eq!(kept.last().unwrap().offset.plus(1), log.bounds().log_end);
}
