//! What follows when members come, go, or are silent.

use std::time::Duration;

use super::{
    JoinGroup, Live,
    generation::{Generation, Member},
    live::{Gathering, Phase, Presence},
};
use crate::{
    groups::{Event, GroupLimits, MemberId, Now, event::What},
    name::GroupId,
};

/// A group while something happens to it, and the events that come of it.
pub(super) struct Turn<'a> {
    pub(super) group: &'a GroupId,
    pub(super) live: &'a mut Live,
    pub(super) limits: &'a GroupLimits,
    pub(super) now: Now,
    pub(super) events: Vec<Event>,
}

impl Turn<'_> {
    /// Keeps the generation as it is now.
    pub(super) fn keep(&mut self) {
        self.keep_as(self.live.generation.clone());
    }

    /// Keeps a generation.
    pub(super) fn keep_as(&mut self, generation: Generation) {
        self.events.push(Event {
            group: self.group.clone(),
            what: What::Generation {
                generation,
                at: self.now.wall,
            },
        });
    }

    /// A new member joins; the attempt with which it waits.
    pub(super) fn add(&mut self, id: MemberId, request: &JoinGroup) -> u64 {
        let live = &mut *self.live;
        if let Phase::Preparing {
            gathering: Some(gathering),
            ..
        } = &mut live.phase
        {
            gathering.more_came = true;
        }
        if live.generation.members.is_empty() {
            live.generation
                .protocol_type
                .clone_from(&request.protocol_type);
        }
        let leader = &mut live.generation.leader;
        leader.get_or_insert_with(|| id.clone());
        let member = Member::new(request);
        live.generation.members.insert(id.clone(), member);
        let attempt = self.joins(id);
        self.rebalance();
        attempt
    }

    /// A member joins again with what it wants now.
    pub(super) fn update(&mut self, id: &MemberId, request: &JoinGroup) -> u64 {
        self.restate(id, request);
        let attempt = self.joins(id.clone());
        self.rebalance();
        attempt
    }

    /// The member is as it says now, and has what it had.
    pub(super) fn restate(&mut self, id: &MemberId, request: &JoinGroup) {
        if let Some(member) = self.live.generation.members.get_mut(id) {
            let new = Member::new(request);
            *member = Member {
                assignment: std::mem::take(&mut member.assignment),
                ..new
            };
        }
    }

    /// The member waits to have joined.
    fn joins(&mut self, id: MemberId) -> u64 {
        self.live.attempts += 1;
        let attempt = self.live.attempts;
        let presence = Presence {
            seen: self.now.monotonic,
            joining: Some(attempt),
            synced: false,
        };
        self.live.presence.insert(id, presence);
        attempt
    }

    /// A member is gone.
    pub(super) fn remove(&mut self, id: &MemberId) {
        self.forget(id);
        self.rebalance();
    }

    fn forget(&mut self, id: &MemberId) {
        let live = &mut *self.live;
        live.generation.members.remove(id);
        live.presence.remove(id);
        if live.generation.leader.as_ref() == Some(id) {
            live.generation.leader = None;
        }
        live.tell();
    }

    /// Begins a round unless one has begun, and ends it if nobody is waited for.
    pub(super) fn rebalance(&mut self) {
        let now = self.now.monotonic;
        let timeout = self.rebalance_timeout();
        let live = &mut *self.live;
        match live.phase {
            Phase::Preparing { .. } => {}
            Phase::Empty => {
                let delay = self.limits.initial_rebalance_delay;
                live.phase = Phase::Preparing {
                    until: now.saturating_add(delay),
                    gathering: Some(Gathering {
                        latest: now.saturating_add(delay.max(timeout)),
                        more_came: false,
                    }),
                };
            }
            Phase::Completing | Phase::Stable => {
                live.sync_by = None;
                live.phase = Phase::Preparing {
                    until: now.saturating_add(timeout),
                    gathering: None,
                };
            }
        }
        live.tell();
        self.end_if_nobody_is_waited_for();
    }

    /// How long members may take: as long as the slowest asks for.
    fn rebalance_timeout(&self) -> Duration {
        let members = self.live.generation.members.values();
        let slowest = members.map(|member| member.rebalance_timeout).max();
        let slowest = slowest.unwrap_or_default();
        slowest.min(self.limits.rebalance_timeout_max)
    }

    fn end_if_nobody_is_waited_for(&mut self) {
        let live = &*self.live;
        let Phase::Preparing { gathering, .. } = live.phase else {
            return;
        };
        let nobody_is_left = live.generation.members.is_empty();
        let all_joined = || {
            let mut members = live.presence.values();
            live.pending.is_empty() && members.all(|member| member.joining.is_some())
        };
        if nobody_is_left || gathering.is_none() && all_joined() {
            self.end_joining();
        }
    }

    /// Lets go of who has not joined, and begins the next generation.
    fn end_joining(&mut self) {
        let live = &*self.live;
        let silent: Vec<_> = (live.generation.members.iter())
            .filter(|(id, member)| member.instance.is_none() && !self.is_joining(id))
            .map(|(id, _)| id.clone())
            .collect();
        for id in &silent {
            self.forget(id);
        }
        let now = self.now.monotonic;
        let timeout = self.rebalance_timeout();
        let live = &mut *self.live;
        if live.generation.members.is_empty() {
            live.generation.number = live.generation.number.next();
            live.generation.protocol.clear();
            live.generation.leader = None;
            live.phase = Phase::Empty;
            live.sync_by = None;
            live.tell();
            self.keep();
            return;
        }
        let Some(leader) = self.next_leader() else {
            // Only static members are left, which may come back until they are expelled.
            self.live.phase = Phase::Preparing {
                until: now.saturating_add(timeout),
                gathering: None,
            };
            return;
        };
        let live = &mut *self.live;
        live.generation.leader = Some(leader);
        live.generation.number = live.generation.number.next();
        live.generation.protocol = live.generation.choose_protocol().unwrap_or_default();
        for member in live.generation.members.values_mut() {
            member.assignment = super::opaque::Opaque::default();
        }
        for presence in live.presence.values_mut() {
            presence.joining = None;
            presence.synced = false;
            presence.seen = now;
        }
        live.phase = Phase::Completing;
        live.sync_by = Some(now.saturating_add(timeout));
        live.tell();
    }

    fn is_joining(&self, id: &MemberId) -> bool {
        let presence = self.live.presence.get(id);
        presence.is_some_and(|presence| presence.joining.is_some())
    }

    /// The leader if it has joined, or the one that joined first.
    fn next_leader(&self) -> Option<MemberId> {
        let leader = self.live.generation.leader.as_ref();
        if let Some(leader) = leader.filter(|leader| self.is_joining(leader)) {
            return Some(leader.clone());
        }
        let joined = self.live.presence.iter();
        let joined = joined.filter_map(|(id, presence)| Some((presence.joining?, id)));
        joined.min().map(|(_, id)| id.clone())
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self) {
        let now = self.now.monotonic;
        let pending = self.live.pending.len();
        self.live.pending.retain(|_, until| *until > now);
        if self.live.pending.len() < pending {
            self.end_if_nobody_is_waited_for();
        }
        for id in self.live.silent(now) {
            self.remove(&id);
        }
        if self.live.sync_by.is_some_and(|by| by <= now) {
            self.live.sync_by = None;
            for id in self.live.unsynced() {
                self.remove(&id);
            }
        }
        let Phase::Preparing { until, gathering } = self.live.phase else {
            return;
        };
        if until > now {
            return;
        }
        match gathering {
            Some(gathering) if gathering.more_came && gathering.latest > now => {
                let delay = self.limits.initial_rebalance_delay;
                self.live.phase = Phase::Preparing {
                    until: now.saturating_add(delay).min(gathering.latest),
                    gathering: Some(Gathering {
                        more_came: false,
                        ..gathering
                    }),
                };
            }
            _ => self.end_joining(),
        }
    }
}

impl Live {
    /// Whether [`Turn::pass`] has something to do.
    pub(in crate::groups) fn is_due(&self, now: Duration) -> bool {
        let phase_ends = match self.phase {
            Phase::Preparing { until, .. } => until <= now,
            _ => false,
        };
        phase_ends
            || self.sync_by.is_some_and(|by| by <= now)
            || self.pending.values().any(|until| *until <= now)
            || !self.silent(now).is_empty()
    }

    /// Members whose session is over. Who waits to have joined cannot be heard of.
    fn silent(&self, now: Duration) -> Vec<MemberId> {
        let members = self.generation.members.iter();
        let silent = members.filter(|(id, member)| {
            self.presence.get(*id).is_some_and(|presence| {
                let unheard = now.saturating_sub(presence.seen);
                presence.joining.is_none() && unheard >= member.session_timeout
            })
        });
        silent.map(|(id, _)| id.clone()).collect()
    }

    fn unsynced(&self) -> Vec<MemberId> {
        let members = self.presence.iter();
        let unsynced = members.filter(|(_, presence)| !presence.synced);
        unsynced.map(|(id, _)| id.clone()).collect()
    }
}
