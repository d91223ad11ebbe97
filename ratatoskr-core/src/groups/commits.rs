//! Offsets committed and forgotten, groups deleted.

use super::{
    CommittedOffset, Committer, Decision, Event, GroupError, GroupKind, GroupLimits, Groups,
    MemberEpoch, MemberId, Now, PartitionKey, event::What, limits::check, membership::Member,
    reconcile::holds_since,
};
use crate::{
    error::Error,
    name::{GroupId, TopicName},
};

/// An offset to be committed, with the name that errors tell.
#[derive(Clone, Debug)]
pub(crate) struct Commit {
    pub(crate) topic: TopicName,
    pub(crate) key: PartitionKey,
    pub(crate) committed: CommittedOffset,
}

impl Groups {
    /// Decides on offsets to be committed, all or none. Who is no member may commit only to a group
    /// without members.
    ///
    /// # Errors
    /// [`GroupError`]; [`Error::LimitReached`].
    pub(crate) fn commit(
        &self,
        group: &GroupId,
        member: Option<&(MemberId, MemberEpoch)>,
        commits: Vec<Commit>,
        limits: &GroupLimits,
    ) -> Result<Decision<()>, Error> {
        match member {
            Some((member, epoch)) => self.check_member(group, member, *epoch, &commits)?,
            None => self.check_empty(group)?,
        }
        self.store(group, commits, limits)
    }

    fn store(
        &self,
        group: &GroupId,
        commits: Vec<Commit>,
        limits: &GroupLimits,
    ) -> Result<Decision<()>, Error> {
        let Some(at) = commits.iter().map(|commit| commit.committed.at).max() else {
            return Ok(Decision::nothing(()));
        };
        let offsets = self.group(group).map(|group| &group.offsets);
        let mut new = std::collections::BTreeSet::new();
        for Commit { key, committed, .. } in &commits {
            let max = limits.offset_metadata_bytes_max;
            check("offset_metadata_bytes_max", committed.metadata.len(), max)?;
            if offsets.is_none_or(|offsets| offsets.get(key).is_none()) {
                new.insert(*key);
            }
        }
        if !new.is_empty() {
            let total = offsets.map_or(0, super::offset::Offsets::len) + new.len();
            check("group_offsets_max", total, limits.offsets_max)?;
        }
        let mut events: Vec<_> = (self.ensure(group, GroupKind::Simple, at))
            .into_iter()
            .collect();
        events.push(Event {
            group: group.clone(),
            what: What::Committed {
                offsets: (commits.into_iter())
                    .map(|commit| (commit.key, commit.committed))
                    .collect(),
            },
        });
        Ok(Decision { events, answer: () })
    }

    /// Whether a member may commit these: it holds the partitions, and nobody else had them since.
    fn check_member(
        &self,
        group: &GroupId,
        id: &MemberId,
        epoch: MemberEpoch,
        commits: &[Commit],
    ) -> Result<(), GroupError> {
        let member = self.member_at(group, id, epoch)?;
        for Commit { topic, key, .. } in commits {
            if !holds_since(member, key, epoch) {
                return Err(GroupError::NotAssigned {
                    group: group.clone(),
                    topic: topic.clone(),
                    partition: key.partition,
                });
            }
        }
        Ok(())
    }

    /// Whether a member is still one, if its group is managed by the broker.
    ///
    /// # Errors
    /// [`GroupError::UnknownMember`], [`GroupError::FencedMember`].
    pub(crate) fn check_is_member(
        &self,
        group: &GroupId,
        id: &MemberId,
        epoch: MemberEpoch,
    ) -> Result<(), GroupError> {
        let known = self.groups.get(group);
        if known.is_some_and(|known| known.kind == GroupKind::Consumer) {
            self.member_at(group, id, epoch)?;
        }
        Ok(())
    }

