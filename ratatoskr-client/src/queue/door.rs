//! One consumer of a queue, as its tasks see it.

use ratatoskr_core::{
    broker::{AcquireOptions, Acquired},
    delivery::{ConsumerId, Settlement},
    name::{GroupId, TopicName},
};

use super::requests::Settled;
use crate::{Error, Outcome, client::Client};

/// One consumer of a queue.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) client: Client,
    pub(super) topic: TopicName,
    pub(super) group: GroupId,
    pub(super) consumer: ConsumerId,
}

impl Door {
    pub(super) async fn acquire(&self, options: &AcquireOptions) -> Result<Acquired, Error> {
        let (client, consumer) = (&self.client, &self.consumer);
        client
            .queue_acquire(&self.group, &self.topic, consumer, options)
            .await
    }

    pub(super) async fn settle(&self, settlements: Vec<Settlement>) -> Result<Settled, Error> {
        let (client, consumer) = (&self.client, &self.consumer);
        client
            .queue_settle(&self.group, &self.topic, consumer, settlements)
            .await
    }

    /// Gives back all that is held; answers how many records.
    pub(super) async fn leave(&self) -> Result<u64, Error> {
        self.client.queue_leave(&self.group, &self.consumer).await
    }

    /// Whether the same may work later, though the connection was lost or the broker said no.
    pub(super) fn goes_on_after(&self, error: &Error) -> bool {
        let lost = matches!(error, Error::ConnectionLost { .. } | Error::TimedOut { .. });
        let gone = matches!(error, Error::Broker(ratatoskr_core::Error::ShuttingDown))
            && !self.client.broker_comes_back();
        !gone && (lost || error.is_retryable() || error.outcome() == Outcome::Unknown)
    }
}
