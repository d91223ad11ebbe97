//! Cases on `compact`, for backends that can; of the others, that they say so.

use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use super::{
    Subject,
    batches::bytes_of,
    compactable::{Compactable, HOUR, NOW, asked, batches_from, keyed, latest_of, records},
    model::request,
};
use crate::{
    batch::{BatchBuilder, RecordBatch},
    compaction::{CompactRequest, Compacted},
    config::Compression,
    offset::{LeaderEpoch, Offset},
    producer::ProducerStamp,
    record::Record,
    storage::{Access, PartitionExt, ReadRequest},
    time::Timestamp,
};

/// "Compacts the log": the latest record of each key stays, at its offset; earlier ones go.
pub async fn the_latest_record_of_each_key_is_kept(subject: &Subject) {
    let Some(mut log) = Compactable::varied(subject).await else {
        return;
    };
    let bytes = log.log.partition.stats().bytes;
    let compacted = log.compact(&asked(Offset::MAX)).await;
    assert!(
        compacted.to >= log.last_segment(),
        "only the last segment may be left out"
    );
    assert!(compacted.before.bytes > compacted.after.bytes);
    assert!(compacted.before.records > compacted.after.records);
    assert!(log.log.partition.stats().bytes < bytes);
    log.check(compacted.to).await;
    // And once more, with what has come since.
    log.append(&["ab", "z", "c"].repeat(40));
    let compacted = log.compact(&asked(Offset::MAX)).await;
    assert!(compacted.to >= log.last_segment());
    log.check(compacted.to).await;
}

/// "Bounds and the offsets of records stay": a read from any offset begins with the first batch that
/// ends beyond it.
pub async fn bounds_and_reads_outlive_a_compaction(subject: &Subject) {
    let Some(log) = Compactable::varied(subject).await else {
        return;
    };
    log.log.partition.flush().await.unwrap();
    let before = log.log.partition.bounds();
    log.compact(&asked(Offset::MAX)).await;
    assert_eq!(log.log.partition.bounds(), before);
    let all = log.batches().await;
    for from in (0..=before.log_end.get()).map(Offset::new) {
        let there = all
            .iter()
            .position(|batch| batch.header().end_offset() > from);
        let expected = there.map_or(&[][..], |at| &all[at..]);
        let everything = request(from, Offset::MAX, usize::MAX);
        let read = log.log.partition.read_either(&everything).await.unwrap();
        let expected = bytes_of(expected);
        let read = read.slices().concat();
        assert!(expected.starts_with(&read), "read from {from}");
        assert_eq!(read.is_empty(), expected.is_empty(), "read from {from}");
        let found = batches_from(&*log.log.partition, from).await;
        assert_eq!(bytes_of(&found), expected, "all from {from}");
    }
}

/// Records from `until` on stay as they are, and supersede nothing.
pub async fn nothing_beyond_until_is_compacted(subject: &Subject) {
    let Some(mut log) = Compactable::varied(subject).await else {
        return;
    };
    log.seal();
    let until = log.log.partition.stats().segments[1].end_offset;
    let compacted = log.compact(&asked(until)).await;
    assert!(
        compacted.to <= until,
        "compacted to {} of {until}",
        compacted.to
    );
    log.check(compacted.to).await;
}

/// "Where memory does not suffice, the pass ends earlier", and the next one goes on.
pub async fn compaction_goes_on_where_its_memory_ended(subject: &Subject) {
    let Some(mut log) = Compactable::create(subject).await else {
        return;
    };
    for round in 0..2 {
        for number in 0..60_u64 {
            let next = log.log.partition.bounds().log_end;
            let mut builder = BatchBuilder::new(Compression::None);
            let key = format!("key {number}");
            let record = Record::new(format!("{round} ").repeat(100)).with_key(key);
            builder.push(&record, Timestamp::new(1_000)).unwrap();
            let mut batch = builder.build().unwrap();
            batch.assign(next, LeaderEpoch::new(0));
            log.append_batch(batch);
        }
    }
    let until = log.seal();
    let small = CompactRequest {
        key_map_bytes_max: 24 * 40,
        ..asked(Offset::MAX)
    };
    let mut to = Offset::ZERO;
    let mut passes = 0;
    while to < until {
        let compacted = log.compact(&small).await;
        assert!(compacted.to > to, "no progress at {to}");
        to = compacted.to;
        passes += 1;
        log.check_superseded_by_passes(to).await;
    }
    assert!(passes > 2, "{passes} passes");
}

