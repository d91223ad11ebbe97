//! `ratatoskr bench in-process`: what a program gets that embeds the broker.

use std::{
    io::Write,
    num::{NonZeroU32, NonZeroU64, NonZeroUsize},
    sync::Arc,
    time::{Duration, Instant},
};

use ratatoskr_core::{
    broker::TopicDescription,
    config::{Compression, Durability},
    name::TopicName,
};
use ratatoskr_server::load::{Pace, Payloads, Plan, Report, Verifier};
use tokio::task::JoinSet;

use super::{
    consume,
    embedded::Embedded,
    pacing,
    produce::Load,
    sinks::Batches,
    target::{self, Targets},
    verdict,
};
use crate::cli::{connection, exit::Outcome, output::Style, progress::Progress};

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr bench in-process --records 20000
  $ ratatoskr bench in-process --records 20000 --topics 10 --tasks 4 --batch 16 --consume
  $ ratatoskr bench in-process --records 20000 --batch 100 --durability fsync --output json";

/// What to send, and how.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// Topics of one partition each, shared out among the tasks
    #[arg(long, value_name = "COUNT", default_value = "1")]
    topics: NonZeroU32,
    /// Tasks that send
    #[arg(long, value_name = "COUNT", default_value = "1")]
    tasks: NonZeroU32,
    /// Records of each send
    #[arg(long, value_name = "RECORDS", default_value = "1")]
    batch: NonZeroU32,
    /// Bytes of a record's value, at least 24
    #[arg(long, value_name = "BYTES", default_value_t = 100)]
    size: usize,
    /// Sends that each task keeps in flight
    #[arg(long, value_name = "COUNT", default_value = "64")]
    in_flight: NonZeroUsize,
    #[command(flatten)]
    durability: target::DurabilityOption,
    #[command(flatten)]
    amount: pacing::Amount,
    /// Read everything back afterwards, and verify it
    #[arg(long)]
    consume: bool,
}

/// # Errors
/// What the broker answers; records that were not acknowledged, or not as sent.
pub(super) async fn run(
    options: &Options,
    at: &connection::Options,
    style: Style,
    out: &mut impl Write,
) -> Outcome {
    let durability = options.durability.durability.unwrap_or(Durability::Memory);
    let embedded = match durability {
        Durability::Memory => Embedded::in_memory().await?,
        _ => Embedded::on_disk().await?,
    };
    let topics = options.create(&embedded, durability, at).await?;
    let run = fastrand::u64(..);
    let load = Load::of_batches(run, options.sinks(run, &embedded, &topics));
    let progress = Progress::records(options.amount.records());
    let start = Instant::now();
    let tally = load.run(|task| options.plan(start, task), progress).await?;
    let targets = Targets { topics };
    let report = targets.describe(tally.report("in-process"));
    let mut report = report
        .with("tasks", options.tasks)
        .with("batch", options.batch)
        .with("size", options.size)
        .with("in_flight", options.in_flight);
    let mut seen = Verifier::default();
    let mut missing = 0;
    if options.consume {
        let sent = tally.sent * u64::from(options.batch.get()) - tally.failed;
        let (read, took) = read_back(&embedded, &targets, at).await?;
        seen = read.verifier;
        missing = sent.saturating_sub(read.records);
        let rate = Report::new("", read.records, read.bytes, took).records_per_second;
        report = report
            .with_figure("consumed_records_per_second", rate)
            .verified(seen.is_satisfied() && missing == 0);
    }
    verdict::print(&report, style, out)?;
    embedded.close().await?;
    verdict::all_acknowledged(&tally)?;
    verdict::all_as_sent(&seen, missing)
}

impl Options {
    async fn create(
        &self,
        embedded: &Embedded,
        durability: Durability,
        at: &connection::Options,
    ) -> Outcome<Vec<TopicDescription>> {
        let bench = TopicName::parse("bench").unwrap_or_else(|_| unreachable!("a legal name"));
        let mut topics = Vec::new();
        for name in target::names(&bench, Some(self.topics))? {
            let new = target::new_topic(1, Some(durability));
            topics.push(at.ask(embedded.client.create_topic(&name, new)).await?);
        }
        Ok(topics)
    }

    /// One a task, each with topics of its own where there are enough of them.
    fn sinks(&self, run: u64, embedded: &Embedded, topics: &[TopicDescription]) -> Vec<Batches> {
        let tasks = self.tasks.get() as usize;
        (0..self.tasks.get())
            .map(|task| {
                let first = task as usize % topics.len();
                let own = topics.iter().skip(first).step_by(tasks);
                Batches {
                    client: embedded.client.clone(),
                    places: Targets {
                        topics: own.cloned().collect(),
                    }
                    .places(),
                    payloads: Payloads::new(run, task, self.size),
                    compression: Compression::None,
                    records: self.batch.get(),
                    turn: 0,
                }
            })
            .collect()
    }

    fn plan(&self, start: Instant, task: u32) -> Plan {
        let pace = Pace::Closed {
            in_flight: self.in_flight,
        };
        let per_send = NonZeroU64::from(self.batch);
        self.amount.plan(pace, per_send, start, task, self.tasks)
    }
}

/// Reads every topic at once.
async fn read_back(
    embedded: &Embedded,
    targets: &Targets,
    at: &connection::Options,
) -> Outcome<(consume::Read, Duration)> {
    let mut jobs = Vec::new();
    for topic in &targets.topics {
        let topic = at.ask(embedded.client.describe_topic(&topic.name)).await?;
        jobs.push(consume::Job {
            client: embedded.client.clone(),
            at: at.clone(),
            topic: Arc::new(topic),
            progress: Arc::new(Progress::records(None)),
        });
    }
    let start = Instant::now();
    let mut tasks: JoinSet<_> = jobs.into_iter().map(consume::records::read).collect();
    let mut sum = consume::Read::default();
    while let Some(read) = tasks.join_next().await {
        sum.add(&read.map_err(verdict::ended_early)??);
    }
    Ok((sum, start.elapsed()))
}
