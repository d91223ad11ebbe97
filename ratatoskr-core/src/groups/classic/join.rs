//! Joining a classic group.

use super::{
    JoinGroup, JoinedGroup, Live,
    live::{Phase, unknown},
    turn::Turn,
};
use crate::{
    error::Error,
    groups::{
        Decision, GroupError, GroupKind, GroupLimits, Groups, InstanceId, MemberId, Now,
        limits::check,
    },
    name::GroupId,
};

/// What came of a wish to join.
#[derive(Debug)]
pub(crate) enum Joining {
    /// The member is to join with this id.
    MemberIdRequired(MemberId),
    Joined(JoinedGroup),
    /// It has to wait for others.
    Waiting(Ticket),
}

/// What somebody who joins waits with.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    pub(crate) member: MemberId,
    pub(crate) instance: Option<InstanceId>,
    attempt: u64,
}

impl Groups {
    /// Decides on a wish to join. `new_id` is the id of a member that has none.
    ///
    /// # Errors
    /// [`GroupError`]; [`Error::LimitReached`].
    pub(crate) fn join_classic(
        &mut self,
        request: &JoinGroup,
        new_id: &MemberId,
        now: Now,
        limits: &GroupLimits,
    ) -> Result<Decision<Joining>, Error> {
        let group = &request.group;
        check_session_timeout(request, limits)?;
        let known = self.groups.get(group);
        if known.is_some_and(|known| !known.membership.is_empty()) {
            return Err(GroupError::InconsistentProtocol(group.clone()).into());
        }
        let is_classic = known.is_some_and(|known| known.kind == GroupKind::Classic);
        if let Some(member) = request.member.as_ref().filter(|_| !is_classic) {
            return Err(unknown(group, member).into());
        }
        let events = self.ensure(group, GroupKind::Classic, now.wall);
        let generation = (self.groups.get(group)).map(|known| known.classic.clone());
        let live = self.classic.entry(group.clone());
        let mut kept = generation.unwrap_or_default();
        let live = live.or_insert_with(|| Live::of(&kept, now.monotonic));
        let mut turn = Turn {
            group,
            live,
            limits,
            now,
            events: events.into_iter().collect(),
        };
        let earlier = request.instance.as_ref();
        let earlier = earlier.and_then(|instance| kept.instance(instance));
        let earlier = earlier.filter(|_| request.member.is_none()).cloned();
        let answer = turn.join(request, new_id.clone())?;
        // Where the group comes to a new generation, the answer is not kept before its leader has
        // assigned. Who has taken over is kept at once, or a restart would fence the later life.
        if let Some(earlier) = earlier.filter(|_| turn.events.is_empty()) {
            kept.take_over(&earlier, new_id);
            turn.keep_as(kept);
        }
        // The first member of a group that waits for nobody has joined by now.
        turn.pass();
        let answer = match answer {
            Joining::Waiting(ticket) => match turn.live.look_join(group, &ticket)? {
                Some(joined) => Joining::Joined(joined),
                None => Joining::Waiting(ticket),
            },
            answer => answer,
        };
        Ok(Decision {
            events: turn.events,
            answer,
        })
    }

    /// What the holder of a ticket is told; `None` while it has to wait.
    ///
    /// # Errors
    /// [`GroupError`].
    pub(crate) fn look_join(
        &self,
        group: &GroupId,
        ticket: &Ticket,
    ) -> Result<Option<JoinedGroup>, GroupError> {
        let live = self.classic.get(group);
        let live = live.ok_or_else(|| unknown(group, &ticket.member))?;
        live.look_join(group, ticket)
    }
}

fn check_session_timeout(request: &JoinGroup, limits: &GroupLimits) -> Result<(), GroupError> {
    let (min, max) = (limits.session_timeout_min, limits.session_timeout_max);
    if (min..=max).contains(&request.session_timeout) {
        return Ok(());
    }
    Err(GroupError::InvalidSessionTimeout { min, max })
}

