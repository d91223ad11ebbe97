//! What a way to a broker must be able to do to be given the main job.

use ratatoskr_core::{
    broker::NewTopic,
    config::{Compression, TopicConfigChange},
    name::TopicName,
    offset::{Offset, PartitionIndex},
    record::{ConsumedRecord, Record},
};

use crate::backend::End;

/// Partitions of each topic.
pub(crate) const PARTITIONS: u32 = 3;
/// Segments are this small, so that a file fills several.
const SEGMENT_BYTES: u64 = 32 << 10;
/// Batches may be this large, so that one holds all large records.
const BATCH_BYTES_MAX: u32 = 4 << 20;

/// A topic of the main job. What is published in process is compressed as it says.
pub(crate) fn new_topic(compression: Compression) -> NewTopic {
    NewTopic {
        partitions: Some(PARTITIONS),
        config: TopicConfigChange {
            compression: Some(compression),
            segment_bytes: Some(SEGMENT_BYTES),
            batch_bytes_max: Some(BATCH_BYTES_MAX),
            ..TopicConfigChange::default()
        },
    }
}

/// Where a record went.
pub(crate) type Place = (PartitionIndex, Offset);

/// A way to a broker.
pub(crate) trait Door {
    /// Creates the topic as [`new_topic`] says, sends the records in this order, compressed,
    /// and says where each went, as far as this door tells.
    async fn send(
        &mut self,
        topic: &TopicName,
        compression: Compression,
        records: &[Record],
    ) -> Option<Vec<Place>>;

    /// Reads the topic from its start: this many records, in the order in which they come.
    async fn read(&mut self, topic: &TopicName, count: usize) -> Vec<ConsumedRecord>;

    /// The codecs of the batches that are kept, each once, as far as this door can look.
    async fn codecs(&mut self, topic: &TopicName) -> Option<Vec<Compression>>;
}

/// A door whose broker can end, and be followed by another over what it left.
pub(crate) trait Restart {
    /// Ends the broker and starts another.
    async fn restart(self, end: End) -> Self;
}
