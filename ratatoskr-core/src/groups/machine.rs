//! The groups of a shard.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use super::{
    Event, GroupDescription, GroupError, GroupKind, GroupSummary, MemberDescription, MemberId,
    PartitionKey, TopicPartitions,
    event::What,
    membership::{Member, Membership},
    offset::Offsets,
};
use crate::{name::GroupId, time::Timestamp};

/// Every group of a shard.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    pub(super) groups: BTreeMap<GroupId, Group>,
    /// When members were heard of: gone with a restart, which is as if all had just been.
    pub(super) sessions: HashMap<GroupId, HashMap<MemberId, Session>>,
}

/// The lasting state of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Group {
    pub(super) kind: GroupKind,
    /// Since when nobody needs it, if it has no members.
    pub(super) idle_since: Timestamp,
    pub(super) membership: Membership,
    pub(crate) offsets: Offsets,
}

/// What is known of a member that need not last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    /// When it was heard of, on the monotonic clock.
    pub(super) seen: Duration,
    /// Until when it must have given up what it was told to.
    pub(super) revoke_by: Option<Duration>,
}

/// Events to be kept, all or none, and what is answered once they are.
#[derive(Debug)]
pub(crate) struct Decision<T> {
    pub(crate) events: Vec<Event>,
    pub(crate) answer: T,
}

impl Groups {
    /// Takes an event in.
    pub(crate) fn apply(&mut self, event: Event) {
        let Event { group: id, what } = event;
        if matches!(what, What::Deleted) {
            self.groups.remove(&id);
            self.sessions.remove(&id);
            return;
        }
        if let What::Removed { member, .. } | What::Renamed { from: member, .. } = &what
            && let Some(sessions) = self.sessions.get_mut(&id)
        {
            sessions.remove(member);
        }
        self.groups.entry(id).or_default().apply(what);
    }

    /// Hands out events that make empty groups equal to these.
    pub(crate) fn snapshot(&self, out: &mut dyn FnMut(Event)) {
        for (id, group) in &self.groups {
            group.snapshot(&mut |what| {
                out(Event {
                    group: id.clone(),
                    what,
                });
            });
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.groups.len()
    }

    pub(crate) fn contains(&self, group: &GroupId) -> bool {
        self.groups.contains_key(group)
    }

    pub(crate) fn group(&self, group: &GroupId) -> Option<&Group> {
        self.groups.get(group)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&GroupId, &Group)> {
        self.groups.iter()
    }

    /// # Errors
    /// [`GroupError::UnknownGroup`].
    pub(super) fn known(&self, group: &GroupId) -> Result<&Group, GroupError> {
        self.groups
            .get(group)
            .ok_or_else(|| GroupError::UnknownGroup(group.clone()))
    }

    /// # Errors
    /// [`GroupError::UnknownMember`], also where there is no such group: it may be gone with its
    /// last member.
    pub(super) fn member(&self, group: &GroupId, member: &MemberId) -> Result<&Member, GroupError> {
        self.groups
            .get(group)
            .and_then(|group| group.membership.members.get(member))
            .ok_or_else(|| GroupError::UnknownMember {
                group: group.clone(),
                member: member.clone(),
            })
    }

    /// The event that makes a group what it is to be, if it is not; its idle time begins `at`.
    pub(super) fn ensure(&self, group: &GroupId, kind: GroupKind, at: Timestamp) -> Option<Event> {
        let known = self.groups.get(group);
        // Offsets need no members, but members need a group that manages them.
        let right = known.is_some_and(|known| kind == GroupKind::Simple || known.kind == kind);
        (!right).then(|| Event {
            group: group.clone(),
            what: What::Group {
                kind,
                idle_since: at,
            },
        })
    }
}

impl Group {
    fn apply(&mut self, what: What) {
        match what {
            What::Group { kind, idle_since } => {
                self.kind = kind;
                self.idle_since = idle_since;
            }
            What::Committed { offsets } => {
                for (_, committed) in &offsets {
                    self.idle_since = self.idle_since.max(committed.at);
                }
                self.offsets.commit(offsets);
            }
            What::Forgotten { partitions } => self.offsets.forget(&partitions),
            What::Removed { at, .. } => {
                self.idle_since = self.idle_since.max(at);
                self.membership.apply(what);
            }
            what => self.membership.apply(what),
        }
    }

    fn snapshot(&self, out: &mut dyn FnMut(What)) {
        self.membership.snapshot(out);
        let offsets: Vec<_> = (self.offsets.iter())
            .map(|(&key, committed)| (key, committed.clone()))
            .collect();
        for offsets in offsets.chunks(OFFSETS_PER_EVENT) {
            out(What::Committed {
                offsets: offsets.to_vec(),
            });
        }
        // Last, since commits count as use.
        out(What::Group {
            kind: self.kind,
            idle_since: self.idle_since,
        });
    }

    pub(crate) fn summary(&self, id: &GroupId) -> GroupSummary {
        GroupSummary {
            group: id.clone(),
            kind: self.kind,
            state: self.membership.state(),
            members: u32::try_from(self.membership.members.len()).unwrap_or(u32::MAX),
        }
    }

    /// The group for people, who know partitions by their names.
    pub(crate) fn description(
        &self,
        id: &GroupId,
        named: impl Fn(&mut dyn Iterator<Item = PartitionKey>) -> Vec<TopicPartitions>,
    ) -> GroupDescription {
        let membership = &self.membership;
        let members = membership.members.iter();
        GroupDescription {
            group: id.clone(),
            kind: self.kind,
            state: membership.state(),
            epoch: membership.epoch,
            assignor: membership.assignor,
            members: members
                .map(|(id, member)| MemberDescription {
                    member: id.clone(),
                    instance: member.subscription.instance.clone(),
                    client: member.subscription.client.clone(),
                    epoch: member.epoch,
                    topics: member.subscription.topics.iter().cloned().collect(),
                    assigned: named(&mut member.assigned.keys().copied()),
                    revoking: named(&mut member.revoking.keys().copied()),
                    target: named(&mut membership.target_of(id).into_iter()),
                })
                .collect(),
        }
    }

    /// Who may be reading a partition.
    pub(crate) fn holder(&self, key: &PartitionKey) -> Option<&MemberId> {
        self.membership.holder(key)
    }

    /// Every partition that somebody holds or is to hold.
    pub(crate) fn partitions_in_use(&self) -> impl Iterator<Item = PartitionKey> {
        let targets = self.membership.target.values().flatten().copied();
        let held = self.membership.members.values().flat_map(Member::held);
        targets.chain(held.map(|(&key, _)| key))
    }
}

/// Offsets in one event of a snapshot: it must fit a batch whatever their metadata.
const OFFSETS_PER_EVENT: usize = 1_000;

impl<T> Decision<T> {
    pub(super) const fn nothing(answer: T) -> Self {
        Self {
            events: Vec::new(),
            answer,
        }
    }
}
