//! Sending a batch to a partition: for doors, which hand over what producers sent.

use tokio::sync::oneshot;

use crate::{
    batch::RecordBatch,
    broker::{Broker, partition::Settled, topic::TopicState},
    commit::Ticket,
    config::{Durability, TimestampType},
    error::Error,
    name::TopicName,
    offset::{Offset, PartitionIndex},
    producer::{ProducerEpoch, ProducerId},
    time::Timestamp,
};

/// Where a batch went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Produced {
    /// The partition.
    pub partition: PartitionIndex,
    /// Offset of the batch's first record.
    pub base_offset: Offset,
    /// The records' time, where the topic stamps them with the broker's.
    pub log_append_time: Option<Timestamp>,
    /// What the acknowledgement promises.
    pub durability: Durability,
    /// Whether the batch was there already: an idempotent producer sent it again.
    pub duplicate: bool,
}

/// A batch that has been taken, and whose end can be waited for.
///
/// Dropping it abandons the wait, not the batch.
#[derive(Debug)]
#[must_use = "only its wait tells whether the batch was appended"]
pub struct PendingProduce(State);

#[derive(Debug)]
enum State {
    Done(Produced),
    Committing(Ticket, Produced),
    Answered(oneshot::Receiver<Settled>, Produced),
    Held(oneshot::Receiver<Result<PendingProduce, Error>>),
}

impl PendingProduce {
    pub(super) const fn done(produced: Produced) -> Self {
        Self(State::Done(produced))
    }

    pub(super) const fn committing(ticket: Ticket, produced: Produced) -> Self {
        Self(State::Committing(ticket, produced))
    }

    pub(super) const fn answered(answer: oneshot::Receiver<Settled>, produced: Produced) -> Self {
        Self(State::Answered(answer, produced))
    }

    pub(super) const fn held(held: oneshot::Receiver<Result<Self, Error>>) -> Self {
        Self(State::Held(held))
    }

    /// The answer, if it is known already.
    #[inline]
    pub const fn ready(&self) -> Option<Produced> {
        match self.0 {
            State::Done(produced) => Some(produced),
            _ => None,
        }
    }

    /// Waits until the batch can be read and is as durable as its topic promises.
    ///
    /// # Errors
    /// [`Error::OutcomeUnknown`] where nobody knows; with any other error the batch was surely not
    /// appended.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the batch on its way.
    pub async fn wait(self) -> Result<Produced, Error> {
        let mut state = self.0;
        loop {
            state = match state {
                State::Done(produced) => return Ok(produced),
                State::Committing(ticket, produced) => {
                    ticket.wait().await?;
                    return Ok(produced);
                }
                State::Answered(answer, produced) => {
                    answer.await.map_err(|_| abandoned())??;
                    return Ok(produced);
                }
                State::Held(held) => held.await.map_err(|_| abandoned())??.0,
            };
        }
    }
}

/// The partition went away with the answer: its broker was dropped.
fn abandoned() -> Error {
    Error::OutcomeUnknown {
        reason: "the broker was closed".to_owned(),
    }
}

/// Who an idempotent producer is: what it puts into its batches beside the sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ProducerIdentity {
    /// Unlike any other producer's.
    pub id: ProducerId,
    /// 0 for a new producer.
    pub epoch: ProducerEpoch,
}

impl Broker {
    /// Takes a batch that a producer sent. The batch has its place in the partition when this
    /// returns; whether it is committed, [`PendingProduce::wait`] tells.
    ///
    /// Batches are appended in the order of these calls. A batch of an idempotent producer is
    /// appended once, however often it is sent.
    ///
    /// # Errors
    /// Nothing was appended with any of these: [`Error::UnknownTopic`],
    /// [`Error::UnknownPartition`], [`Error::InternalTopic`], [`Error::InvalidBatch`],
    /// [`Error::BatchTooLarge`], [`Error::OutOfOrderSequence`], [`Error::ProducerFenced`],
    /// [`Error::Overloaded`], [`Error::PartitionOffline`], [`Error::Storage`] (no room),
    /// [`Error::ShuttingDown`], [`Error::Fenced`]. Only with [`Error::OutcomeUnknown`] it may have.
    pub fn produce(
        &self,
        topic: &TopicName,
        partition: PartitionIndex,
        batch: RecordBatch,
    ) -> Result<PendingProduce, Error> {
        self.shared.context.check_running()?;
        self.topic(topic)?.produce(partition, batch)
    }

