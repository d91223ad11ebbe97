//! Damage at every byte. A wrong record is never read; what was durable is never cut; what is not
//! damaged is not lost.

use std::{fs, ops::Range};

use ratatoskr_core::storage::StorageError;

use super::*;

/// Reads the whole log, stepping over what is corrupt.
fn read_around(log: &PartitionLog) -> (Vec<RecordBatch>, Vec<Range<u64>>) {
    let bounds = log.bounds();
    let mut found = Vec::new();
    let mut corrupt = Vec::new();
    let mut next = bounds.log_start;
    while next < bounds.log_end {
        match log.read_blocking(&request(next.get(), 150)) {
            Ok(slices) => {
                let batches = parse(slices);
                next = batches.last().unwrap().header().end_offset();
                found.extend(batches);
            }
            Err(StorageError::Corrupt { from, until, .. }) => {
                assert!(
                    from <= next && next < until,
                    "{next} is not in {from}..{until}"
                );
                corrupt.push(next.get()..until.get());
                next = until;
            }
            Err(other) => panic!("at {next}: {other}"),
        }
    }
    assert_eq!(next, bounds.log_end);
    (found, corrupt)
}

/// What is read of a log is exactly `all` without the offsets in `corrupt`.
fn assert_all_but(
    (found, corrupt): &(Vec<RecordBatch>, Vec<Range<u64>>),
    all: &[RecordBatch],
    what: &str,
) {
    let rest: Vec<_> = all
        .iter()
        .filter(|batch| {
            !corrupt
                .iter()
                .any(|r| r.contains(&batch.header().base_offset.get()))
        })
        .cloned()
        .collect();
    assert_eq!(*found, rest, "{what}");
}

/// The files of a log, to be damaged and put back.
struct Saved(Vec<(std::path::PathBuf, Vec<u8>)>);

impl Saved {
    fn of(fixture: &Fixture) -> Self {
        let names = fixture.names().into_iter();
        Self(
            names
                .map(|name| fixture.path().join(name))
                .map(|path| (path.clone(), fs::read(&path).unwrap()))
                .collect(),
        )
    }

    fn put_back(&self, fixture: &Fixture) {
        for name in fixture.names() {
            fs::remove_file(fixture.path().join(name)).unwrap();
        }
        for (path, bytes) in &self.0 {
            fs::write(path, bytes).unwrap();
        }
    }

    /// Calls `check` with the log damaged at each byte of each file with this extension, preallocated
    /// zeros left out.
    fn flip_each_byte(&self, fixture: &Fixture, extension: &str, mut check: impl FnMut(&str)) {
        for (path, bytes) in &self.0 {
            if path.extension().is_none_or(|found| found != extension) {
                continue;
            }
            let end = bytes
                .iter()
                .rposition(|&byte| byte != 0)
                .map_or(0, |at| at + 1);
            for at in 0..end {
                self.put_back(fixture);
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << (at % 8);
                fs::write(path, &damaged).unwrap();
                check(&format!("byte {at} of {}", path.display()));
            }
        }
    }
}

/// Three segments, of which the last is active.
fn three_segments() -> (Fixture, Vec<RecordBatch>, LogCheckpoint) {
    let (fixture, all, checkpoint) = Fixture::filled(13);
    assert_eq!(fixture.paths("log").len(), 3);
    (fixture, all, checkpoint)
}

#[test]
fn damage_below_the_checkpoint_is_quarantined_and_nothing_is_cut() {
    let (fixture, all, checkpoint) = three_segments();
    let saved = Saved::of(&fixture);
    saved.flip_each_byte(&fixture, "log", |what| {
        let before = Saved::of(&fixture).0;
        for _ in 0..2 {
            let (log, recovered) = fixture.open(Some(checkpoint));
            assert_eq!(recovered.cut, None, "{what}");
            let outcome = read_around(&log);
            assert_all_but(&outcome, &all, what);
            // One span at most, of three batches.
            let [corrupt] = outcome.1.as_slice() else {
                panic!("{what}: corrupt are {:?}", outcome.1);
            };
            assert!(corrupt.end - corrupt.start <= 6, "{what}: {corrupt:?}");
            assert_eq!(log.bounds().log_end, checkpoint.log_end);
        }
        let logs = |files: Vec<(std::path::PathBuf, Vec<u8>)>| {
            let is_log = |path: &Path| path.extension().is_some_and(|found| found == "log");
            files
                .into_iter()
                .filter(move |(path, _)| is_log(path))
                .collect::<Vec<_>>()
        };
        assert_eq!(logs(Saved::of(&fixture).0), logs(before), "{what}");
    });
}

