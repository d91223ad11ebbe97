//! Joining, staying and leaving.

use std::{borrow::Cow, collections::BTreeSet, time::Duration};

use super::{
    Decision, Event, GroupError, GroupHeartbeat, GroupHeartbeatResponse, GroupKind, GroupLimits,
    Groups, MemberEpoch, Now, PartitionKey, TopicPartitions, Topics,
    draft::Draft,
    event::{Subscription, What},
    limits::check,
    machine::Session,
    membership::{Member, Membership},
};
use crate::error::Error;

impl Groups {
    /// Decides on a heartbeat.
    ///
    /// # Errors
    /// [`GroupError`]; [`Error::LimitReached`].
    pub(crate) fn heartbeat(
        &mut self,
        request: &GroupHeartbeat,
        topics: &impl Topics,
        now: Now,
        limits: &GroupLimits,
    ) -> Result<Decision<GroupHeartbeatResponse>, Error> {
        let named = request.topics.as_ref().map_or(0, Vec::len);
        check("group_member_topics_max", named, limits.member_topics_max)?;
        let draft = match request.epoch {
            MemberEpoch::LEAVE | MemberEpoch::LEAVE_STATIC => {
                let events = self.leave(request, topics, now)?;
                return Ok(Decision {
                    events,
                    answer: response(request.epoch, None, limits),
                });
            }
            MemberEpoch::JOIN => self.join(request, topics, now, limits)?,
            epoch if epoch > MemberEpoch::JOIN => self.stay(request, topics)?,
            epoch => {
                let text = format!("no member has epoch {epoch}");
                return Err(GroupError::InvalidRequest(text).into());
            }
        };
        let Some(member) = draft.membership.members.get(&request.member) else {
            return Err(Error::Internal(
                "a member that joined is not there".to_owned(),
            ));
        };
        let told = self.assignment_to_tell(request, &draft.membership, member);
        let answer = response(member.epoch, told, limits);
        let timeout = member.subscription.rebalance_timeout;
        let revoking = (!member.revoking.is_empty()).then_some(timeout);
        let events = draft.events;
        self.heard_of(request, revoking, now);
        Ok(Decision { events, answer })
    }

    fn join(
        &self,
        request: &GroupHeartbeat,
        topics: &impl Topics,
        now: Now,
        limits: &GroupLimits,
    ) -> Result<Draft<'_>, Error> {
        let wanted = request.topics.as_deref().unwrap_or_default();
        let pattern = request
            .pattern
            .clone()
            .filter(|pattern| !pattern.is_empty());
        if wanted.is_empty() && pattern.is_none() {
            let text = "a member that joins says what topics it wants".to_owned();
            return Err(GroupError::InvalidRequest(text).into());
        }
        let group = &request.group;
        let known = self.groups.get(group);
        if known.is_some_and(|known| known.kind == GroupKind::Classic) && self.has_members(group) {
            return Err(GroupError::InconsistentProtocol(group.clone()).into());
        }
        let membership = known.map_or_else(Cow::default, |group| Cow::Borrowed(&group.membership));
        let mut draft = Draft::new(group, membership);
        draft
            .events
            .extend(self.ensure(group, GroupKind::Consumer, now.wall));
        let before = static_member(&draft.membership, request)?;
        let known = draft.membership.members.contains_key(&request.member);
        // A member that takes another's place leaves its own.
        if before.is_some() && known {
            draft.push(What::Removed {
                member: request.member.clone(),
                at: now.wall,
            });
        }
        let back = before.is_some() && !known;
        if let Some(from) = before {
            draft.push(What::Renamed {
                from,
                to: request.member.clone(),
            });
        }
        let subscription = Subscription {
            instance: request.instance.clone(),
            client: request.client.clone(),
            topics: wanted.iter().cloned().collect(),
            assignor: request.assignor,
            rebalance_timeout: request.rebalance_timeout.min(limits.rebalance_timeout_max),
            pattern,
        };
        let known = draft.membership.members.get(&request.member);
        if known.is_none() {
            let members = draft.membership.members.len() + 1;
            check("group_members_max", members, limits.members_max)?;
        }
        let unchanged = known.is_some_and(|known| {
            known.subscription.wants_the_same(&subscription)
                && known.subscription.assignor == subscription.assignor
        });
        draft.push(What::Member {
            member: request.member.clone(),
            subscription,
        });
        // A static member that is back gets what it had, and nobody else is asked to move.
        if back && unchanged {
            draft.rebalance_if_topics_changed(topics);
        } else {
            draft.rebalance(topics);
        }
        // Whoever joins reads nothing yet, so what an earlier life of it had is free.
        draft.reset(&request.member);
        draft.reconcile(&request.member, Some(&BTreeSet::new()));
        Ok(draft)
    }

    fn stay(&self, request: &GroupHeartbeat, topics: &impl Topics) -> Result<Draft<'_>, Error> {
        let member = self.member(&request.group, &request.member)?;
        let owned = request.owned.as_deref().map(keys);
        if !is_of_this_life(member, request.epoch, owned.as_ref()) {
            return Err(fenced(request, member).into());
        }
        let known = self.known(&request.group)?;
        let mut draft = Draft::new(&request.group, Cow::Borrowed(&known.membership));
        match changed_subscription(request, &member.subscription) {
            Some(subscription) => {
                draft.push(What::Member {
                    member: request.member.clone(),
                    subscription,
                });
                draft.rebalance(topics);
            }
            None => draft.rebalance_if_topics_changed_for(&request.member, topics),
        }
        draft.reconcile(&request.member, owned.as_ref());
        Ok(draft)
    }

    fn leave(
        &self,
        request: &GroupHeartbeat,
        topics: &impl Topics,
        now: Now,
    ) -> Result<Vec<Event>, Error> {
        let member = self.member(&request.group, &request.member)?;
        let known = self.known(&request.group)?;
        let mut draft = Draft::new(&request.group, Cow::Borrowed(&known.membership));
        if request.epoch == MemberEpoch::LEAVE {
            draft.push(What::Removed {
                member: request.member.clone(),
                at: now.wall,
            });
            draft.rebalance(topics);
            return Ok(draft.events);
        }
        if member.subscription.instance.is_none() {
            let text = "only a member with an instance id can leave for a while".to_owned();
            return Err(GroupError::InvalidRequest(text).into());
        }
        let mut away = member.clone();
        away.previous = away.epoch;
        away.epoch = MemberEpoch::LEAVE_STATIC;
        away.revoking.clear();
        draft.push(away.current(&request.member));
        Ok(draft.events)
    }

    /// The session begins anew; `revoking` is how long the member may take to give up what it was
    /// told to, if it was.
    fn heard_of(&mut self, request: &GroupHeartbeat, revoking: Option<Duration>, now: Now) {
        let sessions = self.sessions.entry(request.group.clone()).or_default();
        let before = sessions.get(&request.member);
        let before = before.and_then(|session| session.revoke_by);
        let session = Session {
            seen: now.monotonic,
            revoke_by: revoking
                .map(|timeout| before.unwrap_or_else(|| now.monotonic.saturating_add(timeout))),
        };
        sessions.insert(request.member.clone(), session);
    }

    /// What the member is to read, where that is not what it says it reads.
    fn assignment_to_tell(
        &self,
        request: &GroupHeartbeat,
        group: &Membership,
        member: &Member,
    ) -> Option<Vec<TopicPartitions>> {
        let same = match &request.owned {
            Some(owned) => {
                let owned = keys(owned);
                owned.len() == member.assigned.len()
                    && owned.iter().all(|key| member.assigned.contains_key(key))
            }
            None => self
                .member(&request.group, &request.member)
                .is_ok_and(|before| before.assigned == member.assigned),
        };
        let joins = request.epoch == MemberEpoch::JOIN;
        (joins || !same).then(|| group.named(member.assigned.keys().copied()))
    }
}

