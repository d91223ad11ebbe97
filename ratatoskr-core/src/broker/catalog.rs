//! Which topics there are. Looking one up takes a read lock; only administration writes.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use crate::{
    broker::{stats::Throughput, topic::TopicState},
    error::Error,
    groups::TopicPattern,
    name::{TopicId, TopicName},
    sync::Mutex,
};

/// Names that the kept matches of patterns have together at most.
const MATCHED_NAMES_MAX: usize = 100_000;

#[derive(Debug, Default)]
pub(super) struct Catalog {
    topics: HashMap<TopicName, Arc<TopicState>>,
    names: HashMap<TopicId, TopicName>,
    /// What went through topics that are deleted by now.
    deleted: Throughput,
    matches: Mutex<Matches>,
}

/// What patterns match. Members ask with every heartbeat, and topics seldom come or go.
#[derive(Debug, Default)]
struct Matches {
    names: HashMap<String, Arc<BTreeSet<TopicName>>>,
    /// Of all of them, and one for each pattern.
    count: usize,
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
        self.matches = Mutex::default();
        self.names.insert(topic.shared().id, topic.name().clone());
        self.topics.insert(topic.name().clone(), topic);
    }

    /// Takes out a topic that takes no more sends.
    pub(super) fn remove(&mut self, name: &TopicName) {
        if let Some(topic) = self.topics.remove(name) {
            self.matches = Mutex::default();
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

    /// The names of all topics that the pattern matches.
    pub(super) fn matching(&self, pattern: &TopicPattern) -> Arc<BTreeSet<TopicName>> {
        let mut matches = self.matches.lock();
        if let Some(known) = matches.names.get(pattern.as_str()) {
            return Arc::clone(known);
        }
        let names = self.topics.keys().filter(|name| pattern.matches(name));
        let names: Arc<BTreeSet<_>> = Arc::new(names.cloned().collect());
        if matches.count + names.len() >= MATCHED_NAMES_MAX {
            *matches = Matches::default();
        }
        matches.count += names.len() + 1;
        let text = pattern.as_str().to_owned();
        matches.names.insert(text, Arc::clone(&names));
        names
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
