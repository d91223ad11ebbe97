//! One partition, as one queue group sees it.
//!
//! ```text
//!  done │ runs: leased, available, absent (done, or held elsewhere)   │ unseen
//!       ^ start                                                       ^ frontier
//! ```
//! Invariants:
//! - Deciding looks, and [`apply`](PartitionQueue::apply) changes: whatever lasts is changed by a
//!   [`Change`] alone, whether it has just been decided or comes from the log. What a reload loses
//!   (leases, what the log has shown so far) is changed at once.
//! - A record that is not done is in one place: a run, the delayed, those that wait for their key, or
//!   those on their way to the dead letters.
//! - The start never passes a record that is not done.

mod acquire;
mod admit;
mod apply;
mod fail;
mod look;
mod settle;
mod snapshot;

pub(crate) use admit::ScanLimits;
pub(crate) use look::{Undone, UndoneState};
pub(crate) use settle::{Claim, Rules};

use std::time::Duration;

use super::{
    changes::Dead, consumers::Consumers, counters::QueueCounters, delayed::Delayed, held::Held,
    keys::Keys, leases::Leases, range_map::RangeMap, runs::Runs,
};
use crate::time::Timestamp;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct PartitionQueue {
    runs: Runs,
    /// Up to here the log has been looked at since the state was loaded.
    frontier: u64,
    leases: Leases,
    delayed: Delayed,
    keys: Keys,
    held: Held,
    /// Records that have failed and are not done.
    failures: RangeMap<Failure>,
    /// Records on their way to the dead letters.
    dead: RangeMap<Dead>,
    /// The start that the log knows of.
    noted_start: u64,
    in_flight: u64,
    dying: u64,
    happened: QueueCounters,
}

/// What is remembered of a record that has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Failure {
    first: Timestamp,
    /// When it may be delivered again.
    due: Timestamp,
}

/// The present, by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Now {
    pub(crate) wall: Timestamp,
    pub(crate) monotonic: Duration,
}

impl PartitionQueue {
    /// A partition of which a group wants the records from `start` on.
    pub(crate) fn new(start: u64) -> Self {
        Self {
            runs: Runs::new(start),
            frontier: start,
            leases: Leases::default(),
            delayed: Delayed::default(),
            keys: Keys::default(),
            held: Held::default(),
            failures: RangeMap::default(),
            dead: RangeMap::default(),
            noted_start: start,
            in_flight: 0,
            dying: 0,
            happened: QueueCounters::default(),
        }
    }

    /// All records before this offset are done.
    pub(crate) fn start(&self) -> u64 {
        self.runs.start()
    }

    /// The next offset of the log to look at.
    pub(crate) const fn frontier(&self) -> u64 {
        self.frontier
    }

    /// Records that may be acquired, as far as the log has been looked at.
    pub(crate) const fn available(&self) -> u64 {
        self.runs.available()
    }

    /// How many records are in which state, and what has happened.
    pub(crate) fn counters(&self) -> QueueCounters {
        QueueCounters {
            in_flight: self.in_flight,
            delayed: self.delayed.len() as u64,
            blocked: self.keys.blocked() as u64,
            dying: self.dying,
            ..self.happened
        }
    }

    /// How long nothing happens by itself; `None` for ever.
    pub(crate) fn next_event(&self, now: Now) -> Option<Duration> {
        let lease = self.leases.next_deadline();
        let lease = lease.map(|deadline| deadline.saturating_sub(now.monotonic));
        let due = self.delayed.next_due().map(|due| {
            let wait = due.get().saturating_sub(now.wall.get());
            Duration::from_millis(u64::try_from(wait).unwrap_or(0))
        });
        lease.into_iter().chain(due).min()
    }

    /// Leases of so many records have ended.
    pub(crate) fn count_ended(&mut self, records: u64) {
        self.happened.leases_expired += records;
    }

    /// Bytes that all of it takes, about.
    pub(crate) fn bytes(&self) -> usize {
        self.runs.bytes()
            + self.leases.bytes()
            + self.delayed.bytes()
            + self.keys.bytes()
            + self.held.bytes()
            + self.failures.bytes()
            + self.dead.bytes()
    }

    /// The start, if the log does not know of it yet.
    pub(super) fn start_to_note(&self) -> Option<u64> {
        (self.start() > self.noted_start).then(|| self.start())
    }

    /// Takes the records of a range out of their leases; the runs stay as they are.
    fn detach(&mut self, first: u64, last: u64, consumers: &mut Consumers) -> u64 {
        let mut detached = 0;
        for range in self.runs.between(first, last) {
            if let super::runs::State::Leased(lease) = range.state {
                detached += range.len();
                if let Some(owner) = self.leases.remove_records(lease, range.len()) {
                    consumers.remove(owner, range.len());
                }
            }
        }
        self.in_flight -= detached;
        detached
    }
}
