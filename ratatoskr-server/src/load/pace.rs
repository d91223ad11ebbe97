//! When sends are to be made, and how many.

use std::{
    num::{NonZeroU32, NonZeroU64, NonZeroUsize},
    time::{Duration, Instant},
};

/// What decides when the next send is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Closed loop: as soon as fewer than this many are in flight.
    Closed {
        /// Sends in flight, of each sender.
        in_flight: NonZeroUsize,
    },
    /// Open loop: at fixed moments, whatever the target does.
    Open {
        /// Sends a second, of all senders together.
        rate: NonZeroU64,
    },
}

/// The work of one of several senders.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// When the sends are made.
    pub pace: Pace,
    /// When the first is due.
    pub start: Instant,
    /// Sends made before this much time has passed are not counted.
    pub warm_up: Duration,
    /// How long sends are made behind the warm-up; `None` for as long as it takes.
    pub lasts: Option<Duration>,
    /// How many sends this sender makes behind the warm-up; `None` for as many as fit.
    pub sends: Option<u64>,
    /// This sender's number, from 0.
    pub sender: u32,
    /// How many senders there are.
    pub senders: NonZeroU32,
}

impl Plan {
    /// One sender of `total` sends at `pace`, from now on, without a warm-up.
    pub fn new(pace: Pace, total: u64) -> Self {
        Self {
            pace,
            start: Instant::now(),
            warm_up: Duration::ZERO,
            lasts: None,
            sends: Some(total),
            sender: 0,
            senders: NonZeroU32::MIN,
        }
    }

    /// The same for the sender of this number out of `senders`, with its part of the sends.
    #[must_use]
    pub fn for_sender(mut self, sender: u32, senders: NonZeroU32) -> Self {
        let all = u64::from(senders.get());
        self.sends = self
            .sends
            .map(|total| total / all + u64::from(u64::from(sender) < total % all));
        self.sender = sender;
        self.senders = senders;
        self
    }

    /// From when on sends are counted.
    pub fn measured_from(&self) -> Instant {
        self.start + self.warm_up
    }

    /// From when on no further send is made.
    pub fn ends(&self) -> Option<Instant> {
        self.lasts.map(|lasts| self.measured_from() + lasts)
    }

    /// The moments at which this sender's sends are due; `None` in a closed loop.
    pub const fn schedule(&self) -> Option<Schedule> {
        match self.pace {
            Pace::Closed { .. } => None,
            Pace::Open { rate } => Some(Schedule {
                start: self.start,
                rate,
                first: self.sender,
                step: self.senders,
            }),
        }
    }
}

/// The moments at which sends are due. Senders take turns: of `n` senders, the first makes the
/// sends 0, n, 2n, … of the common schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    start: Instant,
    rate: NonZeroU64,
    first: u32,
    step: NonZeroU32,
}

impl Schedule {
    /// When this sender's send of this number (from 0) is due.
    pub fn due(&self, number: u64) -> Instant {
        let number = u64::from(self.first) + number.saturating_mul(self.step.get().into());
        let rate = self.rate.get();
        // Whole seconds apart, so that nothing overflows and no rounding adds up.
        let rest_ns = (u128::from(number % rate) * 1_000_000_000 / u128::from(rate))
            .try_into()
            .unwrap_or(u64::MAX);
        self.start + Duration::from_secs(number / rate) + Duration::from_nanos(rest_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(rate: u64, total: u64) -> Plan {
        let rate = NonZeroU64::new(rate).unwrap();
        Plan::new(Pace::Open { rate }, total)
    }

    #[test]
    fn senders_share_the_sends_and_take_turns() {
        let senders = NonZeroU32::new(3).unwrap();
        let plan = plan(1_000, 8);
        let parts: Vec<_> = (0..3).map(|n| plan.for_sender(n, senders)).collect();
        let sends: Vec<_> = parts.iter().map(|part| part.sends.unwrap()).collect();
        assert_eq!(sends, [3, 3, 2]);
        let mut due: Vec<_> = parts
            .iter()
            .flat_map(|part| (0..part.sends.unwrap()).map(|n| part.schedule().unwrap().due(n)))
            .collect();
        due.sort();
        let even: Vec<_> = (0..8)
            .map(|n| plan.start + Duration::from_millis(n))
            .collect();
        assert_eq!(due, even);
    }

    #[test]
    fn a_schedule_does_not_drift() {
        let plan = plan(3, u64::MAX);
        let due = plan.schedule().unwrap().due(3 * 1_000_000);
        assert_eq!(due, plan.start + Duration::from_secs(1_000_000));
    }
}