#[test]
fn damage_anywhere_shows_at_opening_where_all_is_verified() {
    let (fixture, all, checkpoint) = three_segments();
    let open = |verify| fixture.try_open_with(Some(checkpoint), verify).unwrap();
    let (log, recovered) = open(Verify::All);
    let bytes: usize = all.iter().map(RecordBatch::total_bytes).sum();
    assert!(recovered.scanned_bytes >= bytes as u64, "{recovered:?}");
    assert_eq!((recovered.cut, recovered.quarantined), (None, vec![]));
    assert_eq!(read_all(&log, 0), all);
    drop(log);
    let saved = Saved::of(&fixture);
    saved.flip_each_byte(&fixture, "log", |what| {
        for verify in [Verify::All, Verify::All, Verify::Tail] {
            let (log, recovered) = open(verify);
            let [found] = recovered.quarantined.as_slice() else {
                assert_eq!((verify, &recovered.cut), (Verify::Tail, &None), "{what}");
                continue;
            };
            assert_eq!(recovered.cut, None, "{what}");
            let outcome = read_around(&log);
            let found = found.from.get()..found.until.get();
            assert_eq!(outcome.1, std::slice::from_ref(&found), "{what}");
            assert_all_but(&outcome, &all, what);
            assert_eq!(log.bounds().log_end, checkpoint.log_end);
        }
    });
    saved.flip_each_byte(&fixture, "index", |what| {
        for _ in 0..2 {
            let (log, recovered) = open(Verify::All);
            let found = (recovered.cut, recovered.quarantined);
            assert_eq!(found, (None, vec![]), "{what}");
            assert_eq!(read_all(&log, 0), all, "{what}");
        }
    });
}

#[test]
fn damage_above_the_durable_end_is_cut_at_the_first_bad_batch() {
    let (fixture, all, _) = three_segments();
    let saved = Saved::of(&fixture);
    saved.flip_each_byte(&fixture, "log", |what| {
        let (log, recovered) = fixture.open(None);
        let (found, corrupt) = read_around(&log);
        assert!(
            corrupt.is_empty() && recovered.quarantined.is_empty(),
            "{what}"
        );
        let cut = recovered.cut.expect(what);
        assert_eq!(log.bounds().log_end, cut.at);
        assert_eq!(found, all[..found.len()], "{what}");
        assert!(found.len() < all.len());
        let more = append(&log, 1);
        drop(log);
        let (log, recovered) = fixture.open(None);
        assert_eq!(recovered.cut, None, "{what}");
        assert_eq!(read_all(&log, 0), [found, more].concat(), "{what}");
    });
}

#[test]
fn damage_that_a_later_segment_proves_to_be_rot_is_quarantined_without_a_checkpoint() {
    let fixture = Fixture::new();
    let (log, _) = fixture.open(None);
    let mut all = append(&log, 6);
    log.sync().unwrap();
    all.extend(append(&log, 4));
    drop(log);
    assert_eq!(fixture.paths("log").len(), 2);
    let saved = Saved::of(&fixture);
    saved.flip_each_byte(&fixture, "log", |what| {
        let (log, recovered) = fixture.open(None);
        let outcome = read_around(&log);
        if what.contains(&SegmentName::appended(Offset::ZERO).log()) {
            assert_eq!(recovered.cut, None, "{what}");
            assert_eq!(outcome.1.len(), 1, "{what}");
            assert_all_but(&outcome, &all, what);
            assert_eq!(log.bounds().log_end, Offset::new(20));
        } else {
            assert!(recovered.quarantined.is_empty(), "{what}");
            let found = outcome.0;
            // The epoch of a batch that no sync has covered is protected by the write-ahead log alone.
            for (found, appended) in found.iter().zip(&all) {
                let mut found = found.clone();
                found.assign(found.header().base_offset, 3.into());
                assert_eq!(found, *appended, "{what}");
            }
        }
    });
}

