use bytes::Bytes;
use ratatoskr_core::storage::{StorageError, TryRead};

use super::*;

#[test]
fn every_read_gives_the_batches_from_the_offset_on() {
    let (fixture, all, checkpoint) = Fixture::filled(23);
    let (log, _) = fixture.open(Some(checkpoint));
    for from in 0..46 {
        let first = usize::try_from(from / 2).unwrap();
        assert_eq!(read_all(&log, from), all[first..], "from {from}");
    }
    assert!(read_all(&log, 46).is_empty());
    assert!(matches!(
        log.read_blocking(&request(47, 1)),
        Err(StorageError::OffsetOutOfRange { .. })
    ));
}

#[test]
fn a_read_stops_before_the_bytes_and_offsets_asked_for() {
    let (fixture, all, checkpoint) = Fixture::filled(23);
    let (log, _) = fixture.open(Some(checkpoint));
    let one = all[0].total_bytes();
    for from in [0, 1, 9, 20] {
        let first = usize::try_from(from / 2).unwrap();
        for bytes_max in [0, 1, one, one * 2 - 1, one * 4, one * 5] {
            let found = parse(log.read_blocking(&request(from, bytes_max)).unwrap());
            let fit = all[first..]
                .iter()
                .scan(0, |sum, b| {
                    *sum += b.total_bytes();
                    Some(*sum)
                })
                .take_while(|&sum| sum <= bytes_max)
                .count()
                .max(1);
            assert_eq!(
                found,
                all[first..first + fit],
                "from {from}, {bytes_max} bytes"
            );
        }
        for until in from..46 {
            let mut request = request(from, usize::MAX);
            request.until = until.into();
            let found = parse(log.read_blocking(&request).unwrap());
            let last = usize::try_from(until.div_ceil(2)).unwrap().max(first);
            assert_eq!(found, all[first..last], "from {from} until {until}");
        }
    }
}

#[test]
fn what_was_just_appended_is_read_without_a_file() {
    let mut fixture = Fixture::new();
    fixture.limits = CacheLimits::default();
    let (log, _) = fixture.open(None);
    let all = append(&log, 23);
    std::fs::remove_dir_all(fixture.path()).unwrap();
    for from in 0..46 {
        let first = usize::try_from(from / 2).unwrap();
        let TryRead::Ready(found) = log.try_read(&request(from, usize::MAX)).unwrap() else {
            panic!("{from} would block");
        };
        assert_eq!(parse(found), all[first..]);
    }
}

#[test]
fn the_tails_of_all_logs_share_one_bound() {
    let one = batch(0, 2).total_bytes();
    let limits = CacheLimits {
        tail_bytes_max: one * 10,
        ..CacheLimits::default()
    };
    let shared = SharedCaches::new(limits);
    let dir = tempfile::tempdir().unwrap();
    let logs: Vec<_> = (0..4)
        .map(|i| {
            let dir = dir.path().join(i.to_string());
            let fs = Arc::new(OsFileSystem);
            PartitionLog::open(fs, dir, log_id(), SMALL, None, Arc::clone(&shared))
                .unwrap()
                .0
        })
        .collect();
    for _ in 0..20 {
        for log in &logs {
            append(log, 1);
            assert!(shared.tail_bytes() <= limits.tail_bytes_max);
        }
    }
    for log in &logs {
        assert_eq!(read_all(log, 0).len(), 20);
    }
    drop(logs);
    assert_eq!(shared.tail_bytes(), 0);
}

#[test]
fn a_sealed_segment_is_served_from_a_map_that_outlives_it() {
    let (fixture, all, checkpoint) = Fixture::filled(23);
    let (log, _) = fixture.open(Some(checkpoint));
    let mut request = request(0, usize::MAX);
    request.access = Access::Forward;
    // The index of a sealed segment is loaded by the first read that may wait.
    log.read_blocking(&request).unwrap();
    let TryRead::Ready(found) = log.try_read(&request).unwrap() else {
        eprintln!("SKIPPED: this system cannot tell what is in the page cache");
        return;
    };
    log.set_log_start(checkpoint.log_end).unwrap();
    drop(log);
    let found = parse(found);
    assert!(found.len() >= 5);
    assert_eq!(found, all[..found.len()]);
}

