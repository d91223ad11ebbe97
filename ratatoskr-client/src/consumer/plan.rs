//! What a consumer over the network reads, and how the server is asked about it.

use ratatoskr_core::{
    Error as BrokerError,
    name::TopicName,
    offset::{IsolationLevel, Offset, PartitionIndex},
    wire::{Credit, Subscribe},
};
use tokio::sync::mpsc;

use super::{ConsumerOptions, start::start_of};
use crate::{
    Error,
    client::{Client, Transport},
    remote::{Pushed, RemoteSubscription},
};

/// A subscription, and what is pushed for it.
pub(super) type Subscribed = (RemoteSubscription, mpsc::UnboundedReceiver<Pushed>);

/// What is read.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) client: Client,
    pub(super) topic: TopicName,
    pub(super) options: ConsumerOptions,
}

impl Plan {
    /// The partitions to read, as far as they are there.
    pub(super) async fn partitions(&self) -> Result<Vec<PartitionIndex>, Error> {
        let topic = self.client.describe_topic(&self.topic).await?;
        let there: Vec<_> = topic.partitions.iter().map(|part| part.index).collect();
        let Some(wanted) = &self.options.partitions else {
            return Ok(there);
        };
        match wanted.iter().find(|wanted| !there.contains(wanted)) {
            None => Ok(wanted.clone()),
            Some(&partition) => Err(Error::Broker(BrokerError::UnknownPartition {
                topic: self.topic.clone(),
                partition,
            })),
        }
    }

    /// Where reading of a partition begins.
    pub(super) async fn start_of(&self, partition: PartitionIndex) -> Result<Offset, Error> {
        start_of(&self.client, &self.topic, partition, &self.options.start).await
    }

    /// Subscribes to these partitions, each from an offset on.
    pub(super) async fn subscribe(
        &self,
        partitions: Vec<(PartitionIndex, Offset)>,
        credit: Credit,
    ) -> Result<Subscribed, Error> {
        let Transport::Remote(remote) = &self.client.transport else {
            return Err(Error::Closed);
        };
        let subscribe = Subscribe {
            topic: self.topic.clone(),
            partitions,
            committed: self.options.isolation == IsolationLevel::ReadCommitted,
            credit,
        };
        remote.subscribe(&subscribe).await
    }
}