#[test]
fn a_damaged_index_costs_no_record() {
    let (fixture, all, checkpoint) = three_segments();
    let saved = Saved::of(&fixture);
    for from in [None, Some(checkpoint)] {
        saved.flip_each_byte(&fixture, "index", |what| {
            for _ in 0..2 {
                let (log, recovered) = fixture.open(from);
                assert_eq!(recovered.cut, None, "{what}");
                assert_eq!(recovered.quarantined, [], "{what}");
                assert_eq!(read_around(&log), (all.clone(), vec![]), "{what}");
            }
        });
    }
}

#[test]
fn files_cut_short_lose_nothing_else() {
    let (fixture, all, checkpoint) = three_segments();
    let saved = Saved::of(&fixture);
    for (path, bytes) in &saved.0 {
        let end = bytes
            .iter()
            .rposition(|&byte| byte != 0)
            .map_or(0, |at| at + 1);
        for length in (0..end).step_by(7) {
            saved.put_back(&fixture);
            fs::write(path, &bytes[..length]).unwrap();
            let what = format!("{} cut to {length}", path.display());
            for _ in 0..2 {
                let (log, recovered) = fixture.open(Some(checkpoint));
                assert_eq!(recovered.cut, None, "{what}");
                assert_eq!(log.bounds().log_end, checkpoint.log_end, "{what}");
                let outcome = read_around(&log);
                assert_all_but(&outcome, &all, &what);
                if path.extension().is_some_and(|found| found == "index") {
                    assert!(outcome.1.is_empty(), "{what}");
                }
            }
            let (log, _) = fixture.open(Some(checkpoint));
            let more = append(&log, 3);
            assert_eq!(read_all(&log, checkpoint.log_end.get()), more, "{what}");
        }
    }
}

#[test]
fn a_segment_that_is_gone_is_quarantined() {
    let (fixture, all, checkpoint) = three_segments();
    let saved = Saved::of(&fixture);
    for path in fixture.paths("log") {
        saved.put_back(&fixture);
        fs::remove_file(&path).unwrap();
        let (log, recovered) = fixture.open(Some(checkpoint));
        assert_eq!(recovered.cut, None);
        let what = path.display().to_string();
        let outcome = read_around(&log);
        assert_eq!(outcome.1.len(), 1, "{what}");
        assert_all_but(&outcome, &all, &what);
        let more = append(&log, 3);
        assert_eq!(read_all(&log, checkpoint.log_end.get()), more);
        drop(log);
        let (log, _) = fixture.open(Some(checkpoint));
        assert_all_but(&read_around(&log), &[all.clone(), more].concat(), &what);
    }
    fs::remove_dir_all(fixture.path()).unwrap();
    let (log, _) = fixture.open(Some(checkpoint));
    assert_eq!(read_around(&log).1, std::slice::from_ref(&(0..26)));
    assert_eq!(log.bounds().log_end, checkpoint.log_end);
}

#[test]
fn segments_that_change_places_are_not_believed() {
    let (fixture, all, checkpoint) = three_segments();
    let logs = fixture.paths("log");
    let swapped = fixture.path().join("swap");
    fs::rename(&logs[0], &swapped).unwrap();
    fs::rename(&logs[1], &logs[0]).unwrap();
    fs::rename(&swapped, &logs[1]).unwrap();
    let (log, _) = fixture.open(Some(checkpoint));
    let outcome = read_around(&log);
    assert_all_but(&outcome, &all, "swapped");
    assert!(outcome.0.len() < all.len());
    // With their indexes, which say whose they are.
    let indexes = fixture.paths("index");
    fs::rename(&indexes[0], &swapped).unwrap();
    fs::rename(&indexes[1], &indexes[0]).unwrap();
    fs::rename(&swapped, &indexes[1]).unwrap();
    let (log, _) = fixture.open(Some(checkpoint));
    assert_all_but(&read_around(&log), &all, "swapped with their indexes");
}
