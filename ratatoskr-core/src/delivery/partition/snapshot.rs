//! What lasts of the state, as changes that make it anew.

use super::PartitionQueue;
use crate::{
    delivery::{
        changes::{Change, Done},
        runs::State,
    },
    time::Timestamp,
};

impl PartitionQueue {
    /// Hands out changes that make a new partition, which starts where this one does, equal to the
    /// lasting part of this one.
    pub(crate) fn snapshot(&self, out: &mut dyn FnMut(Change)) {
        let mut waiting: Vec<_> = self
            .delayed
            .iter()
            .map(|(due, offset)| (offset, due.count(), due.at()))
            .chain(
                self.keys
                    .iter_blocked()
                    .map(|(due, offset)| (offset, due.count(), due.at())),
            )
            .collect();
        waiting.sort_unstable();
        let mut waiting_offsets = waiting.iter().map(|&(offset, ..)| offset).peekable();
        for range in self.runs.from(self.start()) {
            match range.state {
                State::Absent => {
                    let mut first = range.first;
                    while let Some(offset) = waiting_offsets.next_if(|&at| at <= range.last) {
                        self.done_between(first, offset, out);
                        first = offset + 1;
                    }
                    self.done_between(first, range.last + 1, out);
                }
                State::Leased(_) => {
                    self.failed(range.first, range.last, range.count.saturating_sub(1), out);
                }
                State::Unseen | State::Available => {
                    self.failed(range.first, range.last, range.count, out);
                }
            }
        }
        for (offset, count, _) in waiting {
            self.failed(offset, offset, count, out);
        }
        for (first, last, dead) in self.dead.iter() {
            out(Change::Dead {
                first,
                last,
                dead: dead.clone(),
            });
        }
    }

    /// Offsets that are done, except for those on their way to the dead letters.
    fn done_between(&self, first: u64, end: u64, out: &mut dyn FnMut(Change)) {
        if first >= end {
            return;
        }
        for (first, last, dead) in self.dead.pieces(first, end - 1) {
            if dead.is_none() {
                let how = Done::Administered;
                out(Change::Done { first, last, how });
            }
        }
    }

    fn failed(&self, first: u64, last: u64, count: u32, out: &mut dyn FnMut(Change)) {
        if count == 0 {
            return;
        }
        for (first, last, failure) in self.failures.pieces(first, last) {
            let Some(failure) = failure else {
                continue;
            };
            out(Change::Retry {
                first,
                last,
                count,
                first_failure: failure.first,
                due: (failure.due > Timestamp::new(0)).then_some(failure.due),
            });
        }
    }
}
