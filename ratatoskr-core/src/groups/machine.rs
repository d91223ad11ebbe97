//! The groups of a shard.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::sync::Notify;

use super::{
    ClassicDescription, Event, Generation, GroupDescription, GroupError, GroupKind, GroupState,
    GroupSummary, MemberId, PartitionKey, TopicPartitions, Topics,
    classic::Live,
    event::What,
    membership::{Member, Membership},
    offset::Offsets,
};
use crate::{name::GroupId, time::Timestamp};

/// Every group of a shard.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_field_names,
    reason = "what lasts of the groups, and beside it what does not"
)]
pub(crate) struct Groups {
    pub(super) groups: BTreeMap<GroupId, Group>,
    /// When members were heard of: gone with a restart, which is as if all had just been.
    pub(super) sessions: HashMap<GroupId, HashMap<MemberId, Session>>,
    /// What is going on in classic groups: gone with a restart, too.
    pub(super) classic: HashMap<GroupId, Live>,
}

/// The lasting state of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Group {
    pub(super) kind: GroupKind,
    /// Since when nobody needs it, if it has no members.
    pub(super) idle_since: Timestamp,
    pub(super) membership: Membership,
    pub(super) classic: Generation,
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
            self.classic.remove(&id);
            return;
        }
        match &what {
            What::Group { kind, .. } if *kind != GroupKind::Classic => {
                self.classic.remove(&id);
            }
            What::Generation { generation, .. } => {
                if let Some(live) = self.classic.get_mut(&id) {
                    live.assigned(generation);
                }
            }
            _ => {}
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

    /// The newest generation of a classic group in use.
    pub(super) fn generation(&self, group: &GroupId) -> Option<&Generation> {
        self.classic.get(group).map(Live::generation)
    }

    /// Whether a group has members, or somebody who is about to be one.
    pub(super) fn has_members(&self, group: &GroupId) -> bool {
        let known = self.groups.get(group);
        let classic = match self.classic.get(group) {
            Some(live) => !live.is_empty(),
            None => known.is_some_and(|known| !known.classic.members.is_empty()),
        };
        classic || known.is_some_and(|known| !known.membership.is_empty())
    }

    /// How a group is doing.
    fn state(&self, id: &GroupId, group: &Group) -> GroupState {
        match self.classic.get(id) {
            Some(live) => live.state(),
            None if !group.classic.members.is_empty() => GroupState::Stable,
            None => group.membership.state(),
        }
    }

    /// Every group, as in a list.
    pub(crate) fn summaries(&self) -> impl Iterator<Item = GroupSummary> {
        self.groups.iter().map(|(id, group)| {
            let generation = self.generation(id).unwrap_or(&group.classic);
            let members = group.membership.members.len() + generation.members.len();
            GroupSummary {
                group: id.clone(),
                kind: group.kind,
                state: self.state(id, group),
                members: u32::try_from(members).unwrap_or(u32::MAX),
                protocol_type: generation.protocol_type.clone(),
            }
        })
    }

    /// A group for people, who know partitions by their names.
    pub(crate) fn description(
        &self,
        id: &GroupId,
        topics: &impl Topics,
        named: impl Fn(&mut dyn Iterator<Item = PartitionKey>) -> Vec<TopicPartitions>,
    ) -> Option<GroupDescription> {
        let group = self.groups.get(id)?;
        let generation = self.generation(id).unwrap_or(&group.classic);
        let is_classic = group.kind == GroupKind::Classic;
        Some(GroupDescription {
            group: id.clone(),
            kind: group.kind,
            state: self.state(id, group),
            epoch: if is_classic {
                generation.number
            } else {
                group.membership.epoch
            },
            assignor: group.membership.assignor,
            members: if is_classic {
                generation.described(topics, named)
            } else {
                group.membership.described(named)
            },
            protocol: generation.protocol.clone(),
        })
    }

    /// A classic group with the bytes of its members; `None` where it is of another kind.
    pub(crate) fn classic_description(&self, id: &GroupId) -> Option<ClassicDescription> {
        let group = self.groups.get(id)?;
        if group.kind == GroupKind::Consumer {
            return None;
        }
        match self.classic.get(id) {
            Some(live) => Some(live.description(id)),
            None => Some(Live::of(&group.classic, Duration::ZERO).description(id)),
        }
    }

    /// Every partition that somebody holds or is to hold, and who holds it.
    pub(crate) fn partitions_in_use(
        &self,
        id: &GroupId,
        topics: &impl Topics,
    ) -> BTreeMap<PartitionKey, Option<MemberId>> {
        let Some(group) = self.groups.get(id) else {
            return BTreeMap::new();
        };
        let generation = self.generation(id).unwrap_or(&group.classic);
        let mut in_use = group.membership.in_use();
        for (member, state) in &generation.members {
            let keys = generation.keys_of(state, topics);
            in_use.extend(keys.into_iter().map(|key| (key, Some(member.clone()))));
        }
        in_use
    }

    /// Notified when something changes in a classic group, and when something will by itself.
    pub(crate) fn classic_changes(
        &self,
        group: &GroupId,
    ) -> Option<(Arc<Notify>, Option<Duration>)> {
        let live = self.classic.get(group)?;
        Some((live.changed(), live.next_event()))
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
                if kind != GroupKind::Classic {
                    self.classic = Generation::default();
                }
            }
            What::Generation { generation, at } => {
                self.classic = generation;
                self.idle_since = self.idle_since.max(at);
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
        if self.classic != Generation::default() {
            out(What::Generation {
                generation: self.classic.clone(),
                at: self.idle_since,
            });
        }
        // Last, since commits count as use.
        out(What::Group {
            kind: self.kind,
            idle_since: self.idle_since,
        });
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
