//! Time as the engine sees it: always handed in, never read from the machine.

use std::{
    fmt,
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::Duration,
};

use crate::offset::number;

number! {
    /// Milliseconds since the Unix epoch, UTC. -1 on the wire means "none".
    Timestamp(i64)
}

impl Timestamp {
    /// "No timestamp" on the wire.
    pub const NONE: Self = Self(-1);

    /// This moment moved back by `by`, held at the epoch.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(by).max(0))
    }

    /// This moment moved on by `by`.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(by))
    }
}

/// Where the engine takes the time from. Safety never depends on it: wall clocks jump both ways.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The wall clock.
    fn now(&self) -> Timestamp;
    /// Time since some fixed moment, which never goes back.
    fn monotonic(&self) -> Duration;
}

/// A clock that stands still until it is told to move: for tests and simulations.
#[derive(Debug, Default)]
pub struct ManualClock {
    wall_ms: AtomicI64,
    monotonic_ms: AtomicU64,
}

impl ManualClock {
    /// A clock whose wall time is `now`.
    pub fn at(now: Timestamp) -> Self {
        Self {
            wall_ms: now.get().into(),
            monotonic_ms: 0.into(),
        }
    }

    /// Lets `by` pass on both clocks.
    pub fn advance(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.monotonic_ms.fetch_add(ms, Ordering::SeqCst);
        self.wall_ms.fetch_add(ms.cast_signed(), Ordering::SeqCst);
    }

    /// Sets the wall clock alone, as an administrator or NTP would: it may go back.
    pub fn jump(&self, to: Timestamp) {
        self.wall_ms.store(to.get(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::new(self.wall_ms.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.monotonic_ms.load(Ordering::SeqCst))
    }
}
