//! The bytes of segment and index files, as `docs/format.md` has them.

use std::{fmt::Write, fs};

use super::*;

/// Bytes of a batch's header, by field.
const BATCH: [(&str, usize); 13] = [
    ("base offset", 8),
    ("length", 4),
    ("leader epoch", 4),
    ("magic", 1),
    ("CRC-32C", 4),
    ("attributes", 2),
    ("last offset delta", 4),
    ("base timestamp", 8),
    ("max timestamp", 8),
    ("producer id", 8),
    ("producer epoch", 2),
    ("base sequence", 4),
    ("record count", 4),
];
const INDEX_HEADER: [(&str, usize); 9] = [
    ("magic", 8),
    ("version", 2),
    ("zero", 2),
    ("partition", 4),
    ("topic id", 16),
    ("base offset", 8),
    ("durable end", 8),
    ("zero", 12),
    ("CRC-32 of the header", 4),
];
const INDEX_ENTRY: [(&str, usize); 5] = [
    ("end offset - base offset", 4),
    ("end position", 4),
    ("maximum timestamp", 8),
    ("CRC-32 of the span", 4),
    ("CRC-32 of the entry", 4),
];

/// Writes `bytes` field by field; answers what is left.
fn dump<'a>(
    out: &mut String,
    position: &mut usize,
    mut bytes: &'a [u8],
    fields: &[(&str, usize)],
) -> &'a [u8] {
    for &(name, length) in fields {
        let (field, rest) = bytes.split_at(length.min(bytes.len()));
        let hex: Vec<_> = field.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(out, "{position:>4}  {:<47}  {name}", hex.join(" ")).unwrap();
        *position += length;
        bytes = rest;
    }
    bytes
}

/// Two batches, each followed by an entry since each was synced.
fn example() -> (Vec<u8>, Vec<u8>) {
    let fixture = Fixture::new();
    let (log, _) = fixture.open(None);
    for base in [0, 2] {
        log.append(&[batch(base, 2)]).unwrap();
        log.sync().unwrap();
    }
    let mut bytes = fs::read(fixture.log_path(0)).unwrap();
    bytes.truncate(log.checkpoint().position.try_into().unwrap());
    (bytes, fs::read(fixture.index_path(0)).unwrap())
}

fn log_dump(bytes: &[u8]) -> String {
    let mut out = String::new();
    let mut position = 0;
    let mut rest = bytes;
    while !rest.is_empty() {
        let records = u32::from_be_bytes(rest[8..12].try_into().unwrap()) as usize + 12 - 61;
        let mut parts = BATCH.to_vec();
        parts.extend(vec![("records", 15); records / 15]);
        parts.extend((!records.is_multiple_of(15)).then_some(("records", records % 15)));
        rest = dump(&mut out, &mut position, rest, &parts);
    }
    out
}

fn index_dump(bytes: &[u8]) -> String {
    let mut out = String::new();
    let mut position = 0;
    let mut rest = dump(&mut out, &mut position, bytes, &INDEX_HEADER);
    while !rest.is_empty() {
        rest = dump(&mut out, &mut position, rest, &INDEX_ENTRY);
    }
    out
}

#[test]
fn the_bytes_of_a_log_file() {
    insta::assert_snapshot!(log_dump(&example().0));
}

#[test]
fn the_bytes_of_an_index_file() {
    insta::assert_snapshot!(index_dump(&example().1));
}

#[test]
fn the_worked_example_is_what_is_written() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/format.md");
    let page = fs::read_to_string(page).unwrap();
    let (log, index) = example();
    assert!(page.contains(&index_dump(&index)), "the index differs");
    let first = log_dump(&log[..91]);
    assert!(page.contains(&first), "the first batch differs");
}

/// What version 1 wrote: 13 batches of 2 records in three segments, synced at the end.
fn fixture_v1() -> std::path::PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/v1/partition").into()
}

#[test]
fn what_version_1_wrote_is_read() {
    let expected: Vec<_> = (0..13).map(|number| batch(number * 2, 2)).collect();
    let checkpoint = LogCheckpoint {
        log_start: 0.into(),
        log_end: 26.into(),
        segment_base: 24.into(),
        position: 93,
        leader_epoch: 3.into(),
        max_timestamp: at(24),
    };
    for from in [None, Some(checkpoint)] {
        let fixture = Fixture::new();
        fs::create_dir(fixture.path()).unwrap();
        for name in names(&fixture_v1()) {
            fs::copy(fixture_v1().join(&name), fixture.path().join(&name)).unwrap();
        }
        let (log, recovered) = fixture.open(from);
        assert_eq!(recovered.cut, None);
        assert_eq!(recovered.quarantined, []);
        assert_eq!(recovered.indexes_rebuilt, 0);
        assert_eq!(read_all(&log, 0), expected);
        assert_eq!(log.sync().unwrap(), checkpoint);
        append(&log, 1);
    }
}

#[test]
fn version_1_is_what_is_written_now() {
    let (fixture, _, _) = Fixture::filled(13);
    assert_eq!(fixture.names(), names(&fixture_v1()));
    for name in fixture.names() {
        let now = fs::read(fixture.path().join(&name)).unwrap();
        assert!(
            now == fs::read(fixture_v1().join(&name)).unwrap(),
            "{name} differs"
        );
    }
}
