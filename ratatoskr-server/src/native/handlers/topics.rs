//! create, delete, list, describe, alter topic, add partitions, trim.

use ratatoskr_core::{
    Broker,
    broker::NewTopic,
    offset::Bounds,
    wire::{
        AddPartitions, AlterTopic, ConfigEntries, CreateTopic, DeleteTopic, DescribeTopic, Done,
        ErrorBody, ListTopics, TopicBody, TopicSummary, Trim,
    },
};

use super::{Command, told};

impl Command for CreateTopic {
    async fn run(self, broker: &Broker) -> Result<TopicBody, ErrorBody> {
        let new = NewTopic {
            partitions: self.partitions,
            config: change(&self.config)?,
        };
        let created = broker.create_topic(&self.topic, new).await;
        created.map(Into::into).map_err(told)
    }
}

impl Command for DeleteTopic {
    async fn run(self, broker: &Broker) -> Result<Done, ErrorBody> {
        broker.delete_topic(&self.topic).await.map_err(told)?;
        Ok(Done {})
    }
}

impl Command for ListTopics {
    async fn run(self, broker: &Broker) -> Result<Vec<TopicSummary>, ErrorBody> {
        Ok(broker.list_topics().into_iter().map(Into::into).collect())
    }
}

impl Command for DescribeTopic {
    async fn run(self, broker: &Broker) -> Result<TopicBody, ErrorBody> {
        if self.create {
            broker.ensure_topic(&self.topic).await.map_err(told)?;
        }
        broker
            .describe_topic(&self.topic)
            .map(Into::into)
            .map_err(told)
    }
}

impl Command for AlterTopic {
    async fn run(self, broker: &Broker) -> Result<TopicBody, ErrorBody> {
        let altered = broker
            .alter_topic(&self.topic, &change(&self.config)?)
            .await;
        altered.map(Into::into).map_err(told)
    }
}

impl Command for AddPartitions {
    async fn run(self, broker: &Broker) -> Result<TopicBody, ErrorBody> {
        let altered = broker.add_partitions(&self.topic, self.total).await;
        altered.map(Into::into).map_err(told)
    }
}

impl Command for Trim {
    async fn run(self, broker: &Broker) -> Result<Bounds, ErrorBody> {
        broker
            .trim(&self.topic, self.partition, self.to)
            .await
            .map_err(told)
    }
}

fn change(entries: &ConfigEntries) -> Result<ratatoskr_core::config::TopicConfigChange, ErrorBody> {
    entries.to_change().map_err(|error| told(error.into()))
}
