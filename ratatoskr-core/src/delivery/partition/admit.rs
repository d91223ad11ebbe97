//! Taking in what the log has shown.

use super::{Failure, PartitionQueue};
use crate::{
    delivery::{
        changes::{Scan, ScanItem, ScanKind},
        delayed::Due,
        runs::{Range, State},
    },
    limits,
    time::Timestamp,
};

/// How many records a partition may hold back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScanLimits {
    /// Until their time.
    pub(crate) delayed_max: usize,
    /// Behind an earlier one of their key.
    pub(crate) blocked_max: usize,
}

impl Default for ScanLimits {
    fn default() -> Self {
        Self {
            delayed_max: limits::QUEUE_DELAYED_RECORDS_MAX,
            blocked_max: limits::QUEUE_BLOCKED_RECORDS_MAX,
        }
    }
}

/// A bound on what is held back is reached.
struct Full;

impl PartitionQueue {
    /// Takes in what the log holds from the frontier on, and moves the frontier there. Stops short
    /// where as many records are held back as may be: they must go on before more is looked at.
    pub(crate) fn admit(&mut self, scan: &Scan, now: Timestamp, limits: ScanLimits) {
        if scan.from > self.frontier {
            return;
        }
        for item in &scan.items {
            if item.last < self.frontier {
                continue;
            }
            let first = item.first.max(self.frontier);
            // What is known already was done before the state was loaded.
            let unseen: Vec<_> = self
                .runs
                .between(first, item.last)
                .filter(|range| range.state == State::Unseen)
                .collect();
            for range in unseen {
                if let Err(Full) = self.admit_range(&range, item, now, limits) {
                    self.frontier = range.first;
                    return;
                }
            }
            self.frontier = item.last + 1;
        }
        self.advance();
    }

    fn admit_range(
        &mut self,
        range: &Range,
        item: &ScanItem,
        now: Timestamp,
        limits: ScanLimits,
    ) -> Result<(), Full> {
        let ScanKind::Record { key, due } = item.kind else {
            self.runs.assign(range.first, range.last, State::Absent, 0);
            return Ok(());
        };
        let pieces = if range.count > 0 {
            self.failures.pieces(range.first, range.last)
        } else {
            vec![(range.first, range.last, None)]
        };
        let due_of = |failure: Option<Failure>| due.max(failure.map(|failure| failure.due));
        let later = pieces
            .iter()
            .filter(|(_, _, failure)| due_of(*failure).is_some_and(|due| due > now))
            .map(|(first, last, _)| last - first + 1)
            .sum::<u64>();
        let delayed = self.delayed.len() as u64 + later;
        if later > 0 && delayed > limits.delayed_max as u64 && !self.delayed.is_empty() {
            return Err(Full);
        }
        if key.is_some() && self.keys.blocked() >= limits.blocked_max {
            return Err(Full);
        }
        for (first, last, failure) in pieces {
            let due = due_of(failure).unwrap_or(Timestamp::new(0));
            let due = Due::new(due, range.count);
            if let Some(key) = key
                && !self.keys.take(key, due, first)
            {
                self.runs.assign(first, last, State::Absent, 0);
                self.held.add(first, last);
                continue;
            }
            if due.at() > now {
                self.delay(first, last, due);
            } else {
                self.runs.assign(first, last, State::Available, range.count);
            }
        }
        Ok(())
    }

    /// Holds records back until their time.
    pub(super) fn delay(&mut self, first: u64, last: u64, due: Due) {
        self.runs.assign(first, last, State::Absent, 0);
        self.held.add(first, last);
        for offset in first..=last {
            self.delayed.push(due, offset);
        }
    }
}
