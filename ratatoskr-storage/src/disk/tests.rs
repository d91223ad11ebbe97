//! What happens at the edges: a storage that is closed while producers wait for room, a handle that
//! fails while a change of its log is on its way.

use std::{future::poll_fn, path::Path, pin::pin, sync::Arc, task::Poll, time::Duration};

use ratatoskr_core::{
    batch::{BatchBuilder, BatchHeader, RecordBatch},
    commit::{CommitError, CommitSink, Submission, Ticket},
    compaction::{CompactRequest, Pace},
    config::{Compression, Durability, TopicConfig},
    name::{TopicId, TopicName},
    offset::{LeaderEpoch, Offset, PartitionIndex},
    record::Record,
    storage::{
        Access, Partition, ReadRequest, Storage, StorageError, StorageResult, Topic,
        TopicDescriptor,
    },
    sync::Mutex,
    time::Timestamp,
};

use super::{MmapOptions, MmapStorage, checkpoint::Checkpoint};
use crate::{
    io::{FileSystem, OsFileSystem, sim::SimFileSystem},
    wal::{WalOptions, WalPoint},
};

const P0: PartitionIndex = PartitionIndex::new(0);

fn open(path: &Path) -> Arc<MmapStorage> {
    open_on(Arc::new(OsFileSystem), path)
}

fn open_on(fs: Arc<dyn FileSystem>, path: &Path) -> Arc<MmapStorage> {
    open_of(fs, path, 64 << 10)
}

/// With a write-ahead log of two files of so many bytes.
fn open_of(fs: Arc<dyn FileSystem>, path: &Path, file_bytes: u64) -> Arc<MmapStorage> {
    let options = MmapOptions {
        wal: WalOptions {
            file_bytes,
            first_file_bytes: file_bytes,
            wal_bytes_max: 2 * file_bytes,
            ..WalOptions::default()
        },
        threads: false,
        ..MmapOptions::default()
    };
    let storage = MmapStorage::open_on(fs, path, &options);
    Arc::new(storage.unwrap())
}

/// Polls once, then commits what is queued until the future is done.
async fn driven<T>(storage: &MmapStorage, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Pending => {
            storage.drive();
            cx.waker().wake_by_ref();
            Poll::Pending
        }
        ready @ Poll::Ready(_) => ready,
    })
    .await
}

async fn topic(storage: &MmapStorage) -> Arc<dyn Topic> {
    topic_of(storage, TopicConfig::new(Durability::Fsync)).await
}

async fn topic_of(storage: &MmapStorage, config: TopicConfig) -> Arc<dyn Topic> {
    let topic = TopicDescriptor {
        id: TopicId::from_bytes(*b"topic of a test.").unwrap(),
        name: TopicName::parse("orders").unwrap(),
        partitions: 1,
        config,
    };
    driven(storage, storage.create_topic(&topic)).await.unwrap()
}

fn batch(base: u64, value: &str) -> RecordBatch {
    let mut builder = BatchBuilder::new(Compression::None);
    let record = Record::new(value.as_bytes().to_vec()).with_key("key");
    builder.push(&record, Timestamp::new(1_000)).unwrap();
    let mut batch = builder.build().unwrap();
    batch.assign(Offset::new(base), LeaderEpoch::new(0));
    batch
}

/// Appends to the partition, as the engine does, and keeps what failed.
#[derive(Debug)]
struct Sink {
    log: Arc<dyn Partition>,
    failed: Mutex<Vec<CommitError>>,
}

impl CommitSink for Sink {
    fn accepts(&self) -> bool {
        true
    }

    fn apply(&self, batches: &[RecordBatch]) -> StorageResult<()> {
        self.log.append(batches).map(drop)
    }

    fn fail(&self, _: RecordBatch, error: &CommitError) {
        self.failed.lock().push(error.clone());
    }
}

