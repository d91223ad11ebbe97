//! The client: one API for a broker in this process and one over the network.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use ratatoskr_core::{
    Broker,
    batch::RecordBatch,
    broker::{
        FetchRequest, FetchResponse, Fetched, FetchedPartition, NewTopic, OffsetSpec, Produced,
        ProducerIdentity, TopicDescription,
    },
    config::TopicConfigChange,
    name::TopicName,
    offset::{Bounds, IsolationLevel, Offset, PartitionIndex},
    storage::{BatchSlices, TopicDescriptor},
    wire::{self, ConfigEntries},
};

use crate::{
    Error,
    address::Address,
    consumer::ConsumerBuilder,
    events::ClientEvents,
    options::ConnectOptions,
    producer::ProducerBuilder,
    remote::{Remote, Repeat},
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
}

/// Administration.
impl Client {
    /// Creates a topic.
    ///
    /// # Errors
    /// As [`Broker::create_topic`], and those of the connection.
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
    /// As [`Broker::delete_topic`], and those of the connection.
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
    /// As [`Broker::describe_topic`], and those of the connection.
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
    /// As [`Broker::ensure_topic`], and those of the connection.
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
    /// As [`Broker::alter_topic`], and those of the connection.
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
    /// As [`Broker::add_partitions`], and those of the connection.
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
    /// As [`Broker::trim`], and those of the connection.
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

/// Batches and offsets, for those who build something of their own.
impl Client {
    /// The offset that `spec` means now; `None` where no record is of that time or later.
    ///
    /// # Errors
    /// As [`Broker::offset_at`], and those of the connection.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn offset_at(
        &self,
        topic: &TopicName,
        partition: PartitionIndex,
        spec: OffsetSpec,
    ) -> Result<Option<Offset>, Error> {
        match &self.transport {
            Transport::InProcess(broker) => Ok(broker.offset_at(topic, partition, spec).await?),
            Transport::Remote(remote) => Ok(find(remote, topic, partition, spec).await?.offset),
        }
    }

    /// Where the log of a partition begins and ends.
    ///
    /// # Errors
    /// As [`Broker::bounds`], and those of the connection.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn bounds(
        &self,
        topic: &TopicName,
        partition: PartitionIndex,
    ) -> Result<Bounds, Error> {
        match &self.transport {
            Transport::InProcess(broker) => Ok(broker.bounds(topic, partition)?),
            Transport::Remote(remote) => {
                let found = find(remote, topic, partition, OffsetSpec::End).await?;
                Ok(found.bounds)
            }
        }
    }

    /// An identity for an idempotent producer.
    ///
    /// # Errors
    /// Those of the connection.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn new_producer(&self) -> Result<ProducerIdentity, Error> {
        match &self.transport {
            Transport::InProcess(broker) => Ok(broker.new_producer()),
            Transport::Remote(remote) => {
                let request = wire::NewProducer {};
                let producer = remote
                    .call("new producer", &request, Repeat::Freely)
                    .await?;
                Ok(ProducerIdentity {
                    id: producer.id,
                    epoch: producer.epoch,
                })
            }
        }
    }

    /// Appends one batch as it is, once: nothing is sent again. It is on its way when this returns,
    /// after all batches of earlier calls.
    ///
    /// # Errors
    /// As [`Broker::produce`], and those of the connection, where
    /// [`Error::outcome`] tells whether the batch may have been appended.
    pub fn produce_batch(
        &self,
        topic: &TopicName,
        partition: PartitionIndex,
        batch: &RecordBatch,
    ) -> Result<PendingBatch, Error> {
        match &self.transport {
            Transport::InProcess(broker) => {
                let pending = broker.produce(topic, partition, batch.clone())?;
                Ok(PendingBatch(Pending::InProcess(pending)))
            }
            Transport::Remote(remote) => {
                let sent = remote.produce(topic, partition, batch)?;
                Ok(PendingBatch(Pending::Remote(partition, sent)))
            }
        }
    }

    pub(crate) fn produce_unacknowledged(
        &self,
        topic: &TopicName,
        partition: PartitionIndex,
        batch: RecordBatch,
    ) -> Result<(), Error> {
        match &self.transport {
            Transport::InProcess(broker) => {
                let _ = broker.produce(topic, partition, batch)?;
                Ok(())
            }
            Transport::Remote(remote) => remote.produce_unacknowledged(topic, partition, &batch),
        }
    }

    /// Reads whole batches, waiting for them if need be. The bytes are not checked: decoding them
    /// does that.
    ///
    /// # Errors
    /// As [`Broker::fetch`], and those of the connection.
    ///
    /// # Cancel safety
    /// Dropping the future reads nothing.
    pub async fn fetch(&self, request: &FetchRequest) -> Result<FetchResponse, Error> {
        match &self.transport {
            Transport::InProcess(broker) => Ok(broker.fetch(request).await?),
            Transport::Remote(remote) => {
                let asked = fetch_body(request);
                let (body, batches) = remote
                    .call_for_batches("fetch", &asked, request.wait_max)
                    .await?;
                fetched(request, body, batches)
            }
        }
    }
}

