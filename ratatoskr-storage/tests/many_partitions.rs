//! What ten thousand partitions on disk cost.
//!
//! The test is alone in its file since it measures the whole process.

#[path = "support/untimed.rs"]
mod untimed;

use std::{fs, path::Path, sync::Arc, time::Duration};

use peak_alloc::PeakAlloc;
use ratatoskr_core::{
    Broker,
    broker::NewTopic,
    config::{Durability, TopicConfigChange},
    name::TopicName,
    offset::{Offset, PartitionIndex},
    record::Record,
};
use ratatoskr_storage::{MmapStorage, mmap::CacheLimits};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const PARTITIONS: u32 = 10_000;
/// Heap of an idle partition that holds a record.
const PARTITION_BYTES_MAX: usize = 64 << 10;
/// Descriptors beside those of logs.
const DESCRIPTORS_BESIDE: usize = 100;
/// Resident memory of the process, in KiB.
const RESIDENT_KIB_MAX: usize = 700_000_000 / 1024;

/// How many descriptors are open, where the system tells.
fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// Resident memory in KiB, where the system tells.
fn resident_kib() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.map_or(0, |number| number.parse().unwrap())
}

/// A broker with a record in each of so many partitions, and how many descriptors it had open at
/// most. Checkpoints are only written where files cannot be closed without.
async fn written_to(
    directory: &Path,
    partitions: u32,
    open_files_max: usize,
) -> (Arc<MmapStorage>, Broker, usize) {
    let caches = CacheLimits {
        open_files_max,
        ..CacheLimits::default()
    };
    let (storage, broker) = untimed::open(directory, caches).await;
    let new = NewTopic {
        partitions: Some(partitions),
        config: TopicConfigChange {
            durability: Some(Durability::Os),
            ..TopicConfigChange::default()
        },
    };
    broker.create_topic(&topic(), new).await.unwrap();
    let mut most = 0;
    for number in 0..partitions {
        // Records without a key go round.
        let record = Record::new(number.to_be_bytes().to_vec());
        broker.publish(&topic(), record).await.unwrap();
        if number.is_multiple_of(100) {
            most = most.max(descriptors());
        }
    }
    (storage, broker, most.max(descriptors()))
}

fn topic() -> TopicName {
    TopicName::parse("many").unwrap()
}

#[tokio::test]
async fn ten_thousand_partitions_on_disk_are_small_and_keep_few_files_open() {
    // A descriptor for each, so that 20,000 are enough whatever is synced.
    let directory = tempfile::tempdir().unwrap();
    let before = ALLOCATOR.current_usage();
    let (storage, broker, most) = written_to(directory.path(), PARTITIONS, usize::MAX).await;
    let descriptors_max = PARTITIONS as usize + DESCRIPTORS_BESIDE;
    assert!(most <= descriptors_max, "{most} descriptors");
    let partition_bytes = (ALLOCATOR.current_usage() - before) / PARTITIONS as usize;
    assert!(
        partition_bytes <= PARTITION_BYTES_MAX,
        "a partition takes {partition_bytes} bytes"
    );
    let resident = resident_kib();
    assert!(resident <= RESIDENT_KIB_MAX, "{resident} KiB are resident");
    for index in (0..PARTITIONS).map(PartitionIndex::new) {
        let bounds = broker.bounds(&topic(), index).unwrap();
        assert_eq!(bounds.high_watermark, Offset::new(1), "partition {index}");
    }
    drop((storage, broker));

    // Beyond the limit they are synced, and then closed.
    let directory = tempfile::tempdir().unwrap();
    let (storage, _broker, _) = written_to(directory.path(), 1_000, 100).await;
    let closed = async {
        while descriptors() > 100 + DESCRIPTORS_BESIDE {
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(30), closed).await;
    in_time.expect("files are synced, and closed again");
    drop(storage);
}
