//! What is refused when a data directory is opened, what closing leaves, and a directory of format
//! version 1 that every later version must read.

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use ratatoskr_core::{
    commit::{CommitError, CommitSink, Submission},
    config::{Durability, TopicConfig},
    conformance::{BatchSpec, Model},
    name::{TopicId, TopicName},
    offset::{Offset, PartitionIndex},
    storage::{Partition, Storage, StorageError, StorageResult, TopicDescriptor},
    time::Timestamp,
};
use ratatoskr_storage::{MmapOptions, MmapStorage, Verify, WalOptions};

use support::copy;

const FIRST: PartitionIndex = PartitionIndex::new(0);

fn options() -> MmapOptions {
    MmapOptions {
        wal: WalOptions {
            file_bytes: 8 << 10,
            first_file_bytes: 8 << 10,
            wal_bytes_max: 1 << 20,
            ..WalOptions::default()
        },
        ..MmapOptions::default()
    }
}

async fn open(path: &Path) -> StorageResult<Arc<MmapStorage>> {
    MmapStorage::open(path, options()).await.map(Arc::new)
}

fn topic() -> TopicDescriptor {
    TopicDescriptor {
        id: TopicId::from_bytes(*b"a topic of v1 ..").unwrap(),
        name: TopicName::parse("kept").unwrap(),
        partitions: 1,
        config: TopicConfig::new(Durability::Fsync),
    }
}

#[derive(Debug)]
struct Sink(Arc<dyn Partition>);

impl CommitSink for Sink {
    fn accepts(&self) -> bool {
        true
    }

    fn apply(&self, batches: &[ratatoskr_core::batch::RecordBatch]) -> StorageResult<()> {
        self.0.append(batches).map(drop)
    }

    fn fail(&self, _: ratatoskr_core::batch::RecordBatch, _: &CommitError) {}
}

/// Commits batches of three records, one after the other, at these offsets.
async fn commit(storage: &MmapStorage, bases: impl IntoIterator<Item = u64>) {
    let handle = storage.create_topic(&topic()).await.unwrap();
    let partition = handle.partition(FIRST).unwrap();
    for base in bases {
        let ticket = storage.committer().submit(Submission {
            topic: topic().id,
            partition: FIRST,
            batch: BatchSpec::of(3).build(Offset::new(base)),
            append_time: Timestamp::new(1_000),
            sink: Arc::new(Sink(partition.clone())),
        });
        ticket.unwrap().wait().await.unwrap();
    }
}

async fn expect(storage: &MmapStorage, bases: impl IntoIterator<Item = u64>) {
    let mut model = Model::default();
    for base in bases {
        model.append(&[BatchSpec::of(3).build(Offset::new(base))]);
    }
    let handle = storage.open_topic(topic().id).await.unwrap();
    let partition = handle.partition(FIRST).unwrap();
    model.compare(&*partition).await.unwrap();
}

#[tokio::test]
async fn a_directory_is_open_once_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(directory.path()).await.unwrap();
    let second = open(directory.path()).await;
    assert!(matches!(second, Err(StorageError::Locked { .. })));
    first.close().await.unwrap();
    open(directory.path()).await.unwrap();
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path()).await.unwrap().close().await.unwrap();
    let path = directory.path().join("FORMAT");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("format 1", "format 2")).unwrap();
    let refused = open(directory.path()).await;
    assert!(matches!(
        refused,
        Err(StorageError::NewerFormat {
            found: 2,
            supported: 1
        })
    ));
}

#[tokio::test]
async fn somebody_elses_directory_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("letters.txt"), "dear").unwrap();
    let refused = open(directory.path()).await;
    assert!(matches!(refused, Err(StorageError::Damaged { .. })));
    assert!(!directory.path().join("wal").exists());
}

#[tokio::test]
async fn a_missing_or_damaged_checkpoint_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path()).await.unwrap().close().await.unwrap();
    let path = directory.path().join("CHECKPOINT");
    let good = fs::read(&path).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        fs::write(&path, bad).unwrap();
        let refused = open(directory.path()).await;
        assert!(
            matches!(
                refused,
                Err(StorageError::Damaged { .. } | StorageError::NewerFormat { .. })
            ),
            "byte {at}: {refused:?}"
        );
    }
    fs::remove_file(&path).unwrap();
    let refused = open(directory.path()).await;
    assert!(matches!(refused, Err(StorageError::Damaged { .. })));
}

#[tokio::test]
async fn after_closing_there_is_nothing_to_replay_and_handles_are_closed() {
    let directory = tempfile::tempdir().unwrap();
    let storage = open(directory.path()).await.unwrap();
    commit(&storage, [0, 3, 6]).await;
    let handle = storage.open_topic(topic().id).await.unwrap();
    let partition = handle.partition(FIRST).unwrap();
    storage.close().await.unwrap();
    let refused = partition.append(&[BatchSpec::of(3).build(Offset::new(9))]);
    assert!(matches!(refused, Err(StorageError::Closed)));
    let storage = open(directory.path()).await.unwrap();
    assert_eq!(storage.recovery().frames, 0);
    expect(&storage, [0, 3, 6]).await;
}

