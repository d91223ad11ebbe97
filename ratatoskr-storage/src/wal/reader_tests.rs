//! What recovery makes of files that a crash, a disk or a stranger changed.

use std::{fmt::Write, fs::OpenOptions, os::unix::fs::FileExt, path::PathBuf};

use ratatoskr_core::{
    commit::Committer,
    storage::{StorageError, StorageResult},
};

use super::{
    testing::{ALL, Fixture, SEED, SMALL, batch},
    *,
};

/// A log of `groups` groups of two batches each, all in the first file.
fn log_of(groups: u64) -> Fixture {
    let fixture = Fixture::new(SMALL);
    for group in 0..groups {
        for base in [2 * group, 2 * group + 1] {
            let submission = fixture.logs.submission(0, batch(base, &["some text"]));
            drop(fixture.wal.submit(submission).unwrap());
        }
        assert!(fixture.wal.lead_group());
    }
    fixture
}

fn first_file(fixture: &Fixture) -> PathBuf {
    fixture.directory.path().join("00000000000000000001.wal")
}

fn overwrite(fixture: &Fixture, position: u64, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(first_file(fixture));
    file.unwrap().write_all_at(bytes, position).unwrap();
}

fn read(fixture: &Fixture) -> (Vec<u64>, StorageResult<Scan>) {
    let mut lsns = Vec::new();
    let path = fixture.directory.path();
    let scanned = scan(&fixture.fs, path, SEED, ALL, |frame| {
        lsns.push(frame.header.lsn.get());
        Ok(())
    });
    (lsns, scanned)
}

const GROUP: u64 = GROUP_ALIGNMENT;

#[test]
fn a_torn_last_group_is_cut_at_its_first_bad_frame() {
    let fixture = log_of(3);
    // The second batch of the last group: its records, which only its own CRC-32C covers.
    let frame = (HEADER_BYTES + batch(0, &["some text"]).total_bytes()) as u64;
    overwrite(&fixture, 2 * GROUP + 2 * frame - 3, b"???");
    let (lsns, scanned) = read(&fixture);
    assert_eq!(lsns, [1, 2, 3, 4, 5]);
    let scanned = scanned.unwrap();
    assert_eq!(scanned.next_lsn, Lsn::new(6));
    let torn = scanned.torn.unwrap();
    assert_eq!(torn.position, 2 * GROUP + frame);
    assert!(matches!(torn.error, FrameError::Batch(_)));
}

#[test]
fn each_flipped_byte_of_the_last_group_is_noticed() {
    let fixture = log_of(1);
    let bytes = std::fs::read(first_file(&fixture)).unwrap();
    let frame = HEADER_BYTES + batch(0, &["some text"]).total_bytes();
    for (at, byte) in bytes.iter().enumerate().take(2 * frame) {
        overwrite(&fixture, at as u64, &[byte ^ 0x40]);
        let (lsns, _) = read(&fixture);
        assert_eq!(lsns.len(), at / frame, "byte {at}");
        overwrite(&fixture, at as u64, &[*byte]);
    }
    assert_eq!(read(&fixture).0, [1, 2]);
}

#[test]
fn a_bad_frame_that_was_durable_is_rot_and_not_a_tail() {
    for damaged in 0..2 {
        let fixture = log_of(3);
        overwrite(&fixture, damaged * GROUP + 30, b"?");
        let (_, scanned) = read(&fixture);
        assert!(
            matches!(scanned, Err(StorageError::Damaged { .. })),
            "group {damaged}: {scanned:?}"
        );
    }
}

#[test]
fn zeros_are_the_end_and_not_damage() {
    let fixture = log_of(2);
    let (lsns, scanned) = read(&fixture);
    assert_eq!(lsns, [1, 2, 3, 4]);
    assert_eq!(scanned.unwrap().torn, None);
    let empty = Fixture::new(SMALL);
    let (lsns, scanned) = read(&empty);
    assert!(lsns.is_empty());
    assert_eq!(scanned.unwrap().next_lsn, Lsn::FIRST);
}

