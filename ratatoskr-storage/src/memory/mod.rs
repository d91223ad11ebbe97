//! The memory backend: everything in the heap, gone with the process.
//!
//! ```text
//! MemoryStorage ── catalog: id → topic, name → id
//!   └ MemoryTopic ── configuration, partitions opened so far
//!       └ MemoryPartition ── Log: segments of batches, which lie back to back in chunks
//! ```
//! Invariants:
//! - A reader's slices are parts of the chunks: no copy, and valid for as long as the
//!   reader holds them, whatever is trimmed or deleted meanwhile.
//! - The bytes counted against [`MemoryStorage::with_bytes_max`] are those of the batches in logs.
//! - Locks are taken in the order catalog, topic, log, and none is held across an `await`.
//! - The heap is as durable as this backend gets, so a partition's durable end is its log end.

mod compact;
mod log;
mod partition;
mod topic;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use ratatoskr_core::{
    broker::{Broker, BrokerBuilder},
    name::{TopicId, TopicName},
    storage::{Capabilities, Storage, StorageError, StorageResult, Topic, TopicDescriptor},
    sync::RwLock,
};

use crate::SystemClock;
use topic::MemoryTopic;

/// Topics in the heap.
#[derive(Debug, Default)]
pub struct MemoryStorage {
    catalog: RwLock<Catalog>,
    budget: Arc<Budget>,
}

#[derive(Debug, Default)]
struct Catalog {
    topics: HashMap<TopicId, Arc<MemoryTopic>>,
    ids: HashMap<TopicName, TopicId>,
}

impl MemoryStorage {
    /// An empty storage, bounded only by what its topics retain.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty storage whose batches take at most `bytes_max` bytes, all partitions together. An
    /// append that would pass it fails as on a full disk and may be tried again once records are gone.
    pub fn with_bytes_max(bytes_max: u64) -> Self {
        Self {
            catalog: RwLock::default(),
            budget: Arc::new(Budget {
                used: AtomicU64::new(0),
                bytes_max,
            }),
        }
    }

    /// A broker over this storage, by the system's clock.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// use ratatoskr_core::{broker::NewTopic, name::TopicName, record::Record};
    /// use ratatoskr_storage::MemoryStorage;
    ///
    /// let broker = MemoryStorage::new().broker().open().await?;
    /// let orders = TopicName::parse("orders").unwrap();
    /// broker.create_topic(&orders, NewTopic::default()).await?;
    /// let sent = broker.publish(&orders, Record::new("one book")).await?;
    /// assert_eq!(sent.offset.get(), 0);
    /// # Ok::<(), ratatoskr_core::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn broker(self) -> BrokerBuilder {
        Broker::builder(Arc::new(self), Arc::new(SystemClock::new()))
    }

    /// Bytes of all batches kept now.
    pub fn bytes(&self) -> u64 {
        self.budget.used.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Storage for MemoryStorage {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            compaction: true,
            ..Capabilities::IN_MEMORY
        }
    }

    async fn create_topic(&self, topic: &TopicDescriptor) -> StorageResult<Arc<dyn Topic>> {
        let mut catalog = self.catalog.write();
        if let Some(there) = catalog.topics.get(&topic.id) {
            return if *there.name() == topic.name {
                Ok(Arc::clone(there) as Arc<dyn Topic>)
            } else {
                Err(StorageError::TopicExists(there.name().clone()))
            };
        }
        if catalog.ids.contains_key(&topic.name) {
            return Err(StorageError::TopicExists(topic.name.clone()));
        }
        let created = Arc::new(MemoryTopic::new(topic.clone(), Arc::clone(&self.budget)));
        catalog.ids.insert(topic.name.clone(), topic.id);
        catalog.topics.insert(topic.id, Arc::clone(&created));
        Ok(created)
    }

    async fn open_topic(&self, id: TopicId) -> StorageResult<Arc<dyn Topic>> {
        let catalog = self.catalog.read();
        let topic = catalog.topics.get(&id);
        let topic = topic.ok_or(StorageError::UnknownTopic(id))?;
        Ok(Arc::clone(topic) as Arc<dyn Topic>)
    }

    async fn update_topic(&self, topic: &TopicDescriptor) -> StorageResult<()> {
        let catalog = self.catalog.read();
        let there = catalog.topics.get(&topic.id);
        there
            .ok_or(StorageError::UnknownTopic(topic.id))?
            .update(topic)
    }

    async fn delete_topic(&self, id: TopicId) -> StorageResult<()> {
        let mut catalog = self.catalog.write();
        if let Some(topic) = catalog.topics.remove(&id) {
            catalog.ids.remove(topic.name());
            topic.delete();
        }
        Ok(())
    }

    async fn list_topics(&self) -> StorageResult<Vec<TopicDescriptor>> {
        let catalog = self.catalog.read();
        Ok(catalog.topics.values().map(|t| t.descriptor()).collect())
    }
}

