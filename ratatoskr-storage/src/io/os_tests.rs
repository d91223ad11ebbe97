use super::*;
use crate::io::small_disk::SmallDisk;

fn file_in(dir: &tempfile::TempDir, name: &str) -> Arc<dyn File> {
    OsFileSystem
        .open(&dir.path().join(name), OpenMode::CreateNew)
        .unwrap()
}

fn contents(file: &dyn File) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.size().unwrap()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn more_parts_than_one_system_call_takes_are_written_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let file = file_in(&dir, "f");
    let parts: Vec<Vec<u8>> = (0..=SLICES_PER_WRITE_MAX)
        .map(|i| i.to_be_bytes().to_vec())
        .collect();
    let mut slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    slices.insert(1, &[]);
    file.write_all_at(&slices, 3).unwrap();
    assert_eq!(contents(&*file), [vec![0; 3], parts.concat()].concat());
}

#[test]
fn allocating_grows_with_zeros_and_never_shrinks() {
    let dir = tempfile::tempdir().unwrap();
    let file = file_in(&dir, "f");
    file.write_all_at(&[b"abc"], 0).unwrap();
    file.allocate(10).unwrap();
    assert_eq!(contents(&*file), b"abc\0\0\0\0\0\0\0");
    file.allocate(5).unwrap();
    assert_eq!(file.size().unwrap(), 10);
}

#[test]
fn what_is_skipped_as_a_hole_is_zero() {
    let dir = tempfile::tempdir().unwrap();
    let file = file_in(&dir, "f");
    file.write_all_at(&[b"abc"], 0).unwrap();
    file.allocate(1 << 20).unwrap();
    file.write_all_at(&[b"def"], 600_000).unwrap();
    assert_eq!(file.next_data(0).unwrap(), 0);
    let next = file.next_data(10_000).unwrap();
    assert!((10_000..=600_000).contains(&next), "{next}");
    assert!(file.next_data(700_000).unwrap() >= 700_000);
    assert!(file.next_data(2 << 20).unwrap() >= 1 << 20);
}

#[test]
fn zeros_stand_in_where_there_is_no_fallocate() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    fs::write(&path, b"abc").unwrap();
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    let size = ZEROS_PER_WRITE as u64 + 7;
    write_zeros(&file, 3, size).unwrap();
    let bytes = fs::read(&path).unwrap();
    assert_eq!(bytes.len() as u64, size);
    assert_eq!(
        bytes.strip_prefix(b"abc").unwrap(),
        &vec![0; bytes.len() - 3]
    );
}

#[test]
fn reading_past_the_end_is_an_error_each_way() {
    let dir = tempfile::tempdir().unwrap();
    let file = file_in(&dir, "f");
    file.write_all_at(&[b"abc"], 0).unwrap();
    let mut buffer = [0; 4];
    let eof = io::ErrorKind::UnexpectedEof;
    assert_eq!(file.read_exact_at(&mut buffer, 0).unwrap_err().kind(), eof);
    // Where the system cannot tell hot from cold, it says so instead.
    match file.try_read_exact_at(&mut buffer, 0) {
        Ok(read) => assert!(!read),
        Err(error) => assert_eq!(error.kind(), eof),
    }
    assert_eq!(file.map(4).unwrap_err().kind(), eof);
}

#[test]
fn what_was_just_written_is_hot_where_the_system_can_tell() {
    let dir = tempfile::tempdir().unwrap();
    let file = file_in(&dir, "f");
    file.write_all_at(&[b"abc"], 0).unwrap();
    let mut buffer = [0; 3];
    if file.try_read_exact_at(&mut buffer, 0).unwrap() {
        assert_eq!(&buffer, b"abc");
    }
}

#[test]
fn a_map_outlives_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = file_in(&dir, "f");
    file.write_all_at(&[b"abc"], 0).unwrap();
    let map = file.map(2).unwrap();
    let empty = file.map(0).unwrap();
    OsFileSystem.remove_file(&dir.path().join("f")).unwrap();
    drop(file);
    assert_eq!(&map[..], b"ab");
    assert!(empty.is_empty());
}

#[test]
fn a_directory_is_listed_by_name_and_made_once() {
    let dir = tempfile::tempdir().unwrap();
    let sub = dir.path().join("sub");
    OsFileSystem.create_dir(&sub).unwrap();
    OsFileSystem.create_dir(&sub).unwrap();
    drop((file_in(&dir, "z"), file_in(&dir, "a")));
    let names: Vec<_> = OsFileSystem
        .list_dir(dir.path())
        .unwrap()
        .into_iter()
        .map(|entry| (entry.name, entry.is_dir))
        .collect();
    let expected = [("a", false), ("sub", true), ("z", false)];
    assert_eq!(
        names,
        expected.map(|(name, is_dir)| (name.to_owned(), is_dir))
    );
    OsFileSystem
        .rename(&dir.path().join("a"), &dir.path().join("z"))
        .unwrap();
    OsFileSystem.sync_dir(dir.path()).unwrap();
    OsFileSystem.remove_dir(&sub).unwrap();
    assert_eq!(OsFileSystem.list_dir(dir.path()).unwrap().len(), 1);
    assert!(OsFileSystem.create_dir(&dir.path().join("z")).is_err());
}

#[test]
fn a_lock_has_one_holder() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("LOCK");
    let held = OsFileSystem.lock(&path).unwrap();
    let refused = OsFileSystem.lock(&path).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
    drop(held);
    OsFileSystem.lock(&path).unwrap();
}

#[test]
fn a_lock_is_given_back_though_a_copy_of_its_file_is_open_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("LOCK");
    let file = fs::File::create(&path).unwrap();
    file.try_lock().unwrap();
    let _as_in_a_child = file.try_clone().unwrap();
    drop(OsLock { file });
    OsFileSystem.lock(&path).unwrap();
}

#[test]
fn a_full_disk_leaves_the_file_as_it_was() {
    let Some(small) = SmallDisk::mount() else {
        eprintln!("SKIPPED: a small tmpfs cannot be mounted here (needs the right to mount)");
        return;
    };
    let file = OsFileSystem
        .open(&small.path().join("f"), OpenMode::CreateNew)
        .unwrap();
    file.write_all_at(&[b"abc"], 0).unwrap();
    let refused = file.allocate(SmallDisk::BYTES * 2).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
    assert_eq!(contents(&*file), b"abc");
    file.allocate(SmallDisk::BYTES / 2).unwrap();
}

#[test]
fn what_is_read_past_the_cache_is_what_the_file_holds_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let file = file_in(&dir, "f");
    let bytes: Vec<u8> = (0..20_001_u32).map(|i| (i % 251) as u8).collect();
    file.write_all_at(&[&bytes], 0).unwrap();
    let mut buffer = vec![0; 8 * UNCACHED_ALIGN];
    let start = buffer.as_ptr().align_offset(UNCACHED_ALIGN);
    let room = &mut buffer[start..start + 6 * UNCACHED_ALIGN];
    let position = UNCACHED_ALIGN as u64;
    match OsFileSystem.read_uncached(&dir.path().join("f"), room, position) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            eprintln!("SKIPPED: this file system cannot read past its cache");
        }
        read => assert_eq!(room[..read.unwrap()], bytes[UNCACHED_ALIGN..]),
    }
}
