//! `ratatoskr topic describe`.

use std::{collections::BTreeMap, io::Write};

use ratatoskr_core::{
    broker::{PartitionDescription, PartitionState, TopicDescription},
    name::TopicName,
};
use serde::Serialize;

use crate::cli::{
    connection,
    exit::Outcome,
    output::{self, Row, Style},
};

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr topic describe orders
  $ ratatoskr topic describe orders --output json";

/// Which one.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// Its name
    name: TopicName,
}

#[derive(Debug, Serialize)]
struct Described {
    name: String,
    id: String,
    /// Whether the broker keeps its own state there.
    internal: bool,
    config: BTreeMap<&'static str, String>,
    partitions: Vec<Part>,
}

#[derive(Debug, Serialize)]
struct Part {
    partition: u32,
    state: &'static str,
    /// What took it down.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    log_start: u64,
    high_watermark: u64,
    log_end: u64,
    durable_end: u64,
    records: u64,
    bytes: u64,
    segments: u32,
    leader_epoch: i32,
}

impl Part {
    fn of(partition: &PartitionDescription) -> Self {
        let bounds = &partition.bounds;
        Self {
            partition: partition.index.get(),
            state: match &partition.state {
                PartitionState::Closed => "closed",
                PartitionState::Online => "online",
                PartitionState::Offline { .. } => "offline",
            },
            reason: match &partition.state {
                PartitionState::Offline { reason } => Some(reason.clone()),
                _ => None,
            },
            log_start: bounds.log_start.get(),
            high_watermark: bounds.high_watermark.get(),
            log_end: bounds.log_end.get(),
            durable_end: bounds.durable_end.get(),
            records: bounds.records(),
            bytes: partition.bytes,
            segments: partition.segments,
            leader_epoch: partition.leader_epoch.get(),
        }
    }
}

impl Row for Part {
    const COLUMNS: &'static [&'static str] = &[
        "PARTITION",
        "STATE",
        "RECORDS",
        "BYTES",
        "LOG START",
        "HIGH WATERMARK",
        "LOG END",
        "DURABLE END",
        "SEGMENTS",
        "LEADER EPOCH",
    ];
    const NARROW: usize = 6;

    fn cells(&self) -> Vec<String> {
        vec![
            self.partition.to_string(),
            self.state.to_owned(),
            self.records.to_string(),
            output::bytes(self.bytes),
            self.log_start.to_string(),
            self.high_watermark.to_string(),
            self.log_end.to_string(),
            self.durable_end.to_string(),
            self.segments.to_string(),
            self.leader_epoch.to_string(),
        ]
    }
}

/// # Errors
/// What the broker answers, or stdout cannot be written to.
pub(super) async fn run(
    options: &Options,
    at: &connection::Options,
    style: Style,
    out: &mut impl Write,
) -> Outcome {
    let client = at.connect().await?;
    let topic = at.ask(client.describe_topic(&options.name)).await?;
    print(&topic, style, out)
}

/// Prints a topic, as every verb does that ends with one.
///
/// # Errors
/// Stdout cannot be written to.
pub(super) fn print(topic: &TopicDescription, style: Style, out: &mut impl Write) -> Outcome {
    let described = Described {
        name: topic.name.to_string(),
        id: topic.id.to_string(),
        internal: topic.name.is_internal(),
        config: topic.config.entries().into_iter().collect(),
        partitions: topic.partitions.iter().map(Part::of).collect(),
    };
    output::one(style, &described, out, |out, wide| {
        let whose = if described.internal {
            "  internal: the broker keeps its own state here"
        } else {
            ""
        };
        writeln!(out, "{}  {}{whose}\n", described.name, described.id)?;
        let columns = if wide {
            Part::COLUMNS.len()
        } else {
            Part::NARROW
        };
        output::table(&described.partitions, columns, out)?;
        writeln!(out)?;
        for (name, value) in topic.config.entries() {
            writeln!(out, "{name:15}  {value}")?;
        }
        Ok(())
    })
}
