//! A broker over one of the backends, with a compacted topic.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use ratatoskr_core::{
    Broker,
    broker::{BrokerConfig, NewTopic, StreamOptions},
    config::TopicConfigChange,
    name::TopicName,
    offset::{Offset, PartitionIndex},
    record::Record,
    storage::Storage,
    time::{ManualClock, Timestamp},
};
use ratatoskr_storage::{MemoryStorage, MmapOptions, MmapStorage};

pub(crate) const NOW: Timestamp = Timestamp::new(1_700_000_000_000);
pub(crate) const FIRST: PartitionIndex = PartitionIndex::new(0);
pub(crate) const HOUR: Duration = Duration::from_hours(1);

/// A broker over one of the backends, whose time stands still unless it is told.
pub(crate) struct Running {
    pub(crate) broker: Broker,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) disk: Option<Arc<MmapStorage>>,
}

impl Running {
    pub(crate) async fn over(storage: Arc<dyn Storage>, disk: Option<Arc<MmapStorage>>) -> Self {
        let clock = Arc::new(ManualClock::at(NOW));
        let mut builder = Broker::builder(storage, clock.clone());
        if let Some(disk) = &disk {
            builder = builder.committer(disk.committer());
        }
        let config = BrokerConfig {
            compaction_interval: Duration::from_secs(1),
            ..BrokerConfig::default()
        };
        let broker = builder.config(config).open().await.unwrap();
        Self {
            broker,
            clock,
            disk,
        }
    }

    pub(crate) async fn in_memory() -> Self {
        Self::over(Arc::new(MemoryStorage::new()), None).await
    }

    pub(crate) async fn on_disk(path: &Path) -> Self {
        let disk = MmapStorage::open(path, MmapOptions::default()).await;
        let disk = Arc::new(disk.unwrap());
        Self::over(disk.clone(), Some(disk)).await
    }

    pub(crate) async fn create(&self, settings: &[(&str, &str)]) {
        let mut config = TopicConfigChange::default();
        config.set("cleanup_policy", "compact").unwrap();
        config.set("segment_bytes", "4KiB").unwrap();
        for (key, value) in settings {
            config.set(key, value).unwrap();
        }
        let topic = NewTopic {
            config,
            ..NewTopic::default()
        };
        self.broker
            .create_topic(&topic_name(), topic)
            .await
            .unwrap();
    }

    pub(crate) async fn alter(&self, key: &str, value: &str) {
        let mut change = TopicConfigChange::default();
        change.set(key, value).unwrap();
        let name = topic_name();
        self.broker.alter_topic(&name, &change).await.unwrap();
    }

    /// Publishes a value for each of so many keys, round after round.
    pub(crate) async fn publish(&self, rounds: u32, keys: u32) {
        for round in 0..rounds {
            let records = (0..keys).map(|key| {
                let value = format!("round {round} {}", "x".repeat(100));
                Record::new(value).with_key(format!("key {key}"))
            });
            let name = topic_name();
            let sent = self.broker.publish_many(&name, records.collect());
            sent.await.unwrap();
        }
    }

    /// Lets rounds of compaction go by until one removed something, or nothing more.
    pub(crate) async fn compacted(&self) -> u64 {
        let mut before = 0;
        for _ in 0..600 {
            tokio::time::sleep(Duration::from_secs(2)).await;
            let now = self.broker.stats().total.records_compacted;
            if now > 0 && now == before {
                return now;
            }
            before = now;
        }
        before
    }

    /// What a reader from the start sees.
    pub(crate) async fn read(&self) -> Vec<(Offset, Record)> {
        let end = self
            .broker
            .bounds(&topic_name(), FIRST)
            .unwrap()
            .high_watermark;
        let name = topic_name();
        let stream = self.broker.stream(&name, StreamOptions::default());
        let mut records = stream.await.unwrap();
        let mut found = Vec::new();
        // The last record is never compacted.
        loop {
            let record = records.next().await.unwrap().unwrap();
            let offset = record.offset;
            found.push((offset, record.record));
            if offset.plus(1) >= end {
                return found;
            }
        }
    }

    pub(crate) async fn close(self) {
        let report = self.broker.shutdown(Duration::from_secs(10)).await;
        assert!(report.unwrap().is_clean());
        drop(self.broker);
        if let Some(disk) = self.disk {
            disk.close().await.unwrap();
        }
    }
}

pub(crate) fn topic_name() -> TopicName {
    TopicName::parse("users").unwrap()
}

pub(crate) fn latest(records: &[(Offset, Record)]) -> BTreeMap<Vec<u8>, Offset> {
    let keys = records.iter().map(|(offset, record)| {
        let key = record
            .key
            .as_ref()
            .expect("records without a key are refused");
        (key.to_vec(), *offset)
    });
    keys.collect()
}
