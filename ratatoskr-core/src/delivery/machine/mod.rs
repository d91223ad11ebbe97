//! All queue groups of one shard: the state machine behind a state log.
//!
//! Deciding answers events, which are applied once they have their place in the log. What is volatile
//! (leases, what the log of a topic has shown) changes at once.

mod acquire;
mod event;
mod look;
mod settle;
mod tick;

use std::collections::{BTreeMap, HashMap};

pub(crate) use acquire::{AcquireRequest, Granted, Limited};
pub(crate) use event::Event;
pub(crate) use settle::SettleRequest;
pub(crate) use tick::DeadWork;

use super::{
    DeadLetters, FencingToken, QueueConfig,
    changes::{Change, Fate, Policy},
    consumers::Consumers,
    partition::PartitionQueue,
};
use crate::{
    name::{GroupId, TopicId, TopicName},
    offset::PartitionIndex,
};

/// What the names of dead-letter topics end with that nobody has named.
pub(crate) const DEAD_LETTER_SUFFIX: &str = ".dlq";
/// Changes of a snapshot that are put into one event.
const SNAPSHOT_CHANGES: usize = 1_000;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    epoch: u32,
    token: FencingToken,
    groups: HashMap<GroupId, Group>,
}

/// One queue group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) config: QueueConfig,
    topics: BTreeMap<TopicId, TopicQueue>,
    consumers: Consumers,
}

/// What a group has of a topic.
#[derive(Debug)]
struct TopicQueue {
    name: TopicName,
    partitions: BTreeMap<PartitionIndex, PartitionQueue>,
}

impl Queues {
    pub(crate) fn group(&self, group: &GroupId) -> Option<&Group> {
        self.groups.get(group)
    }

    /// Every group, in the order of their names.
    pub(crate) fn names(&self) -> Vec<GroupId> {
        let mut names: Vec<_> = self.groups.keys().cloned().collect();
        names.sort_unstable();
        names
    }

    pub(crate) fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// Whether a group has a place in this partition.
    pub(crate) fn knows(&self, group: &GroupId, topic: TopicId, partition: PartitionIndex) -> bool {
        let topic = self
            .groups
            .get(group)
            .and_then(|group| group.topics.get(&topic));
        topic.is_some_and(|topic| topic.partitions.contains_key(&partition))
    }

    /// Whether a group has read any of this topic before.
    pub(crate) fn has_read(&self, group: &GroupId, topic: TopicId) -> bool {
        let group = self.groups.get(group);
        group.is_some_and(|group| group.topics.contains_key(&topic))
    }

    pub(super) fn partition(
        &self,
        group: &GroupId,
        topic: TopicId,
        partition: PartitionIndex,
    ) -> Option<&PartitionQueue> {
        let topic = self.groups.get(group)?.topics.get(&topic)?;
        topic.partitions.get(&partition)
    }

    /// Takes an event in: one that was decided on just now, or one from the log.
    pub(crate) fn apply(&mut self, event: Event) {
        match event {
            Event::Loaded { epoch } => self.load(epoch),
            Event::Group { group, config } => self.configure(group, config),
            Event::GroupDeleted { group } => {
                self.groups.remove(&group);
            }
            Event::Opened {
                group,
                topic,
                name,
                partition,
                start,
            } => {
                if let Some(group) = self.groups.get_mut(&group) {
                    let topic = group.topics.entry(topic).or_insert_with(|| TopicQueue {
                        name,
                        partitions: BTreeMap::new(),
                    });
                    let partition = topic.partitions.entry(partition);
                    partition.or_insert_with(|| PartitionQueue::new(start.get()));
                }
            }
            Event::Forgotten { group, topic } => {
                if let Some(group) = self.groups.get_mut(&group)
                    && let Some(topic) = group.topics.remove(&topic)
                {
                    for mut partition in topic.partitions.into_values() {
                        partition.forget_volatile(&mut group.consumers);
                        let dying = partition.counters().dying;
                        group.consumers.remove_dying(dying);
                    }
                }
            }
            Event::Changed {
                group,
                topic,
                partition,
                start,
                changes,
            } => {
                if let Some(group) = self.groups.get_mut(&group)
                    && let Some(topic) = group.topics.get_mut(&topic)
                    && let Some(partition) = topic.partitions.get_mut(&partition)
                {
                    for change in &changes {
                        partition.apply(change, &mut group.consumers);
                    }
                    if let Some(start) = start {
                        let to = Change::Start(start.get());
                        partition.apply(&to, &mut group.consumers);
                        partition.note_start(start.get());
                    }
                }
            }
        }
    }

