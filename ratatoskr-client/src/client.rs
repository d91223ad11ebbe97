//! The client: one API for a broker in this process and one over the network.

use std::sync::Arc;

use ratatoskr_core::{
    Broker,
    name::{GroupId, TopicName},
};

use crate::{
    Error,
    address::Address,
    consumer::{ConsumerBuilder, ConsumerOptions, GroupConsumerBuilder},
    events::ClientEvents,
    options::ConnectOptions,
    producer::ProducerBuilder,
    remote::Remote,
};

/// A broker's client; clones share one connection. Dropping the last one closes it.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) transport: Transport,
}

/// How the broker is reached.
#[derive(Clone, Debug)]
pub(crate) enum Transport {
    InProcess(Broker),
    Remote(Arc<Remote>),
}

impl Client {
    /// Connects to a server, at an address such as `ratatoskr://127.0.0.1:7660`.
    ///
    /// A connection that is lost later is made again in the background; operations wait for it.
    /// [`events`](Self::events) tells of it.
    ///
    /// # Errors
    /// [`Error::InvalidAddress`]; [`Error::Unreachable`] and what the server answers to the first
    /// attempt.
    ///
    /// # Cancel safety
    /// Dropping the future connects nowhere.
    pub async fn connect(address: &str) -> Result<Self, Error> {
        Self::connect_with(address, ConnectOptions::default()).await
    }

    /// [`connect`](Self::connect) with other settings than the defaults.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    /// Dropping the future connects nowhere.
    pub async fn connect_with(address: &str, options: ConnectOptions) -> Result<Self, Error> {
        let address: Address = address.parse()?;
        let remote = Remote::connect(address, options).await?;
        Ok(Self {
            transport: Transport::Remote(remote),
        })
    }

    /// A client of a broker in this process.
    pub const fn in_process(broker: Broker) -> Self {
        Self {
            transport: Transport::InProcess(broker),
        }
    }

    /// What happens to the connection from now on; `None` in process, where there is none.
    pub fn events(&self) -> Option<ClientEvents> {
        match &self.transport {
            Transport::InProcess(_) => None,
            Transport::Remote(remote) => Some(ClientEvents {
                receiver: remote.events(),
            }),
        }
    }

    /// Closes the connection for all clones; operations from then on answer [`Error::Closed`]. A
    /// broker in this process stays open. Close producers first: what they have not sent is lost.
    pub fn close(&self) {
        if let Transport::Remote(remote) = &self.transport {
            remote.close();
        }
    }

    /// A producer for a topic, to be configured and opened.
    pub fn producer(&self, topic: &TopicName) -> ProducerBuilder {
        ProducerBuilder::new(self.clone(), topic.clone())
    }

    /// A consumer of a topic, to be configured and opened.
    pub fn consumer(&self, topic: &TopicName) -> ConsumerBuilder {
        ConsumerBuilder::new(self.clone(), topic.clone())
    }

    /// A member of a consumer group to be configured and opened, which reads the topics that it names or
    /// has a pattern for. [`ConsumerBuilder::group`] is shorter where there is one topic.
    pub fn group_consumer(&self, group: GroupId) -> GroupConsumerBuilder {
        GroupConsumerBuilder::new(self.clone(), group, ConsumerOptions::default())
    }

    /// How the client names itself.
    pub(crate) fn name(&self) -> String {
        match &self.transport {
            Transport::InProcess(_) => ConnectOptions::default().name,
            Transport::Remote(remote) => remote.name().to_owned(),
        }
    }

    /// Whether a broker that shuts down may be there again later: one in this process will not.
    pub(crate) const fn broker_comes_back(&self) -> bool {
        matches!(self.transport, Transport::Remote(_))
    }
}
