use std::fs;

use ratatoskr_core::storage::StorageError;

use super::*;

#[test]
fn a_log_opens_as_it_was_closed() {
    let (fixture, all, checkpoint) = Fixture::filled(23);
    for from in [None, Some(checkpoint)] {
        let (log, recovered) = fixture.open(from);
        assert!(recovered.cut.is_none() && recovered.quarantined.is_empty());
        assert_eq!(recovered.indexes_rebuilt, 0);
        assert_eq!(read_all(&log, 0), all);
        assert_eq!(log.leader_epoch().get(), 3);
        assert_eq!(log.sync().unwrap(), checkpoint);
    }
}

#[test]
fn a_log_goes_on_where_it_ended() {
    let (fixture, mut all, mut checkpoint) = Fixture::filled(3);
    for round in 0..12 {
        let from = (round % 3 != 0).then_some(checkpoint);
        let (log, _) = fixture.open(from);
        all.extend(append(&log, 2));
        if round % 2 == 0 {
            checkpoint = log.sync().unwrap();
        }
        assert_eq!(read_all(&log, 0), all);
    }
}

#[test]
fn a_torn_tail_is_cut_at_its_first_bad_batch_and_saved_aside() {
    let (fixture, mut all, checkpoint) = Fixture::filled(3);
    let (log, _) = fixture.open(Some(checkpoint));
    all.extend(append(&log, 8));
    drop(log);
    // The fourth batch is torn; what lies behind it, later segments too, was never promised.
    let base = usize::try_from(checkpoint.position).unwrap();
    let mut bytes = fs::read(fixture.log_path(0)).unwrap();
    bytes[base + 80] ^= 1;
    fs::write(fixture.log_path(0), &bytes).unwrap();
    let behind: usize = all[3..].iter().map(RecordBatch::total_bytes).sum();

    let (log, recovered) = fixture.open(Some(checkpoint));
    let cut = recovered.cut.unwrap();
    assert_eq!(cut.at, Offset::new(6));
    // A batch may end in a zero, which at the end of a file counts as room that was reserved.
    assert!((behind - 2..=behind).contains(&usize::try_from(cut.bytes).unwrap()));
    let saved: Vec<u8> = cut
        .files
        .iter()
        .flat_map(|name| fs::read(fixture.path().join(name)).unwrap())
        .filter(|&byte| byte != 0)
        .collect();
    let mut expected: Vec<u8> = all[3..].iter().flat_map(RecordBatch::to_bytes).collect();
    expected[80] ^= 1;
    expected.retain(|&byte| byte != 0);
    assert_eq!(saved, expected);
    all.truncate(3);
    assert_eq!(read_all(&log, 0), all);

    // The offsets are given again, and the second opening finds nothing to cut.
    all.extend(append(&log, 8));
    drop(log);
    let (log, recovered) = fixture.open(Some(checkpoint));
    assert_eq!(recovered.cut, None);
    assert_eq!(read_all(&log, 0), all);
}

#[test]
fn an_index_that_is_missing_is_built_from_the_log() {
    let (fixture, all, checkpoint) = Fixture::filled(23);
    for from in [None, Some(checkpoint)] {
        for path in fixture.paths("index") {
            fs::remove_file(path).unwrap();
        }
        let (log, recovered) = fixture.open(from);
        assert!(recovered.quarantined.is_empty());
        assert_eq!(read_all(&log, 0), all);
        log.sync().unwrap();
        drop(log);
        let (log, recovered) = fixture.open(None);
        assert_eq!(recovered.indexes_rebuilt, 0);
        assert_eq!(read_all(&log, 0), all);
    }
}

#[test]
fn strangers_files_are_left_alone() {
    let (fixture, all, checkpoint) = Fixture::filled(5);
    let strangers = [
        "README",
        "0.log",
        "00000000000000000000.log.bak",
        "0000000000000000000x.log",
        "99999999999999999999.log",
    ];
    for name in strangers {
        fs::write(fixture.path().join(name), b"mine").unwrap();
    }
    fs::create_dir(fixture.path().join("00000000000000000099.log")).unwrap();
    for from in [None, Some(checkpoint)] {
        let (log, _) = fixture.open(from);
        assert_eq!(read_all(&log, 0), all);
        log.set_log_start(Offset::new(4)).unwrap();
    }
    let names = fixture.names();
    for name in strangers {
        assert!(names.contains(&name.to_owned()), "{name} is gone");
    }
}

