//! What a run found, as one object: a stable schema for programs, a few lines for people.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::Percentiles;

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What was done, such as `produce`.
    pub workload: String,
    /// Under which conditions: durability, partitions, connections and so on, by name.
    pub conditions: BTreeMap<String, String>,
    /// Records that were acknowledged, read or delivered.
    pub records: u64,
    /// Bytes of their values.
    pub bytes: u64,
    /// How long it took.
    pub seconds: f64,
    /// `records / seconds`.
    pub records_per_second: f64,
    /// `bytes / seconds`.
    pub bytes_per_second: f64,
    /// Latencies, where they were measured.
    pub latency_us: Option<Percentiles>,
    /// Records that failed.
    pub failed: u64,
    /// Whether what came out is what went in; `None` where nobody looked.
    pub verified: Option<bool>,
    /// Further numbers, by a name that ends in the unit.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub figures: BTreeMap<String, f64>,
}

impl Report {
    /// Rates out of counts.
    pub fn new(workload: impl Into<String>, records: u64, bytes: u64, took: Duration) -> Self {
        let seconds = took.as_secs_f64().max(1e-9);
        Self {
            workload: workload.into(),
            conditions: BTreeMap::new(),
            records,
            bytes,
            seconds,
            records_per_second: float(records) / seconds,
            bytes_per_second: float(bytes) / seconds,
            latency_us: None,
            failed: 0,
            verified: None,
            figures: BTreeMap::new(),
        }
    }

    /// The same with one more condition.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.conditions.insert(name.to_owned(), value.to_string());
        self
    }

    /// The same with one more number.
    #[must_use]
    pub fn with_figure(mut self, name: &str, value: f64) -> Self {
        self.figures.insert(name.to_owned(), value);
        self
    }

    /// The same with what a verification said.
    #[must_use]
    pub const fn verified(mut self, verified: bool) -> Self {
        self.verified = Some(verified);
        self
    }
}

impl fmt::Display for Report {
    /// Lines for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let conditions: Vec<String> = self
            .conditions
            .iter()
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        writeln!(f, "{}: {}", self.workload, conditions.join(", "))?;
        writeln!(
            f,
            "  {} records, {:.1} MB in {:.3} s",
            self.records,
            float(self.bytes) / 1e6,
            self.seconds
        )?;
        writeln!(
            f,
            "  {:.0} records/s, {:.1} MB/s",
            self.records_per_second,
            self.bytes_per_second / 1e6
        )?;
        if let Some(latency) = &self.latency_us {
            writeln!(
                f,
                "  latency in µs: p50 {:.1}, p90 {:.1}, p99 {:.1}, p99.9 {:.1}, p99.99 {:.1}, \
                 max {:.1}",
                latency.p50, latency.p90, latency.p99, latency.p999, latency.p9999, latency.max
            )?;
        }
        for (name, value) in &self.figures {
            writeln!(f, "  {name}: {value:.1}")?;
        }
        if self.failed > 0 {
            writeln!(f, "  {} failed", self.failed)?;
        }
        match self.verified {
            Some(true) => writeln!(f, "  verified: every record is as it was sent"),
            Some(false) => writeln!(f, "  NOT AS IT WAS SENT"),
            None => Ok(()),
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a rate needs no more digits than a float has"
)]
const fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Latencies;

    #[test]
    fn a_report_in_words_and_as_an_object() {
        let mut latencies = Latencies::default();
        for ms in 1..=100 {
            latencies.record(Duration::from_millis(ms));
        }
        let mut report = Report::new("produce", 1_000, 100_000, Duration::from_millis(500))
            .with("durability", "fsync")
            .with("producers", 2)
            .with_figure("generator_late_p99_us", 12.0)
            .verified(true);
        report.latency_us = latencies.percentiles();
        report.failed = 2;
        let json = serde_json::to_string_pretty(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
        insta::assert_snapshot!(format!("{report}\n{json}"));
    }
}
