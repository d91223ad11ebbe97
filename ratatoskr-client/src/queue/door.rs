//! Taking, settling and giving back, in process or over the network.

use std::time::Duration;

use bytes::Bytes;
use ratatoskr_core::{
    broker::{AcquireOptions, Acquired, AcquiredPartition},
    delivery::{ConsumerId, Settlement},
    name::{GroupId, TopicName},
    storage::BatchSlices,
    wire,
};

use crate::{
    Error, Outcome,
    client::{Client, Transport},
    remote::{Repeat, told},
};

/// One consumer of a queue.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) client: Client,
    pub(super) topic: TopicName,
    pub(super) group: GroupId,
    pub(super) consumer: ConsumerId,
}

/// What became of each settlement.
pub(super) type Settled = Vec<Result<(), Error>>;

impl Door {
    pub(super) async fn acquire(&self, options: &AcquireOptions) -> Result<Acquired, Error> {
        match &self.client.transport {
            Transport::InProcess(broker) => Ok(broker
                .queue_acquire(&self.group, &self.topic, &self.consumer, options)
                .await?),
            Transport::Remote(remote) => {
                let request = wire::QueueAcquire {
                    group: self.group.clone(),
                    topic: self.topic.clone(),
                    consumer: self.consumer.clone(),
                    records_max: options.records_max,
                    bytes_max: u32::try_from(options.bytes_max).unwrap_or(u32::MAX),
                    wait_ms: u32::try_from(options.wait.as_millis()).unwrap_or(u32::MAX),
                    lease_ms: options
                        .lease
                        .map(|lease| u64::try_from(lease.as_millis()).unwrap_or(u64::MAX)),
                };
                // What a lost connection had taken is given back when the server notices.
                let (body, batches) = remote
                    .call_for_batches("queue acquire", &request, options.wait)
                    .await?;
                acquired(self.topic.clone(), body, batches)
            }
        }
    }

    pub(super) async fn settle(&self, settlements: Vec<Settlement>) -> Result<Settled, Error> {
        match &self.client.transport {
            Transport::InProcess(broker) => {
                let pending = broker
                    .queue_settle(&self.group, &self.topic, &self.consumer, settlements)
                    .await?;
                let results = pending.wait().await?.into_iter();
                let results = results.map(|result| {
                    result.map_err(|error| ratatoskr_core::Error::Queue(error).into())
                });
                Ok(results.collect())
            }
            Transport::Remote(remote) => {
                let count = settlements.len();
                let request = wire::QueueSettle {
                    group: self.group.clone(),
                    topic: self.topic.clone(),
                    consumer: self.consumer.clone(),
                    settlements: settlements.into_iter().map(Into::into).collect(),
                };
                let repeat = Repeat::IfNotCarriedOut;
                let answers = remote.call("queue settle", &request, repeat).await?;
                if answers.len() != count {
                    let text = "settlements were answered by another number of results";
                    return Err(Error::Protocol(text.into()));
                }
                let results = answers.into_iter();
                Ok(results
                    .map(|error| error.map_or(Ok(()), |error| Err(told(error))))
                    .collect())
            }
        }
    }

    /// Gives back all that is held; answers how many records.
    pub(super) async fn leave(&self) -> Result<u64, Error> {
        match &self.client.transport {
            Transport::InProcess(broker) => {
                Ok(broker.queue_leave(&self.group, &self.consumer).await?)
            }
            Transport::Remote(remote) => {
                let request = wire::QueueLeave {
                    group: self.group.clone(),
                    consumer: self.consumer.clone(),
                };
                remote.call("queue leave", &request, Repeat::Freely).await
            }
        }
    }

    /// Whether the same may work later, though the connection was lost or the broker said no.
    pub(super) fn goes_on_after(&self, error: &Error) -> bool {
        let lost = matches!(error, Error::ConnectionLost { .. } | Error::TimedOut { .. });
        let gone = matches!(error, Error::Broker(ratatoskr_core::Error::ShuttingDown))
            && !self.client.broker_comes_back();
        !gone && (lost || error.is_retryable() || error.outcome() == Outcome::Unknown)
    }
}

fn acquired(
    topic: TopicName,
    body: wire::QueueAcquired,
    mut batches: Bytes,
) -> Result<Acquired, Error> {
    let mut partitions = Vec::with_capacity(body.partitions.len());
    for partition in body.partitions {
        let bytes = partition.bytes as usize;
        if bytes > batches.len() {
            let text = "records were delivered with too few bytes";
            return Err(Error::Protocol(text.into()));
        }
        partitions.push(AcquiredPartition {
            partition: partition.partition,
            token: partition.token,
            batches: BatchSlices::new(vec![batches.split_to(bytes)]),
            ranges: partition.ranges,
        });
    }
    Ok(Acquired {
        topic,
        lease: Duration::from_millis(body.lease_ms),
        deadline: body.deadline,
        partitions,
    })
}
