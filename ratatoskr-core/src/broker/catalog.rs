//! Which topics there are. Looking one up takes a read lock; only administration writes.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use crate::{
    broker::{stats::Throughput, topic::TopicState},
    error::Error,
    name::{TopicId, TopicName},
};

#[derive(Debug, Default)]
pub(super) struct Catalog {
    topics: HashMap<TopicName, Arc<TopicState>>,
    names: HashMap<TopicId, TopicName>,
    /// What went through topics that are deleted by now.
    deleted: Throughput,
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
        self.names.insert(topic.shared().id, topic.name().clone());
        self.topics.insert(topic.name().clone(), topic);
    }

    /// Takes out a topic that takes no more sends.
    pub(super) fn remove(&mut self, name: &TopicName) {
        if let Some(topic) = self.topics.remove(name) {
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
