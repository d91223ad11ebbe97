//! What a way to a broker must be able to do to be given the main job.

use ratatoskr_core::{
    config::Compression,
    name::TopicName,
    offset::{Offset, PartitionIndex},
    record::{ConsumedRecord, Record},
};

use crate::backend::End;

/// Partitions of each topic.
pub(crate) const PARTITIONS: u32 = 3;

/// Where a record went.
pub(crate) type Place = (PartitionIndex, Offset);

/// A way to a broker.
pub(crate) trait Door {
    /// Creates a topic of [`PARTITIONS`] partitions, sends the records in this order, compressed,
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
