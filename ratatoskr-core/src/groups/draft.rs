//! Changes of one group that rest on one another: each is decided on what those before it made.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Assignor, Event, MemberEpoch, MemberId, PartitionKey, Topics,
    assignor::{Shape, assign},
    event::{Held, What},
    membership::Membership,
    reconcile,
    wanted::Wanted,
};
use crate::name::{GroupId, TopicName};

/// A group as it will be, and the events that make it so.
pub(super) struct Draft<'a> {
    group: GroupId,
    /// Copied only once there is something to change: most heartbeats change nothing.
    pub(super) membership: Cow<'a, Membership>,
    pub(super) events: Vec<Event>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(group: &GroupId, membership: Cow<'a, Membership>) -> Self {
        Self {
            group: group.clone(),
            membership,
            events: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, what: What) {
        self.membership.to_mut().apply(what.clone());
        self.events.push(Event {
            group: self.group.clone(),
            what,
        });
    }

    /// Begins a new epoch with a new target.
    pub(super) fn rebalance(&mut self, topics: &impl Topics) {
        let wanted = wanted(&self.membership, topics);
        let shape = shape_of(&wanted, topics);
        let assignor = preferred(&self.membership);
        let mut target = assign(assignor, &wanted, &shape, &self.membership.target);
        target.retain(|member, keys| self.membership.target.get(member) != Some(keys));
        let epoch = self.membership.epoch.next();
        let event = Membership::target_event(epoch, assignor, &shape, target);
        self.push(event);
    }

    /// The same if topics that somebody wants are not what the target rests on.
    pub(super) fn rebalance_if_topics_changed(&mut self, topics: &impl Topics) {
        if shape(&self.membership, topics) != self.membership.topics {
            self.rebalance(topics);
        }
    }

    /// The same, looking only at what one member wants.
    pub(super) fn rebalance_if_topics_changed_for(&mut self, id: &MemberId, topics: &impl Topics) {
        let Some(member) = self.membership.members.get(id) else {
            return;
        };
        let known = &self.membership.topics;
        let is_new = |name: &TopicName| topics.shape(name) != known.get(name).copied();
        let subscription = &member.subscription;
        // A pattern does not tell what it would have matched.
        let is_gone = || known.keys().any(|name| topics.shape(name).is_none());
        let wanted = subscription.wanted(|pattern| topics.matching(pattern));
        let changed = wanted.iter().any(is_new) || subscription.pattern.is_some() && is_gone();
        if changed {
            self.rebalance(topics);
        }
    }

    /// Lets a member come as far as it can.
    pub(super) fn reconcile(&mut self, id: &MemberId, owned: Option<&BTreeSet<PartitionKey>>) {
        if let Some(next) = reconcile::next(&self.membership, id, owned) {
            self.push(next.current(id));
        }
    }

    /// A member reads nothing, and has come to nothing yet.
    pub(super) fn reset(&mut self, id: &MemberId) {
        if let Some(member) = self.membership.members.get(id) {
            let mut fresh = member.clone();
            fresh.epoch = MemberEpoch::JOIN;
            fresh.previous = MemberEpoch::JOIN;
            fresh.assigned = Held::new();
            fresh.revoking = Held::new();
            if fresh != *member {
                self.push(fresh.current(id));
            }
        }
    }
}

/// Who wants what.
fn wanted<'a>(
    membership: &'a Membership,
    topics: &impl Topics,
) -> BTreeMap<&'a MemberId, Wanted<'a>> {
    // Topics come and go meanwhile: all members with one pattern are to see the same.
    let mut found = BTreeMap::new();
    let members = membership.members.iter();
    members
        .map(|(id, member)| {
            let wanted = member.subscription.wanted(|pattern| {
                let found = found.entry(pattern.as_str());
                Arc::clone(found.or_insert_with(|| topics.matching(pattern)))
            });
            (id, wanted)
        })
        .collect()
}

/// The topics that somebody wants, as far as they are there.
pub(super) fn shape(membership: &Membership, topics: &impl Topics) -> Shape {
    shape_of(&wanted(membership, topics), topics)
}

fn shape_of(wanted: &BTreeMap<&MemberId, Wanted<'_>>, topics: &impl Topics) -> Shape {
    let mut shape = Shape::new();
    // Members mostly want the same.
    let mut seen = BTreeSet::new();
    for wanted in wanted.values() {
        let matched = wanted.matched.as_ref();
        let matched = matched.filter(|matched| seen.insert(Arc::as_ptr(matched)));
        let matched = matched.into_iter().flat_map(|matched| matched.iter());
        for name in wanted.named.iter().chain(matched) {
            if !shape.contains_key(name)
                && let Some(found) = topics.shape(name)
            {
                shape.insert(name.clone(), found);
            }
        }
    }
    shape
}

/// The assignor that most members want, of those that want one.
fn preferred(membership: &Membership) -> Assignor {
    let mut votes = std::collections::BTreeMap::<Assignor, usize>::new();
    let wanted = membership.members.values();
    for assignor in wanted.filter_map(|member| member.subscription.assignor) {
        *votes.entry(assignor).or_default() += 1;
    }
    let most =
        (votes.into_iter()).max_by_key(|&(assignor, votes)| (votes, std::cmp::Reverse(assignor)));
    most.map_or_else(Assignor::default, |(assignor, _)| assignor)
}
