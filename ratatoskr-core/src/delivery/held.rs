//! How many records are held beside the runs, by blocks of offsets.
//!
//! The runs have the same state for a record that is done and for one that waits for its time, its
//! key, or its way to the dead letters. This tells how far from the start there is surely none that
//! waits, at the price of a few bytes for each 65,536 offsets.

use std::collections::BTreeMap;

const BLOCK_BITS: u32 = 16;

#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    blocks: BTreeMap<u64, u64>,
}

impl Held {
    pub(super) fn add(&mut self, first: u64, last: u64) {
        for (block, records) in parts(first, last) {
            *self.blocks.entry(block).or_default() += records;
        }
    }

    pub(super) fn remove(&mut self, first: u64, last: u64) {
        for (block, records) in parts(first, last) {
            if let Some(held) = self.blocks.get_mut(&block) {
                *held = held.saturating_sub(records);
                if *held == 0 {
                    self.blocks.remove(&block);
                }
            }
        }
    }

    /// No record before this offset is held; `None` where none is held at all.
    pub(super) fn first(&self) -> Option<u64> {
        let (&block, _) = self.blocks.first_key_value()?;
        Some(block << BLOCK_BITS)
    }

    /// Bytes that the blocks take at most.
    pub(super) fn bytes(&self) -> usize {
        self.blocks.len() * 2 * (size_of::<u64>() * 2 + 4)
    }

    pub(super) fn clear(&mut self) {
        self.blocks.clear();
    }
}

/// Each block of the range, and how many of the offsets lie in it.
fn parts(first: u64, last: u64) -> impl Iterator<Item = (u64, u64)> {
    (first >> BLOCK_BITS..=last >> BLOCK_BITS).map(move |block| {
        let from = first.max(block << BLOCK_BITS);
        let to = last.min((block << BLOCK_BITS) | ((1 << BLOCK_BITS) - 1));
        (block, to - from + 1)
    })
}
