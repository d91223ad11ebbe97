//! Looking at groups, for people.

use super::{Group, Queues};
use crate::{
    delivery::{
        ConsumerId, QueueCounters,
        partition::{PartitionQueue, Undone},
    },
    name::{GroupId, TopicId, TopicName},
    offset::PartitionIndex,
    time::Timestamp,
};

impl Queues {
    /// The first `max` ranges of a partition from `from` on that are not done.
    pub(crate) fn undone(
        &self,
        group: &GroupId,
        topic: TopicId,
        partition: PartitionIndex,
        from: u64,
        max: usize,
        now: Timestamp,
    ) -> Vec<Undone> {
        let partition = self.partition(group, topic, partition);
        partition.map_or_else(Vec::new, |partition| partition.undone(from, max, now))
    }

    /// Every group with its totals, in the order of their names.
    pub(crate) fn counters(&self) -> Vec<(GroupId, QueueCounters)> {
        let groups = self.groups.iter();
        let mut counters: Vec<_> = groups
            .map(|(name, group)| {
                let mut sum = QueueCounters::default();
                for (_, _, _, partition) in group.partitions() {
                    sum += partition.counters();
                }
                (name.clone(), sum)
            })
            .collect();
        counters.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        counters
    }

    /// The topics that a group reads.
    pub(crate) fn topics_of(&self, group: &GroupId) -> Vec<TopicId> {
        let group = self.groups.get(group);
        group.map_or_else(Vec::new, |group| group.topics.keys().copied().collect())
    }

    /// Every topic that a group has read, with the groups' names.
    pub(crate) fn topics(&self) -> Vec<(GroupId, TopicId, TopicName)> {
        let groups = self.groups.iter();
        groups
            .flat_map(|(name, group)| {
                let topics = group.topics.iter();
                topics.map(|(&id, topic)| (name.clone(), id, topic.name.clone()))
            })
            .collect()
    }
}

impl Group {
    /// Every partition that the group reads.
    pub(crate) fn partitions(
        &self,
    ) -> impl Iterator<Item = (TopicId, &TopicName, PartitionIndex, &PartitionQueue)> {
        self.topics.iter().flat_map(|(&id, topic)| {
            let partitions = topic.partitions.iter();
            partitions.map(move |(&index, partition)| (id, &topic.name, index, partition))
        })
    }

    /// The consumers that hold records, and how many.
    pub(crate) fn consumers(&self) -> Vec<(ConsumerId, u64)> {
        self.consumers.list()
    }

    /// Who has this number.
    pub(crate) fn consumer(&self, number: u32) -> Option<&ConsumerId> {
        self.consumers.id(number)
    }
}
