//! Which topics there are. Looking one up takes a read lock; only administration writes.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use crate::{
    broker::{stats::Throughput, topic::TopicState},
    error::Error,
    name::{TopicId, TopicName},
};

/// Changes that are remembered.
const CHANGES_MAX: usize = 1_024;

#[derive(Debug, Default)]
pub(super) struct Catalog {
    topics: HashMap<TopicName, Arc<TopicState>>,
    names: HashMap<TopicId, TopicName>,
    /// What went through topics that are deleted by now.
    deleted: Throughput,
    /// How often a topic has come or gone.
    version: u64,
    /// Which did, the last times.
    changes: VecDeque<TopicName>,
}

/// Which topics there are, as far as that may be news.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// Those that came or went, and whether they are there now.
    Changed(Vec<(TopicName, bool)>),
    /// All that are there.
    All(Vec<TopicName>),
}

impl Catalog {
    /// # Errors
    /// [`Error::UnknownTopic`].
    pub(super) fn topic(&self, name: &TopicName) -> Result<Arc<TopicState>, Error> {
        self.topics
            .get(name)
            .cloned()
            .ok_or_else(|| Error::UnknownTopic(name.clone()))
    }

    /// The name of the topic of this id, if there is one.
    pub(super) fn name_of(&self, id: TopicId) -> Option<TopicName> {
        self.names.get(&id).cloned()
    }

    pub(super) fn insert(&mut self, topic: Arc<TopicState>) {
        self.has_changed(topic.name());
        self.names.insert(topic.shared().id, topic.name().clone());
        self.topics.insert(topic.name().clone(), topic);
    }

    /// Takes out a topic that takes no more sends.
    pub(super) fn remove(&mut self, name: &TopicName) {
        if let Some(topic) = self.topics.remove(name) {
            self.has_changed(name);
            self.names.remove(&topic.shared().id);
            self.deleted += topic.throughput();
        }
    }

    /// Every topic, in the order of their names.
    pub(super) fn all(&self) -> Vec<Arc<TopicState>> {
        let mut topics: Vec<_> = self.topics.values().cloned().collect();
        topics.sort_unstable_by(|a, b| a.name().cmp(b.name()));
        topics
    }

    fn has_changed(&mut self, name: &TopicName) {
        self.version += 1;
        if self.changes.len() == CHANGES_MAX {
            self.changes.pop_front();
        }
        self.changes.push_back(name.clone());
    }

    /// Grows whenever a topic comes or goes.
    pub(super) const fn version(&self) -> u64 {
        self.version
    }

    /// What is different from an earlier version; all there is where none is known.
    pub(super) fn since(&self, version: Option<u64>) -> Since {
        let missed = version.and_then(|version| self.version.checked_sub(version));
        let missed = missed.and_then(|missed| usize::try_from(missed).ok());
        let Some(known) = missed.and_then(|missed| self.changes.len().checked_sub(missed)) else {
            return Since::All(self.topics.keys().cloned().collect());
        };
        let changed = self.changes.range(known..);
        let changed = changed.map(|name| (name.clone(), self.topics.contains_key(name)));
        Since::Changed(changed.collect())
    }

    /// What went through topics that are deleted by now.
    pub(super) const fn deleted(&self) -> Throughput {
        self.deleted
    }

    /// The ids of all topics.
    pub(super) fn ids(&self) -> HashSet<TopicId> {
        self.topics.values().map(|topic| topic.id()).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.topics.len()
    }

    /// Partitions of all topics together.
    pub(super) fn partition_count(&self) -> usize {
        self.topics
            .values()
            .map(|topic| topic.partition_count() as usize)
            .sum()
    }
}
