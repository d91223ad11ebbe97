//! What every batch must do, whatever its codec.

use super::*;
use crate::{
    config::Compression,
    limits,
    producer::{ProducerEpoch, ProducerId, ProducerStamp, Sequence},
    record::{Header, Record},
};

const NOW: Timestamp = Timestamp::new(1_700_000_000_000);
const BYTES_MAX: u32 = limits::BATCH_BYTES_DEFAULT;

fn build(records: &[Record]) -> RecordBatch {
    let mut builder = BatchBuilder::new(Compression::None);
    for record in records {
        builder.push(record, NOW).unwrap();
    }
    builder.build().unwrap()
}

fn sample() -> RecordBatch {
    build(&[
        Record::new("first").with_key("k"),
        Record::new("second").with_header("h", "1"),
    ])
}

fn read(batch: &RecordBatch) -> Vec<RecordView> {
    batch
        .records(&RecordLimits::default())
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}

/// `batch` with its header changed and the CRC made right again.
fn altered(batch: &RecordBatch, change: impl FnOnce(&mut BatchHeader)) -> RecordBatch {
    let mut batch = batch.clone();
    change(&mut batch.header);
    batch.header.crc = batch.compute_crc();
    batch
}

#[test]
fn checksums_are_the_ones_they_are_named_after() {
    assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
    assert_eq!(crc32fast::hash(b"123456789"), 0xcbf4_3926);
}

#[test]
fn records_are_read_as_they_were_pushed() {
    let records = [
        Record::default(),
        Record {
            key: Some(Bytes::new()),
            value: Some(Bytes::new()),
            headers: vec![
                Header {
                    key: "h".into(),
                    value: None,
                },
                Header {
                    key: "h".into(),
                    value: Some("again".into()),
                },
            ],
            timestamp: Some(Timestamp::new(1_600_000_000_000)),
        },
    ];
    let mut batch = build(&records);
    batch.assign(Offset::new(41), LeaderEpoch::new(3));

    let found = read(&RecordBatch::parse(batch.to_bytes()).unwrap());

    assert_eq!(found[0].offset, Offset::new(41));
    assert_eq!(found[1].offset, Offset::new(42));
    assert_eq!(found[0].timestamp, NOW);
    assert_eq!(batch.header().max_timestamp, NOW);
    assert_eq!(found[1].headers.len(), 2);
    assert_eq!(found[1].clone().into_record(), records[1]);
    let untimed = Record {
        timestamp: None,
        ..found[0].clone().into_record()
    };
    assert_eq!(untimed, records[0]);
}

#[test]
fn keys_and_values_are_slices_of_the_batch() {
    let batch = sample();
    let whole = batch.records_bytes().as_ptr_range();
    for view in read(&batch) {
        let value = view.value.unwrap();
        assert!(whole.contains(&value.as_ptr()), "the value was copied");
    }
}

#[test]
fn append_time_replaces_the_records_own() {
    let mut batch = sample();
    let later = NOW.plus(std::time::Duration::from_secs(9));
    batch.set_log_append_time(later);
    let batch = RecordBatch::parse(batch.to_bytes()).unwrap();
    assert!(read(&batch).iter().all(|view| view.timestamp == later));
}

#[test]
fn batches_back_to_back_come_apart() {
    let mut bytes = sample().to_bytes().to_vec();
    let one = bytes.len();
    bytes.extend_from_slice(&sample().to_bytes());
    bytes.extend_from_slice(&sample().to_bytes()[..one - 1]);

    let found: Vec<_> = batches(bytes.into()).collect();

    let truncated = BatchError::Truncated {
        needed: one,
        have: one - 1,
    };
    assert_eq!(found, [Ok(sample()), Ok(sample()), Err(truncated)]);
}

#[test]
fn the_estimate_of_the_builder_is_never_too_small() {
    let mut builder = BatchBuilder::new(Compression::None);
    for record in [
        Record::default(),
        Record::new(vec![0; 70_000])
            .with_key("key")
            .with_header("a", "b")
            .with_timestamp(Timestamp::new(i64::MIN)),
    ] {
        let estimate = builder.total_bytes_with(&record);
        builder.push(&record, NOW).unwrap();
        assert!(builder.total_bytes() <= estimate);
        assert!(builder.total_bytes() + 60 > estimate, "far too large");
    }
    let bytes = builder.total_bytes();
    assert_eq!(builder.build().unwrap().total_bytes(), bytes);
}

#[test]
fn the_builder_holds_its_limits_and_keeps_what_it_has() {
    let mut builder = BatchBuilder::new(Compression::None);
    let key = |bytes| Record::new("v").with_key(vec![0; bytes]);
    let headers = |count| Record {
        headers: vec![
            Header {
                key: String::new(),
                value: None
            };
            count
        ],
        ..Record::default()
    };
    builder.push(&key(limits::KEY_BYTES_MAX), NOW).unwrap();
    builder.push(&headers(limits::HEADERS_MAX), NOW).unwrap();
    assert_eq!(
        builder.push(&key(limits::KEY_BYTES_MAX + 1), NOW),
        Err(BatchError::KeyTooLarge {
            bytes: limits::KEY_BYTES_MAX + 1,
            max: limits::KEY_BYTES_MAX
        })
    );
    assert_eq!(
        builder.push(&headers(limits::HEADERS_MAX + 1), NOW),
        Err(BatchError::TooManyHeaders {
            count: limits::HEADERS_MAX + 1,
            max: limits::HEADERS_MAX
        })
    );
    let large = Record::new(vec![0; limits::BATCH_BYTES_MAX as usize]);
    assert!(matches!(
        builder.push(&large, NOW),
        Err(BatchError::TooLarge { .. })
    ));
    assert_eq!(read(&builder.build().unwrap()).len(), 2);
    assert_eq!(
        BatchBuilder::new(Compression::None).build(),
        Err(BatchError::Empty)
    );
}

