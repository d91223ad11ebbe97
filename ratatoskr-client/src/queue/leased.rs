//! A record that is held under a lease, and what can be said of it.

use std::{fmt::Display, time::Duration};

use ratatoskr_core::{
    broker::Delivery,
    delivery::{FencingToken, SettleAction, Settlement},
    record::ConsumedRecord,
};
use tokio::time::Instant;

use super::settler::Settler;
use crate::Error;

/// A record that this consumer holds until its lease ends.
///
/// Each of the methods that settle it answers once that is durable. A record that is dropped without
/// a word is delivered again when its lease ends, which counts as a failed attempt.
///
/// # Errors
/// All methods: [`QueueError`](ratatoskr_core::delivery::QueueError) within
/// [`Error::Broker`](crate::Error) where the lease is over or the record was settled already; those of
/// the connection, where [`outcome`](Error::outcome) tells whether the record may be settled.
#[derive(Debug)]
#[must_use = "a record that nobody settles comes again"]
pub struct LeasedRecord {
    /// The record, with its place.
    pub record: ConsumedRecord,
    /// How often it has been delivered, this time included.
    pub delivery_count: u32,
    /// Grows with every delivery: what the record's effects are written to can refuse one that comes
    /// with a smaller token than it has seen.
    pub token: FencingToken,
    ends: Instant,
    settler: Settler,
}

impl LeasedRecord {
    pub(super) fn new(delivery: Delivery, ends: Instant, settler: Settler) -> Self {
        Self {
            record: delivery.record,
            delivery_count: delivery.delivery_count,
            token: delivery.token,
            ends,
            settler,
        }
    }

    /// When the lease ends, as far as this record knows.
    pub const fn lease_ends(&self) -> Instant {
        self.ends
    }

    /// It is done.
    ///
    /// # Errors
    /// See [`LeasedRecord`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves the record settled or not settled.
    pub async fn ack(self) -> Result<(), Error> {
        self.settle(SettleAction::Acknowledge).await
    }

    /// It is to come again at once, to whoever is next. The attempt counts.
    ///
    /// # Errors
    /// See [`LeasedRecord`].
    ///
    /// # Cancel safety
    /// As [`ack`](Self::ack).
    pub async fn release(self) -> Result<(), Error> {
        self.settle(SettleAction::Release).await
    }

    /// It is to come again after the group's backoff. If this was the last attempt, it is a dead
    /// letter, with the cause.
    ///
    /// # Errors
    /// See [`LeasedRecord`].
    ///
    /// # Cancel safety
    /// As [`ack`](Self::ack).
    pub async fn retry(self, cause: impl Display) -> Result<(), Error> {
        self.settle(retry(None, &cause)).await
    }

    /// It is to come again after so long.
    ///
    /// # Errors
    /// See [`LeasedRecord`].
    ///
    /// # Cancel safety
    /// As [`ack`](Self::ack).
    pub async fn nack_after(self, after: Duration, cause: impl Display) -> Result<(), Error> {
        self.settle(retry(Some(after), &cause)).await
    }

    /// It goes to the dead letters at once, with the cause.
    ///
    /// # Errors
    /// See [`LeasedRecord`].
    ///
    /// # Cancel safety
    /// As [`ack`](Self::ack).
    pub async fn reject(self, cause: impl Display) -> Result<(), Error> {
        let cause = cause.to_string();
        self.settle(SettleAction::Reject { cause }).await
    }

    /// The lease is to last this long from now on, for all records that were taken together.
    ///
    /// # Errors
    /// See [`LeasedRecord`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves the lease extended or not extended.
    pub async fn extend(&mut self, lease: Duration) -> Result<(), Error> {
        let asked = Instant::now();
        let extension = self.settlement(SettleAction::Extend(lease));
        self.settler.settle(extension).await?;
        self.ends = asked + lease;
        Ok(())
    }

    pub(super) async fn settle(self, action: SettleAction) -> Result<(), Error> {
        self.settler.settle(self.settlement(action)).await
    }

    fn settlement(&self, action: SettleAction) -> Settlement {
        Settlement {
            partition: self.record.partition,
            first: self.record.offset,
            last: self.record.offset,
            token: self.token,
            action,
        }
    }
}

pub(super) fn retry(after: Option<Duration>, cause: &impl Display) -> SettleAction {
    SettleAction::Retry {
        after,
        cause: Some(cause.to_string()),
    }
}
