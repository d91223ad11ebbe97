//! Passes over logs as plain vectors of batches.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::{
    batch::{BatchBuilder, RecordBatch, RecordLimits, RecordView},
    config::Compression,
    offset::LeaderEpoch,
    producer::ProducerStamp,
    record::Record,
};

const HOUR: Duration = Duration::from_hours(1);

/// A batch of these keys, each with a value or, in capitals, without.
fn batch(base_offset: u64, keys: &str) -> RecordBatch {
    coded(base_offset, keys, Compression::None)
}

fn coded(base_offset: u64, keys: &str, codec: Compression) -> RecordBatch {
    let mut builder = BatchBuilder::new(codec);
    for (key, at) in keys.chars().zip(0_i64..) {
        let lower = key.to_ascii_lowercase().to_string();
        let mut record = Record::new(format!("value of {key} in {base_offset}: {at}"))
            .with_key(lower)
            .with_header("header", key.to_string());
        if key.is_ascii_uppercase() {
            record.value = None;
        }
        if key == '-' {
            record.key = None;
        }
        builder
            .push(&record, Timestamp::new(1_000 + 7 * at))
            .unwrap();
    }
    let mut batch = builder.build().unwrap();
    batch.assign(Offset::new(base_offset), LeaderEpoch::new(2));
    batch
}

/// Batches of these keys, one behind the other.
fn log(batches: &[&str]) -> Vec<RecordBatch> {
    let mut next = 0;
    let batches = batches.iter().map(|keys| {
        let batch = batch(next, keys);
        next = batch.header().end_offset().get();
        batch
    });
    batches.collect()
}

fn request(now_ms: i64) -> CompactRequest {
    CompactRequest {
        until: Offset::MAX,
        now: Timestamp::new(now_ms),
        tombstone_retention: HOUR,
        kept_batches: Arc::default(),
        key_map_bytes_max: 1 << 20,
        pace: Pace::UNLIMITED,
    }
}

/// One pass; where it ended.
fn compact(log: &mut Vec<RecordBatch>, dirty: u64, request: &CompactRequest) -> Offset {
    let end = log
        .last()
        .map_or(Offset::ZERO, |last| last.header().end_offset());
    let request = CompactRequest {
        until: request.until.min(end),
        ..request.clone()
    };
    let dirty = Offset::new(dirty);
    let mut mapping = Mapping::new(&request, dirty);
    for batch in log
        .iter()
        .filter(|batch| batch.header().end_offset() > dirty)
    {
        if !mapping.add(batch) {
            break;
        }
    }
    let pass = mapping.finish(&request);
    let mut cleaner = Cleaner::default();
    let mut out = Vec::new();
    for batch in std::mem::take(log) {
        cleaner.push(&pass, batch, &mut out);
    }
    cleaner.finish(&mut out);
    *log = out;
    pass.end()
}

fn records(log: &[RecordBatch]) -> Vec<RecordView> {
    let limits = RecordLimits::default();
    let of = |batch: &RecordBatch| batch.records(&limits).unwrap().map(Result::unwrap);
    log.iter().flat_map(of).collect()
}

/// Each batch as `base..end` and the keys in it.
fn outline(log: &[RecordBatch]) -> String {
    let of = |batch: &RecordBatch| {
        let header = batch.header();
        let mut text = format!("{}..{}", header.base_offset, header.end_offset());
        for record in records(std::slice::from_ref(batch)) {
            let key = record
                .key
                .map_or("-".into(), |key| String::from_utf8(key.to_vec()).unwrap());
            let key = if record.value.is_none() {
                key.to_uppercase()
            } else {
                key
            };
            text = format!("{text} {key}{}", record.offset);
        }
        batch.verify_crc().unwrap();
        text
    };
    let batches: Vec<_> = log.iter().map(of).collect();
    batches.join(" | ")
}

#[track_caller]
fn check(batches: &[&str], expected: &str) {
    let mut log = log(batches);
    compact(&mut log, 0, &request(0));
    assert_eq!(outline(&log), expected);
}

