//! A look at the batches that a broker keeps.

use ratatoskr_core::{
    Broker,
    batch::batches,
    broker::{FetchPartition, FetchRequest},
    bytes::Bytes,
    config::Compression,
    name::TopicName,
    offset::{Offset, PartitionIndex},
};

use crate::door::PARTITIONS;

/// The codecs of all batches that the broker keeps of the topic, each once.
pub(crate) async fn codecs(broker: &Broker, topic: &TopicName) -> Vec<Compression> {
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
