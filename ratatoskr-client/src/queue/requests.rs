//! Acquiring, settling and giving back as the broker has them, in process or over the network.

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
    Error,
    client::{Client, Transport},
    remote::{Repeat, told},
};

/// What became of each settlement.
pub(super) type Settled = Vec<Result<(), Error>>;

/// Queues as batches, for those who build something of their own; a [`Queue`](crate::Queue) hands out
/// records.
impl Client {
    /// Takes records that nobody else holds, waiting for the first as long as the options say. The
    /// group is made with the defaults if it is not there. Over the network, what a consumer holds is
    /// given back when the connection ends that named it last.
    ///
    /// # Errors
    /// As [`Broker::queue_acquire`](ratatoskr_core::Broker::queue_acquire), and those of the
    /// connection.
    ///
    /// # Cancel safety
    /// Dropping the future may leave records held until their lease ends.
    pub async fn queue_acquire(
        &self,
        group: &GroupId,
        topic: &TopicName,
        consumer: &ConsumerId,
        options: &AcquireOptions,
    ) -> Result<Acquired, Error> {
        match &self.transport {
            Transport::InProcess(broker) => Ok(broker
                .queue_acquire(group, topic, consumer, options)
                .await?),
            Transport::Remote(remote) => {
                let request = wire::QueueAcquire {
                    group: group.clone(),
                    topic: topic.clone(),
                    consumer: consumer.clone(),
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
                acquired(topic.clone(), body, batches)
            }
        }
    }

    /// Says what becomes of records that a consumer holds; one answer a settlement, in order, once all
    /// are durable.
    ///
    /// # Errors
    /// As [`Broker::queue_settle`](ratatoskr_core::Broker::queue_settle), and those of the connection,
    /// where [`Error::outcome`] tells whether the settlements may have been kept.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the settlements on their way.
    pub async fn queue_settle(
        &self,
        group: &GroupId,
        topic: &TopicName,
        consumer: &ConsumerId,
        settlements: Vec<Settlement>,
    ) -> Result<Vec<Result<(), Error>>, Error> {
        match &self.transport {
            Transport::InProcess(broker) => {
                let pending = broker
                    .queue_settle(group, topic, consumer, settlements)
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
                    group: group.clone(),
                    topic: topic.clone(),
                    consumer: consumer.clone(),
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

    /// Gives back all that a consumer holds, of all topics, which does not count as an attempt;
    /// answers how many records.
    ///
    /// # Errors
    /// As [`Broker::queue_leave`](ratatoskr_core::Broker::queue_leave), and those of the connection.
    ///
    /// # Cancel safety
    /// Dropping the future may leave the records held until their lease ends.
    pub async fn queue_leave(&self, group: &GroupId, consumer: &ConsumerId) -> Result<u64, Error> {
        match &self.transport {
            Transport::InProcess(broker) => Ok(broker.queue_leave(group, consumer).await?),
            Transport::Remote(remote) => {
                let request = wire::QueueLeave {
                    group: group.clone(),
                    consumer: consumer.clone(),
                };
                remote.call("queue leave", &request, Repeat::Freely).await
            }
        }
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