#[test]
fn the_latest_record_of_each_key_stays_where_it_is() {
    check(&["ab", "ac"], "0..2 b1 | 2..4 a2 c3");
    check(&["aaa"], "0..3 a2");
    check(&["abc", "d"], "0..3 a0 b1 c2 | 3..4 d3");
    check(&[], "");
}

#[test]
fn emptied_batches_leave_one_that_stands_for_their_offsets() {
    check(
        &["a", "bb", "c", "ab", "a"],
        "0..3 | 3..4 c3 | 4..6 b5 | 6..7 a6",
    );
    check(&["ab", "ab", "ab"], "0..4 | 4..6 a4 b5");
}

#[test]
fn records_without_a_key_stay() {
    check(&["-a-", "a"], "0..3 -0 -2 | 3..4 a3");
}

#[test]
fn what_stands_for_others_joins_with_what_goes_later() {
    let mut log = log(&["a", "a", "b", "a"]);
    compact(&mut log, 0, &request(0));
    assert_eq!(outline(&log), "0..2 | 2..3 b2 | 3..4 a3");
    log.push(batch(4, "b"));
    compact(&mut log, 4, &request(0));
    assert_eq!(outline(&log), "0..3 | 3..4 a3 | 4..5 b4");
    let max = log[0].header().max_timestamp;
    assert_eq!(max, Timestamp::new(1_000), "its age is that of what went");
    assert_eq!(log[0].header().leader_epoch, LeaderEpoch::new(2));
}

#[test]
fn a_second_pass_changes_nothing() {
    let mut log = log(&["ab", "-B", "ac", "cc", "d"]);
    compact(&mut log, 0, &request(0));
    let once = log.clone();
    compact(&mut log, 0, &request(1));
    assert_eq!(log, once);
}

#[test]
fn a_tombstone_stays_for_its_time_from_the_first_pass_on() {
    let mut log = log(&["ab", "A", "c"]);
    let hour_ms = 3_600_000;
    // However late the first pass comes, and however old the record's own time is.
    let first = 100 * hour_ms;
    compact(&mut log, 0, &request(first));
    assert_eq!(outline(&log), "0..2 b1 | 2..3 A2 | 3..4 c3");
    let stamped = records(&log)[1].clone();
    assert_eq!(stamped.timestamp, Timestamp::new(1_000));
    assert_eq!(stamped.headers.len(), 1);
    let horizon = log[1].header().delete_horizon();
    assert_eq!(horizon, Some(Timestamp::new(first + hour_ms)));
    compact(&mut log, 3, &request(first + hour_ms - 1));
    assert_eq!(outline(&log), "0..2 b1 | 2..3 A2 | 3..4 c3");
    assert_eq!(
        log[1].header().delete_horizon(),
        horizon,
        "its time is not lengthened"
    );
    compact(&mut log, 3, &request(first + hour_ms));
    assert_eq!(outline(&log), "0..2 b1 | 2..3 | 3..4 c3");
}

#[test]
fn times_and_headers_of_records_outlive_a_horizon_in_each_codec() {
    for codec in Compression::ALL
        .into_iter()
        .filter(|codec| codec.is_built())
    {
        let mut log = vec![coded(5, "abABcdefghijklmnop", codec)];
        let before = records(&log);
        compact(&mut log, 0, &request(1 << 40));
        let kept: Vec<_> = before.into_iter().skip(2).collect();
        assert_eq!(records(&log), kept, "{codec}");
        assert_eq!(log[0].header().base_offset, Offset::new(5));
        assert_eq!(
            log[0].header().max_timestamp,
            Timestamp::new(1_000 + 7 * 17)
        );
    }
}

