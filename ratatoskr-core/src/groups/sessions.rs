//! What passes with time: members that are silent, topics that change, groups that nobody needs.

use std::borrow::Cow;

use super::{
    Event, GroupLimits, Groups, MemberId, Now, PartitionKey, Topics,
    classic::Live,
    draft::{Draft, shape},
    event::What,
    machine::{Group, Session},
};
use crate::{name::GroupId, time::Timestamp};

impl Groups {
    /// Expels the members whose time is up, and gives out anew what they had, and what has changed
    /// of the topics.
    pub(crate) fn tick(
        &mut self,
        topics: &impl Topics,
        now: Now,
        limits: &GroupLimits,
    ) -> Vec<Event> {
        let mut events = Vec::new();
        let ids: Vec<_> = self.groups.keys().cloned().collect();
        for id in ids {
            let silent = self.silent(&id, now, limits);
            let Some(group) = self.groups.get(&id) else {
                continue;
            };
            let changed = !group.membership.is_empty()
                && shape(&group.membership, topics) != group.membership.topics;
            if silent.is_empty() && !changed {
                continue;
            }
            let mut draft = Draft::new(&id, Cow::Borrowed(&group.membership));
            for member in silent {
                draft.push(What::Removed {
                    member,
                    at: now.wall,
                });
            }
            draft.rebalance(topics);
            events.append(&mut draft.events);
        }
        let classic: Vec<_> = self.classic.keys().cloned().collect();
        for id in classic {
            events.append(&mut self.pass_classic(&id, now, limits));
        }
        events
    }

    /// Whether [`tick`](Self::tick) has something to do. A member that was not heard of since the
    /// state was loaded counts as heard of now.
    pub(crate) fn is_due(&mut self, topics: &impl Topics, now: Now, limits: &GroupLimits) -> bool {
        let ids: Vec<_> = self.groups.keys().cloned().collect();
        self.use_classic(now);
        let mut classic = self.classic.values();
        classic.any(|live| live.is_due(now.monotonic))
            || ids.iter().any(|id| {
                !self.silent(id, now, limits).is_empty()
                    || self.groups.get(id).is_some_and(|group| {
                        !group.membership.is_empty()
                            && shape(&group.membership, topics) != group.membership.topics
                    })
            })
    }

    /// The members of classic groups whose state was loaded count as heard of now.
    fn use_classic(&mut self, now: Now) {
        for (id, group) in &self.groups {
            if !group.classic.members.is_empty() && !self.classic.contains_key(id) {
                let live = Live::of(&group.classic, now.monotonic);
                self.classic.insert(id.clone(), live);
            }
        }
    }

    /// The members whose time is up.
    fn silent(&mut self, id: &GroupId, now: Now, limits: &GroupLimits) -> Vec<MemberId> {
        let Some(group) = self.groups.get(id) else {
            return Vec::new();
        };
        if group.membership.is_empty() {
            return Vec::new();
        }
        let sessions = self.sessions.entry(id.clone()).or_default();
        let mut silent = Vec::new();
        for (member, state) in &group.membership.members {
            let session = sessions.entry(member.clone()).or_insert_with(|| Session {
                seen: now.monotonic,
                revoke_by: (!state.revoking.is_empty()).then(|| {
                    let timeout = state.subscription.rebalance_timeout;
                    now.monotonic.saturating_add(timeout)
                }),
            });
            let unheard = now.monotonic.saturating_sub(session.seen) >= limits.session_timeout;
            let stuck = session.revoke_by.is_some_and(|by| by <= now.monotonic);
            if unheard || stuck {
                silent.push(member.clone());
            }
        }
        silent
    }

    /// Lets go of what nobody needs: groups that were idle for the retention, offsets of topics that
    /// are gone. `now` is a wall clock that does not jump.
    pub(crate) fn expire(
        &self,
        is_there: impl Fn(&PartitionKey) -> bool,
        now: Timestamp,
        limits: &GroupLimits,
    ) -> Vec<Event> {
        let oldest = now.minus(limits.offsets_retention);
        let mut events = Vec::new();
        for (id, group) in &self.groups {
            let event = |what| Event {
                group: id.clone(),
                what,
            };
            if !self.has_members(id) && group.idle_since < oldest {
                events.push(event(What::Deleted));
                continue;
            }
            let partitions = group.gone(&is_there);
            if !partitions.is_empty() {
                events.push(event(What::Forgotten { partitions }));
            }
        }
        events
    }
}

impl Group {
    fn gone(&self, is_there: impl Fn(&PartitionKey) -> bool) -> Vec<PartitionKey> {
        let offsets = self.offsets.iter();
        offsets
            .map(|(key, _)| *key)
            .filter(|key| !is_there(key))
            .collect()
    }
}