impl Turn<'_> {
    fn join(&mut self, request: &JoinGroup, new_id: MemberId) -> Result<Joining, Error> {
        let group = self.group;
        if let Some(id) = &request.member
            // Ids are only given to members without an instance.
            && !(self.live.pending.contains_key(id) && request.instance.is_none())
        {
            self.live.check(group, id, request.instance.as_ref())?;
        }
        if !self.live.generation.supports(request) {
            return Err(GroupError::InconsistentProtocol(group.clone()).into());
        }
        self.check_bytes(request)?;
        let earlier = request.instance.as_ref();
        let earlier = earlier.and_then(|instance| self.live.generation.instance(instance));
        let attempt = |member: MemberId, attempt| {
            Joining::Waiting(Ticket {
                member,
                instance: request.instance.clone(),
                attempt,
            })
        };
        match (&request.member, earlier.cloned()) {
            (Some(id), _) if self.live.pending.remove(id).is_some() => {
                Ok(attempt(id.clone(), self.add(id.clone(), request)))
            }
            (Some(id), _) => Ok(match self.rejoin(id, request) {
                Some(waits_with) => attempt(id.clone(), waits_with),
                None => Joining::Joined(self.live.joined(id)),
            }),
            (None, Some(earlier)) => Ok(match self.replace(&earlier, &new_id, request) {
                Ok(joined) => Joining::Joined(joined),
                Err(waits_with) => attempt(new_id, waits_with),
            }),
            (None, None) => {
                let members = self.live.generation.members.len() + self.live.pending.len() + 1;
                check("group_members_max", members, self.limits.members_max)?;
                if request.needs_id && request.instance.is_none() {
                    let until = self.now.monotonic.saturating_add(request.session_timeout);
                    self.live.pending.insert(new_id.clone(), until);
                    return Ok(Joining::MemberIdRequired(new_id));
                }
                Ok(attempt(new_id.clone(), self.add(new_id, request)))
            }
        }
    }

    fn check_bytes(&self, request: &JoinGroup) -> Result<(), Error> {
        let new = request.protocols.iter();
        let new: usize = new
            .map(|(name, metadata)| name.len() + metadata.len())
            .sum();
        let names = request.protocol_type.len() + request.client.len() + request.host.len();
        let total = self.live.generation.bytes() + new + names;
        check(
            "group_metadata_bytes_max",
            total,
            self.limits.metadata_bytes_max,
        )
    }

    /// A member joins again; the attempt with which it waits, `None` where it need not.
    fn rejoin(&mut self, id: &MemberId, request: &JoinGroup) -> Option<u64> {
        let member = self.live.generation.members.get(id);
        let unchanged = member.is_some_and(|member| member.wants(&request.protocols));
        let leads = self.live.generation.leader.as_ref() == Some(id);
        let begins_anew = match self.live.phase {
            Phase::Preparing { .. } | Phase::Empty => true,
            // It has missed the answer, or asks once more.
            Phase::Completing => !unchanged,
            // The leader joins again to have the group rebalanced: something has changed that only it
            // sees, the number of partitions for one.
            Phase::Stable => leads || !unchanged,
        };
        if begins_anew {
            return Some(self.update(id, request));
        }
        self.live.heard_of(id, self.now.monotonic);
        None
    }

    /// A static member is back, under a new id: what it is told, or the attempt with which it waits.
    fn replace(
        &mut self,
        earlier: &MemberId,
        new: &MemberId,
        request: &JoinGroup,
    ) -> Result<JoinedGroup, u64> {
        let live = &mut *self.live;
        let mut presence = live.presence.remove(earlier);
        if let Some(presence) = &mut presence {
            presence.seen = self.now.monotonic;
            live.presence.insert(new.clone(), *presence);
        }
        let leads = live.generation.take_over(earlier, new);
        // The earlier life is fenced, wherever it waits.
        live.tell();
        if live.phase != Phase::Stable {
            return Err(self.update(new, request));
        }
        let was = live.generation.protocol.clone();
        let Some(member) = live.generation.members.get_mut(new) else {
            return Err(self.update(new, request));
        };
        member.protocols = super::generation::Member::new(request).protocols;
        if live.generation.choose_protocol().as_ref() != Some(&was) {
            return Err(self.update(new, request));
        }
        self.restate(new, request);
        self.keep();
        let mut joined = self.live.joined(new);
        if leads && request.may_skip_assignment {
            joined.skip_assignment = true;
        } else if leads {
            // So that it does not assign: it is told that its earlier life leads.
            joined.leader = earlier.clone();
            joined.members = Vec::new();
        }
        Ok(joined)
    }
}

impl Live {
    fn look_join(
        &self,
        group: &GroupId,
        ticket: &Ticket,
    ) -> Result<Option<JoinedGroup>, GroupError> {
        self.check(group, &ticket.member, ticket.instance.as_ref())?;
        let presence = self.presence.get(&ticket.member);
        match presence.and_then(|presence| presence.joining) {
            Some(attempt) if attempt == ticket.attempt => Ok(None),
            // The same member has asked again since.
            Some(_) => Err(GroupError::RebalanceInProgress(group.clone())),
            None => Ok(Some(self.joined(&ticket.member))),
        }
    }
}
