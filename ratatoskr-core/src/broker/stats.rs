//! What has gone through the broker: counters that cost an addition each.
//!
//! What a send counts lies with its partition and is written under its lock, so that sends to
//! different partitions share no cache line. Sums are made when somebody asks.

use std::{
    ops::AddAssign,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{broker::Broker, compaction::Compacted, name::TopicName};

/// What readers may see of a partition. Written under the partition's lock only.
#[derive(Debug, Default)]
pub(super) struct Readable {
    batches: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
}

impl Readable {
    /// Counts a batch. The caller holds the partition's lock, so nobody else adds meanwhile.
    pub(super) fn add(&self, records: u64, bytes: u64) {
        let add = |counter: &AtomicU64, more| {
            counter.store(counter.load(Ordering::Relaxed) + more, Ordering::Release);
        };
        add(&self.batches, 1);
        add(&self.records, records);
        add(&self.bytes, bytes);
    }

    /// Bytes since the broker was opened.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    pub(super) fn snapshot(&self) -> Throughput {
        Throughput {
            batches_in: self.batches.load(Ordering::Relaxed),
            records_in: self.records.load(Ordering::Relaxed),
            bytes_in: self.bytes.load(Ordering::Relaxed),
            ..Throughput::default()
        }
    }
}

/// The other counters of a topic, which its partitions share.
#[derive(Debug, Default)]
pub(super) struct Counters {
    bytes_out: AtomicU64,
    duplicates: AtomicU64,
    errors_in: AtomicU64,
    records_compacted: AtomicU64,
    bytes_compacted: AtomicU64,
}

impl Counters {
    pub(super) fn read(&self, bytes: u64) {
        self.bytes_out.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn duplicate(&self) {
        self.duplicates.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self) {
        self.errors_in.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn compacted(&self, done: &Compacted) {
        let records = done.before.records.saturating_sub(done.after.records);
        let bytes = done.before.bytes.saturating_sub(done.after.bytes);
        self.records_compacted.fetch_add(records, Ordering::Relaxed);
        self.bytes_compacted.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn snapshot(&self) -> Throughput {
        Throughput {
            records_compacted: self.records_compacted.load(Ordering::Relaxed),
            bytes_compacted: self.bytes_compacted.load(Ordering::Relaxed),
            bytes_out: self.bytes_out.load(Ordering::Relaxed),
            duplicates: self.duplicates.load(Ordering::Relaxed),
            errors_in: self.errors_in.load(Ordering::Relaxed),
            ..Throughput::default()
        }
    }
}

/// Totals since the broker was opened; none of them ever goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Throughput {
    /// Batches appended and readable.
    pub batches_in: u64,
    /// Records in them.
    pub records_in: u64,
    /// Bytes of those batches, headers included.
    pub bytes_in: u64,
    /// Bytes of batches handed to readers.
    pub bytes_out: u64,
    /// Batches that an idempotent producer sent again and that were not appended again.
    pub duplicates: u64,
    /// Batches that were refused or failed.
    pub errors_in: u64,
    /// Records that compaction removed.
    pub records_compacted: u64,
    /// Bytes that compaction freed.
    pub bytes_compacted: u64,
}

impl AddAssign for Throughput {
    fn add_assign(&mut self, more: Self) {
        self.batches_in += more.batches_in;
        self.records_in += more.records_in;
        self.bytes_in += more.bytes_in;
        self.bytes_out += more.bytes_out;
        self.duplicates += more.duplicates;
        self.errors_in += more.errors_in;
        self.records_compacted += more.records_compacted;
        self.bytes_compacted += more.bytes_compacted;
    }
}

/// The broker in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct BrokerStats {
    /// Topics there are.
    pub topics: u64,
    /// Partitions of all topics.
    pub partitions: u64,
    /// Partitions that are down.
    pub partitions_offline: u64,
    /// Subscriptions that run.
    pub subscriptions: u64,
    /// Times that a subscription went on behind records that were gone or could not be read.
    pub subscription_skips: u64,
    /// Bytes of sends that are neither committed nor failed.
    pub in_flight_bytes: u64,
    /// Committed offsets of consumer groups that were set back, since their log had lost the records
    /// before them.
    pub offsets_clamped: u64,
    /// What went through all topics, deleted ones included.
    pub total: Throughput,
    /// What went through each topic there is, in the order of their names.
    pub by_topic: Vec<(TopicName, Throughput)>,
}

impl Broker {
    /// The broker in numbers, as of now.
    pub fn stats(&self) -> BrokerStats {
        let (topics, deleted) = {
            let catalog = self.shared.catalog.read();
            (catalog.all(), catalog.deleted())
        };
        let mut stats = BrokerStats {
            topics: topics.len() as u64,
            in_flight_bytes: self.shared.context.in_flight.used() as u64,
            subscriptions: self.shared.subscriptions.count(),
            subscription_skips: self.shared.subscriptions.skips(),
            offsets_clamped: self.shared.groups.offsets_clamped(),
            total: deleted,
            ..BrokerStats::default()
        };
        for topic in topics {
            let partitions = topic.partitions();
            stats.partitions += partitions.len() as u64;
            stats.partitions_offline += partitions
                .iter()
                .filter(|partition| partition.offline_reason().is_some())
                .count() as u64;
            let throughput = topic.throughput();
            stats.total += throughput;
            stats.by_topic.push((topic.name().clone(), throughput));
        }
        stats
    }
}