#[test]
fn headers_that_producers_go_on_from_stay() {
    let mut log = log(&["a", "a", "a", "a"]);
    for (batch, at) in log.iter_mut().zip(0..) {
        batch.set_producer(ProducerStamp {
            id: 7.into(),
            epoch: 1.into(),
            base_sequence: at.into(),
        });
    }
    let kept = CompactRequest {
        kept_batches: [Offset::new(1), Offset::new(3)].into(),
        ..request(0)
    };
    let before = log.clone();
    compact(&mut log, 0, &kept);
    assert_eq!(outline(&log), "0..1 | 1..2 | 2..3 | 3..4 a3");
    assert_eq!(log[0].header().producer(), None);
    assert_eq!(log[1].header().producer(), before[1].header().producer());
    assert_eq!(log[2].header().producer(), None);
    // Once nobody asks for it any more, it goes as well.
    compact(&mut log, 3, &request(0));
    assert_eq!(outline(&log), "0..3 | 3..4 a3");
}

#[test]
fn a_pass_reaches_as_far_as_memory_and_request_do() {
    let keys: Vec<String> = (0..40).map(|key| format!("k{key}")).collect();
    let mut builder = BatchBuilder::new(Compression::None);
    for key in keys.iter().chain(&keys) {
        builder
            .push(&Record::new("v").with_key(key.clone()), Timestamp::new(0))
            .unwrap();
    }
    let mut log = vec![builder.build().unwrap()];
    let small = CompactRequest {
        key_map_bytes_max: 0,
        ..request(0)
    };
    let (mut end, mut passes) = (Offset::ZERO, 0);
    while end < Offset::new(80) {
        let reached = compact(&mut log, end.get(), &small);
        assert!(reached > end, "a pass that does not fit still goes on");
        (end, passes) = (reached, passes + 1);
    }
    assert!(passes > 2);
    let left: Vec<_> = records(&log)
        .iter()
        .map(|record| record.offset.get())
        .collect();
    assert_eq!(left, (40..80).collect::<Vec<_>>());

    let mut log = super::tests::log(&["aa", "aa"]);
    let until = CompactRequest {
        until: Offset::new(3),
        ..request(0)
    };
    assert_eq!(compact(&mut log, 0, &until), Offset::new(3));
    assert_eq!(outline(&log), "0..2 | 2..4 a2 a3");
}

/// What a log must show after passes that reached to `end`: records from there on, the latest of each
/// key before it, and no tombstone once it has gone; always the value that a reader from the start
/// ends up with.
fn state(records: &[RecordView]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut state = BTreeMap::new();
    for record in records {
        let key = record.key.clone().unwrap().to_vec();
        match &record.value {
            Some(value) => state.insert(key, value.to_vec()),
            None => state.remove(&key),
        };
    }
    state
}

proptest! {
    #[test]
    fn a_reader_from_the_start_ends_up_with_the_same(
        batches in prop::collection::vec("[a-fA-F]{1,6}", 1..20),
        passes in prop::collection::vec((0usize..2_000, 0i64..3, 0u64..60), 1..6),
    ) {
        let batches: Vec<_> = batches.iter().map(String::as_str).collect();
        let mut log = log(&batches);
        let before = records(&log);
        let (mut dirty, mut hours) = (Offset::ZERO, 0);
        for (memory, later, until) in passes {
            hours += later;
            let request = CompactRequest {
                key_map_bytes_max: memory,
                until: Offset::new(until).max(dirty),
                ..request(hours * 3_600_000)
            };
            dirty = dirty.max(compact(&mut log, dirty.get(), &request));
            let after = records(&log);
            prop_assert_eq!(state(&after), state(&before));
            for record in &after {
                prop_assert!(before.contains(record));
                let superseded = after.iter().any(|later| {
                    later.key == record.key && later.offset > record.offset && later.offset < dirty
                });
                prop_assert!(!superseded);
            }
            let mut next = Offset::ZERO;
            for batch in &log {
                prop_assert_eq!(batch.header().base_offset, next);
                next = batch.header().end_offset();
                batch.verify_crc().unwrap();
            }
        }
    }
}
