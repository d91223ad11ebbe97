//! Administration: topics and counters.

use ratatoskr_core::{
    broker::{NewTopic, TopicDescription},
    config::TopicConfigChange,
    name::TopicName,
    offset::{Bounds, Offset, PartitionIndex},
    storage::TopicDescriptor,
    wire::{self, ConfigEntries},
};

use crate::{
    Error,
    client::{Client, Transport},
    remote::Repeat,
};

/// Administration.
impl Client {
    /// Creates a topic.
    ///
    /// # Errors
    /// As [`Broker::create_topic`](ratatoskr_core::Broker::create_topic), and those of the connection.
    ///
    /// # Cancel safety
    /// Dropping the future may leave the topic created.
    pub async fn create_topic(
        &self,
        topic: &TopicName,
        new: NewTopic,
    ) -> Result<TopicDescription, Error> {
        match &self.transport {
            Transport::InProcess(broker) => Ok(broker.create_topic(topic, new).await?),
            Transport::Remote(remote) => {
                let request = wire::CreateTopic {
                    topic: topic.clone(),
                    partitions: new.partitions,
                    config: ConfigEntries::from(&new.config),
                };
                let repeat = Repeat::IfNotCarriedOut;
                described(remote.call("create topic", &request, repeat).await?)
            }
        }
    }

    /// Deletes a topic with all its records.
    ///
    /// # Errors
    /// As [`Broker::delete_topic`](ratatoskr_core::Broker::delete_topic), and those of the connection.
    ///
    /// # Cancel safety
    /// Dropping the future may leave the topic deleted.
    pub async fn delete_topic(&self, topic: &TopicName) -> Result<(), Error> {
        match &self.transport {
            Transport::InProcess(broker) => Ok(broker.delete_topic(topic).await?),
            Transport::Remote(remote) => {
                let request = wire::DeleteTopic {
                    topic: topic.clone(),
                };
                let repeat = Repeat::IfNotCarriedOut;
                remote.call("delete topic", &request, repeat).await?;
                Ok(())
            }
        }
    }

    /// Every topic, in the order of their names.
    ///
    /// # Errors
    /// Those of the connection.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn list_topics(&self) -> Result<Vec<TopicDescriptor>, Error> {
        match &self.transport {
            Transport::InProcess(broker) => Ok(broker.list_topics()),
            Transport::Remote(remote) => {
                let request = wire::ListTopics {};
                let topics = remote.call("list topics", &request, Repeat::Freely).await?;
                let topics = topics.into_iter().map(TopicDescriptor::try_from);
                topics.collect::<Result<_, _>>().map_err(newer_config)
            }
        }
    }

    /// One topic, with what its partitions hold.
    ///
    /// # Errors
    /// As [`Broker::describe_topic`](ratatoskr_core::Broker::describe_topic), and those of the connection.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn describe_topic(&self, topic: &TopicName) -> Result<TopicDescription, Error> {
        self.describe(topic, false).await
    }

    /// The same of a topic that is created first, if it is not there and the broker is configured to
    /// create topics by itself.
    ///
    /// # Errors
    /// As [`Broker::ensure_topic`](ratatoskr_core::Broker::ensure_topic), and those of the connection.
    ///
    /// # Cancel safety
    /// Dropping the future may leave the topic created.
    pub async fn ensure_topic(&self, topic: &TopicName) -> Result<TopicDescription, Error> {
        self.describe(topic, true).await
    }

    async fn describe(&self, topic: &TopicName, create: bool) -> Result<TopicDescription, Error> {
        match &self.transport {
            Transport::InProcess(broker) => {
                if create {
                    broker.ensure_topic(topic).await?;
                }
                Ok(broker.describe_topic(topic)?)
            }
            Transport::Remote(remote) => {
                let request = wire::DescribeTopic {
                    topic: topic.clone(),
                    create,
                };
                let call = remote.call("describe topic", &request, Repeat::Freely);
                described(call.await?)
            }
        }
    }

    /// Changes a topic's configuration; what is not named stays.
    ///
    /// # Errors
    /// As [`Broker::alter_topic`](ratatoskr_core::Broker::alter_topic), and those of the connection.
    ///
    /// # Cancel safety
    /// Dropping the future may leave the change made.
    pub async fn alter_topic(
        &self,
        topic: &TopicName,
        change: &TopicConfigChange,
    ) -> Result<TopicDescription, Error> {
        match &self.transport {
            Transport::InProcess(broker) => Ok(broker.alter_topic(topic, change).await?),
            Transport::Remote(remote) => {
                let request = wire::AlterTopic {
                    topic: topic.clone(),
                    config: change.into(),
                };
                let call = remote.call("alter topic", &request, Repeat::Freely);
                described(call.await?)
            }
        }
    }

    /// Adds partitions until the topic has `total`.
    ///
    /// # Errors
    /// As [`Broker::add_partitions`](ratatoskr_core::Broker::add_partitions), and those of the connection.
    ///
    /// # Cancel safety
    /// Dropping the future may leave the change made.
    pub async fn add_partitions(
        &self,
        topic: &TopicName,
        total: u32,
    ) -> Result<TopicDescription, Error> {
        match &self.transport {
            Transport::InProcess(broker) => Ok(broker.add_partitions(topic, total).await?),
            Transport::Remote(remote) => {
                let request = wire::AddPartitions {
                    topic: topic.clone(),
                    total,
                };
                let call = remote.call("add partitions", &request, Repeat::Freely);
                described(call.await?)
            }
        }
    }

    /// Removes the records of a partition before `to`, for good.
    ///
    /// # Errors
    /// As [`Broker::trim`](ratatoskr_core::Broker::trim), and those of the connection.
    ///
    /// # Cancel safety
    /// Dropping the future may leave the records removed.
    pub async fn trim(
        &self,
        topic: &TopicName,
        partition: PartitionIndex,
        to: Offset,
    ) -> Result<Bounds, Error> {
        match &self.transport {
            Transport::InProcess(broker) => Ok(broker.trim(topic, partition, to).await?),
            Transport::Remote(remote) => {
                let topic = topic.clone();
                let request = wire::Trim {
                    topic,
                    partition,
                    to,
                };
                remote.call("trim", &request, Repeat::Freely).await
            }
        }
    }

    /// The broker's counters by name, and what is down.
    ///
    /// # Errors
    /// Those of the connection.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn stats(&self) -> Result<wire::StatsBody, Error> {
        match &self.transport {
            Transport::InProcess(broker) => Ok(broker.into()),
            Transport::Remote(remote) => {
                remote.call("stats", &wire::Stats {}, Repeat::Freely).await
            }
        }
    }
}

fn described(body: wire::TopicBody) -> Result<TopicDescription, Error> {
    body.try_into().map_err(newer_config)
}

/// A server of this version has no value that is not known here.
#[expect(
    clippy::needless_pass_by_value,
    reason = "it is what `map_err` hands over"
)]
fn newer_config(error: ratatoskr_core::config::InvalidConfig) -> Error {
    Error::Protocol(error.to_string())
}
