//! What is going on in a classic group, beside what lasts.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::sync::Notify;

use super::{
    ClassicDescription, ClassicMemberDescription, Generation, JoinedGroup, JoinedMember,
    generation::Member,
};
use crate::{
    groups::{GroupError, GroupState, InstanceId, MemberEpoch, MemberId},
    name::GroupId,
};

/// A group in use. All times are on the monotonic clock.
#[derive(Debug)]
pub(in crate::groups) struct Live {
    /// The newest generation, with what has changed since it was kept.
    pub(super) generation: Generation,
    pub(super) phase: Phase,
    /// Of each member of the generation.
    pub(super) presence: BTreeMap<MemberId, Presence>,
    /// Ids that nobody has joined with yet, and until when somebody may.
    pub(super) pending: BTreeMap<MemberId, Duration>,
    /// Until when members must have fetched what they were assigned.
    pub(super) sync_by: Option<Duration>,
    /// Counts attempts to join, so that each waits for itself alone.
    pub(super) attempts: u64,
    changed: Arc<Notify>,
}

/// Where in its round a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Empty,
    /// Members are joining, until all have or time is up.
    Preparing {
        until: Duration,
        /// Set for the first members of a group, which wait for others to come.
        gathering: Option<Gathering>,
    },
    /// The leader assigns.
    Completing,
    Stable,
}

/// Waiting for more members than the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gathering {
    /// When waiting ends, whoever may still come.
    pub(super) latest: Duration,
    /// Whether somebody has come since the wait was last prolonged.
    pub(super) more_came: bool,
}

/// What is known of a member just now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Presence {
    /// When it was heard of.
    pub(super) seen: Duration,
    /// The attempt with which it waits to have joined.
    pub(super) joining: Option<u64>,
    /// Whether it has asked for what it was assigned in this generation.
    pub(super) synced: bool,
}

impl Live {
    /// A group as it comes from the log: all of its members were just heard of.
    pub(in crate::groups) fn of(generation: &Generation, now: Duration) -> Self {
        let presence = Presence {
            seen: now,
            joining: None,
            synced: true,
        };
        Self {
            phase: if generation.members.is_empty() {
                Phase::Empty
            } else {
                Phase::Stable
            },
            presence: (generation.members.keys())
                .map(|id| (id.clone(), presence))
                .collect(),
            generation: generation.clone(),
            pending: BTreeMap::new(),
            sync_by: None,
            attempts: 0,
            changed: Arc::default(),
        }
    }

    /// The leader's assignment lasts: the group is stable.
    pub(in crate::groups) fn assigned(&mut self, generation: &Generation) {
        if self.phase == Phase::Completing && self.generation.number == generation.number {
            self.generation.clone_from(generation);
            self.phase = Phase::Stable;
            self.tell();
        }
    }

    /// Something has changed that somebody may be waiting for.
    pub(super) fn tell(&self) {
        self.changed.notify_waiters();
    }

    /// Notified when something changes.
    pub(in crate::groups) fn changed(&self) -> Arc<Notify> {
        Arc::clone(&self.changed)
    }

    /// When something happens by itself that somebody may be waiting for.
    pub(in crate::groups) const fn next_event(&self) -> Option<Duration> {
        match self.phase {
            Phase::Preparing { until, .. } => Some(until),
            Phase::Completing => self.sync_by,
            Phase::Empty | Phase::Stable => None,
        }
    }

    /// Whether somebody is in it, or about to be.
    pub(in crate::groups) fn is_empty(&self) -> bool {
        self.generation.members.is_empty() && self.pending.is_empty()
    }

    pub(in crate::groups) const fn generation(&self) -> &Generation {
        &self.generation
    }

    pub(in crate::groups) const fn state(&self) -> GroupState {
        match self.phase {
            Phase::Empty => GroupState::Empty,
            Phase::Preparing { .. } => GroupState::PreparingRebalance,
            Phase::Completing => GroupState::CompletingRebalance,
            Phase::Stable => GroupState::Stable,
        }
    }

    /// Whether this is a member, and the one that its instance belongs to.
    ///
    /// # Errors
    /// [`GroupError::UnknownMember`], [`GroupError::FencedInstance`].
    pub(super) fn check(
        &self,
        group: &GroupId,
        member: &MemberId,
        instance: Option<&InstanceId>,
    ) -> Result<(), GroupError> {
        if let Some(instance) = instance
            && let Some(id) = self.generation.instance(instance)
            && id != member
        {
            return Err(GroupError::FencedInstance {
                group: group.clone(),
                instance: instance.clone(),
            });
        }
        if !self.generation.members.contains_key(member) {
            return Err(unknown(group, member));
        }
        Ok(())
    }

    /// Whether the member knows of the newest generation.
    ///
    /// # Errors
    /// [`GroupError::FencedMember`].
    pub(super) fn check_generation(
        &self,
        group: &GroupId,
        member: &MemberId,
        found: MemberEpoch,
    ) -> Result<(), GroupError> {
        let current = self.generation.number;
        if found == current {
            return Ok(());
        }
        Err(GroupError::FencedMember {
            group: group.clone(),
            member: member.clone(),
            current,
            found,
        })
    }

    /// The member is there.
    pub(super) fn heard_of(&mut self, member: &MemberId, now: Duration) {
        if let Some(presence) = self.presence.get_mut(member) {
            presence.seen = now;
        }
    }

    /// The generation as a member of it is told.
    pub(super) fn joined(&self, id: &MemberId) -> JoinedGroup {
        let generation = &self.generation;
        let leads = generation.leader.as_ref() == Some(id);
        JoinedGroup {
            member: id.clone(),
            generation: generation.number,
            protocol_type: generation.protocol_type.clone(),
            protocol: generation.protocol.clone(),
            leader: generation.leader.clone().unwrap_or_else(|| id.clone()),
            members: if leads { self.everybody() } else { Vec::new() },
            skip_assignment: false,
        }
    }

    pub(super) fn everybody(&self) -> Vec<JoinedMember> {
        let members = self.generation.members.iter();
        members
            .map(|(id, member)| JoinedMember {
                member: id.clone(),
                instance: member.instance.clone(),
                metadata: member.metadata(&self.generation.protocol),
            })
            .collect()
    }

    pub(in crate::groups) fn description(&self, group: &GroupId) -> ClassicDescription {
        let generation = &self.generation;
        let is_stable = self.phase == Phase::Stable;
        let describe = |(id, member): (&MemberId, &Member)| ClassicMemberDescription {
            member: id.clone(),
            instance: member.instance.clone(),
            client: member.client.clone(),
            host: member.host.clone(),
            metadata: if is_stable {
                member.metadata(&generation.protocol)
            } else {
                bytes::Bytes::new()
            },
            assignment: if is_stable {
                member.assignment.0.clone()
            } else {
                bytes::Bytes::new()
            },
        };
        ClassicDescription {
            group: group.clone(),
            state: self.state(),
            protocol_type: generation.protocol_type.clone(),
            protocol: if is_stable {
                generation.protocol.clone()
            } else {
                String::new()
            },
            members: generation.members.iter().map(describe).collect(),
        }
    }
}

impl Drop for Live {
    /// Whoever waits finds that the group is not what it was.
    fn drop(&mut self) {
        self.tell();
    }
}

pub(super) fn unknown(group: &GroupId, member: &MemberId) -> GroupError {
    GroupError::UnknownMember {
        group: group.clone(),
        member: member.clone(),
    }
}