    fn load(&mut self, epoch: u32) {
        self.epoch = epoch;
        self.token = FencingToken::of_epoch(epoch);
        let topics = self
            .groups
            .values_mut()
            .flat_map(|group| group.topics.values_mut());
        for partition in topics.flat_map(|topic| topic.partitions.values_mut()) {
            partition.reset_counters();
        }
    }

    fn configure(&mut self, name: GroupId, config: QueueConfig) {
        let Some(group) = self.groups.get_mut(&name) else {
            let group = Group {
                config,
                topics: BTreeMap::new(),
                consumers: Consumers::default(),
            };
            self.groups.insert(name, group);
            return;
        };
        let reordered = group.config.ordered_by_key != config.ordered_by_key;
        group.config = config;
        if reordered {
            // What was looked at before was not looked at for its keys.
            for partition in group
                .topics
                .values_mut()
                .flat_map(|topic| topic.partitions.values_mut())
            {
                partition.forget_volatile(&mut group.consumers);
            }
        }
    }

    /// Hands out events that make an empty machine equal to the lasting part of this one.
    pub(crate) fn snapshot(&self, out: &mut dyn FnMut(Event)) {
        for (name, group) in &self.groups {
            out(Event::Group {
                group: name.clone(),
                config: group.config.clone(),
            });
            for (&id, topic) in &group.topics {
                for (&index, partition) in &topic.partitions {
                    out(Event::Opened {
                        group: name.clone(),
                        topic: id,
                        name: topic.name.clone(),
                        partition: index,
                        start: partition.start().into(),
                    });
                    let mut flush = |changes: &mut Vec<Change>, least: usize| {
                        if changes.len() >= least {
                            let changes = std::mem::take(changes);
                            out(Event::changed(name, id, index, changes));
                        }
                    };
                    let mut changes = Vec::new();
                    partition.snapshot(&mut |change| {
                        changes.push(change);
                        flush(&mut changes, SNAPSHOT_CHANGES);
                    });
                    flush(&mut changes, 1);
                }
            }
        }
        out(Event::Loaded { epoch: self.epoch });
    }

    /// What is noted each time the state has been read from its log.
    pub(crate) const fn loaded(&self) -> Event {
        Event::Loaded {
            epoch: self.epoch + 1,
        }
    }
}

impl Group {
    /// What becomes of records of this topic that fail.
    fn policy(&self, topic: &TopicName) -> Policy {
        Policy {
            attempts_max: self.config.attempts_max,
            fate: match &self.config.dead_letters {
                DeadLetters::Discard => Fate::Discard,
                letters if letters.of(topic).is_none() => Fate::Stay,
                _ => Fate::DeadLetter,
            },
            dead_letter_expired: self.config.dead_letter_expired,
            backoff: self.config.backoff,
        }
    }
}

impl DeadLetters {
    /// Where dead letters of a topic go; `None` where they are discarded, or where the topic is one of
    /// dead letters itself: the one named, or by its name.
    pub fn of(&self, topic: &TopicName) -> Option<TopicName> {
        match self {
            Self::Discard => None,
            Self::Topic(letters) => (letters != topic).then(|| letters.clone()),
            Self::PerTopic if topic.as_str().ends_with(DEAD_LETTER_SUFFIX) => None,
            Self::PerTopic => {
                // A name that leaves no room for the suffix is cut.
                let room = crate::name::TOPIC_NAME_BYTES_MAX - DEAD_LETTER_SUFFIX.len();
                let name = &topic.as_str()[..topic.as_str().len().min(room)];
                TopicName::parse(&format!("{name}{DEAD_LETTER_SUFFIX}")).ok()
            }
        }
    }
}
