//! Batches that Kafka's own clients wrote are read as what was put into them, and ours are the same
//! bytes. `fixtures/kafka/README.md` says how the fixtures were made.

use std::{env, fmt::Display, fs, path::PathBuf};

use bytes::Bytes;
use ratatoskr_core::{
    batch::{BatchBuilder, BatchHeader, HEADER_BYTES, RecordBatch, RecordLimits},
    config::Compression,
    limits,
    producer::{ProducerEpoch, ProducerId, ProducerStamp, Sequence},
    record::{Header, Record},
    time::Timestamp,
};

const NOW: i64 = 1_700_000_000_000;

/// What every fixture holds.
fn records() -> Vec<Record> {
    let at = |ms| Timestamp::new(NOW + ms);
    let absent = Header {
        key: "absent".into(),
        value: None,
    };
    let mut empty = Record::new("")
        .with_key("")
        .with_header("empty", "")
        .with_timestamp(at(0));
    empty.headers.push(absent);
    vec![
        Record::new("signed up")
            .with_key("user-1")
            .with_header("source", "web")
            .with_header("trace", &b"\0\x01\xff"[..])
            .with_header("source", "again")
            .with_timestamp(at(0)),
        Record::new("no key").with_timestamp(at(5)),
        Record {
            key: Some("user-1".into()),
            timestamp: Some(at(-1000)),
            ..Record::default()
        },
        empty.with_header("größe", "1"),
        Record::new("0123456789abcdef".repeat(2100))
            .with_key("large")
            .with_timestamp(at(1)),
    ]
}

/// The codecs of this build.
fn codecs() -> impl Iterator<Item = Compression> {
    Compression::ALL
        .into_iter()
        .filter(|codec| codec.is_built())
}

fn path(client: &str, codec: Compression) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/kafka")
        .join(client)
        .join(format!("{codec}.batch"))
}

fn fixture(client: &str, codec: Compression) -> Bytes {
    let path = path(client, codec);
    fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .into()
}

fn read(batch: &RecordBatch) -> Vec<Record> {
    batch
        .records(&RecordLimits::default())
        .unwrap()
        .map(|view| view.unwrap().into_record())
        .collect()
}

/// What the Java client stamped its fixtures with.
fn stamp() -> ProducerStamp {
    ProducerStamp {
        id: ProducerId::new(4242),
        epoch: ProducerEpoch::new(3),
        base_sequence: Sequence::new(17),
    }
}

fn build(codec: Compression) -> RecordBatch {
    let mut builder = BatchBuilder::new(codec).with_producer(stamp());
    for record in records() {
        builder.push(&record, Timestamp::NONE).unwrap();
    }
    builder.build().unwrap()
}

#[track_caller]
fn check(client: &str) {
    for codec in codecs() {
        let bytes = fixture(client, codec);
        let batch = RecordBatch::parse(bytes.clone()).unwrap();
        assert_eq!(batch.header().codec(), Ok(codec));
        batch
            .validate_from_producer(limits::BATCH_BYTES_DEFAULT)
            .unwrap();
        assert_eq!(read(&batch), records(), "{client}, {codec}");
        assert_eq!(batch.to_bytes(), bytes, "{client}, {codec}");
    }
}

#[test]
fn the_java_clients_batches_are_read() {
    check("java-client");
    for codec in codecs() {
        let batch = RecordBatch::parse(fixture("java-client", codec)).unwrap();
        assert_eq!(batch.header().producer(), Some(stamp()));
    }
}

#[test]
fn kafka_pythons_batches_are_read() {
    check("kafka-python");
}

#[test]
fn aiokafkas_batches_are_read() {
    check("aiokafka");
}

#[test]
fn librdkafkas_batches_are_read() {
    check("librdkafka");
}

#[test]
fn our_batch_is_the_java_clients_byte_for_byte() {
    let ours = build(Compression::None).to_bytes();
    assert_eq!(ours, fixture("java-client", Compression::None));
}

/// The checked-in batches are the ones that Kafka's clients have read.
#[test]
fn our_batches_are_the_ones_that_kafkas_clients_read() {
    for codec in codecs() {
        let batch = build(codec);
        if env::var_os("WRITE_FIXTURES").is_some() {
            fs::create_dir_all(path("ratatoskr", codec).parent().unwrap()).unwrap();
            fs::write(path("ratatoskr", codec), batch.to_bytes()).unwrap();
        }
        assert_eq!(batch.header().codec(), Ok(codec));
        assert_eq!(read(&batch), records(), "{codec}");
    }
    check("ratatoskr");
}

/// The bytes `from..to` of a header, their name, and what they are decoded to.
fn line(bytes: &[u8], from: usize, to: usize, name: &str, value: &dyn Display) -> String {
    let hex: Vec<_> = bytes[from..to].iter().map(|b| format!("{b:02x}")).collect();
    format!("{from:3}  {:<23}  {name:<17}  {value}", hex.join(" "))
}

#[test]
fn the_layout_of_the_header() {
    let bytes = fixture("java-client", Compression::None);
    let BatchHeader {
        base_offset,
        total_bytes,
        leader_epoch,
        crc,
        attributes,
        last_offset_delta,
        base_timestamp,
        max_timestamp,
        producer_id,
        producer_epoch,
        base_sequence,
        record_count,
    } = BatchHeader::decode(&bytes).unwrap();
    let lines = [
        line(&bytes, 0, 8, "base offset", &base_offset),
        line(&bytes, 8, 12, "length", &(total_bytes - 12)),
        line(&bytes, 12, 16, "leader epoch", &leader_epoch),
        line(&bytes, 16, 17, "magic", &2),
        line(&bytes, 17, 21, "CRC-32C", &format!("{crc:08x}")),
        line(&bytes, 21, 23, "attributes", &format!("{attributes:016b}")),
        line(&bytes, 23, 27, "last offset delta", &last_offset_delta),
        line(&bytes, 27, 35, "base timestamp", &base_timestamp),
        line(&bytes, 35, 43, "max timestamp", &max_timestamp),
        line(&bytes, 43, 51, "producer id", &producer_id),
        line(&bytes, 51, 53, "producer epoch", &producer_epoch),
        line(&bytes, 53, 57, "base sequence", &base_sequence),
        line(&bytes, 57, HEADER_BYTES, "record count", &record_count),
    ];
    insta::assert_snapshot!(lines.join("\n"), @r"
      0  00 00 00 00 00 00 00 00  base offset        0
      8  00 00 83 f4              length             33780
     12  ff ff ff ff              leader epoch       -1
     16  02                       magic              2
     17  40 5f 4d df              CRC-32C            405f4ddf
     21  00 00                    attributes         0000000000000000
     23  00 00 00 04              last offset delta  4
     27  00 00 01 8b cf e5 68 00  base timestamp     1700000000000
     35  00 00 01 8b cf e5 68 05  max timestamp      1700000000005
     43  00 00 00 00 00 00 10 92  producer id        4242
     51  00 03                    producer epoch     3
     53  00 00 00 11              base sequence      17
     57  00 00 00 05              record count       5
    ");
}
