//! Order by key: the first record of each key that is not done holds the key, the others wait.
//!
//! A key is known by its 64-bit hash, under a seed of the broker's own. Two keys of one hash wait for
//! each other, which is slower and never wrong.

use std::collections::{HashMap, VecDeque};

use super::delayed::Due;

#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    /// The key that each of these offsets holds.
    holders: HashMap<u64, u64>,
    /// Who waits for a key that is held, in order.
    waiting: HashMap<u64, VecDeque<(Due, u64)>>,
    blocked: usize,
}

impl Keys {
    /// Records that wait.
    pub(super) const fn blocked(&self) -> usize {
        self.blocked
    }

    /// Whether a record holds its key now. If not, it waits.
    pub(super) fn take(&mut self, key: u64, due: Due, offset: u64) -> bool {
        if let Some(waiting) = self.waiting.get_mut(&key) {
            waiting.push_back((due, offset));
            self.blocked += 1;
            return false;
        }
        self.waiting.insert(key, VecDeque::new());
        self.holders.insert(offset, key);
        true
    }

    /// A record is done. Answers the one that holds the key from now on.
    pub(super) fn done(&mut self, offset: u64) -> Option<(Due, u64)> {
        let key = self.holders.remove(&offset)?;
        let next = self.waiting.get_mut(&key)?.pop_front();
        match next {
            Some((_, offset)) => {
                self.blocked -= 1;
                self.holders.insert(offset, key);
            }
            None => {
                self.waiting.remove(&key);
            }
        }
        next
    }

    /// Offsets that hold a key and lie between these, in order.
    pub(super) fn holders_between(&self, first: u64, last: u64) -> Vec<u64> {
        let offsets = last - first;
        if offsets < self.holders.len() as u64 {
            let offsets = first..=last;
            return offsets
                .filter(|offset| self.holders.contains_key(offset))
                .collect();
        }
        let holders = self.holders.keys().copied();
        let mut holders: Vec<_> = holders
            .filter(|offset| (first..=last).contains(offset))
            .collect();
        holders.sort_unstable();
        holders
    }

    pub(super) fn iter_blocked(&self) -> impl Iterator<Item = (Due, u64)> + '_ {
        self.waiting.values().flatten().copied()
    }

    /// Forgets the records that wait and lie before `start`.
    pub(super) fn trim(&mut self, start: u64) {
        for waiting in self.waiting.values_mut() {
            let before = waiting.len();
            waiting.retain(|&(_, offset)| offset >= start);
            self.blocked -= before - waiting.len();
        }
    }

    /// Bytes that the keys and those that wait take.
    pub(super) fn bytes(&self) -> usize {
        let waiting = self.waiting.values().map(VecDeque::capacity);
        // A hash table has a byte beside each entry.
        self.holders.capacity() * (size_of::<(u64, u64)>() + 1)
            + self.waiting.capacity() * (size_of::<(u64, VecDeque<(Due, u64)>)>() + 1)
            + waiting.sum::<usize>() * size_of::<(Due, u64)>()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
