//! `ratatoskr bench e2e`: from when a record was due to when a consumer at the tail has it.

use std::{io::Write, num::NonZeroU64, time::Instant};

use ratatoskr_core::broker::StartAt;
use ratatoskr_server::load::{Pace, Plan, Report};

use super::{
    pacing,
    produce::{Load, Shape},
    tail::{Tails, Watch},
    target, verdict,
};
use crate::cli::{connection, exit::Outcome, output::Style, progress::Progress};

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr bench e2e --rate 2000 --records 1000 --output json
  $ ratatoskr bench e2e --rate 5000 --seconds 0.5 --warm-up 0.2 --topic pair --partitions 2";

/// What to send, and how.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    #[command(flatten)]
    target: target::Options,
    /// Sends a second in all, whatever the broker does
    #[arg(long, value_name = "SENDS", default_value = "1000")]
    rate: NonZeroU64,
    #[command(flatten)]
    amount: pacing::Amount,
    #[command(flatten)]
    shape: Shape,
}

/// # Errors
/// What the broker answers; records that were not acknowledged, not delivered, or not as sent.
pub(super) async fn run(
    options: &Options,
    at: &connection::Options,
    style: Style,
    out: &mut impl Write,
) -> Outcome {
    let targets = options.target.create(&at.connect().await?, at).await?;
    let shape = &options.shape;
    let load = Load::open(shape, &targets, shape.connect(at).await?, at).await?;
    let mut consumers = Vec::new();
    for topic in &targets.topics {
        let client = at.connect().await?;
        let consumer = client.consumer(&topic.name).start(StartAt::End);
        consumers.push(at.ask(consumer.open()).await?);
    }
    let tails = Tails::new(load.run_id(), shape.records_per_send().get(), 0);
    let watch = Watch::start(&tails, consumers, 1);
    let progress = Progress::records(options.amount.records());
    let start = Instant::now();
    let plan = |sender| options.plan(start, sender);
    tails.begin((0..shape.producers().get()).map(plan));
    let tally = load.run(plan, progress).await?;
    let seen = watch.finish(&tally, at).await?;
    let took = seen.to.saturating_duration_since(tally.from);
    let mut report = Report {
        failed: tally.failed,
        latency_us: seen.latencies.percentiles(),
        ..Report::new("e2e", seen.deliveries, seen.bytes, took)
    };
    report.figures = tally.report("").figures;
    if let Some(acknowledged) = tally.latencies.percentiles() {
        report = report
            .with_figure("acknowledged_p50_us", acknowledged.p50)
            .with_figure("acknowledged_p99_us", acknowledged.p99);
    }
    let good = seen.verifier.is_satisfied() && seen.missing == 0;
    let report = shape.describe(targets.describe(report.with("rate", options.rate)));
    verdict::print(&report.verified(good), style, out)?;
    verdict::all_acknowledged(&tally)?;
    verdict::all_as_sent(&seen.verifier, seen.missing)
}

impl Options {
    fn plan(&self, start: Instant, sender: u32) -> Plan {
        let pace = Pace::Open { rate: self.rate };
        let per_send = self.shape.records_per_send();
        let senders = self.shape.producers();
        self.amount.plan(pace, per_send, start, sender, senders)
    }
}
