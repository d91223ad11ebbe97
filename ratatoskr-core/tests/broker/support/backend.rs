//! A backend in the heap that keeps its records when a handle breaks, as a disk does, and fails
//! when it is told to.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use ratatoskr_core::{
    batch::RecordBatch,
    compaction::{CompactRequest, Compacted},
    config::{Durability, TopicConfig},
    name::{TopicId, TopicName},
    offset::{Bounds, Offset, PartitionIndex},
    storage::{
        Appended, BatchSlices, Capabilities, Partition, PartitionStats, ReadRequest, SegmentStats,
        Storage, StorageError, StorageResult, TimestampedOffset, Topic, TopicDescriptor, TryRead,
    },
    sync::Mutex,
    time::Timestamp,
};
use tokio::sync::{Notify, Semaphore};

/// What can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    Open,
    Append,
    Read,
    Flush,
    Compact,
    CreateTopic,
    UpdateTopic,
    DeleteTopic,
}

/// How it fails.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    Error(StorageError),
    Panic,
}

impl Fault {
    /// An error that a disk gives when it is broken.
    pub(crate) fn broken() -> Self {
        let source = io::Error::other("the disk is broken");
        Self::Error(StorageError::io("test", source))
    }

    /// An error that a disk gives when it has no room.
    pub(crate) fn full() -> Self {
        let source = io::Error::from(io::ErrorKind::StorageFull);
        Self::Error(StorageError::io("test", source))
    }
}

type Place = (TopicName, PartitionIndex);
/// What is to fail next, by operation and place; the catalog has no place.
type Faults = BTreeMap<(Operation, Option<Place>), VecDeque<Fault>>;

/// What is told to fail, and what was counted.
#[derive(Debug, Default)]
struct Control {
    faults: Mutex<Faults>,
    opened: AtomicU64,
    flushes: AtomicU64,
    compactions: Mutex<Vec<CompactRequest>>,
    /// The partition whose reads wait.
    cold: Mutex<Option<Place>>,
    warmed: Notify,
    /// Where reads began.
    reads: Mutex<Vec<Offset>>,
    snapshot_kept: Notify,
}

impl Control {
    fn meet(&self, operation: Operation, place: Option<&Place>) -> StorageResult<()> {
        let fault = {
            let mut faults = self.faults.lock();
            faults
                .get_mut(&(operation, place.cloned()))
                .and_then(VecDeque::pop_front)
        };
        match fault {
            None => Ok(()),
            Some(Fault::Error(error)) => Err(error),
            Some(Fault::Panic) => panic!("the backend has a defect"),
        }
    }
}

#[derive(Debug)]
pub(crate) struct TestStorage {
    persistent: bool,
    compacts: bool,
    topics: Mutex<BTreeMap<TopicId, Arc<TestTopic>>>,
    control: Arc<Control>,
    /// Each flush takes one permit; there are plenty unless a test takes them away.
    flush_permits: Arc<Semaphore>,
}

impl TestStorage {
    pub(crate) fn memory() -> Arc<Self> {
        Self::new(false, false)
    }

    /// One that takes note of what it is to compact, and does nothing about it.
    pub(crate) fn compacting() -> Arc<Self> {
        Self::new(false, true)
    }

    /// One that can flush, and so promises every durability but memory.
    pub(crate) fn flushing() -> Arc<Self> {
        Self::new(true, false)
    }

    fn new(persistent: bool, compacts: bool) -> Arc<Self> {
        Arc::new(Self {
            persistent,
            compacts,
            topics: Mutex::default(),
            control: Arc::default(),
            flush_permits: Arc::new(Semaphore::new(1_000_000)),
        })
    }

    /// The next such operation on this partition fails.
    pub(crate) fn fail(
        &self,
        operation: Operation,
        topic: &TopicName,
        partition: PartitionIndex,
        fault: Fault,
    ) {
        self.fail_at(operation, Some((topic.clone(), partition)), fault);
    }