impl Membership {
    /// Partitions of topics that the target rests on, by topic.
    fn named(&self, keys: impl Iterator<Item = PartitionKey>) -> Vec<TopicPartitions> {
        let mut keys: BTreeSet<_> = keys.collect();
        let topics = self.topics.iter();
        topics
            .map(|(name, &(id, _))| TopicPartitions {
                topic: name.clone(),
                id,
                partitions: (keys.extract_if(PartitionKey::all_of(id), |_| true))
                    .map(|key| key.partition)
                    .collect(),
            })
            .filter(|topic| !topic.partitions.is_empty())
            .collect()
    }
}

/// What a member that stays wants from now on, if that is something else.
fn changed_subscription(request: &GroupHeartbeat, before: &Subscription) -> Option<Subscription> {
    if request.topics.is_none() && request.pattern.is_none() {
        return None;
    }
    let mut after = before.clone();
    if let Some(topics) = &request.topics {
        after.topics = topics.iter().cloned().collect();
    }
    if let Some(pattern) = &request.pattern {
        after.pattern = Some(pattern.clone()).filter(|pattern| !pattern.is_empty());
    }
    (!after.wants_the_same(before)).then_some(after)
}

/// The static member that the request is the next life of, if it is one.
fn static_member(
    membership: &Membership,
    request: &GroupHeartbeat,
) -> Result<Option<super::MemberId>, GroupError> {
    let Some(instance) = &request.instance else {
        return Ok(None);
    };
    match membership.instance(instance) {
        Some((id, member)) if *id != request.member => {
            if member.is_away() {
                return Ok(Some(id.clone()));
            }
            Err(GroupError::InstanceInUse {
                group: request.group.clone(),
                instance: instance.clone(),
            })
        }
        _ => Ok(None),
    }
}

/// Whether the member may go on with this epoch: its own, or the one before where the answer that
/// told it of its own was lost.
fn is_of_this_life(
    member: &Member,
    epoch: MemberEpoch,
    owned: Option<&BTreeSet<PartitionKey>>,
) -> bool {
    let answer_lost = || {
        epoch == member.previous
            && owned.is_some_and(|owned| owned.iter().all(|key| member.assigned.contains_key(key)))
    };
    !member.is_away() && (epoch == member.epoch || answer_lost())
}

fn fenced(request: &GroupHeartbeat, member: &Member) -> GroupError {
    GroupError::FencedMember {
        group: request.group.clone(),
        member: request.member.clone(),
        current: member.epoch,
        found: request.epoch,
    }
}

fn keys(owned: &[TopicPartitions]) -> BTreeSet<PartitionKey> {
    let key = |topic| move |&partition| PartitionKey { topic, partition };
    let topics = owned.iter();
    topics
        .flat_map(|owned| owned.partitions.iter().map(key(owned.id)))
        .collect()
}

fn response(
    epoch: MemberEpoch,
    assignment: Option<Vec<TopicPartitions>>,
    limits: &GroupLimits,
) -> GroupHeartbeatResponse {
    GroupHeartbeatResponse {
        epoch,
        heartbeat_interval: limits.heartbeat_interval,
        session_timeout: limits.session_timeout,
        assignment,
    }
}
