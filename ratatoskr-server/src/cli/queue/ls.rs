//! `ratatoskr queue ls`.

use std::io::Write;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use ratatoskr_client::{Client, Error, QueueError};
use ratatoskr_core::{
    Error as BrokerError, broker::QueueDescription, delivery::QueueCounters, name::GroupId,
};
use serde::Serialize;

use crate::cli::{
    connection,
    exit::Outcome,
    output::{self, Row, Style},
};

/// Groups that are asked about at the same time.
const ASKED_AT_ONCE: usize = 16;

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr queue ls
  $ ratatoskr queue ls --output wide
  $ ratatoskr queue ls --output json";

/// Nothing to choose.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {}

/// A queue group in a list.
#[derive(Debug, Serialize)]
struct Listed {
    group: String,
    topics: Vec<String>,
    consumers: usize,
    available: u64,
    in_flight: u64,
    delayed: u64,
    blocked: u64,
    dying: u64,
}

impl Listed {
    fn of(queue: &QueueDescription) -> Self {
        let mut available = 0;
        let mut counters = QueueCounters::default();
        for partition in queue.topics.iter().flat_map(|topic| &topic.partitions) {
            available += partition.available;
            counters += partition.counters;
        }
        Self {
            group: queue.group.to_string(),
            topics: queue.topics.iter().map(|t| t.topic.to_string()).collect(),
            consumers: queue.consumers.len(),
            available,
            in_flight: counters.in_flight,
            delayed: counters.delayed,
            blocked: counters.blocked,
            dying: counters.dying,
        }
    }
}

impl Row for Listed {
    const COLUMNS: &'static [&'static str] = &[
        "GROUP",
        "TOPICS",
        "AVAILABLE",
        "IN FLIGHT",
        "DELAYED",
        "CONSUMERS",
        "BLOCKED",
        "DYING",
    ];
    const NARROW: usize = 6;

    fn cells(&self) -> Vec<String> {
        let topics = match &self.topics[..] {
            [] => "-".to_owned(),
            topics => topics.join(","),
        };
        vec![
            self.group.clone(),
            topics,
            self.available.to_string(),
            self.in_flight.to_string(),
            self.delayed.to_string(),
            self.consumers.to_string(),
            self.blocked.to_string(),
            self.dying.to_string(),
        ]
    }
}

/// # Errors
/// What the broker answers, or stdout cannot be written to.
pub(super) async fn run(
    _: &Options,
    at: &connection::Options,
    style: Style,
    out: &mut impl Write,
) -> Outcome {
    let client = at.connect().await?;
    let groups = at.ask(client.list_queues()).await?;
    let described = stream::iter(groups)
        .map(|group| describe(&client, group))
        .buffered(ASKED_AT_ONCE)
        .try_filter_map(async |described| Ok(described));
    let queues: Vec<QueueDescription> = at.ask(described.try_collect()).await?;
    let rows: Vec<Listed> = queues.iter().map(Listed::of).collect();
    output::list(style, &rows, out)
}

/// `None` for a group that has been deleted meanwhile.
async fn describe(client: &Client, group: GroupId) -> Result<Option<QueueDescription>, Error> {
    match client.describe_queue(&group).await {
        Ok(described) => Ok(Some(described)),
        Err(Error::Broker(BrokerError::Queue(QueueError::UnknownGroup(_)))) => Ok(None),
        Err(error) => Err(error),
    }
}
