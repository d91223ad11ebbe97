//! What a partition and a reader cost while nothing happens to them.
//!
//! The test is alone in its file since it measures what the whole process allocates.

use peak_alloc::PeakAlloc;
use ratatoskr_core::{
    broker::{NewTopic, RecordStream, StreamOptions},
    name::TopicName,
    offset::PartitionIndex,
    record::Record,
};
use ratatoskr_storage::MemoryStorage;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const PARTITIONS: u32 = 1_000;
const READERS: usize = 1_000;
/// Heap of an open partition that holds one record.
const PARTITION_BYTES_MAX: usize = 4 << 10;
/// Heap of a reader that waits, its share of what the partition keeps for waiters included.
const READER_BYTES_MAX: usize = 4 << 10;

#[tokio::test]
async fn idle_partitions_and_readers_are_small() {
    let broker = MemoryStorage::new().broker().open().await.unwrap();
    let orders = TopicName::parse("orders").unwrap();
    let before = ALLOCATOR.current_usage();
    let new = NewTopic {
        partitions: Some(PARTITIONS),
        ..NewTopic::default()
    };
    broker.create_topic(&orders, new).await.unwrap();
    // Records without a key go round.
    for _ in 0..PARTITIONS {
        broker.publish(&orders, Record::new("one")).await.unwrap();
    }
    let partition_bytes = (ALLOCATOR.current_usage() - before) / PARTITIONS as usize;
    assert!(
        partition_bytes <= PARTITION_BYTES_MAX,
        "a partition takes {partition_bytes} bytes"
    );

    let before = ALLOCATOR.current_usage();
    let mut readers: Vec<RecordStream> = Vec::with_capacity(READERS);
    for _ in 0..READERS {
        let options = StreamOptions {
            partitions: Some(vec![PartitionIndex::new(0)]),
            ..StreamOptions::default()
        };
        let mut reader = broker.stream(&orders, options).await.unwrap();
        reader.next().await.unwrap().unwrap();
        // Polled once more, it waits.
        tokio::select! {
            biased;
            _ = reader.next() => panic!("a record that nobody sent"),
            () = std::future::ready(()) => {}
        }
        readers.push(reader);
    }
    let reader_bytes = (ALLOCATOR.current_usage() - before) / READERS;
    assert!(
        reader_bytes <= READER_BYTES_MAX,
        "a reader takes {reader_bytes} bytes"
    );
}
