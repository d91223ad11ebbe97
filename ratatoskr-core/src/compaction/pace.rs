//! Slows work down to so many bytes a second.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::sync::Mutex;

/// How fast bytes may be spent; clones share the rate.
#[derive(Clone, Debug, Default)]
pub struct Pace(Option<Arc<Paced>>);

#[derive(Debug)]
struct Paced {
    bytes_per_second: u64,
    /// When what was spent so far is paid for.
    paid_at: Mutex<Option<Instant>>,
}

impl Pace {
    /// As fast as can be.
    pub const UNLIMITED: Self = Self(None);

    /// So many bytes a second, at least one.
    pub fn bytes_per_second(bytes_per_second: u64) -> Self {
        Self(Some(Arc::new(Paced {
            bytes_per_second: bytes_per_second.max(1),
            paid_at: Mutex::new(None),
        })))
    }

    /// Waits until `bytes` more have been paid for. Others get a turn in any case.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the bytes spent.
    pub async fn spend(&self, bytes: u64) {
        let Some(paced) = &self.0 else {
            tokio::task::yield_now().await;
            return;
        };
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(paced.bytes_per_second);
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let until = {
            let now = Instant::now();
            let mut paid_at = paced.paid_at.lock();
            // What was not spent in the past is not made up for.
            let from = paid_at.map_or(now, |at| at.max(now));
            let until = from.checked_add(cost).unwrap_or(from);
            *paid_at = Some(until);
            until
        };
        tokio::time::sleep_until(until).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bytes_are_spent_at_the_rate_and_no_faster() {
        let pace = Pace::bytes_per_second(1_000);
        let start = Instant::now();
        for _ in 0..10 {
            pace.clone().spend(500).await;
        }
        assert_eq!(start.elapsed(), Duration::from_secs(5));
        tokio::time::sleep(Duration::from_mins(1)).await;
        let start = Instant::now();
        pace.spend(2_000).await;
        assert_eq!(start.elapsed(), Duration::from_secs(2));
    }

    #[tokio::test]
    async fn without_a_rate_nothing_waits() {
        // There is no timer here that could be waited for: the runtime is not paused.
        Pace::UNLIMITED.spend(u64::MAX).await;
    }
}
