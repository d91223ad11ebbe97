//! A log that can be compacted, and what it must be like then.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{BatchSpec, Subject, log::Log, model::request};
use crate::{
    batch::{self, BatchBuilder, RecordBatch, RecordLimits, RecordView},
    compaction::{CompactRequest, Compacted, Pace},
    config::Compression,
    offset::{LeaderEpoch, Offset},
    record::Record,
    storage::{Partition, PartitionExt, ReadRequest, StorageError},
    time::Timestamp,
};

pub(super) const HOUR: Duration = Duration::from_hours(1);
pub(super) const NOW: Timestamp = Timestamp::new(50_000_000);

pub(super) fn asked(until: Offset) -> CompactRequest {
    CompactRequest {
        until,
        now: NOW,
        tombstone_retention: HOUR,
        kept_batches: Arc::default(),
        key_map_bytes_max: 1 << 20,
        pace: Pace::UNLIMITED,
    }
}

/// A batch of these keys; those in capitals are deleted by it.
pub(super) fn keyed(base_offset: Offset, keys: &str, codec: Compression) -> RecordBatch {
    let mut builder = BatchBuilder::new(codec);
    for (key, at) in keys.chars().zip(0_u64..) {
        let value = format!("{} ", base_offset.plus(at)).repeat(20);
        let mut record = Record::new(value).with_key(key.to_ascii_lowercase().to_string());
        record.value = record.value.filter(|_| key.is_ascii_lowercase());
        builder.push(&record, Timestamp::new(1_000)).unwrap();
    }
    let mut batch = builder.build().unwrap();
    batch.assign(base_offset, LeaderEpoch::new(3));
    batch
}

/// A log that can be compacted, and what was appended to it.
pub(super) struct Compactable {
    pub(super) log: Log,
    pub(super) appended: Vec<RecordBatch>,
}

impl Compactable {
    /// `None` where the backend cannot, which it must have said.
    pub(super) async fn create(subject: &Subject) -> Option<Self> {
        let log = Log::create(subject).await;
        if !log.storage.capabilities().compaction {
            let refused = log.partition.compact(&asked(Offset::MAX)).await;
            assert!(
                matches!(refused, Err(StorageError::Unsupported(_))),
                "{refused:?} of a backend that cannot compact"
            );
            return None;
        }
        let appended = Vec::new();
        Some(Self { log, appended })
    }

    /// With batches of these keys over several segments.
    pub(super) async fn with(subject: &Subject, keys: &[&str]) -> Option<Self> {
        let mut log = Self::create(subject).await?;
        log.append(keys);
        Some(log)
    }

    /// A log of many segments with few keys.
    pub(super) async fn varied(subject: &Subject) -> Option<Self> {
        let keys = ["abc", "a", "dDe", "bf", "gA", "h", "cab"].repeat(24);
        Self::with(subject, &keys).await
    }

    pub(super) fn append(&mut self, keys: &[&str]) {
        for keys in keys {
            let end = self.log.partition.bounds().log_end;
            let batch = keyed(end, keys, Compression::None);
            self.append_batch(batch);
        }
    }

    pub(super) fn append_batch(&mut self, batch: RecordBatch) {
        self.log
            .partition
            .append(std::slice::from_ref(&batch))
            .unwrap();
        self.appended.push(batch);
    }

    /// Appends batches that nothing hangs on until all before them are in sealed segments.
    pub(super) fn seal(&mut self) -> Offset {
        let end = self.log.partition.bounds().log_end;
        while self.last_segment() < end {
            let next = self.log.partition.bounds().log_end;
            let batch = BatchSpec::of(1).with_value_bytes(1_500).build(next);
            self.append_batch(batch);
        }
        end
    }

    /// Where the last segment begins, which a backend may leave out.
    pub(super) fn last_segment(&self) -> Offset {
        let stats = self.log.partition.stats();
        let last = stats.segments.last();
        last.map_or(Offset::ZERO, |segment| segment.base_offset)
    }

    pub(super) async fn compact(&self, request: &CompactRequest) -> Compacted {
        let compacted = self.log.partition.compact(request).await.unwrap();
        let stats = self.log.partition.stats();
        assert_eq!(stats.compacted_to, compacted.to, "what statistics say");
        compacted
    }

    pub(super) async fn batches(&self) -> Vec<RecordBatch> {
        batches_from(&*self.log.partition, self.log.partition.bounds().log_start).await
    }

    /// Panics where the log does not hold what one that is compacted `to` there must.
    pub(super) async fn check(&self, to: Offset) {
        let there = self.batches().await;
        let appended = records(&self.appended);
        let kept = records(&there);
        for record in &kept {
            assert!(appended.contains(record), "{record:?} was not appended");
        }
        let mut latest = BTreeMap::new();
        for record in appended.iter().filter(|record| record.offset < to) {
            latest.insert(&record.key, record.offset);
        }
        for record in &appended {
            let is_superseded = record.offset < to && latest[&record.key] > record.offset;
            assert_eq!(
                kept.contains(record),
                !is_superseded,
                "whether the record at {} is there, in a log that is compacted to {to}",
                record.offset
            );
        }
    }

    /// As [`check`](Self::check) where passes reached to places that nobody knows.
    pub(super) async fn check_superseded_by_passes(&self, to: Offset) {
        let appended = records(&self.appended);
        let kept = records(&self.batches().await);
        for record in &appended {
            let mut later = appended.iter().filter(|later| later.key == record.key);
            let is_superseded =
                later.any(|later| later.offset > record.offset && later.offset < to);
            assert_eq!(
                kept.contains(record),
                !is_superseded,
                "the record at {}",
                record.offset
            );
        }
    }
}

pub(super) async fn batches_from(partition: &dyn Partition, from: Offset) -> Vec<RecordBatch> {
    let everything = request(from, Offset::MAX, usize::MAX);
    let (mut found, mut from) = (Vec::new(), from);
    while from < partition.bounds().log_end {
        let wanted = ReadRequest { from, ..everything };
        let read = partition.read_either(&wanted).await.unwrap();
        if read.is_empty() {
            break;
        }
        for slice in read.into_slices() {
            for batch in batch::batches(slice) {
                let batch = batch.unwrap();
                batch.verify_crc().unwrap();
                assert!(
                    batch.header().end_offset() > from,
                    "offsets go back at {from}"
                );
                from = batch.header().end_offset();
                found.push(batch);
            }
        }
    }
    found
}

pub(super) fn records(batches: &[RecordBatch]) -> Vec<RecordView> {
    let limits = RecordLimits::default();
    let of = |batch: &RecordBatch| batch.records(&limits).unwrap().map(Result::unwrap);
    batches.iter().flat_map(of).collect()
}

pub(super) fn latest_of(batches: &[RecordBatch]) -> BTreeMap<Vec<u8>, Offset> {
    let records = records(batches).into_iter();
    records
        .map(|record| (record.key.unwrap_or_default().to_vec(), record.offset))
        .collect()
}
