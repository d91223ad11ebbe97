//! The broker-wide budget for bytes of sends that are neither committed nor failed.
//!
//! Invariant: the bytes in use are the sum of the live [`Reservation`]s, and never pass the budget,
//! except that a single batch larger than the whole budget is let through when nothing else is
//! in flight, so that no configuration can refuse a legal batch for ever.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::error::Error;

#[derive(Debug)]
pub(super) struct InFlight {
    used: AtomicUsize,
    bytes_max: usize,
}

impl InFlight {
    pub(super) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicUsize::new(0),
            bytes_max,
        })
    }

    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(super) fn reserve(self: &Arc<Self>, bytes: usize) -> Result<Reservation, Error> {
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                let total = used.checked_add(bytes)?;
                (total <= self.bytes_max || used == 0).then_some(total)
            })
            .map_err(|_| Error::Overloaded {
                bytes_max: self.bytes_max,
            })?;
        Ok(Reservation {
            budget: Arc::clone(self),
            bytes,
        })
    }
}

/// Bytes taken from the budget, given back when dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    budget: Arc<InFlight>,
    bytes: usize,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_held_to_the_byte_and_given_back() {
        let budget = InFlight::new(10);
        let first = budget.reserve(6).unwrap();
        let _second = budget.reserve(4).unwrap();
        assert!(matches!(
            budget.reserve(1),
            Err(Error::Overloaded { bytes_max: 10 })
        ));
        drop(first);
        assert_eq!(budget.used(), 4);
        assert!(budget.reserve(6).is_ok());
    }

    #[test]
    fn a_batch_larger_than_the_budget_passes_alone() {
        let budget = InFlight::new(10);
        let alone = budget.reserve(11).unwrap();
        assert!(budget.reserve(1).is_err());
        drop(alone);
        assert!(budget.reserve(1).is_ok());
    }
}
