//! acquire, settle, leave; create, alter, delete, describe, list, peek queue.

use std::time::Duration;

use ratatoskr_core::{
    Broker, Error,
    broker::{AcquireOptions, Acquired, NewQueue, PendingSettle},
    bytes::Bytes,
    delivery::{QueueConfigChange, QueueError, Settlement},
    limits,
    name::GroupId,
    storage::BatchSlices,
    wire::{
        AlterQueue, ConfigEntries, CreateQueue, DeleteQueue, DescribeQueue, Done, ErrorBody,
        ErrorCode, Frame, ListQueues, PeekQueue, PeekedBody, QueueAcquire, QueueAcquired,
        QueueAcquiredPartition, QueueBody, QueueLeave, QueueSettle,
    },
};

use super::{Command, Handled, Session, decode, later, told};
use crate::native::consumers::Stay;

/// Takes records, waiting for them if need be, without keeping other requests waiting.
pub(super) fn acquire(session: &Session, frame: &Frame) -> Handled {
    let correlation = frame.correlation;
    let named = decode::<QueueAcquire>(frame).and_then(|acquire| {
        let stay = named(session, &acquire)?;
        Ok((acquire, stay))
    });
    let (acquire, stay) = match named {
        Ok(named) => named,
        Err(error) => return Handled::Answer(session.error(correlation, &error)),
    };
    let session = session.clone();
    Handled::Later(Box::pin(async move {
        let options = options(&session, &acquire);
        let acquired = tokio::select! {
            biased;
            // Whoever has left is given nothing any more.
            () = stay.ended() => {
                let text = "the consumer has left";
                let error = ErrorBody::new(ErrorCode::InvalidRequest, text);
                return session.error(correlation, &error);
            }
            acquired = session.broker.queue_acquire(
                &acquire.group,
                &acquire.topic,
                &acquire.consumer,
                &options,
            ) => acquired,
            () = session.drain.begun() => Err(Error::ShuttingDown),
        };
        match acquired {
            Ok(acquired) => {
                let (body, batches) = acquired_body(acquired);
                session.reply_with::<QueueAcquire>(correlation, &body, batches)
            }
            Err(error) => session.error(correlation, &told(error)),
        }
    }))
}

/// From now on this connection speaks for the consumer.
fn named(session: &Session, acquire: &QueueAcquire) -> Result<Stay, ErrorBody> {
    let max = session.limits.queue_consumers_max;
    let consumers = &session.consumers;
    if let Some(stay) = consumers.speaks_for(&acquire.group, &acquire.consumer, max) {
        return Ok(stay);
    }
    let text = format!("a connection may have {max} consumers of queues");
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    Err(ErrorBody::new(ErrorCode::TooManyRequests, text).with_numbers([max]))
}

fn options(session: &Session, acquire: &QueueAcquire) -> AcquireOptions {
    let limits = &session.limits;
    let wait = Duration::from_millis(acquire.wait_ms.into());
    AcquireOptions {
        records_max: acquire.records_max,
        bytes_max: (acquire.bytes_max as usize).min(limits.in_flight_bytes_max),
        wait: wait.min(limits.fetch_wait_max),
        lease: acquire.lease_ms.map(Duration::from_millis),
    }
}

fn acquired_body(acquired: Acquired) -> (QueueAcquired, Vec<Bytes>) {
    let mut batches = Vec::new();
    let partitions = acquired.partitions.into_iter().map(|partition| {
        let bytes = u32::try_from(partition.batches.len()).unwrap_or(u32::MAX);
        batches.extend(BatchSlices::into_slices(partition.batches));
        QueueAcquiredPartition {
            partition: partition.partition,
            token: partition.token,
            ranges: partition.ranges,
            bytes,
        }
    });
    let body = QueueAcquired {
        lease_ms: u64::try_from(acquired.lease.as_millis()).unwrap_or(u64::MAX),
        deadline: acquired.deadline,
        partitions: partitions.collect(),
    };
    (body, batches)
}

