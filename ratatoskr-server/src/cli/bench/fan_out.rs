//! `ratatoskr bench fan-out`: many subscribers of one topic, each of which gets every record.

use std::{io::Write, num::NonZeroU32, time::Instant};

use ratatoskr_client::{Client, Consumer};
use ratatoskr_core::broker::StartAt;
use ratatoskr_server::load::{Plan, Report, Tally};

use super::{
    embedded::Embedded,
    pacing,
    produce::{Load, Shape},
    tail::{Seen, Tails, Watch},
    target::{self, Targets},
    verdict,
};
use crate::cli::{connection, exit::Outcome, output::Style, progress::Progress};

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr bench fan-out --subscribers 50 --records 500 --rate 1000
  $ ratatoskr bench fan-out --subscribers 20 --records 2000 --output json
  $ ratatoskr bench fan-out --in-process --subscribers 5000 --records 20 --rate 50

Subscribers have a connection each. For more than 1,000 of them, start the broker with
--set native.connections_per_address_max=N, and raise the limit of open files (ulimit -n).";

/// Sends whose way to the last subscriber is followed, at most (8 bytes each).
const FOLLOWED_MAX: u64 = 1 << 22;

/// Who listens, and to what.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// Subscribers, each of which gets every record
    #[arg(long, value_name = "COUNT", default_value = "100")]
    subscribers: NonZeroU32,
    /// Measure a broker in memory in this process, and no network
    #[arg(long)]
    in_process: bool,
    #[command(flatten)]
    target: target::Options,
    #[command(flatten)]
    pacing: pacing::Options,
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
    let embedded = if options.in_process {
        Some(Embedded::in_memory().await?)
    } else {
        None
    };
    let local = embedded.as_ref().map(|embedded| &embedded.client);
    let shape = &options.shape;
    let (client, producers) = match local {
        Some(client) => (client.clone(), shape.clones_of(client)),
        None => (at.connect().await?, shape.connect(at).await?),
    };
    let targets = options.target.create(&client, at).await?;
    let load = Load::open(shape, &targets, producers, at).await?;
    let consumers = options.subscribe(&targets, local, at).await?;
    let followed = options.pacing.sends_max(shape.records_per_send());
    let followed = usize::try_from(followed.min(FOLLOWED_MAX)).unwrap_or_default();
    let tails = Tails::new(load.run_id(), shape.records_per_send().get(), followed);
    let watch = Watch::start(&tails, consumers, options.subscribers.get().into());
    let progress = Progress::records(options.pacing.amount().records());
    let start = Instant::now();
    let plan = |sender| options.plan(start, sender);
    tails.begin((0..shape.producers().get()).map(plan));
    let tally = load.run(plan, progress).await?;
    let seen = watch.finish(&tally, at).await?;
    let report = options.report(&targets, &tally, &seen);
    verdict::print(&report, style, out)?;
    if let Some(embedded) = embedded {
        embedded.close().await?;
    }
    verdict::all_acknowledged(&tally)?;
    verdict::all_as_sent(&seen.verifier, seen.missing)
}

impl Options {
    fn plan(&self, start: Instant, sender: u32) -> Plan {
        let per_send = self.shape.records_per_send();
        let senders = self.shape.producers();
        let amount = self.pacing.amount();
        amount.plan(self.pacing.pace(), per_send, start, sender, senders)
    }

    /// A consumer at the end of each topic for each subscriber.
    async fn subscribe(
        &self,
        targets: &Targets,
        local: Option<&Client>,
        at: &connection::Options,
    ) -> Outcome<Vec<Consumer>> {
        let mut consumers = Vec::new();
        for _ in 0..self.subscribers.get() {
            let client = match local {
                Some(client) => client.clone(),
                None => at.connect().await?,
            };
            for topic in &targets.topics {
                let consumer = client.consumer(&topic.name).start(StartAt::End);
                consumers.push(at.ask(consumer.open()).await?);
            }
        }
        Ok(consumers)
    }

    fn report(&self, targets: &Targets, tally: &Tally, seen: &Seen) -> Report {
        let took = seen.to.saturating_duration_since(tally.from);
        let mut report = Report {
            failed: tally.failed,
            latency_us: seen.latencies.percentiles(),
            ..Report::new("fan-out", seen.deliveries, seen.bytes, took)
        };
        report.figures = tally.report("").figures;
        if let Some(last) = seen.to_the_last.percentiles() {
            report = report
                .with_figure("last_subscriber_p50_us", last.p50)
                .with_figure("last_subscriber_p99_us", last.p99)
                .with_figure("last_subscriber_max_us", last.max);
        }
        let report = report
            .with("subscribers", self.subscribers)
            .with(
                "door",
                if self.in_process {
                    "in process"
                } else {
                    "sockets"
                },
            )
            .verified(seen.verifier.is_satisfied() && seen.missing == 0);
        let report = self.pacing.describe(targets.describe(report));
        self.shape.describe(report)
    }
}
