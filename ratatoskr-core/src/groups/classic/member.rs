//! Members of a classic group fetch what they were assigned, stay, leave and commit.

use super::{
    Committer, Generation, Live, SyncGroup, SyncedGroup,
    live::{Phase, unknown},
    opaque::Opaque,
    turn::Turn,
};
use crate::{
    error::Error,
    groups::{
        Decision, Event, GroupError, GroupKind, GroupLimits, Groups, InstanceId, MemberEpoch,
        MemberId, Now, event::What, limits::check,
    },
    name::GroupId,
};

/// What came of the wish to know what was assigned.
#[derive(Debug)]
pub(crate) enum Syncing {
    Synced(SyncedGroup),
    /// The leader has not assigned yet, or what it said does not last yet.
    Waiting,
}

impl Groups {
    /// Decides on an assignment, if the leader brings one. Everybody else waits for it.
    ///
    /// # Errors
    /// [`GroupError`]; [`Error::LimitReached`].
    pub(crate) fn sync_classic(
        &mut self,
        request: &SyncGroup,
        now: Now,
        limits: &GroupLimits,
    ) -> Result<Decision<Syncing>, Error> {
        let (group, member) = (&request.group, &request.member);
        let live = self.live(group, member, now)?;
        live.check(group, member, request.instance.as_ref())?;
        live.check_generation(group, member, request.generation)?;
        let generation = &live.generation;
        let differs =
            |said: &Option<String>, is: &str| said.as_deref().is_some_and(|said| said != is);
        if differs(&request.protocol_type, &generation.protocol_type)
            || differs(&request.protocol, &generation.protocol)
        {
            return Err(GroupError::InconsistentProtocol(group.clone()).into());
        }
        if let Phase::Preparing { .. } = live.phase {
            return Err(GroupError::RebalanceInProgress(group.clone()).into());
        }
        let leads = generation.leader.as_ref() == Some(member);
        let assigns = leads && live.phase == Phase::Completing;
        let assigned = assigns
            .then(|| assigned(generation, request, limits))
            .transpose()?;
        live.heard_of(member, now.monotonic);
        live.synced(member);
        let Some(generation) = assigned else {
            return Ok(Decision::nothing(Syncing::Waiting));
        };
        let answer = Syncing::Synced(synced(&generation, member));
        Ok(Decision {
            events: vec![Event {
                group: group.clone(),
                what: What::Generation {
                    generation,
                    at: now.wall,
                },
            }],
            answer,
        })
    }

    /// What the member was assigned; `None` while it has to wait.
    ///
    /// # Errors
    /// [`GroupError`].
    pub(crate) fn look_sync(&self, request: &SyncGroup) -> Result<Option<SyncedGroup>, GroupError> {
        let (group, member) = (&request.group, &request.member);
        let live = self.classic.get(group);
        let live = live.ok_or_else(|| unknown(group, member))?;
        live.check(group, member, request.instance.as_ref())?;
        if live.generation.number != request.generation {
            return Err(GroupError::RebalanceInProgress(group.clone()));
        }
        match live.phase {
            Phase::Completing => Ok(None),
            Phase::Stable => Ok(Some(synced(&live.generation, member))),
            Phase::Preparing { .. } | Phase::Empty => {
                Err(GroupError::RebalanceInProgress(group.clone()))
            }
        }
    }

    /// A member shows that it is there.
    ///
    /// # Errors
    /// [`GroupError`]: it is no member, not of this generation, or is to join anew.
    pub(crate) fn beat_classic(
        &mut self,
        group: &GroupId,
        member: &MemberId,
        instance: Option<&InstanceId>,
        generation: MemberEpoch,
        now: Now,
    ) -> Result<(), GroupError> {
        let live = self.live(group, member, now)?;
        live.check(group, member, instance)?;
        live.check_generation(group, member, generation)?;
        live.heard_of(member, now.monotonic);
        match live.phase {
            Phase::Preparing { .. } => Err(GroupError::RebalanceInProgress(group.clone())),
            _ => Ok(()),
        }
    }

