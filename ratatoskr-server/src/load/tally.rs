//! What became of the sends of one sender, or of all.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{Latencies, Report};

/// Counts behind the warm-up; a send is one record or one batch.
#[derive(Clone, Debug)]
pub struct Tally {
    /// From when on it was counted.
    pub from: Instant,
    /// When the last answer came.
    pub to: Instant,
    /// Sends made, those of the warm-up as well.
    pub sent: u64,
    /// Records that were acknowledged.
    pub records: u64,
    /// Bytes of their values.
    pub bytes: u64,
    /// Records that failed, those of the warm-up as well.
    pub failed: u64,
    /// From when a send was due (open loop) or made (closed loop) to its acknowledgement.
    pub latencies: Latencies,
    /// Open loop: how late the generator itself was with the first send of each burst. Where this
    /// comes near the latencies, it is the generator that was measured.
    pub lateness: Latencies,
    /// Why the first of those that failed did.
    pub first_error: Option<String>,
}

impl Tally {
    /// Nothing yet.
    pub fn new(from: Instant) -> Self {
        Self {
            from,
            to: from,
            sent: 0,
            records: 0,
            bytes: 0,
            failed: 0,
            latencies: Latencies::default(),
            lateness: Latencies::default(),
            first_error: None,
        }
    }

    /// Counts what another sender did beside this one.
    pub fn add(&mut self, other: Self) {
        self.from = self.from.min(other.from);
        self.to = self.to.max(other.to);
        self.sent += other.sent;
        self.records += other.records;
        self.bytes += other.bytes;
        self.failed += other.failed;
        self.latencies.add(&other.latencies);
        self.lateness.add(&other.lateness);
        self.first_error = self.first_error.take().or(other.first_error);
    }

    /// From the end of the warm-up to the last answer.
    pub fn took(&self) -> Duration {
        self.to.saturating_duration_since(self.from)
    }

    /// The report of a run that did this.
    pub fn report(&self, workload: impl Into<String>) -> Report {
        let figures = self.lateness.percentiles().map(|late| {
            BTreeMap::from([
                ("generator_late_p50_us".to_owned(), late.p50),
                ("generator_late_p99_us".to_owned(), late.p99),
            ])
        });
        Report {
            failed: self.failed,
            latency_us: self.latencies.percentiles(),
            figures: figures.unwrap_or_default(),
            ..Report::new(workload, self.records, self.bytes, self.took())
        }
    }
}
