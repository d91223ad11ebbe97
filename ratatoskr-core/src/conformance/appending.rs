//! Cases on `append`.

use super::{BatchSpec, Subject, log::Log, model::request};
use crate::{
    batch::RecordBatch,
    limits,
    offset::Offset,
    storage::{Appended, StorageError},
};

/// It answers with the "base offset of the first batch" and "the log end after it".
pub async fn an_append_answers_where_it_went(subject: &Subject) {
    let log = Log::create(subject).await;
    let first = [BatchSpec::of(3).build(Offset::ZERO)];
    let expected = Appended {
        base_offset: Offset::ZERO,
        log_end: Offset::new(3),
    };
    assert_eq!(log.partition.append(&first).unwrap(), expected);

    let next = [
        BatchSpec::of(2).build(Offset::new(3)),
        BatchSpec::of(1).build(Offset::new(5)),
    ];
    let expected = Appended {
        base_offset: Offset::new(3),
        log_end: Offset::new(6),
    };
    assert_eq!(log.partition.append(&next).unwrap(), expected);
    assert_eq!(log.partition.bounds().log_end, Offset::new(6));
}

/// An empty slice "appends nothing and answers with the log end twice".
pub async fn appending_nothing_changes_nothing(subject: &Subject) {
    let mut log = Log::create(subject).await;
    log.append(&[]);
    log.check().await;
    log.append(&[BatchSpec::of(4)]);
    log.append(&[]);
    log.check().await;
}

/// "On return they can be read", through `read` at least.
pub async fn what_is_appended_can_be_read_at_once(subject: &Subject) {
    let mut log = Log::create(subject).await;
    for records in 1..30 {
        let appended = log.append(&[BatchSpec::of(records).with_value_bytes(60)]);
        let request = request(appended.base_offset, Offset::MAX, usize::MAX);
        let read = log.model.compare_read(&*log.partition, &request).await;
        read.unwrap();
        log.model.compare_bounds(&log.partition.bounds()).unwrap();
    }
    log.check().await;
}

/// "Whole batches, byte for byte as appended": offset, leader epoch and all.
pub async fn batches_are_kept_byte_for_byte(subject: &Subject) {
    let mut log = Log::create(subject).await;
    for size in [0, 1, 2, 3, 511, 512, 513, 1_000, 4_095, 4_096, 9_999] {
        log.append(&[
            BatchSpec::of(1).with_value_bytes(size),
            BatchSpec::of(2).with_value_bytes(size / 2),
        ]);
    }
    log.check().await;
}

/// `OutOfOrder` "where a base offset lies below the log end; nothing is appended".
pub async fn a_batch_below_the_log_end_is_refused_without_effect(subject: &Subject) {
    let mut log = Log::with(subject, &[BatchSpec::of(5), BatchSpec::of(5)]).await;
    for below in [0, 5, 9] {
        let batch = BatchSpec::of(3).build(Offset::new(below));
        let error = log.partition.append(&[batch]).unwrap_err();
        let (refused, end) = (Offset::new(below), Offset::new(10));
        assert!(
            matches!(error, StorageError::OutOfOrder { base_offset, log_end }
                if base_offset == refused && log_end == end),
            "{error:?}"
        );
        log.renew_handle();
        log.check().await;
    }
    log.append(&[BatchSpec::of(3)]);
    log.check().await;
}

/// "All or none are appended": one batch out of order keeps out those before and after it.
pub async fn batches_are_appended_all_or_none(subject: &Subject) {
    let mut log = Log::with(subject, &[BatchSpec::of(5)]).await;
    let at = |offset| BatchSpec::of(3).build(Offset::new(offset));
    let wrong: [&[RecordBatch]; 3] = [&[at(5), at(7)], &[at(5), at(8), at(10)], &[at(4), at(7)]];
    for batches in wrong {
        let error = log.partition.append(batches).unwrap_err();
        assert!(
            matches!(error, StorageError::OutOfOrder { .. }),
            "{error:?}"
        );
        log.renew_handle();
        log.check().await;
    }
    log.append(&[BatchSpec::of(1), BatchSpec::of(2)]);
    log.check().await;
}

/// "The first must be at or beyond the log end (beyond it only when a log is rebuilt), each next at
/// or beyond the end of the one before."
pub async fn gaps_are_allowed_beyond_the_log_end(subject: &Subject) {
    let mut log = Log::create(subject).await;
    let at = |offset| BatchSpec::of(3).build(Offset::new(offset));
    log.append_batches(&[at(100)]);
    log.check().await;
    log.append_batches(&[at(105), at(108), at(120)]);
    log.check().await;
    for from in 0..=123 {
        let request = request(Offset::new(from), Offset::MAX, 0);
        let read = log.model.compare_read(&*log.partition, &request).await;
        read.unwrap();
    }
    log.append(&[BatchSpec::of(2)]);
    log.check().await;
}

/// "Two calls give handles to the same log."
pub async fn handles_share_one_log(subject: &Subject) {
    let mut log = Log::with(subject, &[BatchSpec::of(5)]).await;
    let other = std::sync::Arc::clone(&log.partition);
    log.renew_handle();
    log.append(&[BatchSpec::of(2)]);
    log.model.compare(&*other).await.unwrap();
    let batches = log.model.next_batches(&[BatchSpec::of(3)]);
    other.append(&batches).unwrap();
    log.model.append(&batches);
    log.check().await;
    other.advance_log_start(Offset::new(5)).await.unwrap();
    log.model.trim(Offset::new(5));
    log.check().await;
}

/// Segments are a backend's own affair: a batch that is larger than one is appended like any other.
pub async fn a_batch_may_be_larger_than_a_segment(subject: &Subject) {
    let mut log = Log::create(subject).await;
    let segment_bytes = usize::try_from(limits::SEGMENT_BYTES_MIN).unwrap();
    let large = BatchSpec::of(3).with_value_bytes(2 * segment_bytes);
    log.append(&[large]);
    log.append(&[BatchSpec::of(1), large, BatchSpec::of(1)]);
    log.append(&[large]);
    log.check().await;
}
