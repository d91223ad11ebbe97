//! What happens to records for good.

use super::{Failure, PartitionQueue};
use crate::{
    delivery::{
        changes::{Change, Dead, Done},
        consumers::Consumers,
        counters::QueueCounters,
        delayed::Due,
        runs::{Range, Runs, State},
    },
    time::Timestamp,
};

/// No offset is greater: they travel as `i64`.
const OFFSET_MAX: u64 = i64::MAX as u64;

impl PartitionQueue {
    /// Takes in a change. It may come from a log, and then of offsets that have not been looked at.
    pub(crate) fn apply(&mut self, change: &Change, consumers: &mut Consumers) {
        match change {
            &Change::Done { first, last, how } if first <= last && last < OFFSET_MAX => {
                self.done(first, last, how, consumers);
            }
            &Change::Retry {
                first,
                last,
                count,
                first_failure,
                due,
            } if first <= last && last < OFFSET_MAX => {
                self.detach(first, last, consumers);
                let failure = Failure {
                    first: first_failure,
                    due: due.unwrap_or(Timestamp::new(0)),
                };
                self.retry_later(first, last, count, failure);
            }
            Change::Dead { first, last, dead } if first <= last && *last < OFFSET_MAX => {
                self.die(*first, *last, dead, consumers);
            }
            &Change::Start(to) if to <= OFFSET_MAX => self.start_at(to, consumers),
            &Change::End(end) => self.end_at(end, consumers),
            _ => {}
        }
        self.advance();
    }

    fn done(&mut self, first: u64, last: u64, how: Done, consumers: &mut Consumers) {
        let records = last - first + 1;
        let held = self.detach(first, last, consumers);
        if how == Done::DeadLettered {
            self.bury(first, last, consumers);
        }
        self.failures.clear(first, last);
        self.runs.assign(first, last, State::Absent, 0);
        self.free_keys(first, last);
        let happened = &mut self.happened;
        match how {
            Done::Acknowledged => happened.acknowledged += held,
            Done::DeadLettered => happened.dead_lettered += records,
            Done::Discarded => happened.discarded += records,
            Done::Expired => happened.expired += records,
            Done::Lost => happened.lost += records,
            Done::Administered => {}
        }
    }

    /// Records that were on their way to the dead letters have arrived.
    fn bury(&mut self, first: u64, last: u64, consumers: &mut Consumers) {
        for (first, last, dead) in self.dead.pieces(first, last) {
            if dead.is_some() {
                self.held.remove(first, last);
                self.dying -= last - first + 1;
                consumers.remove_dying(last - first + 1);
            }
        }
        self.dead.clear(first, last);
    }

    fn retry_later(&mut self, first: u64, last: u64, count: u32, failure: Failure) {
        self.failures.set(first, last, failure);
        let ranges: Vec<Range> = self.runs.between(first, last).collect();
        for range in ranges {
            match range.state {
                State::Unseen => self
                    .runs
                    .assign(range.first, range.last, State::Unseen, count),
                State::Absent => self.failures.clear(range.first, range.last),
                State::Leased(_) | State::Available => {
                    self.place(range.first, range.last, Due::new(failure.due, count));
                }
            }
        }
    }

    /// Makes records available, or holds them back if they have a time.
    fn place(&mut self, first: u64, last: u64, due: Due) {
        if due.at() > Timestamp::new(0) {
            self.delay(first, last, due);
        } else {
            self.runs.assign(first, last, State::Available, due.count());
        }
    }

    fn die(&mut self, first: u64, last: u64, dead: &Dead, consumers: &mut Consumers) {
        self.detach(first, last, consumers);
        self.failures.clear(first, last);
        self.bury(first, last, consumers);
        self.runs.assign(first, last, State::Absent, 0);
        let first = first.max(self.start());
        if first <= last {
            self.dead.set(first, last, dead.clone());
            self.held.add(first, last);
            self.dying += last - first + 1;
            consumers.add_dying(last - first + 1);
            self.free_keys(first, last);
        }
    }