/// Settles, without keeping other requests waiting. What must be settled in order is in one frame.
pub(super) fn settle(session: &Session, frame: &Frame) -> Handled {
    let correlation = frame.correlation;
    let decoded = decode::<QueueSettle>(frame).and_then(settlements);
    let (settle, settlements) = match decoded {
        Ok(decoded) => decoded,
        Err(error) => return Handled::Answer(session.error(correlation, &error)),
    };
    let session = session.clone();
    Handled::Later(Box::pin(async move {
        let begun = session.broker.queue_settle(
            &settle.group,
            &settle.topic,
            &settle.consumer,
            settlements,
        );
        let outcome = match begun.await {
            Ok(pending) => {
                // Whoever waits first may have to sync. Those that came with it are to be in the log
                // by then, so that one sync does for all.
                tokio::task::yield_now().await;
                PendingSettle::wait(pending).await
            }
            Err(error) => Err(error),
        };
        let outcome = outcome.map_err(told).map(|results| {
            let results = results.into_iter().map(Result::err);
            results.map(|error| error.map(refused)).collect()
        });
        session.reply::<QueueSettle>(correlation, outcome)
    }))
}

fn settlements(mut settle: QueueSettle) -> Result<(QueueSettle, Vec<Settlement>), ErrorBody> {
    let max = limits::QUEUE_SETTLEMENTS_MAX;
    if settle.settlements.len() > max {
        let text = format!("a frame may hold {max} settlements");
        return Err(ErrorBody::new(ErrorCode::InvalidRequest, text));
    }
    let bodies = std::mem::take(&mut settle.settlements);
    let settlements = bodies.into_iter().map(Settlement::try_from).collect();
    match settlements {
        Ok(settlements) => Ok((settle, settlements)),
        Err(text) => Err(ErrorBody::new(ErrorCode::InvalidRequest, text)),
    }
}

fn refused(error: QueueError) -> ErrorBody {
    told(Error::Queue(error))
}

pub(super) fn leave(session: &Session, frame: &Frame) -> Handled {
    if let Ok(leave) = decode::<QueueLeave>(frame) {
        session.consumers.left(&leave.group, &leave.consumer);
    }
    later::<QueueLeave>(session, frame)
}

impl Command for QueueLeave {
    async fn run(self, broker: &Broker) -> Result<u64, ErrorBody> {
        broker
            .queue_leave(&self.group, &self.consumer)
            .await
            .map_err(told)
    }
}

impl Command for CreateQueue {
    async fn run(self, broker: &Broker) -> Result<QueueBody, ErrorBody> {
        let new = NewQueue {
            config: change(&self.config)?,
        };
        let created = broker.queue_create(&self.group, new).await;
        created.map(Into::into).map_err(told)
    }
}

impl Command for AlterQueue {
    async fn run(self, broker: &Broker) -> Result<QueueBody, ErrorBody> {
        let altered = broker
            .queue_alter(&self.group, &change(&self.config)?)
            .await;
        altered.map(Into::into).map_err(told)
    }
}

impl Command for DeleteQueue {
    async fn run(self, broker: &Broker) -> Result<Done, ErrorBody> {
        broker.queue_delete(&self.group).await.map_err(told)?;
        Ok(Done {})
    }
}

impl Command for DescribeQueue {
    async fn run(self, broker: &Broker) -> Result<QueueBody, ErrorBody> {
        let described = broker.queue_describe(&self.group).await;
        described.map(Into::into).map_err(told)
    }
}

impl Command for ListQueues {
    async fn run(self, broker: &Broker) -> Result<Vec<GroupId>, ErrorBody> {
        broker.queue_list().await.map_err(told)
    }
}

impl Command for PeekQueue {
    async fn run(self, broker: &Broker) -> Result<Vec<PeekedBody>, ErrorBody> {
        let peeked = broker
            .queue_peek(&self.group, &self.topic, self.records_max as usize)
            .await
            .map_err(told)?;
        Ok(peeked.into_iter().map(Into::into).collect())
    }
}

fn change(entries: &ConfigEntries) -> Result<QueueConfigChange, ErrorBody> {
    entries
        .to_queue_change()
        .map_err(|error| told(error.into()))
}
