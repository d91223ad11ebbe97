//! Stands in for the engine: assigns offsets, submits, trims, changes topics, and writes down in the
//! [`History`] what was asked before it asks and what was answered when it is.

use std::{
    future::poll_fn,
    path::Path,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use fastrand::Rng;
use ratatoskr_core::{
    batch::{BatchBuilder, RecordBatch},
    commit::{CommitError, CommitSink, Committer, Submission, Ticket},
    compaction::{CompactRequest, Pace},
    config::{Compression, Durability, TopicConfig},
    name::{TopicId, TopicName},
    offset::{LeaderEpoch, Offset, PartitionIndex},
    record::Record,
    storage::{Partition, Storage, StorageError, StorageResult, Topic, TopicDescriptor},
    sync::Mutex,
    time::Timestamp,
};
use ratatoskr_storage::{
    MmapOptions, MmapStorage, WalOptions,
    io::{FileSystem, sim::SimFileSystem},
    mmap::CacheLimits,
    planted::{self, Bug},
};

use crate::history::{Change, History, PartitionHistory};

/// The data directory of every simulated machine.
pub(crate) const DIRECTORY: &str = "/data";
/// More topics at a time would only make each less interesting.
const TOPICS_MAX: usize = 3;
const PARTITIONS_MAX: u32 = 4;
/// So few that most records are superseded soon.
const KEYS: u8 = 20;
/// How long compaction lets tombstones stay.
const TOMBSTONE_RETENTION: Duration = Duration::from_secs(1);

pub(crate) type SharedHistory = Arc<Mutex<History>>;

/// Sizes so small that every workload crosses files and segments.
fn options() -> MmapOptions {
    MmapOptions {
        wal: WalOptions {
            file_bytes: 16 << 10,
            first_file_bytes: 16 << 10,
            wal_bytes_max: 64 << 10,
            ..WalOptions::default()
        },
        threads: false,
        caches: CacheLimits {
            verifying_threads_max: 1,
            ..CacheLimits::default()
        },
        ..MmapOptions::default()
    }
}

/// Opens what is on this machine's disk.
pub(crate) fn open(fs: &SimFileSystem) -> StorageResult<MmapStorage> {
    let made = fs.create_dir(Path::new(DIRECTORY));
    made.and_then(|()| fs.sync_dir(Path::new("/")))
        .map_err(|error| StorageError::io("make the data directory", error))?;
    MmapStorage::open_on(Arc::new(fs.clone()), Path::new(DIRECTORY), &options())
}

/// One process that uses the storage.
#[derive(Debug)]
pub(crate) struct Engine {
    storage: Arc<MmapStorage>,
    history: SharedHistory,
    topics: Vec<OpenTopic>,
    rng: Rng,
    /// The time as compaction is told it.
    now: Timestamp,
}

#[derive(Debug)]
struct OpenTopic {
    descriptor: TopicDescriptor,
    handle: Arc<dyn Topic>,
    partitions: Vec<OpenPartition>,
}

#[derive(Clone, Debug)]
struct OpenPartition {
    log: Arc<dyn Partition>,
    next_offset: Offset,
    sink: Arc<Sink>,
}

impl Engine {
    /// Takes over a storage whose history is settled.
    pub(crate) async fn new(storage: MmapStorage, history: SharedHistory, seed: u64) -> Self {
        let storage = Arc::new(storage);
        let mut topics = Vec::new();
        for descriptor in storage.list_topics().await.unwrap() {
            let handle = storage.open_topic(descriptor.id).await.unwrap();
            topics.push(OpenTopic {
                descriptor,
                handle,
                partitions: Vec::new(),
            });
        }
        let mut engine = Self {
            storage,
            history,
            topics,
            rng: Rng::with_seed(seed),
            now: Timestamp::new(200_000),
        };
        engine.open_partitions();
        engine
    }

    /// Does something, chosen by chance. An error means that the machine has stopped.
    pub(crate) async fn step(&mut self) -> StorageResult<()> {
        if self.topics.is_empty() {
            return self.create().await;
        }
        match self.rng.u8(0..100) {
            0..60 => self.write().await,
            60..68 => self.trim().await,
            68..74 => self.flush().await,
            74..84 => self.storage.checkpoint(),
            84..88 => self.update().await,
            88..92 => self.compact().await,
            92..96 => self.create().await,
            _ => self.delete().await,
        }
    }

    /// Closes the storage in order; without this, the process just ends.
    pub(crate) fn close(self) -> StorageResult<()> {
        self.storage.close_blocking()
    }

    async fn create(&mut self) -> StorageResult<()> {
        if self.topics.len() >= TOPICS_MAX {
            return self.delete().await;
        }
        let mut id = [0; 16];
        self.rng.fill(&mut id);
        let id = TopicId::from_bytes(id).unwrap();
        let taken = |name: &TopicName| self.topics.iter().any(|t| t.descriptor.name == *name);
        let names = ["a", "b", "c"].map(|name| TopicName::parse(name).unwrap());
        let name = names.into_iter().find(|name| !taken(name)).unwrap();
        let descriptor = TopicDescriptor {
            id,
            name,
            partitions: self.rng.u32(1..3),
            config: TopicConfig {
                segment_bytes: 4 << 10,
                ..TopicConfig::new(self.durability())
            },
        };
        self.ask(id, Change::To(descriptor.clone()));
        let handle = self.drive(self.storage.create_topic(&descriptor)).await?;
        self.answered(id);
        self.topics.push(OpenTopic {
            descriptor,
            handle,
            partitions: Vec::new(),
        });
        self.open_partitions();
        Ok(())
    }

    async fn update(&mut self) -> StorageResult<()> {
        let at = self.rng.usize(0..self.topics.len());
        let mut descriptor = self.topics[at].descriptor.clone();
        match self.rng.u8(0..3) {
            0 => descriptor.partitions = (descriptor.partitions + 1).min(PARTITIONS_MAX),
            1 => descriptor.config.retention_bytes = Some(self.rng.u64(1..1_000)),
            _ => descriptor.config.durability = self.durability(),
        }
        self.ask(descriptor.id, Change::To(descriptor.clone()));
        self.drive(self.storage.update_topic(&descriptor)).await?;
        self.answered(descriptor.id);
        if descriptor.config.durability != self.topics[at].descriptor.config.durability {
            self.all_synced(at);
        }
        self.topics[at].descriptor = descriptor;
        self.open_partitions();
        Ok(())
    }

    async fn delete(&mut self) -> StorageResult<()> {
        let at = self.rng.usize(0..self.topics.len());
        let topic = self.topics.swap_remove(at);
        self.ask(topic.descriptor.id, Change::Gone);
        self.drive(self.storage.delete_topic(topic.descriptor.id))
            .await?;
        self.answered(topic.descriptor.id);
        Ok(())
    }

    /// Several batches to several partitions; those of `fsync` topics in one or a few groups.
    async fn write(&mut self) -> StorageResult<()> {
        let mut tickets = Vec::new();
        for _ in 0..self.rng.usize(1..6) {
            let at = self.rng.usize(0..self.topics.len());
            let partition = self.rng.usize(0..self.topics[at].partitions.len());
            if self.topics[at].descriptor.config.durability == Durability::Fsync {
                tickets.extend(self.submit(at, partition)?);
            } else {
                let batch = self.next_batch(at, partition);
                self.topics[at].partitions[partition].log.append(&[batch])?;
            }
            if self.rng.u8(0..4) == 0 {
                self.storage.drive();
            }
        }
        for ticket in tickets {
            let outcome = self.drive(ticket.wait()).await;
            outcome.map_err(|error| match error {
                CommitError::Failed(error) | CommitError::Unknown(error) => error,
            })?;
        }
        Ok(())
    }

    fn submit(&mut self, at: usize, partition: usize) -> StorageResult<Vec<Ticket>> {
        let mut batches = vec![self.next_batch(at, partition)];
        if planted::is(Bug::SubmittedOutsideLock) {
            // As if the partition's lock were given back between assigning and submitting.
            batches.push(self.next_batch(at, partition));
            batches.reverse();
        }
        let topic = &self.topics[at];
        let committer: Arc<dyn Committer> = self.storage.committer();
        let submissions = batches.into_iter().map(|batch| {
            committer.submit(Submission {
                topic: topic.descriptor.id,
                partition: topic.partitions[partition].sink.index,
                batch,
                append_time: Timestamp::new(2_000),
                sink: topic.partitions[partition].sink.clone(),
            })
        });
        submissions.collect()
    }

    async fn trim(&mut self) -> StorageResult<()> {
        let at = self.rng.usize(0..self.topics.len());
        let partition = self.rng.usize(0..self.topics[at].partitions.len());
        let open = self.topics[at].partitions[partition].clone();
        let bounds = open.log.bounds();
        let to = Offset::new(self.rng.u64(bounds.log_start.get()..=bounds.log_end.get()));
        let id = self.topics[at].descriptor.id;
        let index = open.sink.index;
        self.with_partition(id, index, |history| history.trim_asked(to));
        self.drive(open.log.advance_log_start(to)).await?;
        self.with_partition(id, index, PartitionHistory::trimmed);
        Ok(())
    }

    /// Compacts a partition's log, as far as it lies in sealed segments.
    async fn compact(&mut self) -> StorageResult<()> {
        let at = self.rng.usize(0..self.topics.len());
        let partition = self.rng.usize(0..self.topics[at].partitions.len());
        let open = self.topics[at].partitions[partition].clone();
        let end = open.log.bounds().log_end;
        let until = match self.rng.u8(0..3) {
            0 => Offset::new(self.rng.u64(0..=end.get())),
            _ => end,
        };
        self.now = self.now.plus(TOMBSTONE_RETENTION / 2);
        let request = CompactRequest {
            until,
            now: self.now,
            tombstone_retention: TOMBSTONE_RETENTION,
            kept_batches: Arc::default(),
            // Sometimes too little for all keys there are.
            key_map_bytes_max: self.rng.usize(0..1_000),
            pace: Pace::UNLIMITED,
        };
        let id = self.topics[at].descriptor.id;
        self.with_partition(id, open.sink.index, |history| history.compact_asked(until));
        self.drive(open.log.compact(&request)).await.map(drop)
    }

    async fn flush(&mut self) -> StorageResult<()> {
        let at = self.rng.usize(0..self.topics.len());
        let partition = self.rng.usize(0..self.topics[at].partitions.len());
        let open = self.topics[at].partitions[partition].clone();
        let end = self.drive(open.log.flush()).await?;
        let id = self.topics[at].descriptor.id;
        self.with_partition(id, open.sink.index, |history| history.promised(end));
        Ok(())
    }

    /// A batch that was never seen before, at the partition's next offset.
    fn next_batch(&mut self, at: usize, partition: usize) -> RecordBatch {
        let records = self.rng.i32(1..4);
        let mut builder = BatchBuilder::new(Compression::None);
        for _ in 0..records {
            let bytes = match self.rng.u8(0..20) {
                0 => self.rng.usize(2_000..5_000),
                1..6 => self.rng.usize(300..1_500),
                _ => self.rng.usize(0..100),
            };
            let mut value = vec![0; bytes + 8];
            self.rng.fill(&mut value);
            let mut record = Record::new(value).with_key(vec![self.rng.u8(0..KEYS)]);
            record.value = record.value.filter(|_| self.rng.u8(0..8) > 0);
            let timestamp = Timestamp::new(self.rng.i64(0..100_000));
            builder.push(&record, timestamp).unwrap();
        }
        let mut batch = builder.build().unwrap();
        let open = &mut self.topics[at].partitions[partition];
        batch.assign(open.next_offset, LeaderEpoch::new(0));
        open.next_offset = batch.header().end_offset();
        let index = open.sink.index;
        let id = self.topics[at].descriptor.id;
        self.with_partition(id, index, |history| history.submitted(&batch));
        batch
    }

    fn open_partitions(&mut self) {
        for topic in &mut self.topics {
            let first = u32::try_from(topic.partitions.len()).unwrap();
            for index in (first..topic.descriptor.partitions).map(PartitionIndex::new) {
                let log = topic.handle.partition(index).unwrap();
                topic.partitions.push(OpenPartition {
                    next_offset: log.bounds().log_end,
                    sink: Arc::new(Sink {
                        history: self.history.clone(),
                        topic: topic.descriptor.id,
                        index,
                        log: log.clone(),
                        has_failed: AtomicBool::new(false),
                    }),
                    log,
                });
            }
        }
    }

    fn durability(&mut self) -> Durability {
        if self.rng.u8(0..4) == 0 {
            Durability::Os
        } else {
            Durability::Fsync
        }
    }

    /// Everything in the topic's logs was promised, since its durability was changed.
    fn all_synced(&mut self, at: usize) {
        let id = self.topics[at].descriptor.id;
        for open in &self.topics[at].partitions {
            let end = open.log.bounds().log_end;
            self.with_partition(id, open.sink.index, |history| history.promised(end));
        }
    }

    fn ask(&self, id: TopicId, change: Change) {
        self.history.lock().topic(id).asked = Some(change);
    }

    fn answered(&self, id: TopicId) {
        self.history.lock().topic(id).answered();
    }

    fn with_partition(
        &self,
        id: TopicId,
        index: PartitionIndex,
        change: impl FnOnce(&mut PartitionHistory),
    ) {
        change(self.history.lock().topic(id).partition(index));
    }

    /// Waits for something, and does meanwhile what the storage's threads would do.
    async fn drive<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(output) = future.as_mut().poll(cx) {
                    return Poll::Ready(output);
                }
                if !self.storage.drive() {
                    // A thread of the runtime is at it, and will wake this one.
                    return Poll::Pending;
                }
            }
        })
        .await
    }
}

/// What the engine's partition is to the committer.
#[derive(Debug)]
struct Sink {
    history: SharedHistory,
    topic: TopicId,
    index: PartitionIndex,
    log: Arc<dyn Partition>,
    has_failed: AtomicBool,
}

impl CommitSink for Sink {
    fn accepts(&self) -> bool {
        !self.has_failed.load(Ordering::SeqCst)
    }

    fn apply(&self, batches: &[RecordBatch]) -> StorageResult<()> {
        let appended = self.log.append(batches)?;
        let mut history = self.history.lock();
        history
            .topic(self.topic)
            .partition(self.index)
            .promised(appended.log_end);
        Ok(())
    }

    fn fail(&self, _: RecordBatch, _: &CommitError) {
        self.has_failed.store(true, Ordering::SeqCst);
    }
}
