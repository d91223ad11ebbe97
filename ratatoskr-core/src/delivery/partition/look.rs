//! Looking at what is not done, for people.

use std::collections::BTreeMap;

use super::PartitionQueue;
use crate::{delivery::runs::State, time::Timestamp};

/// A record, or a range of them, that is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Undone {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) count: u32,
    pub(crate) state: UndoneState,
}

/// See [`Undone`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UndoneState {
    /// Nobody has looked at it yet, or it may be acquired.
    Available,
    /// The consumer of this number has it.
    InFlight(u32),
    Delayed(Timestamp),
    Blocked,
    Dying,
}

impl PartitionQueue {
    /// The first `max` ranges from `from` on that are not done. The last may have no end.
    pub(crate) fn undone(&self, from: u64, max: usize, now: Timestamp) -> Vec<Undone> {
        let mut found = BTreeMap::new();
        let mut add = |undone: Undone| {
            if undone.last < from {
                return;
            }
            let first = undone.first.max(from);
            found.insert(first, Undone { first, ..undone });
            if found.len() > max {
                found.pop_last();
            }
        };
        let one = |offset, count, state| Undone {
            first: offset,
            last: offset,
            count,
            state,
        };
        for (due, offset) in self.delayed.iter() {
            add(one(offset, due.count(), UndoneState::Delayed(due.at())));
        }
        for (due, offset) in self.keys.iter_blocked() {
            add(one(offset, due.count(), UndoneState::Blocked));
        }
        for (first, last, dead) in self.dead.iter() {
            add(Undone {
                first,
                last,
                count: dead.count,
                state: UndoneState::Dying,
            });
        }
        let ranges = self.runs.from(from);
        let undone = ranges.filter(|range| range.state != State::Absent);
        for range in undone.take(max) {
            let owner = |lease| self.leases.get(lease).map(|lease| lease.owner);
            if range.state == State::Unseen && range.count > 0 {
                // They failed before the state was loaded, and may wait for their time.
                for (first, last, failure) in self.failures.pieces(range.first, range.last) {
                    let due = failure.map(|failure| failure.due);
                    add(Undone {
                        first,
                        last,
                        count: range.count,
                        state: due
                            .filter(|due| *due > now)
                            .map_or(UndoneState::Available, UndoneState::Delayed),
                    });
                }
                continue;
            }
            add(Undone {
                first: range.first,
                last: range.last,
                count: range.count,
                state: match range.state {
                    State::Leased(lease) => {
                        owner(lease).map_or(UndoneState::Available, UndoneState::InFlight)
                    }
                    _ => UndoneState::Available,
                },
            });
        }
        found.into_values().collect()
    }

    /// Up to `max` ranges on their way to the dead letters.
    pub(crate) fn dying(
        &self,
        max: usize,
    ) -> impl Iterator<Item = (u64, u64, &crate::delivery::changes::Dead)> {
        self.dead.iter().take(max)
    }
}

impl Undone {
    /// What is not done of a partition that nobody has looked at.
    pub(crate) const fn everything(from: u64) -> Self {
        Self {
            first: from,
            last: u64::MAX,
            count: 0,
            state: UndoneState::Available,
        }
    }
}