/// Bytes of batches that all partitions share.
#[derive(Debug)]
struct Budget {
    used: AtomicU64,
    bytes_max: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            used: AtomicU64::new(0),
            bytes_max: u64::MAX,
        }
    }
}

impl Budget {
    /// Takes `bytes` of what is left; `false`, and nothing taken, where that is too little.
    fn take(&self, bytes: u64) -> bool {
        if self.bytes_max == u64::MAX {
            self.used.fetch_add(bytes, Ordering::Relaxed);
            return true;
        }
        let within = |used: u64| used.checked_add(bytes).filter(|&sum| sum <= self.bytes_max);
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, within)
            .is_ok()
    }

    fn give_back(&self, bytes: u64) {
        let before = self.used.fetch_sub(bytes, Ordering::Relaxed);
        assert!(before >= bytes, "gave back {bytes} bytes of {before} taken");
    }
}

#[cfg(test)]
mod tests {
    use ratatoskr_core::{
        batch::{BatchHeader, HEADER_BYTES, RecordBatch},
        config::{Durability, TopicConfig},
        offset::{Offset, PartitionIndex},
        storage::{Access, ReadRequest},
    };

    use super::*;

    fn descriptor() -> TopicDescriptor {
        TopicDescriptor {
            id: TopicId::random(),
            name: TopicName::parse("orders").unwrap(),
            partitions: 1,
            config: TopicConfig::new(Durability::Memory),
        }
    }

    /// A batch of one record at `base_offset`, `bytes` long.
    fn batch(base_offset: u64, bytes: usize) -> RecordBatch {
        let header = BatchHeader {
            base_offset: Offset::new(base_offset),
            total_bytes: u32::try_from(bytes).unwrap(),
            leader_epoch: 0.into(),
            crc: 0,
            attributes: 0,
            last_offset_delta: 0,
            base_timestamp: 0.into(),
            max_timestamp: 0.into(),
            producer_id: (-1).into(),
            producer_epoch: (-1).into(),
            base_sequence: (-1).into(),
            record_count: 1,
        };
        let mut encoded = header.encode().to_vec();
        encoded.resize(bytes, 7);
        RecordBatch::split_first(&mut encoded.into()).unwrap()
    }

    #[tokio::test]
    async fn a_full_storage_refuses_an_append_whole_until_records_are_gone() {
        let storage = MemoryStorage::with_bytes_max(200);
        let topic = storage.create_topic(&descriptor()).await.unwrap();
        let partition = topic.partition(PartitionIndex::new(0)).unwrap();
        partition.append(&[batch(0, 100)]).unwrap();

        let error = partition
            .append(&[batch(1, HEADER_BYTES), batch(2, 100)])
            .unwrap_err();
        assert!(error.is_retryable(), "{error}");
        assert_eq!(partition.bounds().log_end, Offset::new(1));
        assert_eq!(storage.bytes(), 100);

        partition.append(&[batch(1, 100)]).unwrap();
        assert!(partition.append(&[batch(2, HEADER_BYTES)]).is_err());
        partition.advance_log_start(Offset::new(1)).await.unwrap();
        partition.append(&[batch(2, 100)]).unwrap();
        assert_eq!(storage.bytes(), 200);
    }

    #[tokio::test]
    async fn trimming_and_deleting_give_the_memory_back() {
        let storage = MemoryStorage::new();
        let topic = storage.create_topic(&descriptor()).await.unwrap();
        let partition = topic.partition(PartitionIndex::new(0)).unwrap();
        partition.append(&[batch(0, 100), batch(1, 100)]).unwrap();
        let read = partition
            .read(&ReadRequest {
                from: Offset::ZERO,
                until: Offset::MAX,
                bytes_max: usize::MAX,
                access: Access::Inspect,
            })
            .await
            .unwrap();

        partition.advance_log_start(Offset::new(1)).await.unwrap();
        assert_eq!(storage.bytes(), 100);
        storage.delete_topic(topic.id()).await.unwrap();
        assert_eq!(storage.bytes(), 0);
        assert_eq!(read.len(), 200, "a reader keeps what it has read");
    }
}
