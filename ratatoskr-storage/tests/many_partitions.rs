//! What ten thousand partitions on disk cost.
//!
//! The test is alone in its file since it measures the whole process.

use std::{fs, sync::Arc, time::Duration};

use peak_alloc::PeakAlloc;
use ratatoskr_core::{
    broker::NewTopic,
    config::{Durability, TopicConfigChange},
    name::TopicName,
    offset::{Offset, PartitionIndex},
    record::Record,
};
use ratatoskr_storage::{MmapOptions, MmapStorage, mmap::CacheLimits};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const PARTITIONS: u32 = 10_000;
/// Heap of an idle partition that holds a record.
const PARTITION_BYTES_MAX: usize = 64 << 10;
/// Open files of logs; far fewer than there are.
const OPEN_FILES_MAX: usize = 1_000;
/// What many systems allow a process.
const DESCRIPTORS_MAX: usize = 20_000;
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

#[tokio::test]
async fn ten_thousand_partitions_on_disk_are_small_and_keep_few_files_open() {
    let directory = tempfile::tempdir().unwrap();
    let options = MmapOptions {
        caches: CacheLimits {
            open_files_max: OPEN_FILES_MAX,
            ..CacheLimits::default()
        },
        // Only files that have to be synced before they can be closed bring one about.
        checkpoint_interval: Duration::from_hours(1),
        ..MmapOptions::default()
    };
    let storage = MmapStorage::open(directory.path(), options).await.unwrap();
    let storage = Arc::new(storage);
    let broker = storage.broker().open().await.unwrap();
    let topic = TopicName::parse("many").unwrap();
    let before = ALLOCATOR.current_usage();
    let new = NewTopic {
        partitions: Some(PARTITIONS),
        config: TopicConfigChange {
            durability: Some(Durability::Os),
            ..TopicConfigChange::default()
        },
    };
    broker.create_topic(&topic, new).await.unwrap();
    let mut descriptors_most = 0;
    for number in 0..PARTITIONS {
        // Records without a key go round.
        let record = Record::new(number.to_be_bytes().to_vec());
        broker.publish(&topic, record).await.unwrap();
        if number.is_multiple_of(100) {
            descriptors_most = descriptors_most.max(descriptors());
        }
    }
    assert!(
        descriptors_most <= DESCRIPTORS_MAX,
        "{descriptors_most} descriptors"
    );
    storage.checkpoint().unwrap();
    let open = descriptors();
    assert!(
        open <= OPEN_FILES_MAX + 100,
        "{open} descriptors when all is synced"
    );
    let partition_bytes = (ALLOCATOR.current_usage() - before) / PARTITIONS as usize;
    assert!(
        partition_bytes <= PARTITION_BYTES_MAX,
        "a partition takes {partition_bytes} bytes"
    );
    let resident = resident_kib();
    assert!(resident <= RESIDENT_KIB_MAX, "{resident} KiB are resident");
    for index in (0..PARTITIONS).map(PartitionIndex::new) {
        let bounds = broker.bounds(&topic, index).unwrap();
        assert_eq!(bounds.high_watermark, Offset::new(1), "partition {index}");
        let open = descriptors_most.max(descriptors());
        assert!(open <= DESCRIPTORS_MAX);
    }
}