/// A tombstone stays until its time is up, counted from the first compaction that sees it.
pub async fn tombstones_stay_for_their_time(subject: &Subject) {
    let Some(mut log) = Compactable::with(subject, &["ab", "A"]).await else {
        return;
    };
    let tombstone = Offset::new(2);
    let later = |by: Duration| CompactRequest {
        now: NOW.plus(by),
        ..asked(Offset::MAX)
    };
    let almost = HOUR.saturating_sub(Duration::from_millis(1));
    for (by, is_there) in [(Duration::ZERO, true), (almost, true), (HOUR, false)] {
        // Something new, without which there is nothing to do.
        let until = log.seal();
        let compacted = log.compact(&later(by)).await;
        assert!(compacted.to >= until);
        let there = records(&log.batches().await);
        let found = there.iter().find(|record| record.offset == tombstone);
        assert_eq!(found.is_some(), is_there, "after {by:?}");
        if let Some(found) = found {
            assert_eq!(
                *found,
                records(&log.appended)[2],
                "it is as it was appended"
            );
        }
        assert!(
            !there.iter().any(|record| record.offset == Offset::ZERO),
            "what it deletes"
        );
    }
}

/// Batches that the engine wants kept keep at least their headers.
pub async fn wanted_headers_outlive_a_compaction(subject: &Subject) {
    let Some(mut log) = Compactable::create(subject).await else {
        return;
    };
    for sequence in 0..40 {
        let next = log.log.partition.bounds().log_end;
        let mut batch = keyed(next, "abab", Compression::None);
        batch.set_producer(ProducerStamp {
            id: 9.into(),
            epoch: 0.into(),
            base_sequence: (4 * sequence).into(),
        });
        log.append_batch(batch);
    }
    log.seal();
    let kept: Vec<_> = [1, 2, 7].map(|at: usize| *log.appended[at].header()).into();
    let wanted = CompactRequest {
        kept_batches: kept.iter().map(|header| header.base_offset).collect(),
        ..asked(Offset::MAX)
    };
    for _ in 0..2 {
        let compacted = log.compact(&wanted).await;
        log.check(compacted.to).await;
        let there = log.batches().await;
        for header in &kept {
            let found = there.iter().map(RecordBatch::header);
            let found = found.filter(|found| found.base_offset == header.base_offset);
            let stamps: Vec<_> = found.map(|f| (f.producer(), f.last_offset())).collect();
            assert_eq!(stamps, [(header.producer(), header.last_offset())]);
        }
        log.append(&["xyz"; 60]);
        log.seal();
    }
}

/// What is compacted already stays byte for byte.
pub async fn compacting_again_changes_nothing(subject: &Subject) {
    let Some(mut log) = Compactable::varied(subject).await else {
        return;
    };
    let until = log.seal();
    let first = log.compact(&asked(until)).await;
    let once = bytes_of(&log.batches().await);
    let again = log.compact(&asked(until)).await;
    assert_eq!(again, Compacted::nothing(first.to));
    assert_eq!(bytes_of(&log.batches().await), once);
}

/// Batches of each codec are compacted, and read as before.
pub async fn compressed_batches_are_compacted(subject: &Subject) {
    let Some(mut log) = Compactable::create(subject).await else {
        return;
    };
    for _ in 0..12 {
        for codec in Compression::ALL
            .into_iter()
            .filter(|codec| codec.is_built())
        {
            let next = log.log.partition.bounds().log_end;
            log.append_batch(keyed(next, "abcdEFghijklmnoP", codec));
        }
    }
    log.seal();
    let compacted = log.compact(&asked(Offset::MAX)).await;
    log.check(compacted.to).await;
}

/// Slices that readers hold stay valid when what they lie in is replaced.
pub async fn slices_outlive_a_compaction(subject: &Subject) {
    let Some(mut log) = Compactable::varied(subject).await else {
        return;
    };
    log.seal();
    for access in [Access::Inspect, Access::Forward] {
        let all = ReadRequest {
            access,
            ..request(Offset::ZERO, Offset::MAX, usize::MAX)
        };
        let held = log.log.partition.read(&all).await.unwrap();
        let before = held.slices().concat();
        log.compact(&asked(Offset::MAX)).await;
        log.append(&["abc"; 40]);
        log.seal();
        assert_eq!(held.slices().concat(), before);
    }
}

