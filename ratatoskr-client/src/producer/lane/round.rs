//! How many records an application keeps on their way, and what half of them is.
//!
//! Client and broker would otherwise take turns: one batch of them all goes out, and nothing is done
//! until it is answered. Once half is gathered, the broker is put to work on it while the rest is.

/// Where fewer records are held at once, half of them are not worth a write of their own.
pub(super) const ROUND_MIN: u32 = 64;

/// The most records that were under way and gathered at once of late.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Round(u32);

impl Round {
    /// So many records are held now, as a batch of them is answered.
    pub(super) fn note(&mut self, records: u32) {
        // It shrinks slowly, since an answer may come in the middle of a round.
        self.0 = (self.0 - self.0 / 8).max(records);
    }

    /// Whether so many records are half of a round that is worth halving.
    pub(super) const fn is_half(self, records: u32) -> bool {
        self.0 >= ROUND_MIN && records >= self.0 / 2
    }
}
