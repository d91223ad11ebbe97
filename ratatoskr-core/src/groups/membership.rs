//! The lasting state of one group's members.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    Assignor, GroupState, InstanceId, MemberDescription, MemberEpoch, MemberId, PartitionKey,
    TopicPartitions,
    assignor::{Assignment, Shape},
    event::{Held, IdBytes, Subscription, What},
};

/// Members, what they are to read, and what they read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Membership {
    pub(super) epoch: MemberEpoch,
    pub(super) assignor: Assignor,
    /// The topics that the target rests on.
    pub(super) topics: Shape,
    pub(super) target: Assignment,
    pub(super) members: BTreeMap<MemberId, Member>,
    /// Who holds each partition: an index of `members`.
    holders: HashMap<PartitionKey, MemberId>,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(super) subscription: Subscription,
    pub(super) epoch: MemberEpoch,
    pub(super) previous: MemberEpoch,
    pub(super) assigned: Held,
    pub(super) revoking: Held,
}

impl Member {
    fn new(subscription: Subscription) -> Self {
        Self {
            subscription,
            epoch: MemberEpoch::JOIN,
            previous: MemberEpoch::JOIN,
            assigned: Held::new(),
            revoking: Held::new(),
        }
    }

    /// What it may be reading.
    pub(super) fn held(&self) -> impl Iterator<Item = (&PartitionKey, &MemberEpoch)> {
        self.assigned.iter().chain(&self.revoking)
    }

    /// Whether it has left for a while.
    pub(super) fn is_away(&self) -> bool {
        self.epoch == MemberEpoch::LEAVE_STATIC
    }
}

impl Membership {
    /// Takes in what concerns members.
    pub(super) fn apply(&mut self, what: What) {
        match what {
            What::Member {
                member,
                subscription,
            } => match self.members.get_mut(&member) {
                Some(known) => known.subscription = subscription,
                None => {
                    self.members.insert(member, Member::new(subscription));
                }
            },
            What::Removed { member, .. } => {
                self.set_held(&member, Held::new(), Held::new());
                self.members.remove(&member);
                self.target.remove(&member);
            }
            What::Renamed { from, to } => self.rename(&from, to),
            What::Target {
                epoch,
                assignor,
                topics,
                changed,
            } => {
                self.epoch = epoch;
                self.assignor = assignor;
                self.topics = (topics.into_iter())
                    .map(|(name, IdBytes(id), partitions)| (name, (id, partitions)))
                    .collect();
                for (member, keys) in changed {
                    self.target.insert(member, keys.into_iter().collect());
                }
            }
            What::Current {
                member,
                epoch,
                previous,
                assigned,
                revoking,
            } => {
                let held = |held: Vec<_>| held.into_iter().collect();
                self.set_held(&member, held(assigned), held(revoking));
                if let Some(known) = self.members.get_mut(&member) {
                    known.epoch = epoch;
                    known.previous = previous;
                }
            }
            What::Group { .. }
            | What::Deleted
            | What::Committed { .. }
            | What::Forgotten { .. }
            | What::Generation { .. } => {}
        }
    }

    fn set_held(&mut self, id: &MemberId, assigned: Held, revoking: Held) {
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        for (key, _) in member.held() {
            self.holders.remove(key);
        }
        member.assigned = assigned;
        member.revoking = revoking;
        for (key, _) in member.held() {
            self.holders.insert(*key, id.clone());
        }
    }

    fn rename(&mut self, from: &MemberId, to: MemberId) {
        self.set_held(&to, Held::new(), Held::new());
        self.target.remove(&to);
        let Some(mut member) = self.members.remove(from) else {
            return;
        };
        member.epoch = MemberEpoch::JOIN;
        member.previous = MemberEpoch::JOIN;
        for (key, _) in member.held() {
            self.holders.insert(*key, to.clone());
        }
        if let Some(target) = self.target.remove(from) {
            self.target.insert(to.clone(), target);
        }
        self.members.insert(to, member);
    }

    /// Events that make an empty membership equal to this one.
    pub(super) fn snapshot(&self, out: &mut dyn FnMut(What)) {
        for (id, member) in &self.members {
            out(What::Member {
                member: id.clone(),
                subscription: member.subscription.clone(),
            });
            out(member.current(id));
        }
        if self.epoch > MemberEpoch::JOIN {
            let changed = self.target.clone();
            out(Self::target_event(
                self.epoch,
                self.assignor,
                &self.topics,
                changed,
            ));
        }
    }

    /// The event that sets these targets.
    pub(super) fn target_event(
        epoch: MemberEpoch,
        assignor: Assignor,
        topics: &Shape,
        changed: Assignment,
    ) -> What {
        let topics = topics.iter();
        What::Target {
            epoch,
            assignor,
            topics: topics
                .map(|(name, &(id, partitions))| (name.clone(), IdBytes(id), partitions))
                .collect(),
            changed: (changed.into_iter())
                .map(|(member, keys)| (member, keys.into_iter().collect()))
                .collect(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn holder(&self, key: &PartitionKey) -> Option<&MemberId> {
        self.holders.get(key)
    }

    pub(super) fn instance(&self, instance: &InstanceId) -> Option<(&MemberId, &Member)> {
        self.members
            .iter()
            .find(|(_, member)| member.subscription.instance.as_ref() == Some(instance))
    }

    /// What a member is to read in the end.
    pub(super) fn target_of(&self, member: &MemberId) -> BTreeSet<PartitionKey> {
        self.target.get(member).cloned().unwrap_or_default()
    }

    /// Every partition that somebody holds or is to hold, and who holds it.
    pub(super) fn in_use(&self) -> BTreeMap<PartitionKey, Option<MemberId>> {
        let targets = self.target.values().flatten().copied();
        let held = self.members.values().flat_map(Member::held);
        let keys = targets.chain(held.map(|(&key, _)| key));
        keys.map(|key| (key, self.holder(&key).cloned())).collect()
    }

    /// The members for people, who know partitions by their names.
    pub(super) fn described(
        &self,
        named: impl Fn(&mut dyn Iterator<Item = PartitionKey>) -> Vec<TopicPartitions>,
    ) -> Vec<MemberDescription> {
        let members = self.members.iter();
        members
            .map(|(id, member)| MemberDescription {
                member: id.clone(),
                instance: member.subscription.instance.clone(),
                client: member.subscription.client.clone(),
                epoch: member.epoch,
                topics: member.subscription.topics.iter().cloned().collect(),
                pattern: member.subscription.pattern.clone(),
                assigned: named(&mut member.assigned.keys().copied()),
                revoking: named(&mut member.revoking.keys().copied()),
                target: named(&mut self.target_of(id).into_iter()),
            })
            .collect()
    }

    fn is_stable(&self, id: &MemberId, member: &Member) -> bool {
        let target = self.target.get(id);
        member.is_away()
            || member.epoch == self.epoch
                && member.revoking.is_empty()
                && target.map_or(0, BTreeSet::len) == member.assigned.len()
    }

    pub(super) fn state(&self) -> GroupState {
        if self.members.is_empty() {
            GroupState::Empty
        } else if self
            .members
            .iter()
            .all(|(id, member)| self.is_stable(id, member))
        {
            GroupState::Stable
        } else {
            GroupState::Reconciling
        }
    }
}

impl Member {
    /// The event that says what it has come to.
    pub(super) fn current(&self, id: &MemberId) -> What {
        What::Current {
            member: id.clone(),
            epoch: self.epoch,
            previous: self.previous,
            assigned: self.assigned.clone().into_iter().collect(),
            revoking: self.revoking.clone().into_iter().collect(),
        }
    }
}
