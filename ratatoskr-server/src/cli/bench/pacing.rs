//! How fast the load comes, and how much of it.

use std::{
    num::{NonZeroU32, NonZeroU64, NonZeroUsize},
    time::{Duration, Instant},
};

use ratatoskr_core::config::parse_bytes;
use ratatoskr_server::load::{Pace, Plan, Report};

/// Records where nobody says how many or how long.
const RECORDS_DEFAULT: u64 = 100_000;

/// Closed or open loop, and when it ends.
#[derive(Clone, Copy, Debug, clap::Args)]
#[group(skip)]
pub(super) struct Options {
    /// Closed loop: sends that each producer keeps in flight
    #[arg(
        long,
        value_name = "COUNT",
        default_value = "256",
        conflicts_with = "rate"
    )]
    in_flight: NonZeroUsize,
    /// Open loop: sends a second in all, whatever the broker does
    #[arg(long, value_name = "SENDS")]
    rate: Option<NonZeroU64>,
    #[command(flatten)]
    amount: Amount,
}

/// How much is sent.
#[derive(Clone, Copy, Debug, clap::Args)]
#[group(skip)]
pub(super) struct Amount {
    /// Records in all [default: 100000, or no end with --seconds]
    #[arg(long, value_name = "COUNT")]
    records: Option<u64>,
    /// Stop sending after this long, if --records does not come first
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    seconds: Option<Duration>,
    /// Send for this long before anything is counted
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "0")]
    warm_up: Duration,
}

impl Amount {
    /// Records in all; `None` where only the time ends them.
    pub(super) const fn records(&self) -> Option<u64> {
        match (self.records, self.seconds) {
            (None, None) => Some(RECORDS_DEFAULT),
            (records, _) => records,
        }
    }

    /// The part of one of `senders` in sends of `records_per_send` records, from `start` on.
    pub(super) fn plan(
        &self,
        pace: Pace,
        records_per_send: NonZeroU64,
        start: Instant,
        sender: u32,
        senders: NonZeroU32,
    ) -> Plan {
        let sends = self
            .records()
            .map(|all| all.div_ceil(records_per_send.get()));
        let mut plan = Plan::new(pace, 0);
        plan.start = start;
        plan.warm_up = self.warm_up;
        plan.lasts = self.seconds;
        plan.sends = sends;
        plan.for_sender(sender, senders)
    }
}

impl Options {
    /// What decides when a send is made.
    pub(super) fn pace(&self) -> Pace {
        match self.rate {
            Some(rate) => Pace::Open { rate },
            None => Pace::Closed {
                in_flight: self.in_flight,
            },
        }
    }

    /// Most sends that are due in an open loop, those of the warm-up as well; 0 in a closed loop.
    pub(super) fn sends_max(&self, records_per_send: NonZeroU64) -> u64 {
        let Some(rate) = self.rate else { return 0 };
        let within = |time: Duration| {
            let sends = time.as_nanos() * u128::from(rate.get()) / 1_000_000_000 + 1;
            u64::try_from(sends).unwrap_or(u64::MAX)
        };
        let by_time = self.amount.seconds.map_or(u64::MAX, within);
        let by_records = self.amount.records().unwrap_or(u64::MAX);
        let measured = by_time.min(by_records.div_ceil(records_per_send.get()));
        measured.saturating_add(within(self.amount.warm_up))
    }

    /// How much is sent.
    pub(super) const fn amount(&self) -> &Amount {
        &self.amount
    }

    /// The report with what is to be said of the pace.
    pub(super) fn describe(&self, report: Report) -> Report {
        match self.rate {
            Some(rate) => report.with("rate", rate),
            None => report.with("in_flight", self.in_flight),
        }
    }
}

/// Seconds, with a fraction if need be.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// A size as people write it: with powers of ten as well as of two.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let decimal = [("KB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000)];
    let found = decimal.iter().find_map(|(unit, scale)| {
        let number = text.strip_suffix(unit)?;
        number.trim().parse::<u64>().ok()?.checked_mul(*scale)
    });
    found
        .or_else(|| parse_bytes(text))
        .ok_or_else(|| "expected bytes, or a number with KB, MB, GB, KiB, MiB or GiB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_powers_of_ten_and_of_two() {
        assert_eq!(bytes("10GB"), Ok(10_000_000_000));
        assert_eq!(bytes("1GiB"), Ok(1 << 30));
        assert_eq!(bytes("512"), Ok(512));
        assert!(bytes("1TBx").is_err());
        assert!(bytes("99999999999GB").is_err());
    }
}
