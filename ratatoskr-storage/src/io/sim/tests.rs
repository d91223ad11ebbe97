use std::{collections::BTreeSet, sync::atomic::AtomicUsize};

use super::*;

/// Seeds tried where something must hold for every crash.
const SEEDS: std::ops::Range<u64> = 0..300;
const SECTOR: usize = 4;

fn sim() -> SimFileSystem {
    SimFileSystem::with_sector_bytes(SECTOR as u64)
}

fn create(fs: &SimFileSystem, path: &str) -> Arc<dyn File> {
    fs.open(Path::new(path), OpenMode::CreateNew).unwrap()
}

/// A file whose name and contents are synced.
fn synced(fs: &SimFileSystem, path: &str, bytes: &[u8]) -> Arc<dyn File> {
    let file = create(fs, path);
    file.write_all_at(&[bytes], 0).unwrap();
    file.sync_data().unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    file
}

fn contents(fs: &SimFileSystem, path: &str) -> Option<String> {
    let file = fs.open(Path::new(path), OpenMode::Read).ok()?;
    let mut bytes = vec![0; usize::try_from(file.size().unwrap()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    Some(String::from_utf8(bytes).unwrap().replace('\0', "."))
}

/// What crashes leave of a file; `None` where it is not there.
fn left(fs: &SimFileSystem, path: &str) -> BTreeSet<Option<String>> {
    SEEDS.map(|seed| contents(&fs.crash(seed), path)).collect()
}

fn some<const N: usize>(expected: [&str; N]) -> BTreeSet<Option<String>> {
    expected.into_iter().map(|text| Some(text.into())).collect()
}

#[test]
fn readers_see_what_was_not_synced() {
    let fs = sim();
    let file = create(&fs, "f");
    file.write_all_at(&[b"abc", b"", b"defgh"], 2).unwrap();
    assert_eq!(contents(&fs, "f").unwrap(), "..abcdefgh");
    let everything = fs.crash_with(Persist::Everything, 1);
    assert_eq!(contents(&everything, "f").unwrap(), "..abcdefgh");
    let nothing = fs.crash_with(Persist::Nothing, 1);
    assert_eq!(contents(&nothing, "f"), None);
}

#[test]
fn what_was_synced_survives_every_crash() {
    let fs = sim();
    let file = synced(&fs, "f", b"aaaabbbb");
    assert_eq!(left(&fs, "f"), some(["aaaabbbb"]));
    file.write_all_at(&[b"cccc"], 4).unwrap();
    file.sync_data().unwrap();
    assert_eq!(fs.unsynced(), 0);
    assert_eq!(left(&fs, "f"), some(["aaaacccc"]));
}

#[test]
fn any_subset_of_unsynced_sectors_persists_and_nothing_else() {
    let fs = sim();
    let file = synced(&fs, "f", b"aaaabbbbcccc");
    file.write_all_at(&[b"AAAABBBBCCCC"], 0).unwrap();
    let subsets = [
        "aaaabbbbcccc",
        "AAAAbbbbcccc",
        "aaaaBBBBcccc",
        "aaaabbbbCCCC",
        "AAAABBBBcccc",
        "AAAAbbbbCCCC",
        "aaaaBBBBCCCC",
        "AAAABBBBCCCC",
    ];
    assert_eq!(left(&fs, "f"), some(subsets));
}

#[test]
fn each_version_of_a_sector_since_the_last_sync_may_persist() {
    let fs = sim();
    let file = synced(&fs, "f", b"0000");
    for version in [b"1111", b"2222", b"3333"] {
        file.write_all_at(&[version], 0).unwrap();
    }
    assert_eq!(left(&fs, "f"), some(["0000", "1111", "2222", "3333"]));
}

#[test]
fn size_and_contents_persist_apart() {
    let fs = sim();
    let file = synced(&fs, "f", b"aaaa");
    file.write_all_at(&[b"bb"], 4).unwrap();
    assert_eq!(left(&fs, "f"), some(["aaaa", "aaaa..", "aaaabb"]));
}

#[test]
fn a_cut_may_be_undone_and_hides_nothing_when_the_file_grows_again() {
    let fs = sim();
    let file = synced(&fs, "f", b"aaaabbbb");
    file.set_len(2).unwrap();
    file.set_len(8).unwrap();
    assert_eq!(contents(&fs, "f").unwrap(), "aa......");
    let possible = left(&fs, "f");
    assert!(possible.contains(&Some("aaaabbbb".into())));
    assert!(possible.contains(&Some("aa".into())));
    file.sync_data().unwrap();
    assert_eq!(left(&fs, "f"), some(["aa......"]));
}

#[test]
fn a_synced_file_is_lost_with_its_name() {
    let fs = sim();
    let file = create(&fs, "f");
    file.write_all_at(&[b"aaaa"], 0).unwrap();
    file.sync_data().unwrap();
    assert_eq!(left(&fs, "f"), BTreeSet::from([None, Some("aaaa".into())]));
    fs.sync_dir(Path::new("/")).unwrap();
    assert_eq!(left(&fs, "f"), some(["aaaa"]));
}

#[test]
fn a_synced_name_is_lost_with_that_of_its_directory() {
    let fs = sim();
    fs.create_dir(Path::new("d")).unwrap();
    let file = create(&fs, "d/f");
    file.sync_data().unwrap();
    fs.sync_dir(Path::new("d")).unwrap();
    assert_eq!(
        left(&fs, "d/f"),
        BTreeSet::from([None, Some(String::new())])
    );
    fs.sync_dir(Path::new("")).unwrap();
    assert_eq!(left(&fs, "d/f"), some([""]));
}

#[test]
fn a_file_replaced_by_renaming_is_the_old_or_the_new_one() {
    let fs = sim();
    synced(&fs, "f", b"old!");
    let new = create(&fs, "f.tmp");
    new.write_all_at(&[b"new!"], 0).unwrap();
    new.sync_data().unwrap();
    fs.rename(Path::new("f.tmp"), Path::new("f")).unwrap();
    assert_eq!(left(&fs, "f"), some(["old!", "new!"]));
    for seed in SEEDS {
        let crashed = fs.crash(seed);
        let is_new = contents(&crashed, "f").unwrap() == "new!";
        let has_both = is_new && contents(&crashed, "f.tmp").is_some();
        assert!(!has_both, "seed {seed}: one file under two names");
    }
    fs.sync_dir(Path::new("/")).unwrap();
    assert_eq!(left(&fs, "f"), some(["new!"]));
}

#[test]
fn a_rename_without_a_sync_of_the_file_may_leave_it_empty() {
    let fs = sim();
    synced(&fs, "f", b"old!");
    let new = create(&fs, "f.tmp");
    new.write_all_at(&[b"new!"], 0).unwrap();
    fs.rename(Path::new("f.tmp"), Path::new("f")).unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    assert_eq!(left(&fs, "f"), some(["", "....", "new!"]));
}

#[test]
fn a_removed_file_may_come_back_until_its_directory_is_synced() {
    let fs = sim();
    synced(&fs, "f", b"aaaa");
    fs.remove_file(Path::new("f")).unwrap();
    assert_eq!(contents(&fs, "f"), None);
    assert_eq!(left(&fs, "f"), BTreeSet::from([None, Some("aaaa".into())]));
    fs.sync_dir(Path::new("/")).unwrap();
    assert_eq!(left(&fs, "f"), BTreeSet::from([None]));
}

#[test]
fn names_persist_in_any_subset() {
    let fs = sim();
    for name in ["a", "b", "c"] {
        create(&fs, name);
    }
    let found: BTreeSet<Vec<String>> = SEEDS
        .map(|seed| {
            let entries = fs.crash(seed).list_dir(Path::new("/")).unwrap();
            entries.into_iter().map(|entry| entry.name).collect()
        })
        .collect();
    assert_eq!(found.len(), 8, "{found:?}");
}

#[test]
fn a_failed_sync_is_not_mended_by_the_next() {
    let fs = sim();
    let file = synced(&fs, "f", b"aaaabbbb");
    file.write_all_at(&[b"AAAA"], 0).unwrap();
    let is_sync = |operation: &Operation| operation.kind == OperationKind::SyncData;
    fs.inject(is_sync, Fault::Error(io::ErrorKind::Other));
    assert!(file.sync_data().is_err());
    file.write_all_at(&[b"BBBB"], 4).unwrap();
    file.sync_data().unwrap();
    assert_eq!(left(&fs, "f"), some(["aaaaBBBB", "AAAABBBB"]));

    file.write_all_at(&[b"CCCC"], 0).unwrap();
    file.sync_data().unwrap();
    assert_eq!(left(&fs, "f"), some(["CCCCBBBB"]));
}

#[test]
fn a_failed_sync_of_a_directory_is_not_mended_by_the_next() {
    let fs = sim();
    create(&fs, "f");
    let is_sync = |operation: &Operation| operation.kind.is_sync();
    fs.inject(is_sync, Fault::Error(io::ErrorKind::Other));
    assert!(fs.sync_dir(Path::new("/")).is_err());
    fs.sync_dir(Path::new("/")).unwrap();
    assert_eq!(left(&fs, "f"), BTreeSet::from([None, Some(String::new())]));
}

#[test]
fn the_same_seed_makes_the_same_crash() {
    let fs = sim();
    let file = synced(&fs, "f", &[b'a'; 100]);
    file.write_all_at(&[&[b'b'; 100]], 0).unwrap();
    let images: BTreeSet<_> = SEEDS
        .map(|seed| {
            let image = contents(&fs.crash(seed), "f");
            assert_eq!(image, contents(&fs.crash(seed), "f"));
            image
        })
        .collect();
    assert!(images.len() > 50, "{} different ones", images.len());
}

#[test]
fn a_stopped_machine_does_nothing_more() {
    let fs = sim();
    let file = synced(&fs, "f", b"aaaa");
    fs.stop_before(fs.changes() + 1);
    file.write_all_at(&[b"bbbb"], 0).unwrap();
    assert!(file.size().is_ok());
    assert!(file.write_all_at(&[b"cccc"], 0).is_err());
    assert!(fs.is_stopped());
    assert!(file.sync_data().is_err());
    assert!(file.read_exact_at(&mut [0; 1], 0).is_err());
    assert!(fs.list_dir(Path::new("/")).is_err());
    assert_eq!(left(&fs, "f"), some(["aaaa", "bbbb"]));
}

#[test]
fn each_call_in_turn_can_be_made_to_fail() {
    let script = |fs: &SimFileSystem| -> io::Result<()> {
        fs.create_dir(Path::new("d"))?;
        let file = fs.open(Path::new("d/f"), OpenMode::CreateNew)?;
        file.allocate(8)?;
        file.write_all_at(&[b"aaaa"], 0)?;
        file.sync_data()?;
        file.read_exact_at(&mut [0; 4], 0)?;
        fs.rename(Path::new("d/f"), Path::new("d/g"))?;
        fs.sync_dir(Path::new("d"))?;
        fs.remove_file(Path::new("d/g"))
    };
    let whole = sim();
    script(&whole).unwrap();
    assert_eq!(whole.operations(), 9);
    for number in 0..whole.operations() {
        let fs = sim();
        let is_due = move |operation: &Operation| operation.number == number;
        fs.inject(is_due, Fault::Error(io::ErrorKind::Other));
        assert_eq!(script(&fs).unwrap_err().kind(), io::ErrorKind::Other);
        assert_eq!(fs.operations(), number + 1);
    }
}

#[test]
fn writes_can_be_short_or_lost_and_reads_wrong() {
    let fs = sim();
    let file = synced(&fs, "f", b"aaaaaaaa");
    let is_write = |operation: &Operation| operation.kind == OperationKind::Write;
    fs.inject(is_write, Fault::ShortWrite(3));
    let error = file.write_all_at(&[b"bbbbbb"], 1).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(contents(&fs, "f").unwrap(), "abbbaaaa");

    fs.inject(is_write, Fault::Lost);
    file.write_all_at(&[b"cccc"], 0).unwrap();
    assert_eq!(contents(&fs, "f").unwrap(), "abbbaaaa");

    let is_read = |operation: &Operation| operation.kind == OperationKind::Read;
    fs.inject(is_read, Fault::FlipBit(9));
    assert_eq!(contents(&fs, "f").unwrap(), "a`bbaaaa");
    assert_eq!(contents(&fs, "f").unwrap(), "abbbaaaa");

    fs.rot(Path::new("f"), 0, 2).unwrap();
    assert_eq!(contents(&fs, "f").unwrap(), "cbbbaaaa");
    assert!(fs.rot(Path::new("f"), 8, 2).is_err());
}

#[test]
fn an_observer_can_crash_before_every_change() {
    let fs = sim();
    let file = synced(&fs, "f", b"aaaa");
    let crashes = Arc::new(AtomicUsize::new(0));
    let (seen, observed) = (Arc::clone(&crashes), fs.clone());
    fs.observe(move |operation| {
        if operation.kind.is_change() {
            let found = contents(&observed.crash(operation.number), "f").unwrap();
            assert!(["aaaa", "bbbb"].contains(&found.as_str()));
            seen.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    });
    file.write_all_at(&[b"bbbb"], 0).unwrap();
    file.sync_data().unwrap();
    assert_eq!(crashes.load(std::sync::atomic::Ordering::SeqCst), 2);
}

#[test]
fn a_full_disk_takes_what_fits_and_refuses_the_rest() {
    let fs = sim();
    fs.set_capacity(Some(12));
    let file = create(&fs, "f");
    let error = file.write_all_at(&[&[b'a'; 20]], 2).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(contents(&fs, "f").unwrap(), "..aaaaaaaaaa");
    file.write_all_at(&[b"bb"], 5).unwrap();

    let other = create(&fs, "g");
    let refused = other.allocate(1).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
    assert_eq!(other.size().unwrap(), 0);
    file.set_len(5).unwrap();
    other.allocate(4).unwrap();
    assert!(file.write_all_at(&[b"cccc"], 8).is_err());
    other.write_all_at(&[b"dddd"], 0).unwrap();
    assert_eq!(fs.space_bytes(), 12);
}

#[test]
fn a_hole_has_no_room_until_it_is_written() {
    let fs = sim();
    fs.set_capacity(Some(4));
    let file = create(&fs, "f");
    file.set_len(400).unwrap();
    assert_eq!(fs.space_bytes(), 0);
    file.write_all_at(&[b"a"], 399).unwrap();
    assert!(file.write_all_at(&[b"a"], 0).is_err());
}

#[test]
fn a_removed_file_takes_room_until_it_is_closed() {
    let fs = sim();
    fs.set_capacity(Some(8));
    let file = synced(&fs, "f", b"aaaaaaaa");
    fs.remove_file(Path::new("f")).unwrap();
    let other = create(&fs, "g");
    assert!(other.write_all_at(&[b"b"], 0).is_err());
    file.read_exact_at(&mut [0; 8], 0).unwrap();
    drop(file);
    other.write_all_at(&[b"b"], 0).unwrap();
}

#[test]
fn a_mapped_file_must_not_be_changed() {
    let fs = sim();
    let file = synced(&fs, "f", b"aaaabbbb");
    let map = file.map(6).unwrap();
    assert!(file.write_all_at(&[b"c"], 0).is_err());
    assert!(file.allocate(20).is_err());
    assert!(file.set_len(0).is_err());
    fs.remove_file(Path::new("f")).unwrap();
    drop(file);
    assert_eq!(&map[..], b"aaaabb");
}

#[test]
fn a_lock_is_held_until_it_is_dropped_or_the_machine_crashes() {
    let fs = sim();
    let path = Path::new("LOCK");
    let held = fs.lock(path).unwrap();
    let refused = fs.lock(path).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
    fs.crash_with(Persist::Everything, 0).lock(path).unwrap();
    drop(held);
    fs.lock(path).unwrap();
}

#[test]
fn cold_reads_say_that_they_would_wait() {
    let fs = sim();
    let file = synced(&fs, "f", b"aaaa");
    let mut buffer = [0; 4];
    assert!(file.try_read_exact_at(&mut buffer, 0).unwrap());
    fs.set_reads_wait(true);
    assert!(!file.try_read_exact_at(&mut buffer, 0).unwrap());
    file.read_exact_at(&mut buffer, 0).unwrap();
}

#[cfg(feature = "mmap")]
mod as_the_system_does;