    /// The next such operation on the catalog fails.
    pub(crate) fn fail_catalog(&self, operation: Operation, fault: Fault) {
        self.fail_at(operation, None, fault);
    }

    /// Nothing that was told to fail does any more.
    pub(crate) fn clear_faults(&self) {
        self.control.faults.lock().clear();
    }

    fn fail_at(&self, operation: Operation, place: Option<Place>, fault: Fault) {
        let mut faults = self.control.faults.lock();
        faults
            .entry((operation, place))
            .or_default()
            .push_back(fault);
    }

    /// Flushes wait from now on, until they are let through.
    pub(crate) fn stop_flushes(&self) {
        self.flush_permits.forget_permits(usize::MAX);
    }

    pub(crate) fn let_flushes_through(&self, count: usize) {
        self.flush_permits.add_permits(count);
    }

    /// Reads of this partition wait from now on, until all are let through.
    pub(crate) fn stop_reads(&self, topic: &TopicName, partition: PartitionIndex) {
        *self.control.cold.lock() = Some((topic.clone(), partition));
    }

    pub(crate) fn let_reads_through(&self) {
        *self.control.cold.lock() = None;
        self.control.warmed.notify_waiters();
    }

    /// Takes a batch out of a log, as compaction would.
    pub(crate) fn compact_away(&self, topic: &TopicName, partition: PartitionIndex, at: Offset) {
        let log = self.log(topic, partition);
        log.lock()
            .batches
            .retain(|batch| batch.header().base_offset != at);
    }

    /// How many flushes have been asked for.
    pub(crate) fn flushes(&self) -> u64 {
        self.control.flushes.load(Ordering::SeqCst)
    }

    /// The log of a closed partition loses its batches from here on, as in a power cut.
    pub(crate) fn lose(&self, topic: &TopicName, partition: PartitionIndex, from: Offset) {
        let log = self.log(topic, partition);
        let mut log = log.lock();
        log.batches
            .retain(|batch| batch.header().base_offset < from);
        log.end = from;
        log.durable_end = log.durable_end.min(from);
    }

    fn log(&self, topic: &TopicName, partition: PartitionIndex) -> Arc<Mutex<Log>> {
        let topics = self.topics.lock();
        let topic = topics.values().find(|found| found.name == *topic).unwrap();
        Arc::clone(&topic.logs.lock()[&partition])
    }

    /// Waits until a snapshot is kept.
    pub(crate) async fn snapshot_kept(&self, topic: &TopicName, partition: PartitionIndex) {
        loop {
            let kept = self.control.snapshot_kept.notified();
            if self.log(topic, partition).lock().snapshot.is_some() {
                return;
            }
            kept.await;
        }
    }

    /// Puts something else in the place of a snapshot.
    pub(crate) fn put_snapshot(
        &self,
        topic: &TopicName,
        partition: PartitionIndex,
        snapshot: &'static [u8],
    ) {
        self.log(topic, partition).lock().snapshot = Some(Bytes::from_static(snapshot));
    }

    /// Where reads have begun since this was asked last.
    pub(crate) fn take_reads(&self) -> Vec<Offset> {
        std::mem::take(&mut self.control.reads.lock())
    }

    /// What was to be compacted, in order.
    pub(crate) fn compactions(&self) -> Vec<CompactRequest> {
        self.control.compactions.lock().clone()
    }

    /// How many partitions have been opened.
    pub(crate) fn opened(&self) -> u64 {
        self.control.opened.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Storage for TestStorage {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            durability_default: if self.persistent {
                Durability::Fsync
            } else {
                Durability::Memory
            },
            fsync: self.persistent,
            persistent: self.persistent,
            compaction: self.compacts,
        }
    }