    /// Takes batches that were sent to one partition, as [`produce`](Self::produce) takes one, but
    /// appends together what can be. One answer a batch, in their order; a batch that is refused does
    /// not keep those behind it from being taken.
    ///
    /// # Errors
    /// Each as [`produce`](Self::produce).
    pub fn produce_many(
        &self,
        topic: &TopicName,
        partition: PartitionIndex,
        batches: Vec<RecordBatch>,
    ) -> Vec<Result<PendingProduce, Error>> {
        let found = (self.shared.context.check_running()).and_then(|()| self.topic(topic));
        match found {
            Ok(topic) => topic.produce_many(partition, batches),
            Err(error) => batches.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    /// An identity for a new idempotent producer.
    ///
    /// Ids are random 63-bit numbers, so that none need be kept anywhere.
    pub fn new_producer(&self) -> ProducerIdentity {
        // Each half of a UUID has some fixed bits, in different places: together all are random.
        let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
        let id = ((high ^ low.rotate_left(32)) >> 1).cast_signed();
        ProducerIdentity {
            id: ProducerId::new(id),
            epoch: ProducerEpoch::new(0),
        }
    }
}

impl TopicState {
    /// See [`Broker::produce`].
    pub(super) fn produce(
        &self,
        partition: PartitionIndex,
        batch: RecordBatch,
    ) -> Result<PendingProduce, Error> {
        let answer = self
            .check(&batch)
            .and_then(|()| self.submit(partition, batch));
        if answer.is_err() {
            self.counters().refused();
        }
        answer
    }

    /// See [`Broker::produce_many`].
    pub(super) fn produce_many(
        &self,
        partition: PartitionIndex,
        batches: Vec<RecordBatch>,
    ) -> Vec<Result<PendingProduce, Error>> {
        let mut good = Vec::with_capacity(batches.len());
        let mut refused = Vec::new();
        for (at, batch) in batches.into_iter().enumerate() {
            match self.check(&batch) {
                Ok(()) => good.push(batch),
                Err(error) => refused.push((at, error)),
            }
        }
        let mut answers = self.submit_many(partition, good);
        // From the first on, so that each finds its place.
        for (at, error) in refused {
            answers.insert(at, Err(error));
        }
        for _ in answers.iter().filter(|answer| answer.is_err()) {
            self.counters().refused();
        }
        answers
    }

    fn submit_many(
        &self,
        partition: PartitionIndex,
        mut batches: Vec<RecordBatch>,
    ) -> Vec<Result<PendingProduce, Error>> {
        let refuse = |batches: &[RecordBatch], error: &Error| {
            batches.iter().map(|_| Err(error.clone())).collect()
        };
        if self.name().is_internal() {
            return refuse(&batches, &Error::InternalTopic(self.name().clone()));
        }
        if self.shared().config().timestamp_type == TimestampType::LogAppendTime {
            let now = self.context().clock.now();
            for batch in &mut batches {
                batch.set_log_append_time(now);
            }
        }
        match self.partition(partition) {
            Ok(cell) => cell.submit_run(batches),
            Err(error) => refuse(&batches, &error),
        }
    }

    /// Submits a batch whose bytes are known to be right.
    #[inline]
    pub(super) fn submit(
        &self,
        partition: PartitionIndex,
        mut batch: RecordBatch,
    ) -> Result<PendingProduce, Error> {
        let config = self.shared().config();
        check_size(&batch, config.batch_bytes_max)?;
        if self.name().is_internal() {
            return Err(Error::InternalTopic(self.name().clone()));
        }
        if config.timestamp_type == TimestampType::LogAppendTime {
            batch.set_log_append_time(self.context().clock.now());
        }
        self.with_partition(partition, |cell| cell.submit(batch))?
    }

    /// Whether the batch is one that a producer may send.
    fn check(&self, batch: &RecordBatch) -> Result<(), Error> {
        let bytes_max = self.shared().config().batch_bytes_max;
        check_size(batch, bytes_max)?;
        if batch.header().is_transactional() {
            return Err(Error::Unsupported("transactions".to_owned()));
        }
        batch.validate_from_producer(bytes_max)?;
        if self.shared().config().cleanup_policy.compacts() {
            batch.validate_keys()?;
        }
        Ok(())
    }
}

#[inline]
fn check_size(batch: &RecordBatch, bytes_max: u32) -> Result<(), Error> {
    if batch.total_bytes() > bytes_max as usize {
        return Err(Error::BatchTooLarge {
            bytes: batch.total_bytes(),
            bytes_max,
        });
    }
    Ok(())
}
