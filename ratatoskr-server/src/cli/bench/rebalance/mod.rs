//! `ratatoskr bench rebalance`: how long partitions are on their way when members come and go.
//!
//! A rebalance is over once the members read all partitions and none twice, as they see it
//! themselves, each its even share, and the broker calls the group stable.

mod group;
mod member;

use std::{
    io::Write,
    num::NonZeroU32,
    time::{Duration, Instant},
};

use ratatoskr_core::{BrokerConfig, limits, name::TopicName};
use ratatoskr_server::load::{Latencies, Report};

use super::{embedded::Embedded, pacing, verdict};
use crate::cli::{connection, exit::Outcome, output::Style};
use group::Group;

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr bench rebalance --in-process --heartbeat-ms 50 --members 10 --partitions 20
  $ ratatoskr bench rebalance --in-process --heartbeat-ms 50 --members 5 --partitions 50 --rounds 9

Members hear of a change with their next heartbeat. A broker asks for one every 5 s, and expels a
member that is silent for 45 s, so a round takes some 10 s there, and one with a death 50 s more.";

/// Who comes and goes.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// The topic, which is made for this and deleted afterwards
    #[arg(long, default_value = "bench-rebalance")]
    topic: TopicName,
    /// Partitions of the topic
    #[arg(long, value_name = "COUNT", default_value = "200")]
    partitions: NonZeroU32,
    /// Members of the group, each with a connection of its own
    #[arg(long, value_name = "COUNT", default_value = "100")]
    members: NonZeroU32,
    /// Rounds, in each of which one more member joins, and leaves again
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    rounds: u32,
    /// Rounds after those, in each of which one more member joins, and dies without a word
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    deaths: u32,
    /// Give up on a rebalance after this long
    #[arg(long, value_name = "SECONDS", value_parser = pacing::seconds, default_value = "120")]
    patience: Duration,
    /// Measure a broker in memory in this process, and no network
    #[arg(long)]
    in_process: bool,
    /// Heartbeats of members of a broker in this process
    #[arg(
        long,
        value_name = "MILLISECONDS",
        requires = "in_process",
        default_value_t = milliseconds(limits::GROUP_HEARTBEAT_INTERVAL)
    )]
    heartbeat_ms: u32,
    /// How long a member of a broker in this process may be silent
    #[arg(
        long,
        value_name = "MILLISECONDS",
        requires = "in_process",
        default_value_t = milliseconds(limits::GROUP_SESSION_TIMEOUT)
    )]
    session_timeout_ms: u32,
}

/// # Errors
/// What the broker answers, or a rebalance that did not come to its end.
pub(super) async fn run(
    options: &Options,
    at: &connection::Options,
    style: Style,
    out: &mut impl Write,
) -> Outcome {
    let embedded = options.embedded().await?;
    let local = embedded.as_ref().map(|embedded| embedded.client.clone());
    let mut group = Group::create(options, local, at).await?;
    let start = Instant::now();
    let begun = group.begin().await?;
    let mut joins = Latencies::default();
    let mut leaves = Latencies::default();
    let mut deaths = Latencies::default();
    for _ in 0..options.rounds {
        joins.record(group.join().await?);
        leaves.record(group.leave().await?);
    }
    for _ in 0..options.deaths {
        joins.record(group.join_to_die().await?);
        deaths.record(group.die().await?);
    }
    let took = start.elapsed();
    group.delete().await?;
    if let Some(embedded) = embedded {
        embedded.close().await?;
    }
    let mut report = Report::new("rebalance", 0, 0, took)
        .with("partitions", options.partitions)
        .with("members", options.members)
        .with("rounds", options.rounds)
        .with("deaths", options.deaths)
        .with(
            "door",
            if options.in_process {
                "in process"
            } else {
                "sockets"
            },
        )
        .with_figure("from_nothing_ms", begun.as_secs_f64() * 1e3);
    if options.in_process {
        report = report
            .with("heartbeat_ms", options.heartbeat_ms)
            .with("session_timeout_ms", options.session_timeout_ms);
    }
    for (name, took) in [("join", joins), ("leave", leaves), ("death", deaths)] {
        if let Some(found) = took.percentiles() {
            report = report
                .with_figure(&format!("{name}_p50_ms"), found.p50 / 1e3)
                .with_figure(&format!("{name}_p99_ms"), found.p99 / 1e3)
                .with_figure(&format!("{name}_max_ms"), found.max / 1e3);
        }
    }
    verdict::print(&report, style, out)
}

impl Options {
    async fn embedded(&self) -> Outcome<Option<Embedded>> {
        if !self.in_process {
            return Ok(None);
        }
        let config = BrokerConfig {
            group_heartbeat_interval: Duration::from_millis(self.heartbeat_ms.into()),
            group_session_timeout: Duration::from_millis(self.session_timeout_ms.into()),
            ..BrokerConfig::default()
        };
        Embedded::in_memory_with(config).await.map(Some)
    }
}

fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}
