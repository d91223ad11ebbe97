//! A storage backend of one's own: a partition is a `Vec` of batches, and one lock is over all.
//!
//! Three traits are all there is to implement; `tests/conformance.rs` certifies them. Producers,
//! consumers, retention and the rest are the engine's, which runs over this backend in `main.rs`.
//! It is kept short rather than fast: reads copy, and every batch is a segment of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use ratatoskr_core::{
    batch::RecordBatch,
    config::TopicConfig,
    name::{TopicId, TopicName},
    offset::{Bounds, Offset, PartitionIndex},
    storage::{
        Appended, BatchSlices, Capabilities, Partition, PartitionStats, ReadRequest, SegmentStats,
        Storage, StorageError, StorageResult, TimestampedOffset, Topic, TopicDescriptor, TryRead,
    },
    time::Timestamp,
};

/// A catalog of topics, each with the logs of its partitions.
#[derive(Clone, Debug, Default)]
pub struct VecStorage(Arc<Mutex<HashMap<TopicId, Kept>>>);

type Kept = (TopicDescriptor, Vec<Log>);

#[derive(Clone, Debug, Default)]
struct Log {
    bounds: Bounds,
    batches: Vec<RecordBatch>,
}

impl VecStorage {
    fn with<T>(
        &self,
        id: TopicId,
        act: impl FnOnce(&mut Kept) -> StorageResult<T>,
    ) -> StorageResult<T> {
        let mut topics = self.0.lock().unwrap();
        act(topics.get_mut(&id).ok_or(StorageError::UnknownTopic(id))?)
    }
}

#[async_trait]
impl Storage for VecStorage {
    fn capabilities(&self) -> Capabilities {
        Capabilities::IN_MEMORY
    }

    async fn create_topic(&self, topic: &TopicDescriptor) -> StorageResult<Arc<dyn Topic>> {
        let mut topics = self.0.lock().unwrap();
        let clashes = |(other, _): &Kept| other.name == topic.name && other.id != topic.id;
        if topics.values().any(clashes) {
            return Err(StorageError::TopicExists(topic.name.clone()));
        }
        let logs = vec![Log::default(); topic.partitions as usize];
        topics.entry(topic.id).or_insert((topic.clone(), logs));
        Ok(Arc::new(VecTopic(self.clone(), topic.clone())))
    }

    async fn open_topic(&self, id: TopicId) -> StorageResult<Arc<dyn Topic>> {
        let found = self.with(id, |(topic, _)| Ok(topic.clone()));
        Ok(Arc::new(VecTopic(self.clone(), found?)))
    }

    async fn update_topic(&self, topic: &TopicDescriptor) -> StorageResult<()> {
        self.with(topic.id, |(descriptor, logs)| {
            if topic.partitions < descriptor.partitions {
                return Err(StorageError::Unsupported("fewer partitions".into()));
            }
            logs.resize(topic.partitions as usize, Log::default());
            *descriptor = topic.clone();
            Ok(())
        })
    }

    async fn delete_topic(&self, id: TopicId) -> StorageResult<()> {
        self.0.lock().unwrap().remove(&id);
        Ok(())
    }

    async fn list_topics(&self) -> StorageResult<Vec<TopicDescriptor>> {
        let topics = self.0.lock().unwrap();
        Ok(topics.values().map(|(topic, _)| topic.clone()).collect())
    }
}

/// A handle to a topic, and what it was like when it was opened.
#[derive(Clone, Debug)]
struct VecTopic(VecStorage, TopicDescriptor);

impl Topic for VecTopic {
    fn name(&self) -> &TopicName {
        &self.1.name
    }

    fn id(&self) -> TopicId {
        self.1.id
    }

    fn config(&self) -> TopicConfig {
        let now = self
            .0
            .with(self.id(), |(topic, _)| Ok(topic.config.clone()));
        now.unwrap_or_else(|_| self.1.config.clone())
    }

    fn partition(&self, index: PartitionIndex) -> StorageResult<Arc<dyn Partition>> {
        let partition = Arc::new(VecPartition(self.clone(), index));
        partition.with(|_| Ok(partition.clone() as _))
    }
}

/// A handle to a partition.
#[derive(Debug)]
struct VecPartition(VecTopic, PartitionIndex);

impl VecPartition {
    fn with<T>(&self, act: impl FnOnce(&mut Log) -> StorageResult<T>) -> StorageResult<T> {
        let Self(VecTopic(storage, topic), index) = self;
        storage.with(topic.id, |(_, logs)| {
            let log = logs.get_mut(index.get() as usize);
            act(log.ok_or(StorageError::UnknownPartition(*index))?)
        })
    }

    fn find(&self, request: &ReadRequest) -> StorageResult<BatchSlices> {
        self.with(|log| {
            log.bounds.check(request.from)?;
            let (mut found, mut bytes) = (BatchSlices::default(), 0);
            let skipped = |batch: &&RecordBatch| batch.header().end_offset() <= request.from;
            for batch in log.batches.iter().skip_while(skipped) {
                bytes += batch.total_bytes();
                let is_full = bytes > request.bytes_max && !found.is_empty();
                if is_full || batch.header().base_offset >= request.until {
                    break;
                }
                found.push(batch.to_bytes(), batch.header().end_offset());
            }
            Ok(found)
        })
    }
}

#[async_trait]
impl Partition for VecPartition {
    fn append(&self, batches: &[RecordBatch]) -> StorageResult<Appended> {
        self.with(|log| {
            let appended = Appended::of(batches, log.bounds.log_end)?;
            let (start, end) = (log.bounds.log_start, appended.log_end);
            log.bounds = Bounds::of_log(start, end, end);
            log.batches.extend_from_slice(batches);
            Ok(appended)
        })
    }

    fn bounds(&self) -> Bounds {
        self.with(|log| Ok(log.bounds)).unwrap_or_default()
    }

    fn try_read(&self, request: &ReadRequest) -> StorageResult<TryRead> {
        self.find(request).map(TryRead::Ready)
    }

    async fn read(&self, request: &ReadRequest) -> StorageResult<BatchSlices> {
        self.find(request)
    }

    async fn offset_for_timestamp(
        &self,
        at: Timestamp,
    ) -> StorageResult<Option<TimestampedOffset>> {
        self.with(|log| {
            let mut headers = log.batches.iter().map(RecordBatch::header);
            Ok(headers.find(|h| h.max_timestamp >= at).map(Into::into))
        })
    }

    async fn advance_log_start(&self, to: Offset) -> StorageResult<Bounds> {
        self.with(|log| {
            let start = to.max(log.bounds.log_start);
            log.bounds.check(start)?;
            log.bounds.log_start = start;
            log.batches.retain(|b| b.header().end_offset() > start);
            Ok(log.bounds)
        })
    }

    async fn flush(&self) -> StorageResult<Offset> {
        self.with(|log| Ok(log.bounds.log_end))
    }

    fn stats(&self) -> PartitionStats {
        let segments = |log: &mut Log| Ok(log.batches.iter().map(SegmentStats::from).collect());
        self.with(segments).unwrap_or_default()
    }
}
