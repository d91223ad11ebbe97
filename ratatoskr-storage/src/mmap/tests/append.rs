use ratatoskr_core::storage::{IoKind, StorageError};

use super::*;
use crate::io::{FileSystem, small_disk::SmallDisk};

#[test]
fn nothing_is_on_disk_before_the_first_append() {
    let fixture = Fixture::new();
    let (log, recovered) = fixture.open(None);
    assert_eq!(recovered, Recovered::default());
    assert!(!fixture.path().exists());
    assert_eq!(log.bounds().log_end, Offset::ZERO);
    assert!(log.stats().segments.is_empty());
    assert!(log.append(&[]).is_ok());
    assert!(!fixture.path().exists());
}

#[test]
fn the_log_file_is_the_batches_byte_for_byte() {
    let (fixture, all, _) = Fixture::filled(11);
    let mut bytes = Vec::new();
    let mut segments = 0;
    for path in fixture.paths("log") {
        bytes.extend(std::fs::read(path).unwrap());
        segments += 1;
    }
    let expected: Vec<u8> = all.iter().flat_map(RecordBatch::to_bytes).collect();
    let zeros = bytes.split_off(expected.len());
    assert_eq!(bytes, expected);
    assert!(zeros.iter().all(|&byte| byte == 0));
    assert!(segments >= 2, "{segments} segments");
}

#[test]
fn a_batch_below_the_log_end_is_refused_and_nothing_is_appended() {
    let fixture = Fixture::new();
    let (log, _) = fixture.open(None);
    append(&log, 2);
    let refused = log.append(&[batch(4, 2), batch(5, 2)]).unwrap_err();
    assert!(
        matches!(refused, StorageError::OutOfOrder { .. }),
        "{refused}"
    );
    assert_eq!(log.bounds().log_end, Offset::new(4));
    append(&log, 1);
}

#[test]
fn a_batch_may_begin_beyond_the_log_end() {
    let fixture = Fixture::new();
    let (log, _) = fixture.open(None);
    append(&log, 1);
    let far = batch(1_000, 2);
    log.append(std::slice::from_ref(&far)).unwrap();
    let checkpoint = log.sync().unwrap();
    assert_eq!(read_all(&log, 2), std::slice::from_ref(&far));
    drop(log);
    // What was synced is in the index, so a full scan believes the gap as well.
    for from in [None, Some(checkpoint)] {
        let (log, _) = fixture.open(from);
        assert_eq!(read_all(&log, 500), std::slice::from_ref(&far));
        assert_eq!(log.bounds().log_end, Offset::new(1_002));
    }
}

#[test]
fn a_segment_is_sealed_by_age() {
    let fixture = Fixture::new();
    let (log, _) = fixture.open(None);
    // An hour is 3,600,000 ms, and a batch's time is 1,000 times its offset.
    log.append(&[batch(0, 2)]).unwrap();
    log.append(&[batch(3_599, 2)]).unwrap();
    assert_eq!(log.stats().segments.len(), 1);
    log.append(&[batch(3_601, 2)]).unwrap();
    assert_eq!(log.stats().segments.len(), 2);
}

#[test]
fn room_that_was_reserved_is_there_when_the_disk_is_full() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("SKIPPED: a small tmpfs cannot be mounted here (needs the right to mount)");
        return;
    };
    let mut fixture = Fixture::new();
    fixture.config = LogConfig {
        segment_bytes: 64 << 10,
        ..SMALL
    };
    let shared = SharedCaches::new(fixture.limits);
    let open = |from| {
        PartitionLog::open(
            Arc::new(OsFileSystem),
            disk.path().join("0"),
            log_id(),
            fixture.config,
            from,
            Arc::clone(&shared),
            Verify::Tail,
        )
        .unwrap()
    };
    let (log, _) = open(None);
    let one = batch(9_000, 2).total_bytes() as u64;
    let promised = 2_000;
    log.reserve(one * promised).unwrap();
    let refused = log.reserve(SmallDisk::BYTES).unwrap_err();
    assert!(refused.is_retryable(), "{refused}");

    fill(&disk);
    append(&log, promised);
    // Beyond the promise (and what of the last block is left) the answer is a clear one.
    let mut more = 0;
    let refused = loop {
        let end = log.bounds().log_end.get();
        match log.append(&[batch(end, 2)]) {
            Ok(_) => more += 1,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(
            refused,
            StorageError::Io {
                kind: IoKind::Full,
                ..
            }
        ),
        "{refused}"
    );
    assert!(more < 100, "{more} more");
    let checkpoint = log.sync().unwrap();
    let count = usize::try_from(promised + more).unwrap();
    assert_eq!(read_all(&log, 0).len(), count);
    drop(log);
    for from in [None, Some(checkpoint)] {
        let (log, recovered) = open(from);
        assert!(recovered.cut.is_none() && recovered.quarantined.is_empty());
        assert_eq!(read_all(&log, 0).len(), count);
    }

    // Retention goes on, and gives room back.
    let (log, _) = open(Some(checkpoint));
    log.set_log_start(checkpoint.log_end).unwrap();
    std::fs::remove_file(disk.path().join("filler")).unwrap();
    log.append(&[batch(checkpoint.log_end.get(), 2)]).unwrap();
}

#[test]
fn a_promise_that_is_taken_back_is_not_held() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("SKIPPED: a small tmpfs cannot be mounted here (needs the right to mount)");
        return;
    };
    let (log, _) = PartitionLog::open(
        Arc::new(OsFileSystem),
        disk.path().join("0"),
        log_id(),
        SMALL,
        None,
        SharedCaches::new(CacheLimits::default()),
        Verify::Tail,
    )
    .unwrap();
    let most = SmallDisk::BYTES / 2;
    log.reserve(most).unwrap();
    assert!(log.reserve(most).is_err());
    log.unreserve(most);
    log.reserve(most).unwrap();
}

fn fill(disk: &SmallDisk) {
    let file = OsFileSystem
        .open(&disk.path().join("filler"), crate::io::OpenMode::CreateNew)
        .unwrap();
    let block = [1; 4096];
    let mut position = 0;
    while file.write_all_at(&[&block], position).is_ok() {
        position += block.len() as u64;
    }
}

#[test]
fn a_log_that_is_written_to_keeps_one_file_open_between_syncs() {
    let mut fixture = Fixture::new();
    fixture.config.segment_bytes = 1 << 20;
    let (log, _) = fixture.open(None);
    for _ in 0..3 {
        append(&log, 10);
        log.sync().unwrap();
        assert_eq!(log.0.place.caches.open_files(), 1);
    }
}