#[tokio::test]
async fn without_closing_the_write_ahead_log_is_replayed() {
    let directory = tempfile::tempdir().unwrap();
    let storage = open(directory.path()).await.unwrap();
    commit(&storage, [0, 3, 6]).await;
    drop(storage);
    let storage = open(directory.path()).await.unwrap();
    assert_eq!(storage.recovery().frames, 4);
    expect(&storage, [0, 3, 6]).await;
}

/// The log files of all partitions.
fn logs(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    let entries = entries.flat_map(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            logs(&path)
        } else {
            vec![path]
        }
    });
    entries
        .filter(|path| path.extension().is_some_and(|found| found == "log"))
        .filter(|path| path.ancestors().any(|above| above.ends_with("topics")))
        .collect()
}

#[tokio::test]
async fn a_checkpoint_need_not_be_believed() {
    let directory = tempfile::tempdir().unwrap();
    let storage = open(directory.path()).await.unwrap();
    commit(&storage, [0, 3, 6]).await;
    storage.close().await.unwrap();
    drop(storage);
    let verifying = |verify| MmapOptions {
        verify,
        ..options()
    };
    let [log] = logs(directory.path()).try_into().unwrap();
    let good = fs::read(&log).unwrap();
    for damaged in [false, true] {
        let mut bytes = good.clone();
        bytes[100] ^= u8::from(damaged);
        fs::write(&log, bytes).unwrap();
        for verify in [Verify::Tail, Verify::All] {
            let storage = MmapStorage::open(directory.path(), verifying(verify)).await;
            let storage = storage.unwrap();
            let found = storage.recovery();
            let all = verify == Verify::All;
            assert_eq!(found.verified_bytes > 0, all);
            assert_eq!(found.corrupt, u64::from(all && damaged));
            assert_eq!(found.failed.len(), 0);
        }
    }
    fs::write(&log, good).unwrap();
    let storage = MmapStorage::open(directory.path(), verifying(Verify::All)).await;
    let storage = storage.unwrap();
    expect(&storage, [0, 3, 6]).await;
    commit(&storage, [9]).await;
    expect(&storage, [0, 3, 6, 9]).await;
}

/// The directory was left by a process that ended without closing it: a checkpoint, then more.
#[tokio::test]
async fn a_directory_of_format_1_is_read() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1/directory");
    if std::env::var_os("WRITE_FIXTURE").is_some() {
        let storage = open(&fixture).await.unwrap();
        commit(&storage, [0, 3]).await;
        storage.checkpoint().unwrap();
        commit(&storage, [6, 9]).await;
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    copy(&fixture, directory.path());
    for empty in ["trash", "orphaned"] {
        // Version control keeps no empty directories.
        fs::create_dir_all(directory.path().join(empty)).unwrap();
    }
    let storage = open(directory.path()).await.unwrap();
    assert_eq!(storage.recovery().frames, 2);
    assert_eq!(storage.list_topics().await.unwrap(), [topic()]);
    expect(&storage, [0, 3, 6, 9]).await;
}

/// Takes no batch at all.
#[derive(Debug)]
struct Broken;

impl CommitSink for Broken {
    fn accepts(&self) -> bool {
        true
    }

    fn apply(&self, _: &[ratatoskr_core::batch::RecordBatch]) -> StorageResult<()> {
        Err(StorageError::io("apply", std::io::Error::other("planned")))
    }

    fn fail(&self, _: ratatoskr_core::batch::RecordBatch, _: &CommitError) {}
}

/// A batch that is durable and could not be applied is there once the partition is opened again:
/// from the write-ahead log, or, after a checkpoint or a restart, from its pending file.
#[tokio::test]
async fn a_batch_that_could_not_be_applied_is_kept_for_the_next_opening() {
    for (checkpoint, restart) in [(false, false), (true, false), (true, true), (false, true)] {
        let directory = tempfile::tempdir().unwrap();
        let mut storage = open(directory.path()).await.unwrap();
        commit(&storage, [0, 3]).await;
        let ticket = storage.committer().submit(Submission {
            topic: topic().id,
            partition: FIRST,
            batch: BatchSpec::of(3).build(Offset::new(6)),
            append_time: Timestamp::new(1_000),
            sink: Arc::new(Broken),
        });
        let outcome = ticket.unwrap().wait().await;
        assert!(matches!(outcome, Err(CommitError::Unknown(_))));
        if checkpoint {
            storage.checkpoint().unwrap();
        }
        if restart {
            drop(storage);
            storage = open(directory.path()).await.unwrap();
        }
        expect(&storage, [0, 3, 6]).await;
        commit(&storage, [9]).await;
        storage.close().await.unwrap();
        drop(storage);
        let storage = open(directory.path()).await.unwrap();
        expect(&storage, [0, 3, 6, 9]).await;
    }
}
