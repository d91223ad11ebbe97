//! Groups without a broker: topics and time that a test sets.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::super::{
    Decision, Event, GroupLimits, Groups, Now, PartitionKey, Topics, commits::Commit,
};
use crate::{
    error::Error,
    groups::{
        CommittedOffset, Committer, GroupHeartbeat, GroupHeartbeatResponse, MemberEpoch, MemberId,
        TopicPattern, machine::Group,
    },
    name::{GroupId, TopicId, TopicName},
    offset::{LeaderEpoch, Offset, PartitionIndex},
    time::Timestamp,
};

pub(super) const START: Timestamp = Timestamp::new(1_700_000_000_000);

/// The groups of a shard, and all that is about them.
#[derive(Debug)]
pub(super) struct World {
    pub(super) machine: Groups,
    pub(super) catalog: Catalog,
    pub(super) limits: GroupLimits,
    pub(super) passed: Duration,
    /// Every event there was.
    pub(super) log: Vec<Event>,
}

#[derive(Debug, Default)]
pub(super) struct Catalog {
    topics: BTreeMap<TopicName, (TopicId, u32)>,
    made: u8,
}

impl Topics for Catalog {
    fn shape(&self, topic: &TopicName) -> Option<(TopicId, u32)> {
        self.topics.get(topic).copied()
    }

    fn matching(&self, pattern: &TopicPattern) -> Arc<BTreeSet<TopicName>> {
        let names = self.topics.keys().filter(|name| pattern.matches(name));
        Arc::new(names.cloned().collect())
    }
}

impl Catalog {
    /// Creates a topic, or gives it more partitions.
    pub(super) fn set(&mut self, name: &str, partitions: u32) {
        let name = TopicName::parse(name).unwrap();
        if let Some((_, known)) = self.topics.get_mut(&name) {
            *known = partitions;
            return;
        }
        self.made += 1;
        let mut id = [0; 16];
        id[15] = self.made;
        let id = TopicId::from_bytes(id).unwrap();
        self.topics.insert(name, (id, partitions));
    }

    pub(super) fn drop(&mut self, name: &str) {
        self.topics.remove(&TopicName::parse(name).unwrap());
    }

    pub(super) fn has(&self, key: &PartitionKey) -> bool {
        self.topics
            .values()
            .any(|&(id, partitions)| id == key.topic && key.partition.get() < partitions)
    }

    pub(super) fn key(&self, topic: &str, partition: u32) -> Option<(TopicName, PartitionKey)> {
        let name = TopicName::parse(topic).unwrap();
        let (id, _) = self.shape(&name)?;
        let key = PartitionKey {
            topic: id,
            partition: PartitionIndex::new(partition),
        };
        Some((name, key))
    }

