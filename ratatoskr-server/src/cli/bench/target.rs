//! Where the load goes: the topics of a benchmark, and where its records are put.

use std::num::NonZeroU32;

use ratatoskr_client::{Client, Error};
use ratatoskr_core::{
    Error as BrokerError,
    broker::{NewTopic, TopicDescription},
    config::{Durability, TopicConfigChange},
    name::TopicName,
    offset::PartitionIndex,
};
use ratatoskr_server::load::Report;

use crate::cli::{
    connection,
    exit::{Exit, Failure, Outcome},
};

/// The topics, which are created where they are not there.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub(super) struct Options {
    /// The topic
    #[arg(long, default_value = "bench")]
    topic: TopicName,
    /// Spread the records over this many topics, TOPIC-0 and so on
    #[arg(long, value_name = "COUNT")]
    topics: Option<NonZeroU32>,
    /// Partitions of topics that are created [default: 1]
    #[arg(long, value_name = "COUNT")]
    partitions: Option<u32>,
    #[command(flatten)]
    durability: DurabilityOption,
}

/// How durable an acknowledged record is.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub(super) struct DurabilityOption {
    /// Durability of topics that are created: fsync, interval(100ms), os or memory
    #[arg(long, value_name = "DURABILITY")]
    pub(super) durability: Option<Durability>,
}

/// The topics as they are.
#[derive(Clone, Debug)]
pub(super) struct Targets {
    pub(super) topics: Vec<TopicDescription>,
}

impl Options {
    fn names(&self) -> Outcome<Vec<TopicName>> {
        names(&self.topic, self.topics)
    }

    /// Creates those that are not there.
    ///
    /// # Errors
    /// What the broker answers; [`Exit::Conflict`] where a topic is there and not as asked for.
    pub(super) async fn create(
        &self,
        client: &Client,
        at: &connection::Options,
    ) -> Outcome<Targets> {
        let mut topics = Vec::new();
        for name in self.names()? {
            let new = new_topic(self.partitions.unwrap_or(1), self.durability.durability);
            let topic = match client.create_topic(&name, new).await {
                Ok(topic) => topic,
                Err(Error::Broker(BrokerError::TopicExists(_))) => {
                    let topic = at.ask(client.describe_topic(&name)).await?;
                    self.suits(&topic)?;
                    topic
                }
                Err(error) => return Err(at.failed(&error)),
            };
            topics.push(topic);
        }
        Ok(Targets { topics })
    }

    /// Figures are told under the conditions asked for, or not at all.
    fn suits(&self, topic: &TopicDescription) -> Outcome {
        let partitions = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
        let durability = topic.config.durability;
        let differs = if self.partitions.is_some_and(|asked| asked != partitions) {
            format!("it has {partitions} partitions")
        } else if (self.durability.durability).is_some_and(|asked| asked != durability) {
            format!("its durability is {durability}")
        } else {
            return Ok(());
        };
        let name = &topic.name;
        let what = format!("the topic {name} is there, and not as it is asked for");
        Err(Failure::new(Exit::Conflict, what)
            .because(differs)
            .next(format!("ratatoskr topic rm {name} -y, or --topic NAME")))
    }
}

impl Targets {
    /// Every partition of every topic; the topics take turns.
    pub(super) fn places(&self) -> Vec<(TopicName, PartitionIndex)> {
        let most = self.topics.iter().map(|topic| topic.partitions.len()).max();
        let mut places = Vec::new();
        for at in 0..most.unwrap_or_default() {
            for topic in &self.topics {
                if let Some(partition) = topic.partitions.get(at) {
                    places.push((topic.name.clone(), partition.index));
                }
            }
        }
        places
    }

    /// The report with what is to be said of the topics.
    pub(super) fn describe(&self, report: Report) -> Report {
        let Some(first) = self.topics.first() else {
            return report;
        };
        report
            .with("topics", self.topics.len())
            .with("partitions", first.partitions.len())
            .with("durability", first.config.durability)
    }
}

/// A topic to be created.
pub(super) fn new_topic(partitions: u32, durability: Option<Durability>) -> NewTopic {
    NewTopic {
        partitions: Some(partitions),
        config: TopicConfigChange {
            durability,
            ..TopicConfigChange::default()
        },
    }
}

/// `topic`, or as many as are asked for, each with its number behind that name.
pub(super) fn names(topic: &TopicName, count: Option<NonZeroU32>) -> Outcome<Vec<TopicName>> {
    let Some(count) = count else {
        return Ok(vec![topic.clone()]);
    };
    (0..count.get())
        .map(|number| {
            let name = TopicName::parse(&format!("{topic}-{number}"));
            name.map_err(|error| Failure::usage(error.to_string()))
        })
        .collect()
}
