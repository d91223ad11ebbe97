//! `ratatoskr bench stall`: subscribers that take nothing of what they are sent, beside whom others are
//! to be served as if they were not there.

use std::{
    io::Write,
    num::NonZeroU32,
    time::{Duration, Instant},
};

use ratatoskr_core::{broker::StartAt, name::TopicName};
use ratatoskr_server::load::Report;

use super::{pacing, verdict};
use crate::cli::{connection, exit::Outcome, output::Style};

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr bench produce --records 2000 && ratatoskr bench stall --subscribers 10 --seconds 0.1";

/// Who stalls, and for how long.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// The topic
    #[arg(long, default_value = "bench")]
    topic: TopicName,
    /// Subscribers, each with a connection of its own, that begin at the end of the topic
    #[arg(long, value_name = "COUNT", default_value = "100")]
    subscribers: NonZeroU32,
    /// Stay for this long
    #[arg(long, value_name = "SECONDS", value_parser = pacing::seconds, default_value = "10")]
    seconds: Duration,
}

/// # Errors
/// What the broker answers.
pub(super) async fn run(
    options: &Options,
    at: &connection::Options,
    style: Style,
    out: &mut impl Write,
) -> Outcome {
    let mut stalled = Vec::new();
    for _ in 0..options.subscribers.get() {
        let client = at.connect().await?;
        let consumer = client.consumer(&options.topic).start(StartAt::End);
        stalled.push((at.ask(consumer.open()).await?, client));
    }
    let start = Instant::now();
    tokio::time::sleep(options.seconds).await;
    let report = Report::new("stall", 0, 0, start.elapsed()).with("subscribers", stalled.len());
    verdict::print(&report, style, out)
}