fn submit(storage: &MmapStorage, topic: TopicId, sink: &Arc<Sink>, batch: RecordBatch) -> Ticket {
    let submission = Submission {
        topic,
        partition: P0,
        batch,
        append_time: Timestamp::new(1_000),
        sink: sink.clone(),
    };
    storage.committer().submit(submission).unwrap()
}

fn sink(topic: &dyn Topic) -> Arc<Sink> {
    Arc::new(Sink {
        log: topic.partition(P0).unwrap(),
        failed: Mutex::default(),
    })
}

/// Fills the write-ahead log until producers wait for room; answers the ticket that waits.
fn fill(storage: &MmapStorage, topic: &dyn Topic, sink: &Arc<Sink>) -> (u64, Ticket) {
    let value = "x".repeat(40 << 10);
    let mut base = 0;
    loop {
        let ticket = submit(storage, topic.id(), sink, batch(base, &value));
        storage.shared.wal.lead_group();
        if storage.shared.wal.is_stalled() {
            return (base, ticket);
        }
        base += 1;
    }
}

#[tokio::test]
async fn closing_commits_what_waits_for_room() {
    let directory = tempfile::tempdir().unwrap();
    let storage = open(directory.path());
    let topic = topic(&storage).await;
    let sink = sink(&*topic);
    let (base, waiting) = fill(&storage, &*topic, &sink);
    storage.close_blocking().unwrap();
    waiting.wait().await.unwrap();
    drop((sink, storage));
    let storage = open(directory.path());
    let log = storage.open_topic(topic.id()).await.unwrap();
    let bounds = log.partition(P0).unwrap().bounds();
    assert_eq!(bounds.log_end, Offset::new(base + 1));
}

#[tokio::test]
async fn what_waits_for_room_when_the_storage_is_dropped_fails_cleanly() {
    let directory = tempfile::tempdir().unwrap();
    let storage = open(directory.path());
    let topic = topic(&storage).await;
    let sink = sink(&*topic);
    let (_, waiting) = fill(&storage, &*topic, &sink);
    drop(storage);
    let outcome = waiting.wait().await;
    assert!(matches!(
        outcome,
        Err(CommitError::Failed(StorageError::Closed))
    ));
    assert_eq!(sink.failed.lock().len(), 1);
}

#[tokio::test]
async fn a_log_start_lasts_though_the_handle_that_asked_for_it_has_failed() {
    let directory = tempfile::tempdir().unwrap();
    let storage = open(directory.path());
    let topic = topic(&storage).await;
    let sink = sink(&*topic);
    for base in 0..4 {
        let ticket = submit(&storage, topic.id(), &sink, batch(base, "a"));
        driven(&storage, ticket.wait()).await.unwrap();
    }
    let old = storage.shared.registry.topic(topic.id()).unwrap();
    let old = old.slot(P0).unwrap().state().handle.unwrap();
    let mut moving = pin!(old.advance_log_start(Offset::new(3)));
    // The frame is queued, then the handle fails and another one takes its place.
    assert!(poll_fn(|cx| Poll::Ready(moving.as_mut().poll(cx).is_pending())).await);
    old.fail(StorageError::Closed);
    let new = topic.partition(P0).unwrap();
    assert_eq!(new.bounds().log_start, Offset::ZERO);
    driven(&storage, moving).await.unwrap();
    assert_eq!(new.bounds().log_start, Offset::new(3));
    storage.close_blocking().unwrap();
    let storage = open(directory.path());
    let log = storage.open_topic(topic.id()).await.unwrap();
    let bounds = log.partition(P0).unwrap().bounds();
    assert_eq!(bounds.log_start, Offset::new(3));
}

#[tokio::test]
async fn a_checkpoint_that_panics_fails_those_who_wait_for_room_and_the_next_one_is_written() {
    let fs = SimFileSystem::new();
    let directory = Path::new("/data");
    fs.create_dir(directory).unwrap();
    let storage = open_on(Arc::new(fs.clone()), directory);
    let topic = topic(&storage).await;
    let sink = sink(&*topic);
    let (_, waiting) = fill(&storage, &*topic, &sink);

    let mut panics = true;
    fs.observe(move |_| assert!(!std::mem::take(&mut panics), "planted"));
    assert!(storage.checkpoint().is_err());
    assert!(waiting.wait().await.is_err());
    storage.checkpoint().unwrap();
}