    /// Records that are done hold their keys no longer.
    fn free_keys(&mut self, first: u64, last: u64) {
        for holder in self.keys.holders_between(first, last) {
            self.free_key(holder);
        }
    }

    fn free_key(&mut self, holder: u64) {
        if let Some((due, next)) = self.keys.done(holder) {
            self.held.remove(next, next);
            self.place(next, next, due);
        }
    }

    fn start_at(&mut self, to: u64, consumers: &mut Consumers) {
        let start = self.start();
        if to <= start {
            return;
        }
        self.detach(start, to - 1, consumers);
        let undone = self.runs.between(start, to - 1);
        let undone = undone.filter(|range| range.state != State::Absent);
        self.happened.lost += undone.map(|range| range.len()).sum::<u64>();
        self.runs.assign(start, to - 1, State::Absent, 0);
        self.failures.clear(start, to - 1);
        if self.held.first().is_some_and(|held| held < to) {
            self.bury(start, to - 1, consumers);
            self.delayed.retain(to..OFFSET_MAX);
            self.keys.trim(to);
            for holder in self.keys.holders_between(start, to - 1) {
                self.free_key(holder);
            }
            self.count_held();
        } else {
            self.free_keys(start, to - 1);
        }
        self.runs.trim(to);
        self.frontier = self.frontier.max(to);
    }

    fn end_at(&mut self, end: u64, consumers: &mut Consumers) {
        self.forget_volatile(consumers);
        if end < self.start() {
            self.runs = Runs::new(end);
            self.noted_start = end;
        } else {
            self.runs.assign(end, OFFSET_MAX - 1, State::Unseen, 0);
        }
        self.bury(end, OFFSET_MAX - 1, consumers);
        self.failures.clear(end, OFFSET_MAX - 1);
        self.frontier = self.start();
    }

    /// Goes back to what the log holds of this state: leases end, and the partition is to be looked at
    /// again from the start on.
    pub(crate) fn forget_volatile(&mut self, consumers: &mut Consumers) {
        let (start, frontier) = (self.start(), self.frontier);
        let mut waiting: Vec<_> = self
            .delayed
            .iter()
            .chain(self.keys.iter_blocked())
            .collect();
        waiting.sort_unstable_by_key(|&(_, offset)| offset);
        if frontier > start {
            self.detach(start, frontier - 1, consumers);
            let ranges: Vec<Range> = self.runs.between(start, frontier - 1).collect();
            for range in ranges {
                let count = match range.state {
                    State::Leased(_) => range.count.saturating_sub(1),
                    State::Available => range.count,
                    State::Unseen | State::Absent => continue,
                };
                self.runs
                    .assign(range.first, range.last, State::Unseen, count);
            }
        }
        for (due, offset) in waiting {
            self.runs.assign(offset, offset, State::Unseen, due.count());
        }
        self.delayed.retain(0..0);
        self.keys.clear();
        self.count_held();
        self.frontier = start;
    }

    fn count_held(&mut self) {
        self.held.clear();
        for (_, offset) in self.delayed.iter().chain(self.keys.iter_blocked()) {
            self.held.add(offset, offset);
        }
        for (first, last, _) in self.dead.iter() {
            self.held.add(first, last);
        }
    }

    /// Moves the start up to the first record that is not done, or nearly so.
    pub(super) fn advance(&mut self) {
        let start = self.start();
        let first = self.runs.from(start).next();
        let Some(done) = first.filter(|range| range.state == State::Absent) else {
            return;
        };
        let held = self.held.first().unwrap_or(u64::MAX);
        self.runs.trim(held.clamp(start, done.last + 1));
    }

    /// What happens from now on is counted.
    pub(crate) fn reset_counters(&mut self) {
        self.happened = QueueCounters::default();
    }

    /// The log knows of this start now.
    pub(crate) fn note_start(&mut self, start: u64) {
        self.noted_start = self.noted_start.max(start);
    }
}
