//! Cases on `advance_log_start`.

use super::{BatchSpec, Subject, batches::bytes_of, log::Log, model::request};
use crate::{offset::Offset, storage::StorageError, time::Timestamp};

/// "Moves the log start up to `to`": what lies before is gone, what lies behind is as it was.
pub async fn a_trim_moves_the_log_start(subject: &Subject) {
    let mut log = Log::varied(subject).await;
    let ends: Vec<_> = log
        .model
        .batches()
        .iter()
        .map(|b| b.header().end_offset())
        .collect();
    for to in ends {
        log.trim(to).await;
        log.check().await;
    }
    log.append(&[BatchSpec::of(2)]);
    log.check().await;
}

/// "A smaller one than there is changes nothing."
pub async fn a_trim_never_moves_back(subject: &Subject) {
    let mut log = Log::varied(subject).await;
    log.trim(Offset::new(20)).await;
    for to in [20, 19, 0] {
        log.trim(Offset::new(to)).await;
        assert_eq!(log.partition.bounds().log_start, Offset::new(20));
        log.check().await;
    }
}

/// `OffsetOutOfRange` "where `to` lies beyond the log end"; nothing is trimmed.
pub async fn a_trim_beyond_the_log_end_is_refused(subject: &Subject) {
    let log = Log::varied(subject).await;
    for to in [log.model.log_end().plus(1), Offset::MAX] {
        let error = log.partition.advance_log_start(to).await.unwrap_err();
        assert!(
            matches!(error, StorageError::OffsetOutOfRange { requested, .. } if requested == to),
            "{error:?}"
        );
        log.check().await;
    }
}

/// A log start within a batch hides the records before it; the batch itself is still read whole.
pub async fn a_trim_within_a_batch_leaves_it_whole(subject: &Subject) {
    let mut log = Log::with(subject, &[BatchSpec::of(10); 3]).await;
    for to in [4, 9, 10, 15, 29] {
        log.trim(Offset::new(to)).await;
        let request = request(Offset::new(to), Offset::MAX, 0);
        let read = log.model.compare_read(&*log.partition, &request).await;
        read.unwrap();
        log.check().await;
    }
}

/// A log may be trimmed to its end, and goes on from there.
pub async fn a_trim_to_the_log_end_leaves_an_empty_log(subject: &Subject) {
    let mut log = Log::varied(subject).await;
    for _ in 0..2 {
        log.trim(log.model.log_end()).await;
        assert_eq!(log.model.batches(), []);
        log.check().await;
        log.append(&[BatchSpec::of(3), BatchSpec::of(2).with_value_bytes(3_000)]);
        log.check().await;
    }
}

/// A log start may lie where no record is.
pub async fn a_trim_into_a_gap_is_allowed(subject: &Subject) {
    let mut log = Log::with(subject, &[BatchSpec::of(3)]).await;
    log.append_batches(&[BatchSpec::of(3).build(Offset::new(10))]);
    log.trim(Offset::new(7)).await;
    log.check().await;
    let below = request(Offset::new(3), Offset::MAX, usize::MAX);
    assert!(log.partition.read(&below).await.is_err());
}

/// A lookup by time begins "from log start".
pub async fn a_trimmed_batch_is_found_by_no_time(subject: &Subject) {
    let mut log = Log::create(subject).await;
    for time in [90, 20, 50] {
        log.append(&[BatchSpec::of(3).at(time)]);
    }
    log.trim(Offset::new(3)).await;
    for (at, expected) in [(10, Some(3)), (30, Some(6)), (51, None), (90, None)] {
        let found = log.partition.offset_for_timestamp(Timestamp::new(at)).await;
        let found = found.unwrap().map(|found| found.offset);
        assert_eq!(found, expected.map(Offset::new), "time {at}");
    }
}

/// Slices that readers hold stay valid when the space they lie in is freed.
pub async fn slices_outlive_a_trim(subject: &Subject) {
    let mut log = Log::varied(subject).await;
    let all = request(Offset::ZERO, Offset::MAX, usize::MAX);
    let held = log.partition.read(&all).await.unwrap();
    let expected = bytes_of(log.model.batches());
    log.trim(log.model.log_end()).await;
    for _ in 0..8 {
        log.append(&[BatchSpec::of(5).with_value_bytes(900)]);
    }
    assert_eq!(held.slices().concat(), expected);
}
