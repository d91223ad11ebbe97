//! Cases on `bounds`, `flush` and `stats`.

use super::{BatchSpec, Subject, log::Log};
use crate::{
    batch::RecordBatch,
    offset::{Bounds, Offset},
    storage::Partition,
};

/// "A backend holds only committed records, so its bounds have high watermark and last stable
/// offset at the log end."
pub async fn bounds_are_those_of_a_committed_log(subject: &Subject) {
    let mut log = Log::create(subject).await;
    for records in 1..10 {
        log.append(&[BatchSpec::of(records), BatchSpec::of(1)]);
        let bounds = log.partition.bounds();
        assert_eq!(bounds.log_end, log.model.log_end());
        assert_eq!(bounds.high_watermark, bounds.log_end);
        assert_eq!(bounds.last_stable, bounds.log_end);
        assert_eq!(bounds.log_start, Offset::ZERO);
        assert!(bounds.durable_end <= bounds.log_end, "{bounds:?}");
    }
}

/// No bound "ever goes back", whatever is done.
pub async fn bounds_never_go_back(subject: &Subject) {
    let mut log = Log::create(subject).await;
    let mut before = log.partition.bounds();
    for step in 0_u64..24 {
        match step % 4 {
            0 | 1 => drop(log.append(&[BatchSpec::of(4).with_value_bytes(400)])),
            2 => drop(log.partition.flush().await.unwrap()),
            _ => log.trim(Offset::new(step)).await,
        }
        let now = log.partition.bounds();
        let went_back = now.log_start < before.log_start
            || now.last_stable < before.last_stable
            || now.high_watermark < before.high_watermark
            || now.log_end < before.log_end
            || now.durable_end < before.durable_end;
        assert!(!went_back, "from {before:?} to {now:?}");
        before = now;
    }
    log.check().await;
}

/// A flush "returns the durable end, which is at least the log end at the time of the call"; the
/// bounds show it.
pub async fn a_flush_covers_the_log_end(subject: &Subject) {
    let mut log = Log::create(subject).await;
    expect_flush(&*log.partition, Offset::ZERO).await;
    for _ in 0..5 {
        log.append(&[BatchSpec::of(3), BatchSpec::of(4).with_value_bytes(2_000)]);
        expect_flush(&*log.partition, log.model.log_end()).await;
    }
    expect_flush(&*log.partition, log.model.log_end()).await;
    log.trim(log.model.log_end()).await;
    expect_flush(&*log.partition, log.model.log_end()).await;
    log.check().await;
}

async fn expect_flush(partition: &dyn Partition, log_end: Offset) {
    let durable_end = partition.flush().await.unwrap();
    let Bounds {
        durable_end: shown, ..
    } = partition.bounds();
    assert_eq!(durable_end, log_end, "what flush answers");
    assert_eq!(shown, log_end, "what the bounds show after it");
}

/// Statistics count "bytes of the batches from log start to log end", and their segments hold every batch once.
pub async fn statistics_count_every_batch(subject: &Subject) {
    let mut log = Log::create(subject).await;
    assert_eq!(log.partition.stats().bytes, 0);
    for time in [50, 20, 90, 10] {
        log.append(&[BatchSpec::of(5).with_value_bytes(400).at(time)]);
        log.append(&[BatchSpec::of(2).at(time + 1)]);
        let stats = log.partition.stats();
        assert_eq!(stats.bytes, log.model.bytes());
        let in_segments: u64 = stats.segments.iter().map(|segment| segment.bytes).sum();
        assert_eq!(in_segments, stats.bytes, "{stats:?}");
        log.model.compare_stats(&*log.partition).unwrap();
    }
    for to in [3, 5, 8, 28] {
        log.trim(Offset::new(to)).await;
        log.model.compare_stats(&*log.partition).unwrap();
    }
}

/// "Retention removes whole ones": a log that outgrows its topic's `segment_bytes` has several, none
/// of them larger, and a trim to the end of one frees it.
pub async fn segments_are_sealed_by_size(subject: &Subject) {
    let specs = [BatchSpec::of(3).with_value_bytes(300); 20];
    let mut log = Log::with(subject, &specs).await;
    let segment_bytes = log.topic.config().segment_bytes;
    let largest = log
        .model
        .batches()
        .iter()
        .map(RecordBatch::total_bytes)
        .max();
    let stats = log.partition.stats();
    assert!(stats.segments.len() > 1, "{stats:?}");
    for segment in &stats.segments {
        let bound = segment_bytes + largest.unwrap_or_default() as u64;
        assert!(
            segment.bytes < bound,
            "{segment:?} of at most {segment_bytes} bytes"
        );
    }
    let first_end = stats.segments.first().unwrap().end_offset;
    log.trim(first_end).await;
    let left = log.partition.stats().segments;
    assert!(left.len() < stats.segments.len(), "{left:?}");
    assert!(left.iter().all(|segment| segment.base_offset >= first_end));
}
