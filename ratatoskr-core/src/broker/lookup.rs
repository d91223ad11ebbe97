//! What a door must know before it calls on a partition: names behind ids, configuration, epochs.
//! None of it opens a partition.

use crate::{
    broker::{Broker, BrokerConfig, partition::PartitionState},
    error::Error,
    name::{TopicId, TopicName},
    offset::{LeaderEpoch, PartitionIndex},
    storage::{Capabilities, TopicDescriptor},
};

impl Broker {
    /// What the broker was configured with.
    pub fn config(&self) -> &BrokerConfig {
        &self.shared.context.config
    }

    /// What its storage can do.
    pub fn capabilities(&self) -> Capabilities {
        self.shared.storage.capabilities()
    }

    /// One topic as the catalog has it.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`].
    pub fn topic_descriptor(&self, name: &TopicName) -> Result<TopicDescriptor, Error> {
        Ok(self.topic(name)?.descriptor())
    }

    /// The name of the topic with this id; `None` where there is none (any more).
    pub fn topic_name(&self, id: TopicId) -> Option<TopicName> {
        self.shared.catalog.read().name_of(id)
    }

    /// The leader epoch of a partition; `None` while it is closed or offline: its epoch is known once
    /// it is open.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], [`Error::UnknownPartition`].
    pub fn leader_epoch(
        &self,
        topic: &TopicName,
        partition: PartitionIndex,
    ) -> Result<Option<LeaderEpoch>, Error> {
        let state = self
            .topic(topic)?
            .with_partition(partition, |cell| cell.state())?;
        Ok(match state {
            (PartitionState::Online, epoch) => Some(epoch),
            _ => None,
        })
    }
}
