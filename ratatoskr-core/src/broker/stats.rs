//! What has gone through the broker: counters that cost an addition each.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{broker::Broker, name::TopicName};

/// Counters of one topic, or of the whole broker.
#[derive(Debug, Default)]
pub(super) struct Counters {
    batches_in: AtomicU64,
    records_in: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    duplicates: AtomicU64,
    errors_in: AtomicU64,
}

impl Counters {
    pub(super) fn appended(&self, records: u64, bytes: u64) {
        self.batches_in.fetch_add(1, Ordering::Relaxed);
        self.records_in.fetch_add(records, Ordering::Relaxed);
        self.bytes_in.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn read(&self, bytes: u64) {
        self.bytes_out.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn duplicate(&self) {
        self.duplicates.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self) {
        self.errors_in.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn snapshot(&self) -> Throughput {
        Throughput {
            batches_in: self.batches_in.load(Ordering::Relaxed),
            records_in: self.records_in.load(Ordering::Relaxed),
            bytes_in: self.bytes_in.load(Ordering::Relaxed),
            bytes_out: self.bytes_out.load(Ordering::Relaxed),
            duplicates: self.duplicates.load(Ordering::Relaxed),
            errors_in: self.errors_in.load(Ordering::Relaxed),
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
    /// What went through all topics, deleted ones included.
    pub total: Throughput,
    /// What went through each topic there is, in the order of their names.
    pub by_topic: Vec<(TopicName, Throughput)>,
}

impl Broker {
    /// The broker in numbers, as of now.
    pub fn stats(&self) -> BrokerStats {
        let topics = self.shared.catalog.read().all();
        let mut stats = BrokerStats {
            topics: topics.len() as u64,
            in_flight_bytes: self.shared.context.in_flight.used() as u64,
            subscriptions: self.shared.subscriptions.count(),
            subscription_skips: self.shared.subscriptions.skips(),
            total: self.shared.context.counters.snapshot(),
            ..BrokerStats::default()
        };
        for topic in topics {
            let partitions = topic.partitions();
            stats.partitions += partitions.len() as u64;
            stats.partitions_offline += partitions
                .iter()
                .filter(|partition| partition.offline_reason().is_some())
                .count() as u64;
            stats
                .by_topic
                .push((topic.name().clone(), topic.counters().snapshot()));
        }
        stats
    }
}
