//! What makes a large log quick to open again: a checkpoint when much was appended, and a snapshot of the
//! log's producers.

#[path = "support/untimed.rs"]
mod untimed;

use std::{fs, path::Path, sync::Arc, time::Duration};

use ratatoskr_core::{
    Broker,
    batch::{BatchBuilder, RecordBatch},
    broker::{NewTopic, Produced},
    config::{Compression, Durability, TopicConfigChange},
    name::TopicName,
    offset::PartitionIndex,
    producer::{ProducerEpoch, ProducerId, ProducerStamp, Sequence},
    record::Record,
    time::Timestamp,
};
use ratatoskr_storage::{MmapStorage, mmap::CacheLimits};

/// More than goes between two snapshots.
const BATCHES: i32 = 20;

fn topic() -> TopicName {
    TopicName::parse("large").unwrap()
}

/// A megabyte of an idempotent producer.
fn batch(sequence: i32) -> RecordBatch {
    let mut builder = BatchBuilder::new(Compression::None).with_producer(ProducerStamp {
        id: ProducerId::new(7),
        epoch: ProducerEpoch::new(0),
        base_sequence: Sequence::new(sequence),
    });
    let record = Record::new(vec![b'x'; 1_000_000]);
    builder.push(&record, Timestamp::new(0)).unwrap();
    builder.build().unwrap()
}

async fn send(broker: &Broker, sequence: i32) -> Produced {
    let pending = broker.produce(&topic(), PartitionIndex::new(0), batch(sequence));
    pending.unwrap().wait().await.unwrap()
}

async fn open(directory: &Path) -> (Arc<MmapStorage>, Broker) {
    let caches = CacheLimits {
        unsynced_bytes_max: 8 << 20,
        ..CacheLimits::default()
    };
    untimed::open(directory, caches).await
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_mins(1), waiting).await;
    assert!(waited.is_ok(), "{what}");
}

/// The snapshot of the only partition.
fn snapshot(directory: &Path) -> Option<Vec<u8>> {
    let mut topics = fs::read_dir(directory.join("topics")).unwrap();
    let topic = topics.next().unwrap().unwrap().path();
    fs::read(topic.join("0/snapshot")).ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_log_has_a_checkpoint_and_a_snapshot_soon() {
    let directory = tempfile::tempdir().unwrap();
    let (storage, broker) = open(directory.path()).await;
    let new = NewTopic {
        partitions: Some(1),
        config: TopicConfigChange {
            durability: Some(Durability::Os),
            ..TopicConfigChange::default()
        },
    };
    broker.create_topic(&topic(), new).await.unwrap();
    let checkpoint = || fs::read(directory.path().join("CHECKPOINT")).unwrap_or_default();
    let before = checkpoint();
    for sequence in 0..BATCHES {
        send(&broker, sequence).await;
    }
    until("a checkpoint", || checkpoint() != before).await;
    until("a snapshot", || snapshot(directory.path()).is_some()).await;
    broker.shutdown(Duration::from_mins(1)).await.unwrap();
    storage.close().await.unwrap();
    drop((broker, storage));

    let (storage, broker) = open(directory.path()).await;
    let again = send(&broker, BATCHES - 1).await;
    assert_eq!((again.base_offset.get(), again.duplicate), (19, true));
    let next = send(&broker, BATCHES).await;
    assert_eq!((next.base_offset.get(), next.duplicate), (20, false));
    broker.shutdown(Duration::from_mins(1)).await.unwrap();
    storage.close().await.unwrap();
}
