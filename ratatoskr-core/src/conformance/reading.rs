//! Cases on `read`, `try_read` and `offset_for_timestamp`.

use super::{
    BatchSpec, Subject,
    batches::{bytes_of, bytes_read},
    log::Log,
    model::request,
};
use crate::{
    batch::RecordBatch,
    offset::Offset,
    storage::{Access, ReadRequest, StorageError, TryRead},
    time::Timestamp,
};

/// Reads the batches at these places of the model, no more and no less.
async fn expect(log: &Log, request: ReadRequest, batches: std::ops::Range<usize>) {
    let found = log.partition.read(&request).await.unwrap();
    let found = bytes_read(&found).unwrap();
    let expected = bytes_of(log.model.batches().get(batches).unwrap());
    assert!(
        found == expected,
        "{request:?}: expected {}, got {}",
        super::batches::outline(&expected),
        super::batches::outline(&found)
    );
}

const fn from_until(from: u64, until: u64) -> ReadRequest {
    request(Offset::new(from), Offset::new(until), usize::MAX)
}

const fn from_at_most(from: u64, bytes_max: usize) -> ReadRequest {
    request(Offset::new(from), Offset::MAX, bytes_max)
}

/// Four batches: 0..3, 3..6, 6..9, 9..12.
async fn four_batches(subject: &Subject) -> Log {
    Log::with(subject, &[BatchSpec::of(3); 4]).await
}

/// "Reads whole batches, byte for byte as appended", from the log's start to its end.
pub async fn a_read_returns_every_batch_in_order(subject: &Subject) {
    let log = Log::varied(subject).await;
    let whole = log.model.batches().len();
    expect(&log, from_at_most(0, usize::MAX), 0..whole).await;
    log.check().await;
}

/// "From the first whose last offset is at least `from` (so the first may begin before it)."
pub async fn a_read_within_a_batch_begins_with_it(subject: &Subject) {
    let log = four_batches(subject).await;
    for (from, first) in [(0, 0), (1, 0), (2, 0), (3, 1), (5, 1), (6, 2), (11, 3)] {
        expect(&log, from_at_most(from, usize::MAX), first..4).await;
        expect(&log, from_at_most(from, 0), first..first + 1).await;
    }
}

/// "Stops before the first batch whose base offset reaches `until`", which may leave none.
pub async fn a_read_ends_before_until(subject: &Subject) {
    let log = four_batches(subject).await;
    for (until, end) in [(12, 4), (10, 4), (9, 3), (7, 3), (6, 2), (3, 1), (1, 1)] {
        expect(&log, from_until(0, until), 0..end).await;
        expect(&log, from_until(1, until), 0..end).await;
    }
    expect(&log, from_until(0, 0), 0..0).await;
    expect(&log, from_until(4, 3), 1..1).await;
    expect(&log, from_until(4, 4), 1..2).await;
    expect(&log, from_until(11, 0), 3..3).await;
}

/// It stops "before `bytes_max` would be passed".
pub async fn a_read_keeps_to_bytes_max(subject: &Subject) {
    let log = four_batches(subject).await;
    let batches = log.model.batches().iter().take(2);
    let two: usize = batches.map(RecordBatch::total_bytes).sum();
    expect(&log, from_at_most(0, two - 1), 0..1).await;
    expect(&log, from_at_most(0, two), 0..2).await;
    expect(&log, from_at_most(0, two + 1), 0..2).await;
    expect(&log, from_at_most(4, two), 1..3).await;
}

/// It "returns at least one batch where there is one".
pub async fn the_first_batch_comes_whatever_its_size(subject: &Subject) {
    let large = BatchSpec::of(2).with_value_bytes(20_000);
    let log = Log::with(subject, &[large, BatchSpec::of(1), large]).await;
    for bytes_max in [0, 1, 61, 1_000] {
        expect(&log, from_at_most(0, bytes_max), 0..1).await;
        expect(&log, from_at_most(3, bytes_max), 2..3).await;
    }
}

/// "Empty where nothing lies in that range."
pub async fn a_read_at_the_log_end_is_empty(subject: &Subject) {
    let mut log = Log::create(subject).await;
    expect(&log, from_at_most(0, usize::MAX), 0..0).await;
    log.append(&[BatchSpec::of(3); 4]);
    expect(&log, from_at_most(12, usize::MAX), 4..4).await;
    expect(&log, from_until(12, 0), 4..4).await;
}

