//! `ratatoskr bench poisoned-key`: what records wait for whose key is not the one that fails.
//!
//! Rounds of two phases, one with poisoned keys and one without, which take turns in coming first:
//! what the machine does meanwhile meets both. Each phase has a topic and a queue group of its own.

mod phase;
mod worker;

use std::{
    io::Write,
    num::{NonZeroU32, NonZeroU64},
    time::Duration,
};

use ratatoskr_core::{limits, name::TopicName};
use ratatoskr_server::load::Report;

use super::{pacing, target, verdict};
use crate::cli::{
    connection,
    exit::{Exit, Failure, Outcome},
    output::Style,
    progress::Progress,
};
use phase::Phase;
use worker::Seen;

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr bench poisoned-key --rate 500 --keys 50 --seconds 0.5 --rounds 1
  $ ratatoskr bench poisoned-key --rate 500 --keys 50 --poisoned 5 --seconds 0.5 --rounds 2";

/// What is sent, and what fails.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// What the topics of the phases are called, each with a number behind it; they are deleted
    /// afterwards
    #[arg(long, default_value = "bench-poisoned")]
    topic: TopicName,
    /// Partitions of each topic
    #[arg(long, value_name = "COUNT", default_value = "4")]
    partitions: NonZeroU32,
    #[command(flatten)]
    durability: target::DurabilityOption,
    /// Records sent a second, whatever the broker does
    #[arg(long, value_name = "RECORDS", default_value = "5000")]
    rate: NonZeroU64,
    /// Keys of the records, in turn
    #[arg(long, value_name = "COUNT", default_value = "10000")]
    keys: NonZeroU32,
    /// How many of the keys fail, whenever one of their records is delivered
    #[arg(long, value_name = "COUNT", default_value = "1")]
    poisoned: NonZeroU32,
    /// Wait before a record that failed is delivered again
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 100)]
    backoff_ms: u32,
    /// Consumers that share the topic, each with a connection of its own
    #[arg(long, value_name = "COUNT", default_value = "4")]
    consumers: NonZeroU32,
    /// Bytes of a record's value, at least 24
    #[arg(long, value_name = "BYTES", default_value_t = 100)]
    size: usize,
    /// How long each phase is measured
    #[arg(long, value_name = "SECONDS", value_parser = pacing::seconds, default_value = "3")]
    seconds: Duration,
    /// Send for this long before anything of a phase is counted
    #[arg(long, value_name = "SECONDS", value_parser = pacing::seconds, default_value = "0.5")]
    warm_up: Duration,
    /// Pairs of phases
    #[arg(long, value_name = "COUNT", default_value = "5")]
    rounds: NonZeroU32,
}

/// # Errors
/// What the broker answers; records that were lost, came twice or out of the order of their key.
pub(super) async fn run(
    options: &Options,
    at: &connection::Options,
    style: Style,
    out: &mut impl Write,
) -> Outcome {
    if options.poisoned >= options.keys {
        return Err(Failure::usage("--poisoned: fewer than there are --keys"));
    }
    let backoff = Duration::from_millis(options.backoff_ms.into());
    if backoff * limits::QUEUE_ATTEMPTS_MAX < 2 * (options.warm_up + options.seconds) {
        return Err(Failure::usage(
            "--backoff-ms: so long that attempts do not run out before the time does",
        ));
    }
    let progress = Progress::records(None);
    let mut without = Seen::default();
    let mut with = Seen::default();
    let (mut p50_ratios, mut p99_ratios) = (Vec::new(), Vec::new());
    for round in 0..options.rounds.get() {
        let phase = |turn: u32, poisoned| Phase::new(options, 2 * round + turn, poisoned, at);
        let (one, other);
        if round % 2 == 0 {
            one = phase(0, false)?.run(&progress).await?;
            other = phase(1, true)?.run(&progress).await?;
        } else {
            other = phase(0, true)?.run(&progress).await?;
            one = phase(1, false)?.run(&progress).await?;
        }
        let (of_one, of_other) = (one.latencies.percentiles(), other.latencies.percentiles());
        if let Some((of_one, of_other)) = of_one.zip(of_other) {
            p50_ratios.push(of_other.p50 / of_one.p50);
            p99_ratios.push(of_other.p99 / of_one.p99);
        }
        without.add(&one);
        with.add(&other);
    }
    drop(progress);
    let good = without.problem().is_none() && with.problem().is_none();
    let took = without.took + with.took;
    let delivered = without.delivered + with.delivered;
    let mut report = Report::new("poisoned-key", delivered, without.bytes + with.bytes, took)
        .with_figure("failed_attempts", f64::from(with.attempts))
        .with_figure("p50_ratio", median(p50_ratios))
        .with_figure("p99_ratio", median(p99_ratios))
        .verified(good);
    report.latency_us = with.latencies.percentiles();
    for (name, seen) in [("without", &without), ("with", &with)] {
        if let Some(found) = seen.latencies.percentiles() {
            report = report
                .with_figure(&format!("{name}_p50_us"), found.p50)
                .with_figure(&format!("{name}_p99_us"), found.p99);
        }
    }
    if let Some(durability) = with.durability {
        report = report.with("durability", durability);
    }
    verdict::print(&options.describe(report), style, out)?;
    match with.problem().or_else(|| without.problem()) {
        None => Ok(()),
        Some(why) => {
            let what = "what was delivered is not what was sent, in the order of its keys";
            Err(Failure::new(Exit::Failure, what).because(why))
        }
    }
}

impl Options {
    fn describe(&self, report: Report) -> Report {
        report
            .with("partitions", self.partitions)
            .with("rate", self.rate)
            .with("keys", self.keys)
            .with("poisoned", self.poisoned)
            .with("backoff_ms", self.backoff_ms)
            .with("consumers", self.consumers)
            .with("size", self.size)
            .with("rounds", self.rounds)
    }
}

/// The one in the middle, or between those; 0 of none.
fn median(mut ratios: Vec<f64>) -> f64 {
    ratios.sort_by(f64::total_cmp);
    let middle = ratios.len() / 2;
    match (ratios.get(middle), ratios.get(middle.wrapping_sub(1))) {
        (Some(upper), Some(lower)) if ratios.len().is_multiple_of(2) => {
            f64::midpoint(*lower, *upper)
        }
        (Some(middle), _) => *middle,
        (None, _) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn a_median_is_in_the_middle() {
        for (of, expected) in [
            (vec![], 0.0),
            (vec![3.0], 3.0),
            (vec![3.0, 1.0], 2.0),
            (vec![9.0, 1.0, 2.0], 2.0),
        ] {
            assert!((median(of) - expected).abs() < 1e-9);
        }
    }
}
