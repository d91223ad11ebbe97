//! The machine's clock, for everyone who does not bring one of their own.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ratatoskr_core::time::{Clock, Timestamp};

/// Reads the operating system's wall clock and its monotonic clock.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time begins now.
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    /// A machine whose clock stands before 1970 is taken to be at the epoch.
    #[inline]
    fn now(&self) -> Timestamp {
        Timestamp::new(0).plus(
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
        )
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_this_century_and_never_goes_back() {
        let clock = SystemClock::new();
        let year_2020 = Timestamp::new(1_577_836_800_000);
        assert!(clock.now() > year_2020);
        let earlier = clock.monotonic();
        assert!(clock.monotonic() >= earlier);
    }
}