    async fn create_topic(&self, descriptor: &TopicDescriptor) -> StorageResult<Arc<dyn Topic>> {
        self.control.meet(Operation::CreateTopic, None)?;
        let topic = Arc::new(TestTopic {
            descriptor: Mutex::new(descriptor.clone()),
            name: descriptor.name.clone(),
            id: descriptor.id,
            logs: Mutex::default(),
            control: Arc::clone(&self.control),
            flush_permits: Arc::clone(&self.flush_permits),
        });
        self.topics.lock().insert(descriptor.id, topic.clone());
        Ok(topic)
    }

    async fn open_topic(&self, id: TopicId) -> StorageResult<Arc<dyn Topic>> {
        let topic = self.topics.lock().get(&id).cloned();
        Ok(topic.ok_or(StorageError::UnknownTopic(id))?)
    }

    async fn update_topic(&self, descriptor: &TopicDescriptor) -> StorageResult<()> {
        self.control.meet(Operation::UpdateTopic, None)?;
        let topics = self.topics.lock();
        let topic = topics.get(&descriptor.id);
        let topic = topic.ok_or(StorageError::UnknownTopic(descriptor.id))?;
        *topic.descriptor.lock() = descriptor.clone();
        Ok(())
    }

    async fn delete_topic(&self, id: TopicId) -> StorageResult<()> {
        self.control.meet(Operation::DeleteTopic, None)?;
        self.topics.lock().remove(&id);
        Ok(())
    }

    async fn list_topics(&self) -> StorageResult<Vec<TopicDescriptor>> {
        let topics = self.topics.lock();
        Ok(topics
            .values()
            .map(|topic| topic.descriptor.lock().clone())
            .collect())
    }
}

#[derive(Debug)]
struct TestTopic {
    name: TopicName,
    id: TopicId,
    descriptor: Mutex<TopicDescriptor>,
    logs: Mutex<BTreeMap<PartitionIndex, Arc<Mutex<Log>>>>,
    control: Arc<Control>,
    flush_permits: Arc<Semaphore>,
}

impl Topic for TestTopic {
    fn name(&self) -> &TopicName {
        &self.name
    }

    fn id(&self) -> TopicId {
        self.id
    }

    fn config(&self) -> TopicConfig {
        self.descriptor.lock().config.clone()
    }

    fn partition(&self, index: PartitionIndex) -> StorageResult<Arc<dyn Partition>> {
        let place = (self.name.clone(), index);
        self.control.meet(Operation::Open, Some(&place))?;
        self.control.opened.fetch_add(1, Ordering::SeqCst);
        Ok(Arc::new(TestPartition {
            place,
            log: Arc::clone(self.logs.lock().entry(index).or_default()),
            broken: AtomicBool::new(false),
            control: Arc::clone(&self.control),
            flush_permits: Arc::clone(&self.flush_permits),
        }))
    }
}

/// Batches in order; each is a segment of its own.
#[derive(Debug, Default)]
struct Log {
    batches: Vec<RecordBatch>,
    start: Offset,
    end: Offset,
    durable_end: Offset,
    snapshot: Option<Bytes>,
}

impl Log {
    fn bounds(&self) -> Bounds {
        Bounds::of_log(self.start, self.end, self.durable_end)
    }

    fn live(&self) -> impl Iterator<Item = &RecordBatch> {
        let start = self.start;
        self.batches
            .iter()
            .filter(move |batch| batch.header().end_offset() > start)
    }
}

/// A handle; once it has failed for good it answers nothing any more.
#[derive(Debug)]
struct TestPartition {
    place: Place,
    log: Arc<Mutex<Log>>,
    broken: AtomicBool,
    control: Arc<Control>,
    flush_permits: Arc<Semaphore>,
}

impl TestPartition {
    fn meet(&self, operation: Operation) -> StorageResult<()> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(StorageError::Closed);
        }
        self.control
            .meet(operation, Some(&self.place))
            .inspect_err(|error| {
                if error.is_terminal() {
                    self.broken.store(true, Ordering::SeqCst);
                }
            })
    }
}

