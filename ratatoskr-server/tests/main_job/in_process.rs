//! The main job through the broker's own handle.

use ratatoskr_core::{
    Broker,
    batch::batches,
    broker::{FetchPartition, FetchRequest, NewTopic, StreamOptions},
    bytes::Bytes,
    config::{Compression, TopicConfigChange},
    name::TopicName,
    offset::{Offset, PartitionIndex},
    record::{ConsumedRecord, Record},
};

use crate::{
    backend::{Backend, End},
    check::{check, check_restarted},
    door::{Door, PARTITIONS, Place, Restart},
};

/// Lines sent at once. Lines without a key take another partition after each time.
const LINES_AT_ONCE: usize = 97;
/// Segments are this small, so that a file fills several.
const SEGMENT_BYTES: u64 = 32 << 10;

/// A broker in this process.
pub(crate) struct InProcess {
    backend: Backend,
    broker: Broker,
}

impl InProcess {
    async fn over(backend: Backend) -> Self {
        let broker = backend.broker().await;
        Self { backend, broker }
    }
}

impl Restart for InProcess {
    async fn restart(self, end: End) -> Self {
        Self::over(self.backend.end(self.broker, end).await).await
    }
}

impl Door for InProcess {
    async fn send(
        &mut self,
        topic: &TopicName,
        compression: Compression,
        records: &[Record],
    ) -> Option<Vec<Place>> {
        create(&self.broker, topic, compression).await;
        let mut places = Vec::new();
        for records in records.chunks(LINES_AT_ONCE) {
            let sent = self.broker.publish_many(topic, records.to_vec()).await;
            let sent = sent.expect("the records are taken");
            places.extend(
                sent.iter()
                    .map(|metadata| (metadata.partition, metadata.offset)),
            );
        }
        Some(places)
    }

    async fn read(&mut self, topic: &TopicName, count: usize) -> Vec<ConsumedRecord> {
        let options = StreamOptions::default();
        let mut stream = self.broker.stream(topic, options).await.expect("a stream");
        let mut read = Vec::with_capacity(count);
        while read.len() < count {
            let record = stream.next().await.expect("a stream goes on");
            read.push(record.expect("a record"));
        }
        read
    }

    async fn codecs(&mut self, topic: &TopicName) -> Option<Vec<Compression>> {
        Some(kept_codecs(&self.broker, topic).await)
    }
}

/// Creates the topic so that the broker compresses what is published in process.
async fn create(broker: &Broker, topic: &TopicName, compression: Compression) {
    let new = NewTopic {
        partitions: Some(PARTITIONS),
        config: TopicConfigChange {
            compression: Some(compression),
            segment_bytes: Some(SEGMENT_BYTES),
            ..TopicConfigChange::default()
        },
    };
    let created = broker.create_topic(topic, new).await;
    created.expect("the topic is created");
}

/// The codecs of all batches that the broker keeps of the topic, each once.
async fn kept_codecs(broker: &Broker, topic: &TopicName) -> Vec<Compression> {
    let mut codecs = Vec::new();
    for partition in (0..PARTITIONS).map(PartitionIndex::new) {
        let mut from = Offset::ZERO;
        let end = broker
            .bounds(topic, partition)
            .expect("bounds")
            .high_watermark;
        while from < end {
            for slice in fetch(broker, topic, partition, from).await {
                for batch in batches(slice) {
                    let batch = batch.expect("a batch");
                    let codec = batch.header().codec().expect("a codec");
                    if !codecs.contains(&codec) {
                        codecs.push(codec);
                    }
                    from = batch.header().end_offset();
                }
            }
        }
    }
    codecs
}

async fn fetch(
    broker: &Broker,
    topic: &TopicName,
    partition: PartitionIndex,
    from: Offset,
) -> Vec<Bytes> {
    let request = FetchRequest {
        partitions: vec![FetchPartition {
            topic: topic.clone(),
            partition,
            from,
            bytes_max: usize::MAX,
        }],
        ..FetchRequest::default()
    };
    let mut response = broker.fetch(&request).await.expect("an answer");
    let fetched = response.partitions.remove(0).result.expect("batches");
    fetched.batches.into_slices()
}

#[tokio::test]
async fn in_process_over_memory() {
    check(InProcess::over(Backend::memory()).await).await;
}

#[tokio::test]
async fn in_process_over_memory_with_a_new_broker() {
    check_restarted(InProcess::over(Backend::memory()).await, End::InOrder).await;
}

#[tokio::test]
async fn in_process_on_disk() {
    check(InProcess::over(Backend::disk().await).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_process_on_disk_with_threads() {
    check(InProcess::over(Backend::disk().await).await).await;
}

#[tokio::test]
async fn in_process_on_disk_after_a_restart() {
    check_restarted(InProcess::over(Backend::disk().await).await, End::InOrder).await;
}

#[tokio::test]
async fn in_process_on_disk_after_an_end_without_notice() {
    check_restarted(
        InProcess::over(Backend::disk().await).await,
        End::WithoutNotice,
    )
    .await;
}