    /// Decides on a member that leaves, or is made to: by its id, or as whoever has an instance id.
    ///
    /// # Errors
    /// [`GroupError`].
    pub(crate) fn leave_classic(
        &mut self,
        group: &GroupId,
        member: Option<&MemberId>,
        instance: Option<&InstanceId>,
        now: Now,
        limits: &GroupLimits,
    ) -> Result<Decision<()>, GroupError> {
        let said = said(member, instance);
        let live = self.live(group, &said, now)?;
        let id = match (member, instance) {
            (Some(id), instance) => {
                if live.pending.contains_key(id) {
                    // It has not joined; letting its id run out is all there is to it.
                    live.pending.insert(id.clone(), now.monotonic);
                    None
                } else {
                    live.check(group, id, instance)?;
                    Some(id.clone())
                }
            }
            (None, Some(instance)) => {
                let id = live.generation.instance(instance);
                Some(id.cloned().ok_or_else(|| unknown(group, &said))?)
            }
            (None, None) => return Err(unknown(group, &said)),
        };
        let mut turn = Turn {
            group,
            live,
            limits,
            now,
            events: Vec::new(),
        };
        if let Some(id) = id {
            turn.remove(&id);
        }
        turn.pass();
        Ok(Decision {
            events: turn.events,
            answer: (),
        })
    }

    /// Whether somebody who names a generation may commit now. It counts as being heard of.
    ///
    /// # Errors
    /// [`GroupError`].
    pub(in crate::groups) fn check_committer(
        &mut self,
        group: &GroupId,
        committer: &Committer,
        now: Now,
    ) -> Result<(), GroupError> {
        self.known(group)?;
        let said = said(committer.member.as_ref(), committer.instance.as_ref());
        let live = self.live(group, &said, now)?;
        live.check(group, &said, committer.instance.as_ref())?;
        live.check_generation(group, &said, committer.generation)?;
        live.heard_of(&said, now.monotonic);
        match live.phase {
            // It may not know yet what it reads.
            Phase::Completing => Err(GroupError::RebalanceInProgress(group.clone())),
            _ => Ok(()),
        }
    }

    /// A classic group in use, if it is one.
    ///
    /// # Errors
    /// [`GroupError::UnknownMember`].
    fn live(
        &mut self,
        group: &GroupId,
        member: &MemberId,
        now: Now,
    ) -> Result<&mut Live, GroupError> {
        let known = self.groups.get(group);
        let known = known.filter(|known| known.kind == GroupKind::Classic);
        let known = known.ok_or_else(|| unknown(group, member))?;
        let live = self.classic.entry(group.clone());
        Ok(live.or_insert_with(|| Live::of(&known.classic, now.monotonic)))
    }

    /// Lets time pass for a classic group.
    pub(crate) fn pass_classic(
        &mut self,
        group: &GroupId,
        now: Now,
        limits: &GroupLimits,
    ) -> Vec<Event> {
        let Some(live) = self.classic.get_mut(group) else {
            return Vec::new();
        };
        let mut turn = Turn {
            group,
            live,
            limits,
            now,
            events: Vec::new(),
        };
        turn.pass();
        turn.events
    }
}

impl Live {
    /// The member has asked for what it was assigned.
    fn synced(&mut self, member: &MemberId) {
        if let Some(presence) = self.presence.get_mut(member) {
            presence.synced = true;
        }
        if self.presence.values().all(|presence| presence.synced) {
            self.sync_by = None;
        }
    }
}

/// Whom an error is about: the member, or the instance where that is all that was said.
pub(crate) fn said(member: Option<&MemberId>, instance: Option<&InstanceId>) -> MemberId {
    let by_instance = || MemberId::parse(instance?.as_str()).ok();
    let said = member.cloned().or_else(by_instance);
    said.unwrap_or_else(MemberId::random)
}

/// The generation as the leader has assigned it.
fn assigned(
    generation: &Generation,
    request: &SyncGroup,
    limits: &GroupLimits,
) -> Result<Generation, Error> {
    let new = request.assignments.iter();
    let new: usize = new.map(|(_, assignment)| assignment.len()).sum();
    let total = generation.bytes() + new;
    check("group_metadata_bytes_max", total, limits.metadata_bytes_max)?;
    let mut generation = generation.clone();
    for (id, assignment) in &request.assignments {
        if let Some(member) = generation.members.get_mut(id) {
            member.assignment = Opaque::from(assignment);
        }
    }
    Ok(generation)
}

fn synced(generation: &Generation, member: &MemberId) -> SyncedGroup {
    let found = generation.members.get(member);
    SyncedGroup {
        protocol_type: generation.protocol_type.clone(),
        protocol: generation.protocol.clone(),
        assignment: found.map_or_else(bytes::Bytes::new, |found| found.assignment.0.clone()),
    }
}
