//! What it costs that compaction looks at ten thousand partitions that nobody uses.
//!
//! The test is alone in its file since it measures the whole process.

use std::{fs, path::Path, sync::Arc, time::Duration};

use peak_alloc::PeakAlloc;
use ratatoskr_core::{
    Broker, BrokerConfig,
    batch::BatchBuilder,
    broker::{NewTopic, PartitionState, StreamOptions},
    config::{Compression, TopicConfigChange},
    name::TopicName,
    offset::PartitionIndex,
    record::Record,
    time::Timestamp,
};
use ratatoskr_storage::{MmapOptions, MmapStorage};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const PARTITIONS: u32 = 10_000;
/// Heap of an idle partition, whether or not somebody looked at it.
const PARTITION_BYTES_MAX: usize = 64 << 10;
/// Descriptors: those of the hundred logs that the last round looked at, of the round before while they
/// are being closed, and of the process itself.
const DESCRIPTORS_MAX: usize = 300;
/// The one that is worth it.
const DIRTY: PartitionIndex = PartitionIndex::new(7_777);
/// Records of one key in it.
const RECORDS: usize = 400;

fn topic() -> TopicName {
    TopicName::parse("many").unwrap()
}

/// How many descriptors are open, where the system tells.
fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

async fn open(directory: &Path) -> (Arc<MmapStorage>, Broker) {
    let storage = MmapStorage::open(directory, MmapOptions::default()).await;
    let storage = Arc::new(storage.unwrap());
    let config = BrokerConfig {
        compaction_interval: Duration::from_secs(1),
        ..BrokerConfig::default()
    };
    let broker = storage.broker().config(config).open().await.unwrap();
    (storage, broker)
}

async fn close((storage, broker): (Arc<MmapStorage>, Broker)) {
    broker.shutdown(Duration::from_mins(1)).await.unwrap();
    drop(broker);
    storage.close().await.unwrap();
}

async fn send(broker: &Broker, partition: PartitionIndex) {
    let mut builder = BatchBuilder::new(Compression::None);
    let record = Record::new("x".repeat(100)).with_key("key");
    builder
        .push(&record, Timestamp::new(1_700_000_000_000))
        .unwrap();
    let batch = builder.build().unwrap();
    let sent = broker.produce(&topic(), partition, batch).unwrap();
    sent.wait().await.unwrap();
}

async fn fill(directory: &Path) {
    let (storage, broker) = open(directory).await;
    let mut config = TopicConfigChange::default();
    for (key, value) in [
        ("cleanup_policy", "compact"),
        ("durability", "os"),
        ("segment_bytes", "4KiB"),
    ] {
        config.set(key, value).unwrap();
    }
    let new = NewTopic {
        partitions: Some(PARTITIONS),
        config,
    };
    broker.create_topic(&topic(), new).await.unwrap();
    for partition in (0..PARTITIONS).map(PartitionIndex::new) {
        send(&broker, partition).await;
    }
    for _ in 1..RECORDS {
        send(&broker, DIRTY).await;
    }
    close((storage, broker)).await;
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_idle_partitions_are_looked_at_and_stay_small() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path()).await;

    let (storage, broker) = open(directory.path()).await;
    let before = ALLOCATOR.current_usage();
    // A hundred in each round, and a few rounds to come to the end.
    for _ in 0..120 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    while broker.stats().total.records_compacted == 0 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let grown = ALLOCATOR.current_usage().saturating_sub(before);
    let partition_bytes = grown / PARTITIONS as usize;
    assert!(
        partition_bytes <= PARTITION_BYTES_MAX,
        "a partition that was looked at takes {partition_bytes} bytes"
    );
    let open_files = descriptors();
    assert!(open_files <= DESCRIPTORS_MAX, "{open_files} descriptors");
    let unchanged = TopicConfigChange::default();
    let described = broker.alter_topic(&topic(), &unchanged).await.unwrap();
    for partition in &described.partitions {
        assert_eq!(partition.state, PartitionState::Closed);
    }

    let options = StreamOptions {
        partitions: Some(vec![DIRTY]),
        ..StreamOptions::default()
    };
    let mut records = broker.stream(&topic(), options).await.unwrap();
    let mut found = 0;
    loop {
        let record = records.next().await.unwrap().unwrap();
        found += 1;
        if record.offset.get() + 1 == RECORDS as u64 {
            break;
        }
    }
    assert!(found < RECORDS / 4, "{found} records of one key are left");
    drop(records);
    close((storage, broker)).await;
}
