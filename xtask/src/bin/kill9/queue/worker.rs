//! A consumer that works as real ones do: well most of the time, and then it fails, hangs, or is gone.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use ratatoskr_client::{Client, Error, GroupId, LeasedRecord, Queue, QueueError, TopicName};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{At, Ledger};
use crate::load::{connect, through_deaths};

/// Records that a consumer takes ahead.
const PREFETCH: u32 = 20;
/// A consumer lives shorter than this before it is gone.
const LIFE_MAX: Duration = Duration::from_millis(700);
/// How long an answer to a settlement may take.
const ANSWER_MAX: Duration = Duration::from_mins(1);

/// One consumer.
pub(super) struct Worker {
    pub(super) topic: TopicName,
    pub(super) group: GroupId,
    pub(super) ledger: Ledger,
    /// Whether everything is to be worked off.
    pub(super) working_off: watch::Receiver<bool>,
    pub(super) random: fastrand::Rng,
}

/// What a consumer does with a record.
enum Deed {
    Acknowledge,
    Retry,
    Release,
    Reject,
    /// Takes no more notice of it.
    Forget,
}

impl Worker {
    /// Works until it is aborted.
    ///
    /// # Errors
    /// It is told what no consumer should be.
    pub(super) async fn run(mut self, url: String) -> Result<()> {
        loop {
            // A connection of its own, which is cut when the consumer is gone.
            let client = connect(&url).await?;
            let mut queue = self.open(&client).await?;
            let life = sleep(LIFE_MAX.mul_f64(self.random.f64()));
            tokio::pin!(life);
            loop {
                let working_off = *self.working_off.borrow();
                tokio::select! {
                    item = queue.next() => match item {
                        Some(Ok(record)) => self.work(record).await?,
                        Some(Err(error)) if error.is_retryable() => {}
                        Some(Err(error)) => {
                            return Err(error).context("a consumer of the queue was told");
                        }
                        None => bail!("a consumer of the queue was told that there is no more"),
                    },
                    () = &mut life, if !working_off => break,
                    _ = self.working_off.changed() => {}
                }
            }
            if self.random.bool() {
                // In good order, as far as the broker is there.
                let _ = timeout(LIFE_MAX, queue.close()).await;
            }
        }
    }

    async fn open(&self, client: &Client) -> Result<Queue> {
        let builder = client.queue(&self.topic, &self.group);
        let builder = builder.prefetch(PREFETCH, 1 << 20);
        through_deaths(|| builder.clone().open())
            .await
            .context("the queue cannot be opened")
    }

    async fn work(&mut self, record: LeasedRecord) -> Result<()> {
        let at: At = (record.record.partition, record.record.offset);
        let token = record.token.get();
        self.ledger.note(at, |fate| fate.deliveries.push(token));
        match self.deed() {
            Deed::Acknowledge => {
                let acknowledged = self.answered(record.ack()).await?;
                self.ledger.note(at, |fate| match acknowledged {
                    Some(true) => fate.acknowledged = Some(token),
                    Some(false) => {}
                    None => fate.unknown = true,
                });
            }
            Deed::Reject => {
                let rejected = self.answered(record.reject("the checker says so")).await?;
                self.ledger.note(at, |fate| match rejected {
                    Some(rejected) => fate.rejected |= rejected,
                    None => fate.unknown = true,
                });
            }
            Deed::Retry => {
                self.answered(record.retry("the checker says so")).await?;
            }
            Deed::Release => {
                self.answered(record.release()).await?;
            }
            Deed::Forget => drop(record),
        }
        Ok(())
    }

    fn deed(&mut self) -> Deed {
        if *self.working_off.borrow() {
            return Deed::Acknowledge;
        }
        match self.random.u32(..100) {
            0..=4 => Deed::Retry,
            5..=7 => Deed::Release,
            8..=9 => Deed::Reject,
            10..=11 => Deed::Forget,
            _ => Deed::Acknowledge,
        }
    }

    /// Whether a settlement was kept: yes, no, or nobody knows.
    ///
    /// # Errors
    /// An answer that no broker should give.
    async fn answered(
        &self,
        settlement: impl Future<Output = Result<(), Error>>,
    ) -> Result<Option<bool>> {
        let answer = timeout(ANSWER_MAX, settlement).await;
        match answer.context("a settlement has no answer")? {
            Ok(()) => Ok(Some(true)),
            // The lease was over, or the broker that gave it is gone.
            Err(Error::Broker(ratatoskr_core::Error::Queue(
                QueueError::LeaseExpired
                | QueueError::UnknownLease
                | QueueError::NotLeaseOwner
                | QueueError::AlreadySettled,
            ))) => Ok(Some(false)),
            Err(error) if error.is_retryable() => Ok(Some(false)),
            Err(
                Error::ConnectionLost { .. }
                | Error::TimedOut { .. }
                | Error::Broker(ratatoskr_core::Error::OutcomeUnknown { .. }),
            ) => Ok(None),
            Err(error) => Err(error).context("a settlement was answered"),
        }
    }
}
