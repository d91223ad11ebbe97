//! What becomes of records that were delivered in vain.

use super::{Now, PartitionQueue};
use crate::{
    delivery::{
        changes::{Change, Dead, Done, Fate, Policy},
        runs::{Range, State},
    },
    limits,
    time::Timestamp,
};

/// Leases that are ended at once, so that many that end together keep nobody waiting for the state.
const ENDED_MAX: usize = 1_024;

impl PartitionQueue {
    /// Leases whose time is over: what becomes of their records, and how many records that are.
    pub(crate) fn ended(&self, now: Now, policy: &Policy, out: &mut Vec<Change>) -> u64 {
        let mut first = u64::MAX;
        let mut missing = 0;
        for (_, lease) in self.leases.ended(now.monotonic, ENDED_MAX) {
            first = first.min(lease.first);
            missing += u64::from(lease.records);
        }
        let (records, deadline) = (missing, self.last_ended(now));
        for range in self.runs.from(first) {
            if missing == 0 {
                break;
            }
            let State::Leased(lease) = range.state else {
                continue;
            };
            let lease = self.leases.get(lease);
            if lease.is_some_and(|lease| lease.deadline_ms <= deadline) {
                missing = missing.saturating_sub(range.len());
                self.fail(&range, None, "the lease expired", now.wall, policy, out);
            }
        }
        records - missing
    }

    /// The latest deadline of the leases that are ended now.
    fn last_ended(&self, now: Now) -> u64 {
        let ended = self.leases.ended(now.monotonic, ENDED_MAX);
        ended.map(|(_, lease)| lease.deadline_ms).max().unwrap_or(0)
    }

    /// Records of one run failed: they are delivered again, or given up.
    pub(super) fn fail(
        &self,
        range: &Range,
        due: Option<Timestamp>,
        cause: &str,
        now: Timestamp,
        policy: &Policy,
        out: &mut Vec<Change>,
    ) {
        let is_last = range.count >= policy.attempts_max;
        match policy.fate {
            Fate::DeadLetter if is_last => self.give_up(range, cause, now, out),
            Fate::Discard if is_last => out.push(Change::Done {
                first: range.first,
                last: range.last,
                how: Done::Discarded,
            }),
            // A dead letter that is given up again stays, and is tried as rarely as may be.
            Fate::Stay if is_last => {
                self.retry(range, Some(now.plus(policy.backoff.max)), now, out);
            }
            _ => self.retry(range, due, now, out),
        }
    }

    fn retry(&self, range: &Range, due: Option<Timestamp>, now: Timestamp, out: &mut Vec<Change>) {
        for (first, last, failure) in self.failures.pieces(range.first, range.last) {
            out.push(Change::Retry {
                first,
                last,
                count: range.count,
                first_failure: failure.map_or(now, |failure| failure.first),
                due,
            });
        }
    }

    /// Records go to the dead letters.
    pub(super) fn give_up(
        &self,
        range: &Range,
        cause: &str,
        now: Timestamp,
        out: &mut Vec<Change>,
    ) {
        let end = cause.floor_char_boundary(limits::QUEUE_CAUSE_BYTES_MAX);
        for (first, last, failure) in self.failures.pieces(range.first, range.last) {
            out.push(Change::Dead {
                first,
                last,
                dead: Dead {
                    count: range.count,
                    first_failure: failure.map_or(now, |failure| failure.first),
                    last_failure: now,
                    cause: cause[..end].to_owned(),
                },
            });
        }
    }

    /// What becomes of records whose time to live has passed.
    pub(crate) fn expire(
        &self,
        first: u64,
        last: u64,
        now: Timestamp,
        policy: &Policy,
        out: &mut Vec<Change>,
    ) {
        for range in self.runs.between(first, last) {
            let dead_letter = policy.dead_letter_expired && policy.fate == Fate::DeadLetter;
            match range.state {
                State::Absent => {}
                _ if dead_letter => self.give_up(&range, "its time to live passed", now, out),
                _ => out.push(Change::Done {
                    first: range.first,
                    last: range.last,
                    how: Done::Expired,
                }),
            }
        }
    }
}
