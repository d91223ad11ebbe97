//! The records that a queue is to hand out, each to one consumer and once.

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};

/// See the module. A bit a record.
#[derive(Debug)]
pub struct Stock {
    records: u64,
    /// Of every record, whether it was taken.
    taken: Box<[AtomicU64]>,
    acknowledged: AtomicU64,
    /// Records that were taken when they had been before, or that there are none of.
    strays: AtomicU64,
}

impl Stock {
    /// So many records, none of them taken.
    pub fn new(records: u64) -> Self {
        Self {
            records,
            taken: (0..records.div_ceil(64))
                .map(|_| AtomicU64::new(0))
                .collect(),
            acknowledged: AtomicU64::new(0),
            strays: AtomicU64::new(0),
        }
    }

    /// How many there are.
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// How many are not acknowledged.
    pub fn left(&self) -> u64 {
        let acknowledged = self.acknowledged.load(Ordering::Acquire);
        self.records.saturating_sub(acknowledged)
    }

    /// How many were taken when they had been before, or are none of these.
    pub fn strays(&self) -> u64 {
        self.strays.load(Ordering::Acquire)
    }

    /// These are taken.
    pub(super) fn take(&self, numbers: &[Range<u64>]) {
        let mut strays = 0;
        for number in numbers.iter().flat_map(Clone::clone) {
            let bit = 1 << (number % 64);
            let word = usize::try_from(number / 64).ok();
            let word = word.and_then(|word| self.taken.get(word));
            let is_new = word.is_some_and(|word| {
                number < self.records && word.fetch_or(bit, Ordering::Relaxed) & bit == 0
            });
            strays += u64::from(!is_new);
        }
        if strays > 0 {
            self.strays.fetch_add(strays, Ordering::AcqRel);
        }
    }

    /// So many are acknowledged.
    pub(super) fn acknowledged(&self, records: u64) {
        self.acknowledged.fetch_add(records, Ordering::AcqRel);
    }
}