#[test]
fn readers_hold_the_limits_on_keys_and_headers() {
    let batch = build(&[Record::new("v")
        .with_key("four")
        .with_header("a", "b")
        .with_header("c", "d")]);
    let first = |limits: RecordLimits| batch.records(&limits).unwrap().next().unwrap();
    let exact = RecordLimits {
        headers_max: 2,
        key_bytes_max: 4,
        ..RecordLimits::default()
    };
    assert!(first(exact).is_ok());
    assert_eq!(
        first(RecordLimits {
            headers_max: 1,
            ..exact
        }),
        Err(BatchError::TooManyHeaders { count: 2, max: 1 })
    );
    assert_eq!(
        first(RecordLimits {
            key_bytes_max: 3,
            ..exact
        }),
        Err(BatchError::KeyTooLarge { bytes: 4, max: 3 })
    );
}

#[test]
fn a_producers_batch_is_taken() {
    let stamp = ProducerStamp {
        id: ProducerId::new(7),
        epoch: ProducerEpoch::new(0),
        base_sequence: Sequence::new(0),
    };
    let mut builder = BatchBuilder::new(Compression::None).with_producer(stamp);
    builder.push(&Record::new("v"), NOW).unwrap();
    let batch = builder.build().unwrap();
    assert_eq!(batch.validate_from_producer(BYTES_MAX), Ok(()));
    assert_eq!(batch.header().producer(), Some(stamp));
    assert_eq!(sample().validate_from_producer(BYTES_MAX), Ok(()));
    assert_eq!(sample().header().producer(), None);
}

#[test]
fn a_producers_batch_is_refused_for_what_it_may_not_be() {
    let batch = sample();
    let size = u32::try_from(batch.total_bytes()).unwrap();
    assert_eq!(batch.validate_from_producer(size), Ok(()));
    assert_eq!(
        batch.validate_from_producer(size - 1),
        Err(BatchError::TooLarge {
            bytes: batch.total_bytes(),
            max: batch.total_bytes() - 1
        })
    );
    let refused = |change: fn(&mut BatchHeader)| {
        altered(&batch, change)
            .validate_from_producer(BYTES_MAX)
            .unwrap_err()
    };
    assert_eq!(
        refused(|h| h.base_offset = Offset::new(1)),
        BatchError::InvalidBaseOffset(1)
    );
    let count = |count, last_offset_delta| BatchError::InvalidCount {
        count,
        last_offset_delta,
    };
    assert_eq!(refused(|h| h.record_count = 0), count(0, 1));
    assert_eq!(refused(|h| h.record_count = 1), count(1, 1));
    assert_eq!(refused(|h| h.last_offset_delta = 2), count(2, 2));
    assert_eq!(
        refused(|h| h.attributes |= 1 << 5),
        BatchError::ControlBatch
    );
    assert_eq!(
        refused(|h| h.attributes |= 1 << 3),
        BatchError::LogAppendTime
    );
    assert_eq!(
        refused(|h| h.producer_id = ProducerId::new(7)),
        BatchError::InvalidProducer {
            id: 7,
            epoch: -1,
            sequence: -1
        }
    );
    assert_eq!(refused(|h| h.attributes |= 7), BatchError::UnknownCodec(7));
    let mut rotten = batch.clone();
    rotten.header.crc ^= 1;
    assert!(matches!(
        rotten.validate_from_producer(BYTES_MAX),
        Err(BatchError::CrcMismatch { .. })
    ));
}

#[test]
fn records_that_do_not_fill_the_batch_are_refused() {
    let with_records = |bytes: &[u8]| {
        let mut batch = sample();
        batch.records = Bytes::copy_from_slice(bytes);
        altered(&batch, |h| {
            h.total_bytes = u32::try_from(HEADER_BYTES + bytes.len()).unwrap();
        })
    };
    let records = sample().records_bytes().to_vec();
    let short = with_records(&records[..records.len() - 1]);
    let long = with_records(&[&records[..], b"?"].concat());
    // The second record starts where the first one's length says; its offset delta is at 4.
    let second = 1 + usize::from(records[0] / 2);
    let mut renumbered = records.clone();
    renumbered[second + 3] = 0;

    for (batch, expected) in [
        (
            short,
            BatchError::InvalidRecord {
                index: 1,
                problem: "its length passes the end of the batch",
            },
        ),
        (long, BatchError::TrailingBytes(1)),
        (
            with_records(&renumbered),
            BatchError::InvalidRecord {
                index: 1,
                problem: "its offset is out of order",
            },
        ),
    ] {
        assert_eq!(
            batch.validate_from_producer(BYTES_MAX),
            Err(expected.clone())
        );
        let mut found = batch.records(&RecordLimits::default()).unwrap();
        assert_eq!(found.find_map(Result::err), Some(expected));
        assert_eq!(found.next(), None);
    }
}

#[test]
fn exactly_one_batch_is_one_batch() {
    let bytes = [sample().to_bytes(), sample().to_bytes()].concat();
    let one = bytes.len() / 2;
    assert_eq!(
        RecordBatch::parse(bytes.into()),
        Err(BatchError::TrailingBytes(one))
    );
}
