//! What is told of queue groups.

use serde::{Deserialize, Serialize};

use crate::{
    delivery::{ConsumerId, QueueConfig, QueueConfigChange},
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

/// How many records are in which state, and what has happened since the state was last read from
/// its log (when the broker was opened, most often).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueCounters {
    /// Held by consumers.
    pub in_flight: u64,
    /// Held back until their time.
    pub delayed: u64,
    /// Waiting behind an earlier record of their key.
    pub blocked: u64,
    /// On their way to the dead letters.
    pub dying: u64,
    /// Happened: deliveries.
    pub delivered: u64,
    /// Happened: deliveries of records that had been delivered before.
    pub redelivered: u64,
    /// Happened: records acknowledged.
    pub acknowledged: u64,
    /// Happened: leases that ended by time, in records.
    pub leases_expired: u64,
    /// Happened: records moved to the dead letters.
    pub dead_lettered: u64,
    /// Happened: records given up without a dead letter.
    pub discarded: u64,
    /// Happened: records whose time to live had passed.
    pub expired: u64,
    /// Happened: records that could not be delivered since they are corrupt, or were removed first.
    pub lost: u64,
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
