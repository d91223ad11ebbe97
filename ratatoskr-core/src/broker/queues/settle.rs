//! Settling records, and leaving.

use super::engine::check_name;
use crate::{
    broker::{
        Broker,
        state::{Change, PendingChange},
    },
    delivery::{ConsumerId, QueueError, Queues, SettleRequest, Settlement},
    error::Error,
    limits,
    name::{GroupId, TopicName},
};

/// Settlements that have their place in the log of the group's state.
///
/// Dropping it abandons the wait, not the settlements.
#[derive(Debug)]
#[must_use = "only its wait tells whether the records are settled"]
pub struct PendingSettle(PendingChange<Queues, Vec<Result<(), QueueError>>>);

impl PendingSettle {
    /// Waits until the settlements are durable. One answer each, in their order; one that is refused
    /// has changed nothing, and keeps no other from being made.
    ///
    /// # Errors
    /// [`Error::OutcomeUnknown`] where nobody knows whether they last: then the leases are over, and
    /// the records are delivered again unless they do. With any other error they surely do not.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the settlements on their way.
    pub async fn wait(self) -> Result<Vec<Result<(), QueueError>>, Error> {
        self.0.wait().await
    }
}

impl Broker {
    /// Says what becomes of records that a consumer holds. The settlements have their place when this
    /// returns; whether they last, [`PendingSettle::wait`] tells. It waits only where the group's state
    /// has to be read from its log first.
    ///
    /// # Errors
    /// [`Error::LimitReached`] for more than [`limits::QUEUE_SETTLEMENTS_MAX`],
    /// [`Error::UnknownTopic`], [`Error::Queue`] with [`QueueError::UnknownGroup`],
    /// [`Error::PartitionOffline`] where the group's state cannot be read or written,
    /// [`Error::Overloaded`], [`Error::ShuttingDown`], [`Error::Fenced`].
    ///
    /// # Cancel safety
    /// Dropping the future settles all or nothing.
    pub async fn queue_settle(
        &self,
        group: &GroupId,
        topic: &TopicName,
        consumer: &ConsumerId,
        settlements: Vec<Settlement>,
    ) -> Result<PendingSettle, Error> {
        check_name(group)?;
        if settlements.len() > limits::QUEUE_SETTLEMENTS_MAX {
            return Err(Error::LimitReached {
                limit: "queue_settlements_max",
                max: limits::QUEUE_SETTLEMENTS_MAX as u64,
            });
        }
        let queues = &self.shared.queues;
        let shard = queues.existing_shard(self, group)?;
        let topic = self.topic(topic)?.id();
        let request = SettleRequest {
            group,
            topic,
            consumer,
            settlements: &settlements,
            now: self.shared.context.present(),
            random: queues.random(),
        };
        let (mut wakes, mut frees, mut dying) = (false, false, false);
        let begun = shard.begin(|machine| {
            let mut events = Vec::new();
            let settled = machine.settle(&request, &mut events)?;
            (wakes, frees, dying) = (settled.wakes, settled.frees, settled.dying);
            Ok(Change {
                events,
                answer: settled.results,
            })
        });
        let begun = begun.await?;
        if frees {
            self.queue_freed(shard, group);
        } else if wakes {
            queues.wake(group, topic);
        }
        if dying {
            queues.keeper.notify_one();
        } else if wakes {
            queues.rouse_keeper();
        }
        Ok(PendingSettle(begun))
    }

    /// Gives back all that a consumer holds, of every topic, as if it had not been delivered: these
    /// deliveries do not count. Answers how many records that were.
    ///
    /// # Errors
    /// [`Error::Queue`] with [`QueueError::UnknownGroup`], [`Error::PartitionOffline`],
    /// [`Error::ShuttingDown`], [`Error::Fenced`].
    ///
    /// # Cancel safety
    /// Dropping the future gives back all or nothing.
    pub async fn queue_leave(&self, group: &GroupId, consumer: &ConsumerId) -> Result<u64, Error> {
        check_name(group)?;
        let queues = &self.shared.queues;
        let shard = queues.existing_shard(self, group)?;
        let left = shard.change(|machine| Ok(Change::nothing(machine.leave(group, consumer)?)));
        let records = left.await?;
        if records > 0 {
            self.queue_freed(shard, group);
        }
        Ok(records)
    }
}
