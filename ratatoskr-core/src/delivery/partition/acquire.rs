//! Handing out records, and taking them back untouched.

use std::time::Duration;

use super::PartitionQueue;
use crate::{
    delivery::{
        ConsumerId, FencingToken,
        consumers::Consumers,
        leases::LeaseId,
        runs::{Range, State},
    },
    time::Timestamp,
};

/// Delayed records that are made available at once, so that many that fall due together keep nobody
/// waiting for the state.
const DUE_MAX: usize = 4_096;
/// Greatest number of deliveries that is counted.
const COUNT_MAX: u32 = 65_535;

impl PartitionQueue {
    /// Makes delayed records available whose time has come. Answers whether there were any.
    pub(crate) fn fall_due(&mut self, now: Timestamp) -> bool {
        for step in 0..DUE_MAX {
            let Some((due, offset)) = self.delayed.pop(now) else {
                return step > 0;
            };
            self.held.remove(offset, offset);
            self.runs
                .assign(offset, offset, State::Available, due.count());
        }
        true
    }

    /// Hands out up to `records_max` records to a consumer, the oldest first. Answers the ranges, each
    /// with the number of deliveries including this one.
    pub(crate) fn acquire(
        &mut self,
        records_max: u64,
        token: FencingToken,
        deadline: Duration,
        consumer: &ConsumerId,
        consumers: &mut Consumers,
    ) -> Vec<(u64, u64, u32)> {
        let mut acquired = Vec::new();
        let mut room = records_max.min(u64::from(u32::MAX));
        let mut from = self.start();
        while room > 0
            && let Some(range) = self.runs.next_available(from)
        {
            let last = range.last.min(range.first + room - 1);
            room -= last - range.first + 1;
            from = last + 1;
            let count = range.count.saturating_add(1).min(COUNT_MAX);
            acquired.push((range.first, last, count));
        }
        let Some(&(first, _, _)) = acquired.first() else {
            return acquired;
        };
        let records: u64 = acquired
            .iter()
            .map(|(first, last, _)| last - first + 1)
            .sum();
        let owner = consumers.add(consumer, records);
        let of_lease = u32::try_from(records).unwrap_or(u32::MAX);
        let lease = self.leases.insert(token, deadline, owner, first, of_lease);
        for &(first, last, count) in &acquired {
            self.runs.assign(first, last, State::Leased(lease), count);
            self.happened.delivered += last - first + 1;
            if count > 1 {
                self.happened.redelivered += last - first + 1;
            }
        }
        self.in_flight += records;
        acquired
    }

    /// Takes back what is held under a token from `from` on, as if it had not been delivered. Answers
    /// how many records that were.
    pub(crate) fn give_back(
        &mut self,
        token: FencingToken,
        from: u64,
        consumers: &mut Consumers,
    ) -> u64 {
        let leases = self.leases.iter();
        let leases: Vec<_> = leases
            .filter(|(_, lease)| lease.token == token)
            .map(|(id, _)| id)
            .collect();
        leases
            .into_iter()
            .map(|id| self.give_back_lease(id, from, consumers))
            .sum()
    }

    /// Takes back all that a consumer holds, as if it had not been delivered. Answers how many
    /// records that were.
    pub(crate) fn leave(&mut self, owner: u32, consumers: &mut Consumers) -> u64 {
        let leases = self.leases.iter();
        let leases: Vec<_> = leases
            .filter(|(_, lease)| lease.owner == owner)
            .map(|(id, _)| id)
            .collect();
        leases
            .into_iter()
            .map(|id| self.give_back_lease(id, 0, consumers))
            .sum()
    }

    fn give_back_lease(&mut self, lease: LeaseId, from: u64, consumers: &mut Consumers) -> u64 {
        let mut records = 0;
        for range in self.ranges_of(lease) {
            let first = range.first.max(from);
            if first > range.last {
                continue;
            }
            records += self.detach(first, range.last, consumers);
            let count = range.count.saturating_sub(1);
            self.runs.assign(first, range.last, State::Available, count);
            let given_back = range.last - first + 1;
            self.happened.delivered = self.happened.delivered.saturating_sub(given_back);
            if range.count > 1 {
                self.happened.redelivered = self.happened.redelivered.saturating_sub(given_back);
            }
        }
        records
    }

    /// The ranges that a lease has.
    pub(super) fn ranges_of(&self, id: LeaseId) -> Vec<Range> {
        let Some(lease) = self.leases.get(id) else {
            return Vec::new();
        };
        let mut missing = u64::from(lease.records);
        let mut ranges = Vec::new();
        for range in self.runs.from(lease.first) {
            if missing == 0 {
                break;
            }
            if range.state == State::Leased(id) {
                missing = missing.saturating_sub(range.len());
                ranges.push(range);
            }
        }
        ranges
    }
}
