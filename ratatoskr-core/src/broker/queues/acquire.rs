//! Acquiring records: who waits, and for how long.

use std::{future::pending, sync::Arc, time::Duration};

use tokio::{sync::Notify, time::Instant};

use super::{
    AcquireOptions, Acquired,
    attempt::{Attempt, Seeker},
    engine::check_name,
};
use crate::{
    broker::{Broker, waiters::Registration},
    config::InvalidConfig,
    delivery::{ConsumerId, Limited},
    error::Error,
    limits,
    name::{GroupId, TopicName},
};

impl Broker {
    /// Acquires records of a topic for a consumer of a group, the oldest first: until the lease is over
    /// nobody else gets them. Waits for the first record up to `wait`; answers with nothing when that
    /// has passed. Consumers that wait are served first come, first served.
    ///
    /// A group that is not there is made with the defaults. A consumer that holds as many records as
    /// it may waits until it has settled some.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], [`Error::InternalTopic`], [`Error::InvalidConfig`] where the lease is
    /// out of its bounds or the name is the broker's own, [`Error::LimitReached`] where there are as
    /// many groups as may be, [`Error::PartitionOffline`] where the group's state cannot be read,
    /// [`Error::OutcomeUnknown`] and the like where a change of it could not be made durable,
    /// [`Error::ShuttingDown`], [`Error::Fenced`]. Partitions that are offline are passed over.
    ///
    /// # Cancel safety
    /// Dropping the future gives back what it had acquired.
    pub async fn queue_acquire(
        &self,
        group: &GroupId,
        topic: &TopicName,
        consumer: &ConsumerId,
        options: &AcquireOptions,
    ) -> Result<Acquired, Error> {
        self.shared.context.check_running()?;
        check_name(group)?;
        if topic.is_internal() {
            return Err(Error::InternalTopic(topic.clone()));
        }
        if let Some(lease) = options.lease
            && !(limits::QUEUE_LEASE_MIN..=limits::QUEUE_LEASE_MAX).contains(&lease)
        {
            let value = lease.as_millis().to_string();
            return Err(InvalidConfig::new("lease_ms", &value, "100ms to 12h").into());
        }
        let deadline = Instant::now() + options.wait.min(limits::FETCH_WAIT_MAX);
        let queues = &self.shared.queues;
        let topic = self.topic(topic)?;
        let shard = queues.shard(self, group).await?;
        let turn = queues.turn(group, topic.id());
        let seeker = Seeker {
            broker: self,
            group,
            topic: &topic,
            consumer,
            options,
            shard,
            turn: &turn,
        };
        seeker.seek(deadline).await
    }
}

/// How standing in line ended.
enum Stood {
    Found(Acquired),
    /// The consumer may not have more before it has settled some.
    Limited,
    TimedOut,
}

impl Seeker<'_> {
    async fn seek(&self, deadline: Instant) -> Result<Acquired, Error> {
        let waits = !self.options.wait.is_zero();
        loop {
            let settled = self.turn.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            let stood = if waits && self.turn.is_awaited() {
                self.stand_in_line(deadline).await?
            } else {
                match self.attempt().await? {
                    Attempt::Found(acquired) => Stood::Found(acquired),
                    _ if !waits => Stood::TimedOut,
                    Attempt::Limited(Limited::Consumer) => Stood::Limited,
                    _ => self.stand_in_line(deadline).await?,
                }
            };
            match stood {
                Stood::Found(acquired) => return Ok(acquired),
                Stood::TimedOut => return Ok(self.nothing()),
                Stood::Limited => {
                    tokio::select! {
                        () = settled => {}
                        () = tokio::time::sleep_until(deadline) => return Ok(self.nothing()),
                        () = self.broker.shared.context.stopped() => {}
                    }
                    self.broker.shared.context.check_running()?;
                }
            }
        }
    }

    async fn stand_in_line(&self, deadline: Instant) -> Result<Stood, Error> {
        let _place = self.turn.enter();
        let Ok(_head) = tokio::time::timeout_at(deadline, self.turn.line.lock()).await else {
            return Ok(Stood::TimedOut);
        };
        let waiter = &self.turn.changed;
        let of_topic = Registration::new(waiter);
        let mut of_partitions = Vec::new();
        loop {
            // Registered before anything is looked at, so that nothing that comes after is missed.
            self.topic.register(&of_topic);
            let cells = self.topic.partitions();
            of_partitions.resize_with(cells.len(), || Registration::new(waiter));
            for (cell, registration) in cells.iter().zip(&of_partitions) {
                cell.register(registration);
            }
            if self.topic.is_deleted() {
                return Err(Error::UnknownTopic(self.topic.name().clone()));
            }
            let next = match self.attempt().await? {
                Attempt::Found(acquired) => return Ok(Stood::Found(acquired)),
                Attempt::Limited(Limited::Consumer) => return Ok(Stood::Limited),
                Attempt::Limited(Limited::Group) | Attempt::Nothing => self.next_event(),
            };
            if Instant::now() >= deadline {
                return Ok(Stood::TimedOut);
            }
            self.wait(waiter, next, deadline).await;
            self.broker.shared.context.check_running()?;
        }
    }

    /// How long nothing happens by itself.
    fn next_event(&self) -> Option<Duration> {
        let now = self.broker.shared.context.present();
        let look = self
            .shard
            .peek(|queues| queues.next_event(self.group, self.topic.id(), now));
        // State that is not loaded is loaded by the next attempt.
        look.unwrap_or(Some(Duration::ZERO))
    }

    async fn wait(&self, waiter: &Arc<Notify>, next: Option<Duration>, deadline: Instant) {
        let happens = async {
            match next {
                // A clock that stands still must not make this spin.
                Some(next) => tokio::time::sleep(next.max(Duration::from_millis(1))).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = waiter.notified() => {}
            () = happens => {}
            () = tokio::time::sleep_until(deadline) => {}
            () = self.broker.shared.context.stopped() => {}
        }
    }

    fn nothing(&self) -> Acquired {
        Acquired {
            topic: self.topic.name().clone(),
            lease: self.options.lease.unwrap_or_default(),
            deadline: self.broker.shared.context.clock.now(),
            partitions: Vec::new(),
        }
    }
}