    /// The member, if it has come to this epoch: the answer to its last heartbeat may be on its way.
    fn member_at(
        &self,
        group: &GroupId,
        id: &MemberId,
        epoch: MemberEpoch,
    ) -> Result<&Member, GroupError> {
        let member = self.member(group, id)?;
        if member.is_away() || epoch > member.epoch || epoch <= MemberEpoch::JOIN {
            return Err(GroupError::FencedMember {
                group: group.clone(),
                member: id.clone(),
                current: member.epoch,
                found: epoch,
            });
        }
        Ok(member)
    }

    /// Decides on offsets that somebody commits who names a generation or an epoch.
    ///
    /// # Errors
    /// [`GroupError`]; [`Error::LimitReached`].
    pub(crate) fn commit_as(
        &mut self,
        group: &GroupId,
        committer: &Committer,
        commits: Vec<Commit>,
        now: Now,
        limits: &GroupLimits,
    ) -> Result<Decision<()>, Error> {
        let kind = self.known(group)?.kind;
        match &committer.member {
            Some(member) if kind == GroupKind::Consumer => {
                self.check_member(group, member, committer.generation, &commits)?;
            }
            _ => self.check_committer(group, committer, now)?,
        }
        self.store(group, commits, limits)
    }

    /// # Errors
    /// [`GroupError::NotEmpty`].
    pub(crate) fn check_empty(&self, group: &GroupId) -> Result<(), GroupError> {
        if self.has_members(group) {
            return Err(GroupError::NotEmpty(group.clone()));
        }
        Ok(())
    }

    /// Decides on offsets to be forgotten. A group that reads their topic refuses.
    ///
    /// # Errors
    /// [`GroupError::UnknownGroup`], [`GroupError::NotEmpty`].
    pub(crate) fn forget(
        &self,
        group: &GroupId,
        wanted: &[(TopicName, PartitionKey)],
    ) -> Result<Decision<()>, GroupError> {
        let known = self.known(group)?;
        let generation = self.generation(group).unwrap_or(&known.classic);
        let read = |topic: &TopicName| {
            let mut members = known.membership.members.values();
            members.any(|member| member.subscription.wants(topic)) || generation.reads(topic)
        };
        if wanted.iter().any(|(topic, _)| read(topic)) {
            return Err(GroupError::NotEmpty(group.clone()));
        }
        let partitions: Vec<_> = (wanted.iter())
            .map(|(_, key)| *key)
            .filter(|key| known.offsets.get(key).is_some())
            .collect();
        if partitions.is_empty() {
            return Ok(Decision::nothing(()));
        }
        Ok(Decision {
            events: vec![Event {
                group: group.clone(),
                what: What::Forgotten { partitions },
            }],
            answer: (),
        })
    }

    /// Decides on a group to be deleted with all its offsets.
    ///
    /// # Errors
    /// [`GroupError::UnknownGroup`], [`GroupError::NotEmpty`].
    pub(crate) fn delete(&self, group: &GroupId) -> Result<Decision<()>, GroupError> {
        self.known(group)?;
        self.check_empty(group)?;
        Ok(Decision {
            events: vec![Event {
                group: group.clone(),
                what: What::Deleted,
            }],
            answer: (),
        })
    }

    /// Sets offsets to where a log ends that has lost what they stand for; whoever reads or has read
    /// is not asked. Offsets that were committed meanwhile stay.
    pub(crate) fn clamp(
        &self,
        group: &GroupId,
        clamped: Vec<(PartitionKey, CommittedOffset, CommittedOffset)>,
    ) -> Decision<()> {
        let known = self.group(group);
        let offsets: Vec<_> = (clamped.into_iter())
            .filter(|(key, seen, _)| {
                known.is_some_and(|known| known.offsets.get(key) == Some(seen))
            })
            .map(|(key, _, to)| (key, to))
            .collect();
        if offsets.is_empty() {
            return Decision::nothing(());
        }
        Decision {
            events: vec![Event {
                group: group.clone(),
                what: What::Committed { offsets },
            }],
            answer: (),
        }
    }
}