/// A batch on its way.
///
/// Dropping it abandons the wait, not the batch.
#[derive(Debug)]
#[must_use = "only its wait tells whether the batch was appended"]
pub struct PendingBatch(Pending);

#[derive(Debug)]
enum Pending {
    InProcess(ratatoskr_core::broker::PendingProduce),
    Remote(PartitionIndex, crate::remote::Sent),
}

impl PendingBatch {
    /// The answer, if it is known already.
    pub const fn ready(&self) -> Option<Produced> {
        match &self.0 {
            Pending::InProcess(pending) => pending.ready(),
            Pending::Remote(..) => None,
        }
    }

    /// Waits until the batch can be read and is as durable as its topic promises.
    ///
    /// # Errors
    /// [`Error::outcome`] tells whether the batch may have been appended.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the batch on its way.
    pub async fn wait(self) -> Result<Produced, Error> {
        match self.0 {
            Pending::InProcess(pending) => Ok(pending.wait().await?),
            Pending::Remote(partition, sent) => {
                let produced = sent.wait().await?;
                Ok(Produced {
                    partition,
                    base_offset: produced.base_offset,
                    log_append_time: produced.log_append_time,
                    durability: produced.durability.0,
                    duplicate: produced.duplicate,
                })
            }
        }
    }
}

async fn find(
    remote: &Remote,
    topic: &TopicName,
    partition: PartitionIndex,
    at: OffsetSpec,
) -> Result<wire::FoundOffset, Error> {
    let request = wire::FindOffset {
        topic: topic.clone(),
        partition,
        at,
    };
    remote.call("find offset", &request, Repeat::Freely).await
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

fn fetch_body(request: &FetchRequest) -> wire::Fetch {
    let size = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    let wait_ms = |wait: Duration| u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
    wire::Fetch {
        partitions: request
            .partitions
            .iter()
            .map(|part| wire::FetchPartition {
                topic: part.topic.clone(),
                partition: part.partition,
                from: part.from,
                bytes_max: size(part.bytes_max),
            })
            .collect(),
        bytes_min: size(request.bytes_min),
        bytes_max: size(request.bytes_max),
        wait_ms: wait_ms(request.wait_max),
        committed: request.isolation == IsolationLevel::ReadCommitted,
    }
}

fn fetched(
    request: &FetchRequest,
    body: wire::Fetched,
    mut batches: Bytes,
) -> Result<FetchResponse, Error> {
    if body.partitions.len() != request.partitions.len() {
        return Err(Error::Protocol(
            "a fetch was answered for other partitions".into(),
        ));
    }
    let mut partitions = Vec::with_capacity(body.partitions.len());
    for (asked, part) in request.partitions.iter().zip(body.partitions) {
        let bytes = part.bytes as usize;
        if bytes > batches.len() {
            return Err(Error::Protocol(
                "a fetch was answered with too few bytes".into(),
            ));
        }
        let slice = batches.split_to(bytes);
        partitions.push(FetchedPartition {
            topic: asked.topic.clone(),
            partition: asked.partition,
            result: match part.error {
                None => Ok(Fetched {
                    batches: BatchSlices::new(vec![slice]),
                    bounds: part.bounds,
                }),
                Some(error) => Err(error
                    .into_error()
                    .unwrap_or_else(|error| ratatoskr_core::Error::Internal(error.to_string()))),
            },
        });
    }
    Ok(FetchResponse { partitions })
}
