//! Batches as they are, and offsets.

use std::time::Duration;

use bytes::Bytes;
use ratatoskr_core::{
    batch::RecordBatch,
    broker::{
        FetchRequest, FetchResponse, Fetched, FetchedPartition, OffsetSpec, PendingProduce,
        Produced, ProducerIdentity,
    },
    name::TopicName,
    offset::{Bounds, IsolationLevel, Offset, PartitionIndex},
    storage::BatchSlices,
    wire,
};

use crate::{
    Error,
    client::{Client, Transport},
    remote::{Remote, Repeat, Sent},
};

/// Batches and offsets, for those who build something of their own.
impl Client {
    /// The offset that `spec` means now; `None` where no record is of that time or later.
    ///
    /// # Errors
    /// As [`Broker::offset_at`](ratatoskr_core::Broker::offset_at), and those of the connection.
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
    /// As [`Broker::bounds`](ratatoskr_core::Broker::bounds), and those of the connection.
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
    /// As [`Broker::produce`](ratatoskr_core::Broker::produce), and those of the connection, where
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

    /// Reads whole batches, waiting for them if need be. The bytes are not checked: decoding them
    /// does that.
    ///
    /// # Errors
    /// As [`Broker::fetch`](ratatoskr_core::Broker::fetch), and those of the connection.
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
    InProcess(PendingProduce),
    Remote(PartitionIndex, Sent),
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
                Ok(produced.at(partition))
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
                    from: asked.from,
                    batches: BatchSlices::parse(slice)
                        .map_err(|error| Error::Protocol(error.to_string()))?,
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