#[async_trait]
impl Partition for TestPartition {
    fn append(&self, batches: &[RecordBatch]) -> StorageResult<Appended> {
        self.meet(Operation::Append)?;
        let mut log = self.log.lock();
        let base_offset = batches[0].header().base_offset;
        assert!(base_offset >= log.end, "appended below the log end");
        log.end = batches.last().unwrap().header().end_offset();
        log.batches.extend_from_slice(batches);
        Ok(Appended {
            base_offset,
            log_end: log.end,
        })
    }

    fn bounds(&self) -> Bounds {
        self.log.lock().bounds()
    }

    fn try_read(&self, request: &ReadRequest) -> StorageResult<TryRead> {
        self.meet(Operation::Read)?;
        if self.control.cold.lock().as_ref() == Some(&self.place) {
            return Ok(TryRead::WouldBlock);
        }
        self.control.reads.lock().push(request.from);
        let log = self.log.lock();
        if request.from < log.start || request.from > log.end {
            return Err(StorageError::OffsetOutOfRange {
                requested: request.from,
                bounds: log.bounds(),
            });
        }
        let mut found = BatchSlices::default();
        let mut bytes = 0;
        let wanted = log
            .live()
            .filter(|batch| batch.header().end_offset() > request.from);
        for batch in wanted {
            bytes += batch.total_bytes();
            let over = bytes > request.bytes_max && !found.is_empty();
            if over || batch.header().base_offset >= request.until {
                break;
            }
            found.push(batch.to_bytes(), batch.header().end_offset());
        }
        Ok(TryRead::Ready(found))
    }

    async fn read(&self, request: &ReadRequest) -> StorageResult<BatchSlices> {
        loop {
            let warmed = self.control.warmed.notified();
            match self.try_read(request)? {
                TryRead::Ready(found) => return Ok(found),
                TryRead::WouldBlock => warmed.await,
            }
        }
    }

    async fn offset_for_timestamp(
        &self,
        at: Timestamp,
    ) -> StorageResult<Option<TimestampedOffset>> {
        self.meet(Operation::Read)?;
        let log = self.log.lock();
        let found = log
            .live()
            .find(|batch| batch.header().max_timestamp >= at)
            .map(|batch| TimestampedOffset {
                offset: batch.header().base_offset,
                max_timestamp: batch.header().max_timestamp,
            });
        Ok(found)
    }

    async fn advance_log_start(&self, to: Offset) -> StorageResult<Bounds> {
        let mut log = self.log.lock();
        log.start = log.start.max(to);
        Ok(log.bounds())
    }

    async fn flush(&self) -> StorageResult<Offset> {
        self.control.flushes.fetch_add(1, Ordering::SeqCst);
        let end = self.log.lock().end;
        self.flush_permits.acquire().await.unwrap().forget();
        self.meet(Operation::Flush)?;
        let mut log = self.log.lock();
        log.durable_end = log.durable_end.max(end);
        Ok(log.durable_end)
    }

    async fn compact(&self, request: &CompactRequest) -> StorageResult<Compacted> {
        self.meet(Operation::Compact)?;
        self.control.compactions.lock().push(request.clone());
        Ok(Compacted::nothing(Offset::ZERO))
    }

    async fn keep_snapshot(&self, snapshot: Bytes) -> StorageResult<()> {
        self.log.lock().snapshot = Some(snapshot);
        self.control.snapshot_kept.notify_waiters();
        Ok(())
    }

    async fn snapshot(&self) -> StorageResult<Option<Bytes>> {
        Ok(self.log.lock().snapshot.clone())
    }

    fn stats(&self) -> PartitionStats {
        let log = self.log.lock();
        let segments: Vec<_> = log
            .live()
            .map(|batch| SegmentStats {
                base_offset: batch.header().base_offset,
                end_offset: batch.header().end_offset(),
                bytes: batch.total_bytes() as u64,
                max_timestamp: batch.header().max_timestamp,
            })
            .collect();
        segments.into_iter().collect()
    }
}