#[test]
fn frames_of_another_file_or_directory_are_strangers() {
    let fixture = log_of(2);
    let renamed = fixture.directory.path().join("00000000000000000009.wal");
    std::fs::rename(first_file(&fixture), &renamed).unwrap();
    let (lsns, scanned) = read(&fixture);
    assert!(lsns.is_empty());
    assert_eq!(scanned.unwrap().next_file, WalFileId::new(10));
    std::fs::rename(renamed, first_file(&fixture)).unwrap();
    let other_seed = SEED ^ 1;
    let path = fixture.directory.path();
    let scanned = scan(&fixture.fs, path, other_seed, ALL, |_| {
        panic!("a frame with another directory's seed was taken")
    });
    assert_eq!(scanned.unwrap().frames, 0);
}

#[test]
fn a_frame_of_an_unknown_kind_is_refused() {
    let fixture = log_of(1);
    let frame = FrameHeader {
        kind: FrameKind::TopicDeleted,
        last_of_group: true,
        payload_bytes: 0,
        file: WalFileId::FIRST,
        lsn: Lsn::new(3),
        durable: Lsn::new(2),
        topic: testing::topic(),
        partition: 0.into(),
        leader_epoch: (-1).into(),
        base_offset: 0.into(),
        append_time: 0.into(),
    };
    let mut bytes = frame.encode(SEED, &[]);
    bytes[0] = 99;
    let mut crc = crc32fast::Hasher::new_with_initial(SEED);
    crc.update(&bytes[..12]);
    crc.update(&bytes[16..]);
    bytes[12..16].copy_from_slice(&crc.finalize().to_be_bytes());
    overwrite(&fixture, GROUP, &bytes);
    let (_, scanned) = read(&fixture);
    let refused = scanned.unwrap_err().to_string();
    assert!(refused.contains("kind 99"), "{refused}");
}

#[test]
fn a_length_beyond_the_file_allocates_nothing() {
    let fixture = log_of(1);
    overwrite(
        &fixture,
        GROUP,
        &[1, 2, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
    );
    let (lsns, scanned) = read(&fixture);
    assert_eq!(lsns, [1, 2]);
    assert_eq!(scanned.unwrap().next_lsn, Lsn::new(3));
}

#[test]
fn a_file_that_is_gone_although_its_frames_were_durable_is_noticed() {
    let fixture = Fixture::new(SMALL);
    let value = "x".repeat(60 << 10);
    for base in 0..3 {
        let submission = fixture.logs.submission(0, batch(base, &[&value]));
        drop(fixture.wal.submit(submission).unwrap());
        assert!(fixture.wal.lead_group());
    }
    std::fs::remove_file(fixture.directory.path().join("00000000000000000002.wal")).unwrap();
    let (lsns, scanned) = read(&fixture);
    assert_eq!(lsns, [1]);
    assert!(matches!(scanned, Err(StorageError::Damaged { .. })));
}

#[test]
fn the_bytes_of_a_frame() {
    let batch = batch(7, &["hello"]);
    let header = FrameHeader {
        kind: FrameKind::Batch,
        last_of_group: true,
        payload_bytes: u32::try_from(batch.total_bytes()).unwrap(),
        file: WalFileId::new(3),
        lsn: Lsn::new(42),
        durable: Lsn::new(41),
        topic: testing::topic(),
        partition: 5.into(),
        leader_epoch: 0.into(),
        base_offset: 7.into(),
        append_time: 1_700_000_000_000.into(),
    };
    let bytes = header.encode(SEED, &batch.to_bytes());
    let fields = [
        ("kind", 1),
        ("flags", 1),
        ("zero", 2),
        ("stream id", 4),
        ("payload bytes", 4),
        ("CRC-32", 4),
        ("file id", 8),
        ("LSN", 8),
        ("durable LSN", 8),
        ("topic id", 16),
        ("partition", 4),
        ("leader epoch", 4),
        ("base offset", 8),
        ("append time", 8),
    ];
    let mut text = String::new();
    let mut at = 0;
    for (name, size) in fields {
        let hex: Vec<_> = bytes[at..at + size]
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        writeln!(text, "{at:3}  {:48} {name}", hex.join(" ")).unwrap();
        at += size;
    }
    assert_eq!(at, HEADER_BYTES);
    insta::assert_snapshot!(text);
}
