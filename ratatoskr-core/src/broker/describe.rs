//! Listing and describing topics.

use crate::{
    broker::{
        Broker,
        partition::{PartitionCell, PartitionState},
        topic::TopicState,
    },
    config::TopicConfig,
    error::Error,
    name::{TopicId, TopicName},
    offset::{Bounds, LeaderEpoch, PartitionIndex},
    storage::{PartitionStats, TopicDescriptor},
};

/// A topic as it is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TopicDescription {
    /// New for each creation.
    pub id: TopicId,
    /// The name.
    pub name: TopicName,
    /// Every value, those by default as well.
    pub config: TopicConfig,
    /// From partition 0.
    pub partitions: Vec<PartitionDescription>,
}

/// A partition as it is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PartitionDescription {
    /// Its number.
    pub index: PartitionIndex,
    /// Where its log begins and ends; all zero while it is down or closed.
    pub bounds: Bounds,
    /// Bytes of its batches.
    pub bytes: u64,
    /// Segments of its log.
    pub segments: u32,
    /// What sends get.
    pub leader_epoch: LeaderEpoch,
    /// Whether it is up.
    pub state: PartitionState,
}

impl Broker {
    /// Every topic, in the order of their names. Opens no partition.
    pub fn list_topics(&self) -> Vec<TopicDescriptor> {
        let topics = self.shared.catalog.read().all();
        topics.iter().map(|topic| topic.descriptor()).collect()
    }

    /// One topic, with what its partitions hold. Opens partitions that nobody has used yet.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`].
    pub fn describe_topic(&self, name: &TopicName) -> Result<TopicDescription, Error> {
        Ok(describe(&*self.topic(name)?, Unused::Open))
    }
}

/// What to do with partitions that nobody has used yet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unused {
    /// Open them to see what they hold.
    Open,
    /// Describe them as closed.
    StayClosed,
}

pub(super) fn describe(topic: &TopicState, unused: Unused) -> TopicDescription {
    let shared = topic.shared();
    let partitions = topic.partitions();
    TopicDescription {
        id: shared.id,
        name: shared.name.clone(),
        config: TopicConfig::clone(&shared.config()),
        partitions: partitions
            .iter()
            .map(|partition| describe_partition(partition, unused))
            .collect(),
    }
}

fn describe_partition(partition: &PartitionCell, unused: Unused) -> PartitionDescription {
    let look = unused == Unused::Open || partition.is_open();
    let (bounds, log) = if look {
        (partition.bounds(), partition.log_stats())
    } else {
        (Ok(Bounds::default()), Ok(PartitionStats::default()))
    };
    // Looking may have opened it, or taken it down.
    let (state, leader_epoch) = partition.state();
    let log = log.unwrap_or_default();
    PartitionDescription {
        index: partition.index(),
        bounds: bounds.unwrap_or_default(),
        bytes: log.bytes,
        segments: u32::try_from(log.segments.len()).unwrap_or(u32::MAX),
        leader_epoch,
        state,
    }
}
