//! Who reads what: a pure function of who wants what, what there is, and who had what.
//!
//! Both assignors spread partitions so that no member could take one from another that has two more,
//! as far as subscriptions allow.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{MemberId, PartitionKey, wanted::Wanted};
use crate::{
    name::{TopicId, TopicName},
    offset::PartitionIndex,
};

/// How partitions are spread over the members of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Assignor {
    /// Evenly, moving as few partitions as that takes.
    #[default]
    Sticky,
    /// Evenly, in the order of topics and members, whatever was before: neighbouring partitions go
    /// to different members, and the same members always get the same.
    Uniform,
}

impl Assignor {
    /// The name in configurations and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sticky => "sticky",
            Self::Uniform => "uniform",
        }
    }
}

/// Topics that somebody wants, as far as they are there: id and number of partitions.
pub(super) type Shape = BTreeMap<TopicName, (TopicId, u32)>;
/// Who gets what.
pub(super) type Assignment = BTreeMap<MemberId, BTreeSet<PartitionKey>>;

/// Spreads all partitions of `shape` over the members that want their topics.
pub(super) fn assign(
    assignor: Assignor,
    wanted: &BTreeMap<&MemberId, Wanted<'_>>,
    shape: &Shape,
    before: &Assignment,
) -> Assignment {
    let mut spread = Spread::new(wanted, shape);
    if assignor == Assignor::Sticky {
        spread.keep(before);
    }
    spread.hand_out();
    spread.even_out();
    spread.into_assignment()
}

struct Spread<'a> {
    members: Vec<&'a MemberId>,
    /// Who wants each topic, in the order in which topics are handed out.
    topics: Vec<Spreading>,
    /// What each member has.
    has: Vec<BTreeSet<PartitionKey>>,
    /// Members by how much they have.
    by_load: BTreeSet<(usize, usize)>,
    taken: BTreeSet<PartitionKey>,
}

/// A topic, and who wants it.
struct Spreading {
    id: TopicId,
    partitions: u32,
    by: BTreeSet<usize>,
}

impl<'a> Spread<'a> {
    fn new(wanted: &BTreeMap<&'a MemberId, Wanted<'_>>, shape: &Shape) -> Self {
        let members: Vec<_> = wanted.keys().copied().collect();
        let mut topics: Vec<_> = shape
            .iter()
            .map(|(name, &(id, partitions))| Spreading {
                id,
                partitions,
                by: (wanted.values().enumerate())
                    .filter(|(_, topics)| topics.contains(name))
                    .map(|(member, _)| member)
                    .collect(),
            })
            .collect();
        // What few can take is handed out while they have room.
        topics.sort_by_key(|topic| topic.by.len());
        Self {
            has: vec![BTreeSet::new(); members.len()],
            by_load: (0..members.len()).map(|member| (0, member)).collect(),
            members,
            topics,
            taken: BTreeSet::new(),
        }
    }

    fn give(&mut self, member: usize, key: PartitionKey) {
        let load = self.has[member].len();
        self.has[member].insert(key);
        self.taken.insert(key);
        self.by_load.remove(&(load, member));
        self.by_load.insert((load + 1, member));
    }

    fn take(&mut self, member: usize, key: PartitionKey) {
        let load = self.has[member].len();
        self.has[member].remove(&key);
        self.by_load.remove(&(load, member));
        self.by_load.insert((load - 1, member));
    }

    /// Leaves with members what they had, as far as they still want it and it is there.
    fn keep(&mut self, before: &Assignment) {
        let there: BTreeMap<TopicId, usize> = (self.topics.iter().enumerate())
            .map(|(at, topic)| (topic.id, at))
            .collect();
        for member in 0..self.members.len() {
            let had = before.get(self.members[member]);
            for &key in had.into_iter().flatten() {
                let Some(topic) = there.get(&key.topic).map(|&at| &self.topics[at]) else {
                    continue;
                };
                let valid = key.partition.get() < topic.partitions && topic.by.contains(&member);
                if valid && !self.taken.contains(&key) {
                    self.give(member, key);
                }
            }
        }
    }

    /// Gives what nobody has to those that have least.
    fn hand_out(&mut self) {
        for at in 0..self.topics.len() {
            for partition in 0..self.topics[at].partitions {
                let key = PartitionKey {
                    topic: self.topics[at].id,
                    partition: PartitionIndex::new(partition),
                };
                if self.taken.contains(&key) {
                    continue;
                }
                let by = &self.topics[at].by;
                let least = self.by_load.iter().find(|(_, member)| by.contains(member));
                if let Some(&(_, member)) = least {
                    self.give(member, key);
                }
            }
        }
    }

    /// Moves partitions from members that have at least two more than another that could take them.
    fn even_out(&mut self) {
        // Each move brings two loads closer together, so this ends.
        while let Some((from, to, key)) = self.next_move() {
            self.take(from, key);
            self.give(to, key);
        }
    }

    fn next_move(&self) -> Option<(usize, usize, PartitionKey)> {
        let &(least, _) = self.by_load.first()?;
        for &(load, from) in self.by_load.iter().rev() {
            if load < least + 2 {
                return None;
            }
            for topic in self.topics.iter().filter(|topic| topic.by.contains(&from)) {
                let to = (self.by_load.iter())
                    .take_while(|&&(to_load, _)| to_load + 2 <= load)
                    .find(|(_, member)| topic.by.contains(member));
                let Some(&(_, to)) = to else { continue };
                // The last ones go, so that a member keeps its oldest partitions.
                let range = PartitionKey::all_of(topic.id);
                if let Some(&key) = self.has[from].range(range).next_back() {
                    return Some((from, to, key));
                }
            }
        }
        None
    }

    fn into_assignment(self) -> Assignment {
        let members = self.members.into_iter().cloned();
        members.zip(self.has).collect()
    }
}