fn compact_all() -> CompactRequest {
    CompactRequest {
        until: Offset::MAX,
        now: Timestamp::new(1_000),
        tombstone_retention: Duration::ZERO,
        kept_batches: Arc::default(),
        key_map_bytes_max: 1 << 16,
        pace: Pace::UNLIMITED,
    }
}

/// A topic of small segments with 40 batches of one key.
async fn compactable(storage: &MmapStorage) -> Arc<dyn Topic> {
    let config = TopicConfig {
        segment_bytes: 4 << 10,
        ..TopicConfig::new(Durability::Fsync)
    };
    let topic = topic_of(storage, config).await;
    let sink = sink(&*topic);
    for base in 0..40 {
        let ticket = submit(storage, topic.id(), &sink, batch(base, &"x".repeat(400)));
        driven(storage, ticket.wait()).await.unwrap();
    }
    topic
}

#[tokio::test]
async fn frames_that_compaction_has_overtaken_are_not_taken_for_corruption() {
    let fs = SimFileSystem::new();
    let directory = Path::new("/data");
    fs.create_dir(directory).unwrap();
    // All frames are in the first file, which no checkpoint recycles.
    let storage = open_of(Arc::new(fs.clone()), directory, 1 << 20);
    let topic = compactable(&storage).await;
    let log = topic.partition(P0).unwrap();
    let compacted = log.compact(&compact_all()).await.unwrap();
    assert!(compacted.to > Offset::new(20));
    // As when batches were applied between the point of a checkpoint and the sync of their log: the
    // frames lie beyond the point, the checkpoint of the log does as well.
    let layout = storage.shared.logs.layout.clone();
    let mut checkpoint = Checkpoint::read(&layout).unwrap();
    checkpoint.point = WalPoint::START;
    checkpoint.write(&layout).unwrap();
    let id = topic.id();
    drop((log, topic, storage));
    let storage = open_of(Arc::new(fs), directory, 1 << 20);
    let report = storage.recovery();
    assert!(report.failed.is_empty(), "{report:?}");
    assert!(report.frames >= 40, "the frames are there: {report}");
    let log = storage.open_topic(id).await.unwrap().partition(P0).unwrap();
    assert_eq!(log.bounds().log_end, Offset::new(40));
    assert_eq!(log.stats().compacted_to, compacted.to);
}

#[tokio::test(start_paused = true)]
async fn a_compaction_ends_with_its_handle() {
    let directory = tempfile::tempdir().unwrap();
    let storage = open(directory.path());
    let topic = compactable(&storage).await;
    let old = storage.shared.registry.topic(topic.id()).unwrap();
    let old = old.slot(P0).unwrap().state().handle.unwrap();
    let slow = CompactRequest {
        pace: Pace::bytes_per_second(1),
        ..compact_all()
    };
    let mut compacting = pin!(old.compact(&slow));
    for _ in 0..100 {
        assert!(poll_fn(|cx| Poll::Ready(compacting.as_mut().poll(cx).is_pending())).await);
        tokio::task::yield_now().await;
    }
    old.fail(StorageError::Closed);
    let new = topic.partition(P0).unwrap();
    let before = new.stats();
    assert!(matches!(compacting.await, Err(StorageError::Closed)));
    assert_eq!(new.stats(), before);
    let compacted = new.compact(&compact_all()).await.unwrap();
    assert!(compacted.to > Offset::new(20));
    let log = new.read(&ReadRequest {
        from: Offset::ZERO,
        until: Offset::MAX,
        bytes_max: usize::MAX,
        access: Access::Inspect,
    });
    let first = BatchHeader::decode(&log.await.unwrap().slices()[0]).unwrap();
    assert_eq!(first.record_count, 0, "all but the last is superseded");
}