/// Trims and compactions may come in any order.
pub async fn a_trimmed_log_is_compacted(subject: &Subject) {
    let Some(mut log) = Compactable::varied(subject).await else {
        return;
    };
    for part in [8, 4, 2] {
        let until = log.seal();
        log.compact(&asked(until)).await;
        let to = Offset::new(log.log.partition.bounds().log_end.get() / part);
        let bounds = log.log.partition.advance_log_start(to).await.unwrap();
        assert_eq!(bounds.log_start, to);
        let there = log.batches().await;
        assert!(
            there
                .first()
                .is_some_and(|first| first.header().end_offset() > to)
        );
        let end = there.last().map(|last| last.header().end_offset());
        assert_eq!(end, Some(bounds.log_end));
        log.append(&["abc"; 40]);
    }
    let all = log.log.partition.bounds().log_end;
    let bounds = log.log.partition.advance_log_start(all).await.unwrap();
    assert_eq!(bounds.log_start, all);
    log.compact(&asked(Offset::MAX)).await;
    assert_eq!(log.log.partition.bounds().log_end, all);
}

/// "Appends and reads go on meanwhile": a reader sees every key's latest record, in order.
pub async fn appends_and_reads_go_on_beside_a_compaction(subject: &Subject) {
    let Some(mut log) = Compactable::varied(subject).await else {
        return;
    };
    let partition = Arc::clone(&log.log.partition);
    let mut compactions = 0;
    for _ in 0..8 {
        let request = asked(Offset::MAX);
        let mut compacting = pin!(partition.compact(&request));
        loop {
            let polled = poll_fn(|cx| Poll::Ready(compacting.as_mut().poll(cx))).await;
            let is_done = match polled {
                Poll::Ready(compacted) => compacted.map(|_| true).unwrap(),
                Poll::Pending => false,
            };
            log.append(&["ab", "c"]);
            // Whatever is there by now: in order, whole, and up to the end.
            let there = batches_from(&*partition, Offset::ZERO).await;
            let end = there.last().map(|last| last.header().end_offset());
            assert_eq!(end, Some(partition.bounds().log_end));
            let latest: BTreeMap<_, _> = latest_of(&there);
            assert_eq!(latest, latest_of(&log.appended));
            if is_done {
                break;
            }
            tokio::task::yield_now().await;
        }
        compactions += 1;
    }
    assert_eq!(compactions, 8);
    let last = log.compact(&asked(Offset::MAX)).await;
    log.check_superseded_by_passes(last.to).await;
}

/// "Dropping the future ends the compaction; what it has done so far stays done."
pub async fn dropped_compactions_leave_a_whole_log(subject: &Subject) {
    let Some(mut log) = Compactable::varied(subject).await else {
        return;
    };
    for polls in 0..12 {
        log.append(&["ab", "C"].repeat(20));
        let request = asked(Offset::MAX);
        {
            let mut compacting = pin!(log.log.partition.compact(&request));
            for _ in 0..polls {
                let poll = poll_fn(|cx| Poll::Ready(compacting.as_mut().poll(cx)));
                if poll.await.is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(latest_of(&log.batches().await), latest_of(&log.appended));
    }
    let last = log.compact(&asked(Offset::MAX)).await;
    assert!(last.to >= log.last_segment());
    log.check_superseded_by_passes(last.to).await;
}

/// A compacted log is as compact after reopening, and goes on.
pub async fn compacted_logs_are_there_after_reopening(subject: &Subject) {
    let Some(mut log) = Compactable::varied(subject).await else {
        return;
    };
    for _ in 0..3 {
        let until = log.seal();
        let compacted = log.compact(&asked(until)).await;
        log.log.partition.flush().await.unwrap();
        let before = bytes_of(&log.batches().await);
        let bounds = log.log.partition.bounds();
        let Compactable {
            log: open,
            appended,
        } = log;
        log = Compactable {
            log: open.reopen(subject).await,
            appended,
        };
        assert_eq!(log.log.partition.bounds(), bounds);
        assert_eq!(bytes_of(&log.batches().await), before);
        log.check_superseded_by_passes(compacted.to).await;
        log.append(&["ab", "c"].repeat(30));
    }
}
