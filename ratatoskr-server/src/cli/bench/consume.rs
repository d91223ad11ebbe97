//! `ratatoskr bench consume`: everything that is in a topic, as fast as it comes.

mod batches;
pub(super) mod records;

use std::{io::Write, num::NonZeroU32, sync::Arc, time::Instant};

use ratatoskr_client::Client;
use ratatoskr_core::{broker::TopicDescription, name::TopicName};
use ratatoskr_server::load::{Report, Verifier};
use tokio::task::JoinSet;

use super::verdict;
use crate::cli::{connection, exit::Outcome, output::Style, progress::Progress};

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr bench produce --records 2000 --partitions 2 && ratatoskr bench consume --output json
  $ ratatoskr bench produce --records 2000 && ratatoskr bench consume --consumers 3
  $ ratatoskr bench produce --records 2000 && ratatoskr bench consume --batches";

/// What to read.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// The topic
    #[arg(long, default_value = "bench")]
    topic: TopicName,
    /// Consumers, each with a connection of its own, each reading everything
    #[arg(long, value_name = "COUNT", default_value = "1")]
    consumers: NonZeroU32,
    /// Fetch whole batches and do not take them apart: their offsets are verified, not their records
    #[arg(long)]
    batches: bool,
}

/// What one consumer, or all of them, read.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) verifier: Verifier,
}

impl Read {
    /// Counts what another consumer read.
    pub(super) const fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.bytes += other.bytes;
        self.verifier.add(&other.verifier);
    }
}

/// Reads everything up to what is the end now.
///
/// # Errors
/// What the broker answers, or a record that is not as it was sent.
pub(super) async fn run(
    options: &Options,
    at: &connection::Options,
    style: Style,
    out: &mut impl Write,
) -> Outcome {
    let topic = at.connect().await?;
    let topic = at.ask(topic.describe_topic(&options.topic)).await?;
    let topic = Arc::new(topic);
    let consumers = options.consumers.get();
    let each: u64 = topic.partitions.iter().map(|p| p.bounds.records()).sum();
    let all = each * u64::from(consumers);
    let progress = Arc::new(Progress::records(Some(all)));
    let mut clients = Vec::new();
    for _ in 0..consumers {
        clients.push(at.connect().await?);
    }
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for client in clients {
        let job = Job {
            client,
            at: at.clone(),
            topic: Arc::clone(&topic),
            progress: Arc::clone(&progress),
        };
        if options.batches {
            tasks.spawn(batches::read(job));
        } else {
            tasks.spawn(records::read(job));
        }
    }
    let mut sum = Read::default();
    while let Some(read) = tasks.join_next().await {
        sum.add(&read.map_err(verdict::ended_early)??);
    }
    let took = start.elapsed();
    drop(progress);
    let missing = all.saturating_sub(sum.records);
    let report = Report::new("consume", sum.records, sum.bytes, took)
        .with("topics", 1)
        .with("partitions", topic.partitions.len())
        .with("durability", topic.config.durability)
        .with("consumers", consumers)
        .with(
            "reads",
            if options.batches {
                "batches"
            } else {
                "records"
            },
        )
        .verified(sum.verifier.is_satisfied() && missing == 0);
    verdict::print(&report, style, out)?;
    verdict::all_as_sent(&sum.verifier, missing)
}

/// The work of one consumer.
pub(super) struct Job {
    pub(super) client: Client,
    pub(super) at: connection::Options,
    /// As it was at the start.
    pub(super) topic: Arc<TopicDescription>,
    pub(super) progress: Arc<Progress>,
}
