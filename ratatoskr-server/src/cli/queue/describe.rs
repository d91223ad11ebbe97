//! `ratatoskr queue describe`.

use std::{collections::BTreeMap, io::Write};

use ratatoskr_core::{
    broker::{QueueDescription, QueuePartitionDescription, QueueTopicDescription},
    delivery::QueueCounters,
    name::GroupId,
};
use serde::Serialize;

use crate::cli::{
    connection,
    exit::Outcome,
    output::{self, Row, Style},
};

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr queue describe billing
  $ ratatoskr queue describe billing --output json";

/// Which one.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// Its name
    group: GroupId,
}

#[derive(Debug, Serialize)]
struct Described {
    group: String,
    config: BTreeMap<&'static str, String>,
    topics: Vec<PerTopic>,
    consumers: Vec<Consumer>,
}

#[derive(Debug, Serialize)]
struct PerTopic {
    topic: String,
    id: String,
    dead_letter_topic: Option<String>,
    partitions: Vec<Part>,
}

impl PerTopic {
    fn of(topic: &QueueTopicDescription) -> Self {
        Self {
            topic: topic.topic.to_string(),
            id: topic.id.to_string(),
            dead_letter_topic: topic.dead_letter_topic.as_ref().map(ToString::to_string),
            partitions: topic.partitions.iter().map(Part::of).collect(),
        }
    }
}

/// A consumer that holds records.
#[derive(Debug, Serialize)]
struct Consumer {
    consumer: String,
    holds: u64,
}

impl Row for Consumer {
    const COLUMNS: &'static [&'static str] = &["CONSUMER", "HOLDS"];
    const NARROW: usize = 2;

    fn cells(&self) -> Vec<String> {
        vec![self.consumer.clone(), self.holds.to_string()]
    }
}

#[derive(Debug, Serialize)]
struct Part {
    partition: u32,
    start: u64,
    next: u64,
    available: u64,
    #[serde(flatten)]
    counters: QueueCounters,
}

impl Part {
    const fn of(partition: &QueuePartitionDescription) -> Self {
        Self {
            partition: partition.partition.get(),
            start: partition.start.get(),
            next: partition.next.get(),
            available: partition.available,
            counters: partition.counters,
        }
    }
}

impl Row for Part {
    const COLUMNS: &'static [&'static str] = &[
        "PARTITION",
        "AVAILABLE",
        "IN FLIGHT",
        "DELAYED",
        "BLOCKED",
        "DYING",
        "ACKNOWLEDGED",
        "DEAD LETTERS",
        "DELIVERED",
        "REDELIVERED",
        "LEASES EXPIRED",
        "DISCARDED",
        "EXPIRED",
        "LOST",
        "START",
        "NEXT",
    ];
    const NARROW: usize = 8;

    fn cells(&self) -> Vec<String> {
        let counters = &self.counters;
        let numbers = [
            self.available,
            counters.in_flight,
            counters.delayed,
            counters.blocked,
            counters.dying,
            counters.acknowledged,
            counters.dead_lettered,
            counters.delivered,
            counters.redelivered,
            counters.leases_expired,
            counters.discarded,
            counters.expired,
            counters.lost,
            self.start,
            self.next,
        ];
        let partition = std::iter::once(self.partition.to_string());
        partition
            .chain(numbers.iter().map(ToString::to_string))
            .collect()
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
    let queue = at.ask(client.describe_queue(&options.group)).await?;
    print(&queue, style, out)
}

/// Prints a queue group, as every verb does that ends with one.
///
/// # Errors
/// Stdout cannot be written to.
pub(super) fn print(queue: &QueueDescription, style: Style, out: &mut impl Write) -> Outcome {
    let consumers = queue.consumers.iter().map(|(consumer, holds)| Consumer {
        consumer: consumer.to_string(),
        holds: *holds,
    });
    let described = Described {
        group: queue.group.to_string(),
        config: queue.config.entries().into_iter().collect(),
        topics: queue.topics.iter().map(PerTopic::of).collect(),
        consumers: consumers.collect(),
    };
    output::one(style, &described, out, |out, wide| {
        writeln!(out, "{}", described.group)?;
        let columns = if wide {
            Part::COLUMNS.len()
        } else {
            Part::NARROW
        };
        for topic in &described.topics {
            let letters = topic.dead_letter_topic.as_deref().unwrap_or("nowhere");
            writeln!(out, "\n{}  dead letters: {letters}", topic.topic)?;
            output::table(&topic.partitions, columns, out)?;
        }
        if !described.consumers.is_empty() {
            writeln!(out)?;
            output::table(&described.consumers, Consumer::COLUMNS.len(), out)?;
        }
        writeln!(out)?;
        for (name, value) in queue.config.entries() {
            writeln!(out, "{name:26}  {value}")?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use ratatoskr_core::{
        delivery::{ConsumerId, QueueConfig},
        name::{TopicId, TopicName},
    };

    use super::*;

    #[test]
    fn a_queue_group_in_every_style() {
        let queue = QueueDescription {
            group: GroupId::parse("billing").unwrap(),
            config: QueueConfig::default(),
            topics: vec![QueueTopicDescription {
                topic: TopicName::parse("orders").unwrap(),
                id: TopicId::from_bytes([7; 16]).unwrap(),
                dead_letter_topic: Some(TopicName::parse("orders.dlq").unwrap()),
                partitions: vec![QueuePartitionDescription {
                    partition: 0.into(),
                    start: 17.into(),
                    next: 40.into(),
                    available: 20,
                    counters: QueueCounters {
                        in_flight: 2,
                        delayed: 1,
                        delivered: 21,
                        redelivered: 3,
                        acknowledged: 17,
                        dead_lettered: 1,
                        ..QueueCounters::default()
                    },
                }],
            }],
            consumers: vec![(ConsumerId::parse("worker-1").unwrap(), 2)],
        };
        let mut out = Vec::new();
        for style in [Style::Table, Style::Wide, Style::Json, Style::Ndjson] {
            writeln!(out, "== {style:?}").unwrap();
            print(&queue, style, &mut out).unwrap();
        }
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }
}
