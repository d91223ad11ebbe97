//! Latencies of many operations, in bounded memory.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Latencies are kept exactly to this many digits.
const DIGITS: u8 = 3;
/// The longest latency that is told apart, in nanoseconds; longer ones count as this.
const LATENCY_MAX_NS: u64 = 60 * 60 * 1_000_000_000;

/// A histogram of latencies from 1 ns to an hour, exact to three digits (about 270 KiB).
#[derive(Clone, Debug)]
pub struct Latencies {
    histogram: Histogram<u64>,
}

/// Latencies in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// The median.
    pub p50: f64,
    /// Nine of ten are not longer.
    pub p90: f64,
    /// 99 of 100 are not longer.
    pub p99: f64,
    /// 999 of 1,000 are not longer.
    pub p999: f64,
    /// 9,999 of 10,000 are not longer.
    pub p9999: f64,
    /// The longest.
    pub max: f64,
}

impl Default for Latencies {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LATENCY_MAX_NS, DIGITS)
            .unwrap_or_else(|error| unreachable!("constant bounds: {error}"));
        Self { histogram }
    }
}

impl Latencies {
    /// Counts one operation.
    pub fn record(&mut self, latency: Duration) {
        self.record_many(latency, 1);
    }

    /// Counts `count` operations that took the same time.
    pub fn record_many(&mut self, latency: Duration, count: u64) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.histogram.saturating_record_n(ns.max(1), count);
    }

    /// Counts what another one counted.
    pub fn add(&mut self, other: &Self) {
        // Both have the same bounds, so every value of one fits the other.
        let _ = self.histogram.add(&other.histogram);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The percentiles; `None` where nothing was counted.
    pub fn percentiles(&self) -> Option<Percentiles> {
        let us = |ns: u64| {
            // A tenth of a microsecond is all that is shown.
            let tenths = u32::try_from(ns / 100).unwrap_or(u32::MAX);
            f64::from(tenths) / 10.0
        };
        let at = |quantile| us(self.histogram.value_at_quantile(quantile));
        (!self.histogram.is_empty()).then(|| Percentiles {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            p9999: at(0.9999),
            max: us(self.histogram.max()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_to_the_percentiles_of_the_whole() {
        let mut odd = Latencies::default();
        let mut even = Latencies::default();
        for us in 1..=10_000 {
            let part = if us % 2 == 0 { &mut even } else { &mut odd };
            part.record(Duration::from_micros(us));
        }
        odd.add(&even);
        assert_eq!(odd.count(), 10_000);
        let found = odd.percentiles().unwrap();
        let near = |found: f64, expected: f64| (found / expected - 1.0).abs() < 0.001;
        assert!(near(found.p50, 5_000.0), "{found:?}");
        assert!(near(found.p99, 9_900.0), "{found:?}");
        assert!(near(found.p9999, 9_999.0), "{found:?}");
        assert!(near(found.max, 10_000.0), "{found:?}");
    }

    #[test]
    fn what_is_out_of_bounds_counts_as_the_bound() {
        let mut latencies = Latencies::default();
        latencies.record(Duration::ZERO);
        latencies.record(Duration::MAX);
        assert_eq!(latencies.count(), 2);
    }

    #[test]
    fn nothing_measured_is_no_latency() {
        assert_eq!(Latencies::default().percentiles(), None);
    }
}
