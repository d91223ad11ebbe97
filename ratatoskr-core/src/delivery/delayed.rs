//! Records that wait for their time: 16 bytes each, and a little room to grow.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::time::Timestamp;

/// Bits of the first word that hold how often the record has been delivered; the others hold its
/// time, which fits until the year 10889.
const COUNT_BITS: u32 = 16;
const TIME_MAX: u64 = u64::MAX >> COUNT_BITS;

/// When a record is due, and how often it has been delivered, in one word whose order is that of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due(u64);

impl Due {
    /// A time before 1970 is as good as 1970: it has passed.
    pub(super) fn new(at: Timestamp, count: u32) -> Self {
        let at = u64::try_from(at.get()).unwrap_or(0).min(TIME_MAX);
        Self(at << COUNT_BITS | u64::from(count.min((1 << COUNT_BITS) - 1)))
    }

    pub(super) const fn at(self) -> Timestamp {
        Timestamp::new((self.0 >> COUNT_BITS).cast_signed())
    }

    pub(super) const fn count(self) -> u32 {
        (self.0 & ((1 << COUNT_BITS) - 1)) as u32
    }
}

/// A heap of offsets by the time they are due.
#[derive(Clone, Debug, Default)]
pub(super) struct Delayed {
    heap: BinaryHeap<Reverse<(Due, u64)>>,
}

impl Delayed {
    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    pub(super) fn push(&mut self, due: Due, offset: u64) {
        if self.heap.len() == self.heap.capacity() {
            // Doubling would leave half of it empty.
            self.heap.reserve_exact(self.heap.len() / 8 + 4);
        }
        self.heap.push(Reverse((due, offset)));
    }

    /// When the first record is due.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.heap.peek().map(|Reverse((due, _))| due.at())
    }

    /// A record that is due.
    pub(super) fn pop(&mut self, now: Timestamp) -> Option<(Due, u64)> {
        if self.next_due()? > now {
            return None;
        }
        let Reverse(popped) = self.heap.pop()?;
        let len = self.heap.len();
        if len < self.heap.capacity() / 4 {
            self.heap.shrink_to(len + len / 8);
        }
        Some(popped)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Due, u64)> + '_ {
        self.heap.iter().map(|&Reverse(entry)| entry)
    }

    /// Forgets the records outside of `kept`.
    pub(super) fn retain(&mut self, kept: std::ops::Range<u64>) {
        self.heap
            .retain(|Reverse((_, offset))| kept.contains(offset));
    }

    /// Bytes that they take.
    pub(super) fn bytes(&self) -> usize {
        self.heap.capacity() * size_of::<(Due, u64)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_when_they_are_due_and_leave_no_room() {
        let mut delayed = Delayed::default();
        for offset in 0..100_000_u64 {
            let at = Timestamp::new(((offset * 7_919) % 100_003).cast_signed());
            delayed.push(Due::new(at, 3), offset);
            let bytes = delayed.bytes();
            assert!(offset < 64 || bytes <= delayed.len() * 20, "{bytes} bytes");
        }
        let mut last = Timestamp::new(0);
        while let Some((due, _)) = delayed.pop(Timestamp::new(99_999)) {
            assert!(due.at() >= last && due.count() == 3);
            last = due.at();
        }
        let rest = delayed.len();
        assert!(rest < 10 && delayed.next_due() > Some(Timestamp::new(99_999)));
    }

    #[test]
    fn times_that_cannot_be_are_held_at_the_ends() {
        assert_eq!(Due::new(Timestamp::new(-5), 0).at(), Timestamp::new(0));
        let far = Due::new(Timestamp::new(i64::MAX), u32::MAX);
        assert!(far.at() > Timestamp::new(1 << 47));
        assert_eq!(far.count(), 65_535);
    }
}
