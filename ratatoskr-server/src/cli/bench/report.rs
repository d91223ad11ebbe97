//! What a benchmark found, as one object.

use std::{io::Write, time::Duration};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::cli::{
    exit::Outcome,
    output::{self, Style},
};

/// Latencies are kept exactly to this many digits.
const DIGITS: u8 = 3;
/// The longest latency that is told apart, in nanoseconds.
const LATENCY_MAX_NS: u64 = 60 * 60 * 1_000_000_000;

/// Latencies of many operations, in bounded memory.
#[derive(Clone, Debug)]
pub(super) struct Latencies {
    histogram: Histogram<u64>,
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
    pub(super) fn record(&mut self, latency: Duration) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.histogram.saturating_record(ns.max(1));
    }

    /// Counts what another one counted.
    pub(super) fn add(&mut self, other: &Self) {
        // Both have the same bounds, so every value of one fits the other.
        let _ = self.histogram.add(&other.histogram);
    }

    /// The percentiles; `None` where nothing was counted.
    fn summary(&self) -> Option<Percentiles> {
        let us = |ns: u64| {
            let tenths = u32::try_from(ns / 100).unwrap_or(u32::MAX);
            f64::from(tenths) / 10.0
        };
        let at = |quantile| us(self.histogram.value_at_quantile(quantile));
        (!self.histogram.is_empty()).then(|| Percentiles {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: us(self.histogram.max()),
        })
    }
}

/// Latencies in microseconds.
#[derive(Clone, Debug, Serialize)]
struct Percentiles {
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

/// The result of a run.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    workload: String,
    records: u64,
    bytes: u64,
    seconds: f64,
    records_per_second: f64,
    bytes_per_second: f64,
    latency_us: Option<Percentiles>,
    failed: u64,
    verified: Option<bool>,
}

impl Report {
    /// Rates and percentiles out of counts.
    pub(super) fn new(
        workload: String,
        records: u64,
        bytes: u64,
        took: Duration,
        latencies: &Latencies,
    ) -> Self {
        let seconds = took.as_secs_f64().max(1e-9);
        Self {
            workload,
            records,
            bytes,
            seconds,
            records_per_second: ratio(records, seconds),
            bytes_per_second: ratio(bytes, seconds),
            latency_us: latencies.summary(),
            failed: 0,
            verified: None,
        }
    }

    /// The same with records that were not acknowledged.
    pub(super) fn failed(mut self, failed: u64) -> Self {
        self.failed = failed;
        self
    }

    /// The same with what a verification said.
    pub(super) fn verified(mut self, verified: Option<bool>) -> Self {
        self.verified = verified;
        self
    }

    /// Prints it.
    ///
    /// # Errors
    /// Stdout cannot be written to.
    pub(super) fn print(&self, style: Style, out: &mut impl Write) -> Outcome {
        output::one(style, self, out, |out, _| {
            writeln!(out, "{}", self.workload)?;
            writeln!(
                out,
                "  {} records, {} in {:.2} s",
                self.records,
                output::bytes(self.bytes),
                self.seconds
            )?;
            writeln!(
                out,
                "  {:.0} records/s, {:.1} MB/s",
                self.records_per_second,
                self.bytes_per_second / 1e6
            )?;
            if let Some(latency) = &self.latency_us {
                writeln!(
                    out,
                    "  latency in µs: p50 {:.0}, p90 {:.0}, p99 {:.0}, p99.9 {:.0}, max {:.0}",
                    latency.p50, latency.p90, latency.p99, latency.p999, latency.max
                )?;
            }
            if self.failed > 0 {
                writeln!(out, "  {} failed", self.failed)?;
            }
            match self.verified {
                Some(true) => writeln!(out, "  verified: every record is as it was sent")?,
                Some(false) => writeln!(out, "  NOT AS IT WAS SENT")?,
                None => {}
            }
            Ok(())
        })
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a rate needs no more digits than a float has"
)]
fn ratio(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_in_words_and_as_an_object() {
        let mut latencies = Latencies::default();
        for ms in 1..=100 {
            latencies.record(Duration::from_millis(ms));
        }
        let mut sum = Latencies::default();
        sum.add(&latencies);
        let took = Duration::from_millis(500);
        let report = Report::new("produce".into(), 1_000, 100_000, took, &sum)
            .failed(2)
            .verified(Some(true));
        let mut out = Vec::new();
        report.print(Style::Table, &mut out).unwrap();
        report.print(Style::Json, &mut out).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }

    #[test]
    fn nothing_measured_is_no_latency() {
        let nothing = Latencies::default();
        let report = Report::new("consume".into(), 0, 0, Duration::ZERO, &nothing);
        assert!(report.latency_us.is_none());
    }
}