/// `OffsetOutOfRange` "where `from` lies … beyond log end".
pub async fn a_read_beyond_the_log_end_is_out_of_range(subject: &Subject) {
    let log = four_batches(subject).await;
    expect_out_of_range(&log, Offset::new(13)).await;
    expect_out_of_range(&log, Offset::MAX).await;
}

/// `OffsetOutOfRange` "where `from` lies below log start".
pub async fn a_read_below_the_log_start_is_out_of_range(subject: &Subject) {
    let mut log = four_batches(subject).await;
    log.trim(Offset::new(6)).await;
    expect_out_of_range(&log, Offset::new(5)).await;
    expect_out_of_range(&log, Offset::ZERO).await;
    log.trim(Offset::new(7)).await;
    expect_out_of_range(&log, Offset::new(6)).await;
}

async fn expect_out_of_range(log: &Log, from: Offset) {
    let request = request(from, Offset::MAX, usize::MAX);
    let tried = log.partition.try_read(&request);
    let tried = tried.map(|found| matches!(found, TryRead::WouldBlock));
    let errors = [log.partition.read(&request).await.map(|_| false), tried];
    for answer in errors {
        match answer {
            Ok(true) => {}
            Err(StorageError::OffsetOutOfRange { requested, bounds }) => {
                assert_eq!(requested, from);
                log.model.compare_bounds(&bounds).unwrap();
            }
            other => panic!("a read from {from} answered {other:?}"),
        }
    }
}

/// "No batch is split across slices."
pub async fn no_batch_is_split_across_slices(subject: &Subject) {
    let log = Log::varied(subject).await;
    for access in [Access::Inspect, Access::Forward] {
        for bytes_max in [0, 1_000, 5_000, usize::MAX] {
            let request = ReadRequest {
                access,
                ..request(Offset::ZERO, Offset::MAX, bytes_max)
            };
            let found = log.partition.read(&request).await.unwrap();
            let bytes = bytes_read(&found).unwrap();
            assert_eq!(bytes.len(), found.len());
        }
    }
}

/// What the caller does with the bytes changes where they lie, not what they are.
pub async fn reads_for_either_access_agree(subject: &Subject) {
    let log = Log::varied(subject).await;
    let end = log.model.log_end().get();
    for from in 0..=end {
        let inspect = request(Offset::new(from), Offset::MAX, 2_500);
        let forward = ReadRequest {
            access: Access::Forward,
            ..inspect
        };
        for request in [inspect, forward] {
            let read = log.model.compare_read(&*log.partition, &request).await;
            read.unwrap();
        }
    }
}

/// `try_read` is "as `read`" where it does not answer `WouldBlock`.
pub async fn try_read_agrees_with_read(subject: &Subject) {
    let mut log = Log::varied(subject).await;
    log.trim(Offset::new(5)).await;
    let end = log.model.log_end().get();
    for from in 0..=end + 1 {
        for (until, bytes_max) in [(end, 0), (end / 2, usize::MAX), (u64::MAX, 3_000)] {
            let request = request(Offset::new(from), Offset::new(until), bytes_max);
            let read = log.model.compare_read(&*log.partition, &request).await;
            read.unwrap();
        }
    }
}

/// "The first batch from log start whose maximum timestamp is at least `at`", in a log whose times
/// go up and down.
pub async fn a_time_finds_the_first_batch_that_reaches_it(subject: &Subject) {
    let mut log = Log::create(subject).await;
    let times = [50, 20, 70, 70, 10, 90, 30];
    for time in times {
        log.append(&[BatchSpec::of(3).with_value_bytes(600).at(time)]);
    }
    for (at, base_offset) in [(0, 0), (50, 0), (51, 6), (70, 6), (71, 15), (90, 15)] {
        let found = log.partition.offset_for_timestamp(Timestamp::new(at)).await;
        let found = found.unwrap().unwrap();
        assert_eq!(found.offset, Offset::new(base_offset), "time {at}");
    }
    log.check().await;
}

/// "`None` where no batch has one."
pub async fn a_time_beyond_every_record_finds_nothing(subject: &Subject) {
    let mut log = Log::create(subject).await;
    let at = |ms| Timestamp::new(ms);
    let on_empty = log.partition.offset_for_timestamp(at(0)).await;
    assert_eq!(on_empty.unwrap(), None);
    log.append(&[BatchSpec::of(3).at(50), BatchSpec::of(2).at(40)]);
    for beyond in [51, i64::MAX] {
        let found = log.partition.offset_for_timestamp(at(beyond)).await;
        assert_eq!(found.unwrap(), None);
    }
}