#[test]
fn a_newer_format_is_refused() {
    let (fixture, _, _) = Fixture::filled(3);
    let path = fixture.index_path(0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[9] = 2;
    let crc = crc32fast::hash(&bytes[..60]);
    bytes[60..64].copy_from_slice(&crc.to_be_bytes());
    fs::write(&path, &bytes).unwrap();
    let refused = fixture.try_open(None).unwrap_err();
    assert!(
        matches!(
            refused,
            StorageError::NewerFormat {
                found: 2,
                supported: 1
            }
        ),
        "{refused}"
    );
}

#[test]
fn the_log_start_moves_and_frees_whole_segments() {
    let (fixture, all, checkpoint) = Fixture::filled(23);
    let (log, _) = fixture.open(Some(checkpoint));
    let before = fixture.names().len();
    let bounds = log.set_log_start(Offset::new(21)).unwrap();
    assert_eq!(bounds.log_start, Offset::new(21));
    assert!(fixture.names().len() < before);
    assert!(matches!(
        log.read_blocking(&request(20, 1)),
        Err(StorageError::OffsetOutOfRange { .. })
    ));
    assert_eq!(read_all(&log, 21), all[10..]);
    // It never goes back, and never beyond the end.
    assert_eq!(log.set_log_start(Offset::new(3)).unwrap(), bounds);
    assert!(log.set_log_start(Offset::new(47)).is_err());
    let checkpoint = log.checkpoint();
    drop(log);
    let (log, recovered) = fixture.open(Some(checkpoint));
    assert!(recovered.quarantined.is_empty());
    assert_eq!(log.bounds(), bounds);
    assert_eq!(read_all(&log, 21), all[10..]);
}

#[test]
fn a_log_that_is_emptied_keeps_its_end() {
    let (fixture, _, checkpoint) = Fixture::filled(23);
    let (log, _) = fixture.open(Some(checkpoint));
    log.set_log_start(Offset::new(46)).unwrap();
    assert_eq!(fixture.names().len(), 2, "{:?}", fixture.names());
    assert!(log.stats().segments.is_empty());
    drop(log);
    // Without any checkpoint the directory alone tells.
    let (log, recovered) = fixture.open(None);
    assert!(recovered.quarantined.is_empty());
    assert_eq!(log.bounds().log_start, Offset::new(46));
    let all = append(&log, 7);
    assert_eq!(read_all(&log, 46), all);
    drop(log);
    // With the old one, which the write-ahead log has since corrected.
    let checkpoint = LogCheckpoint {
        log_start: 46.into(),
        ..checkpoint
    };
    let (log, recovered) = fixture.open(Some(checkpoint));
    assert!(recovered.quarantined.is_empty() && recovered.cut.is_none());
    assert_eq!(read_all(&log, 46), all);
}

#[tokio::test]
async fn the_latest_snapshot_is_there_when_the_log_is_opened_again() {
    let (fixture, all, checkpoint) = Fixture::filled(3);
    let (log, _) = fixture.open(Some(checkpoint));
    assert_eq!(log.snapshot().await.unwrap(), None);
    // What a process leaves behind that dies while it writes one.
    fs::write(fixture.path().join("snapshot.new"), b"half of").unwrap();
    for snapshot in ["the first", "a later one", ""] {
        log.keep_snapshot(snapshot.into()).await.unwrap();
        assert_eq!(log.snapshot().await.unwrap().unwrap(), snapshot);
    }
    log.keep_snapshot("the last".into()).await.unwrap();
    let too_large = vec![0; (64 << 20) + 1];
    log.keep_snapshot(too_large.into()).await.unwrap_err();
    drop(log);
    let (log, _) = fixture.open(Some(checkpoint));
    assert_eq!(log.snapshot().await.unwrap().unwrap(), "the last");
    assert_eq!(read_all(&log, 0), all);
    let file = fs::File::create(fixture.path().join("snapshot")).unwrap();
    file.set_len(1 << 40).unwrap();
    log.snapshot().await.unwrap_err();
}