#[test]
fn a_reader_that_begins_within_a_span_goes_on_from_maps() {
    let mut fixture = Fixture::new();
    fixture.config.segment_bytes = 200_000;
    let (log, _) = fixture.open(None);
    let all = append(&log, 3_000);
    // The second of the three batches of the first span.
    let mut next = Offset::new(2);
    let sealed_end = log.stats().segments[0].end_offset;
    let mut slices = Vec::new();
    while slices.len() < 3 {
        let mut request = request(next.get(), 70_000);
        request.access = Access::Forward;
        let TryRead::Ready(found) = log.try_read(&request).unwrap() else {
            eprintln!("SKIPPED: this system cannot tell what is in the page cache");
            return;
        };
        let first = usize::try_from(next.get() / 2).unwrap();
        next = found.end_offset().unwrap();
        assert!(next < sealed_end);
        let read = found.slices().iter().map(Bytes::len).collect::<Vec<_>>();
        let batches = parse(found);
        assert_eq!(batches, all[first..first + batches.len()]);
        // Whole spans, though a batch or two of the next one would fit.
        assert_eq!((next.get() / 2) % 3, 0, "{read:?}");
        slices.extend(read);
    }
    let rest_of_span: usize = all[1..3].iter().map(RecordBatch::total_bytes).sum();
    assert_eq!(slices[0], rest_of_span);
    assert!(
        slices[1..].iter().all(|&bytes| bytes > 69_000),
        "{slices:?}"
    );
}

#[test]
fn records_are_found_by_time() {
    let (fixture, all, checkpoint) = Fixture::filled(23);
    let (log, _) = fixture.open(Some(checkpoint));
    for (ms, offset) in [
        (-5, 0),
        (0, 0),
        (1, 2),
        (2_000, 2),
        (2_001, 4),
        (44_000, 44),
    ] {
        let found = log
            .offset_for_timestamp_blocking(Timestamp::new(ms))
            .unwrap();
        assert_eq!(
            found.map(|found| found.offset.get()),
            Some(offset),
            "{ms} ms"
        );
    }
    assert_eq!(
        log.offset_for_timestamp_blocking(Timestamp::new(44_001))
            .unwrap(),
        None
    );
    log.set_log_start(all[20].header().base_offset).unwrap();
    let found = log
        .offset_for_timestamp_blocking(Timestamp::new(0))
        .unwrap();
    assert_eq!(found.map(|found| found.offset.get()), Some(40));
}

#[test]
fn no_more_files_are_open_than_allowed() {
    let (mut fixture, all, checkpoint) = Fixture::filled(60);
    fixture.limits.open_files_max = 3;
    let shared = SharedCaches::new(fixture.limits);
    let (log, _) = PartitionLog::open(
        Arc::new(OsFileSystem),
        fixture.path(),
        log_id(),
        fixture.config,
        Some(checkpoint),
        Arc::clone(&shared),
    )
    .unwrap();
    assert!(log.stats().segments.len() > 6);
    for _ in 0..3 {
        for from in 0..120 {
            let found = parse(log.read_blocking(&request(from, 1)).unwrap());
            assert_eq!(found, all[usize::try_from(from / 2).unwrap()..][..1]);
            assert!(shared.open_files() <= 4, "{} are open", shared.open_files());
        }
    }
}

#[test]
fn stats_tell_segments_apart() {
    let (fixture, all, checkpoint) = Fixture::filled(23);
    let (log, _) = fixture.open(Some(checkpoint));
    let stats = log.stats();
    let bytes: usize = all.iter().map(RecordBatch::total_bytes).sum();
    assert_eq!(stats.bytes, bytes as u64);
    let mut end = Offset::ZERO;
    for segment in &stats.segments {
        assert_eq!(segment.base_offset, end);
        assert_eq!(segment.max_timestamp, at(segment.end_offset.get() - 2));
        end = segment.end_offset;
    }
    assert_eq!(end, Offset::new(46));
}

#[tokio::test]
async fn reads_wait_off_the_runtime() {
    let (fixture, all, checkpoint) = Fixture::filled(23);
    let (log, _) = fixture.open(Some(checkpoint));
    let found = log.read(&request(3, usize::MAX)).await.unwrap();
    assert_eq!(parse(found), all[1..]);
    let found = log.offset_for_timestamp(Timestamp::new(1)).await.unwrap();
    assert_eq!(found.map(|found| found.offset.get()), Some(2));
}
