//! What is told of queue groups.

use serde::{Deserialize, Serialize};

use crate::{
    delivery::{ConsumerId, QueueConfig, QueueConfigChange, QueueCounters},
    name::{GroupId, TopicId, TopicName},
    offset::{Offset, PartitionIndex},
    record::ConsumedRecord,
    time::Timestamp,
};

/// A queue group to be created.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewQueue {
    /// What is to differ from the defaults.
    pub config: QueueConfigChange,
}

/// A queue group as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueDescription {
    /// Its name.
    pub group: GroupId,
    /// Every value, those by default as well.
    pub config: QueueConfig,
    /// The topics that it reads, in the order of their names.
    pub topics: Vec<QueueTopicDescription>,
    /// Consumers that hold records, and how many.
    pub consumers: Vec<(ConsumerId, u64)>,
}

/// What a group has of one topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueTopicDescription {
    /// The topic.
    pub topic: TopicName,
    /// Its id.
    pub id: TopicId,
    /// Where its dead letters go; `None` where they are discarded, or are dead letters already.
    pub dead_letter_topic: Option<TopicName>,
    /// Each partition that the group has read.
    pub partitions: Vec<QueuePartitionDescription>,
}

/// What a group has of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuePartitionDescription {
    /// The partition.
    pub partition: PartitionIndex,
    /// All records before this offset are done.
    pub start: Offset,
    /// Records from here on have not been looked at.
    pub next: Offset,
    /// Records that may be acquired now. Those from `next` on are counted by offset, whether or not
    /// they are delayed or expired.
    pub available: u64,
    /// What is known to wait, and what has happened.
    pub counters: QueueCounters,
}

/// A record that a group is not done with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeekedRecord {
    /// The record and its place.
    pub record: ConsumedRecord,
    /// How often it has been delivered.
    pub delivery_count: u32,
    /// What it waits for.
    pub state: RecordState,
}

/// See [`PeekedRecord`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordState {
    /// A consumer to acquire it.
    Available,
    /// The consumer that holds it.
    InFlight(ConsumerId),
    /// This moment.
    Delayed(Timestamp),
    /// An earlier record of its key.
    Blocked,
    /// The way to the dead letters.
    Dying,
}