    pub(super) fn name_of(&self, id: TopicId) -> String {
        let mut topics = self.topics.iter();
        topics
            .find(|(_, (known, _))| *known == id)
            .map_or_else(|| "gone".to_owned(), |(name, _)| name.to_string())
    }
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            machine: Groups::default(),
            catalog: Catalog::default(),
            limits: GroupLimits {
                session_timeout: Duration::from_secs(45),
                heartbeat_interval: Duration::from_secs(5),
                rebalance_timeout_max: Duration::from_hours(1),
                session_timeout_min: Duration::from_secs(6),
                session_timeout_max: Duration::from_mins(30),
                initial_rebalance_delay: Duration::from_secs(3),
                metadata_bytes_max: 1_000,
                members_max: 100,
                member_topics_max: 10,
                offsets_max: 100,
                offset_metadata_bytes_max: 16,
                offsets_retention: Duration::from_hours(24 * 7),
            },
            passed: Duration::ZERO,
            log: Vec::new(),
        }
    }

    pub(super) fn now(&self) -> Now {
        Now {
            wall: START.plus(self.passed),
            monotonic: self.passed,
        }
    }

    pub(super) fn take(&mut self, events: Vec<Event>) {
        for event in events {
            self.log.push(event.clone());
            self.machine.apply(event);
        }
    }

    fn has_classic(&self) -> bool {
        !self.machine.classic.is_empty()
    }

    pub(super) fn settle<T>(&mut self, decision: Result<Decision<T>, Error>) -> Result<T, Error> {
        let Decision { events, answer } = decision?;
        self.take(events);
        Ok(answer)
    }

    pub(super) fn heartbeat(
        &mut self,
        request: &GroupHeartbeat,
    ) -> Result<GroupHeartbeatResponse, Error> {
        let now = self.now();
        let decision = (self.machine).heartbeat(request, &self.catalog, now, &self.limits);
        self.settle(decision)
    }

    pub(super) fn commit(
        &mut self,
        member: Option<&(MemberId, MemberEpoch)>,
        offsets: &[(String, u32, u64)],
        metadata: &str,
    ) -> Result<(), Error> {
        let commits = self.commits(offsets, metadata);
        let decision = (self.machine).commit(&group(), member, commits, &self.limits);
        self.settle(decision)
    }

    /// The same for somebody who does not know of which kind the group is.
    pub(super) fn commit_as(
        &mut self,
        committer: &Committer,
        offsets: &[(String, u32, u64)],
    ) -> Result<(), Error> {
        let commits = self.commits(offsets, "");
        let now = self.now();
        let decision = (self.machine).commit_as(&group(), committer, commits, now, &self.limits);
        self.settle(decision)
    }

    fn commits(&self, offsets: &[(String, u32, u64)], metadata: &str) -> Vec<Commit> {
        let commits = offsets.iter().map(|(topic, partition, offset)| {
            let (topic, key) = self.catalog.key(topic, *partition).unwrap();
            Commit {
                topic,
                key,
                committed: CommittedOffset {
                    offset: Offset::new(*offset),
                    leader_epoch: LeaderEpoch::new(0),
                    metadata: metadata.to_owned(),
                    at: self.now().wall,
                },
            }
        });
        commits.collect()
    }

    pub(super) fn forget(&mut self, topic: &str, partition: u32) -> Result<(), Error> {
        let wanted = self.catalog.key(topic, partition).unwrap();
        let decision = self.machine.forget(&group(), &[wanted]);
        self.settle(decision.map_err(Error::from))
    }

    pub(super) fn delete(&mut self) -> Result<(), Error> {
        let decision = self.machine.delete(&group());
        self.settle(decision.map_err(Error::from))
    }

    /// Lets time pass, second by second.
    pub(super) fn wait(&mut self, by: Duration) {
        let step = Duration::from_secs(1).min(by);
        let end = self.passed + by;
        while self.passed < end {
            self.passed = (self.passed + step).min(end);
            self.tick();
        }
    }

    pub(super) fn tick(&mut self) {
        let now = self.now();
        let due = self.machine.is_due(&self.catalog, now, &self.limits);
        let events = self.machine.tick(&self.catalog, now, &self.limits);
        // What is due in a classic group may be volatile.
        assert!(due || events.is_empty());
        assert!(!due || !events.is_empty() || self.has_classic());
        self.take(events);
    }

    /// Lets go of what nobody needs.
    pub(super) fn expire(&mut self) {
        let catalog = &self.catalog;
        let events = self
            .machine
            .expire(|key| catalog.has(key), self.now().wall, &self.limits);
        self.take(events);
    }

    pub(super) fn group(&self) -> Option<&Group> {
        self.machine.group(&group())
    }

    /// As after a restart, from a snapshot or from every event there was: both must be the same.
    pub(super) fn restart(&mut self) {
        let mut replayed = Groups::default();
        for event in &self.log {
            replayed.apply(encoded(event));
        }
        let mut restored = Groups::default();
        self.machine
            .snapshot(&mut |event| restored.apply(encoded(&event)));
        assert_eq!(replayed.groups, self.machine.groups);
        assert_eq!(restored.groups, self.machine.groups);
        self.machine = restored;
    }
}

/// An event as it comes back from the log.
fn encoded(event: &Event) -> Event {
    rmp_serde::from_slice(&rmp_serde::to_vec(event).unwrap()).unwrap()
}

pub(super) fn group() -> GroupId {
    GroupId::parse("g").unwrap()
}
