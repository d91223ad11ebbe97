//! State of the engine that must last, kept in internal topics so that every backend keeps it.
//!
//! ```text
//! StateLog      one internal topic, made on first use; a group belongs to one of its partitions
//!   └ Shard     one partition: a state machine, and the log that it is a function of
//!       entry.rs     what a record of that log holds
//!       load.rs      newest complete snapshot, then the events after it
//!       snapshot.rs  chunked, beside events; the log start moves up behind it
//! ```
//! Invariants:
//! - Events are decided on, submitted and applied under one lock, so the machine is always what its
//!   log makes of an empty one, and the order of decisions is the order of the log.
//! - An answer is given once all that it rests on is durable.
//! - A machine never runs ahead of a log that lost something: an event is submitted for the one
//!   offset that follows what the machine has seen, or not at all. Where it does not fit, the
//!   machine is dropped and built anew from the log.

mod entry;
mod load;
mod shard;
mod snapshot;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

use serde::{Serialize, de::DeserializeOwned};

#[cfg_attr(
    not(test),
    expect(unused_imports, reason = "queues will wait for their changes later")
)]
pub(in crate::broker) use shard::PendingChange;
pub(in crate::broker) use shard::{Change, Shard};

use crate::{
    broker::{Broker, topic::TopicState},
    error::Error,
    name::{GroupId, TopicId, TopicName},
};

/// Partitions of an internal topic, so that groups do not wait for one another.
pub(in crate::broker) const SHARDS: u32 = 16;

/// State that is a function of the events in one partition, and volatile state beside it, which is
/// gone after a reload.
///
/// It reads no clock: what it decides with is passed in.
pub(in crate::broker) trait Machine: Default + Send + 'static {
    /// What is kept in the log.
    type Event: Serialize + DeserializeOwned + Send + 'static;

    /// Takes an event in. Deterministic, and total: events come from a log.
    fn apply(&mut self, event: Self::Event);

    /// Hands out events that make an empty machine equal to the lasting part of this one.
    fn snapshot(&self, out: &mut dyn FnMut(Self::Event));

    /// What is to be noted whenever the state has been read from the log, before anybody sees it.
    fn loaded(&self) -> Option<Self::Event> {
        None
    }
}

/// An internal topic, and a machine for each of its partitions.
#[derive(Debug)]
pub(in crate::broker) struct StateLog<M: Machine> {
    name: &'static str,
    id: [u8; 16],
    shards: OnceLock<Vec<Arc<Shard<M>>>>,
}

impl<M: Machine> StateLog<M> {
    /// A log in the internal topic of this name and id, which are the same on every broker.
    pub(in crate::broker) const fn new(name: &'static str, id: [u8; 16]) -> Self {
        Self {
            name,
            id,
            shards: OnceLock::new(),
        }
    }

    /// Where a group's state is kept. Makes the topic if it is not there.
    ///
    /// # Errors
    /// [`Error::Storage`] and the like where the topic cannot be made, [`Error::ShuttingDown`],
    /// [`Error::Fenced`].
    pub(in crate::broker) async fn shard(
        &self,
        broker: &Broker,
        group: &GroupId,
    ) -> Result<&Arc<Shard<M>>, Error> {
        if self.existing(broker)?.is_empty() {
            let name = self.topic_name()?;
            self.set(&*broker.internal_topic(&name, self.id()?, SHARDS).await?);
        }
        Ok(of_group(self.existing(broker)?, group))
    }

    /// Where a group's state is kept; `None` where no group has ever had any.
    ///
    /// # Errors
    /// [`Error::ShuttingDown`], [`Error::Fenced`].
    pub(in crate::broker) fn existing_shard(
        &self,
        broker: &Broker,
        group: &GroupId,
    ) -> Result<Option<&Arc<Shard<M>>>, Error> {
        let shards = self.existing(broker)?;
        Ok((!shards.is_empty()).then(|| of_group(shards, group)))
    }

    /// Every shard; empty where no group has ever had any state.
    ///
    /// # Errors
    /// [`Error::ShuttingDown`], [`Error::Fenced`].
    pub(in crate::broker) fn existing(&self, broker: &Broker) -> Result<&[Arc<Shard<M>>], Error> {
        broker.shared.context.check_running()?;
        if let Some(shards) = self.shards.get() {
            return Ok(shards);
        }
        match broker.topic(&self.topic_name()?) {
            Ok(topic) => Ok(self.set(&topic)),
            Err(Error::UnknownTopic(_)) => Ok(&[]),
            Err(error) => Err(error),
        }
    }

    /// The shards that somebody has asked for since the broker was opened: for background work,
    /// which has nothing to do in a log that nobody uses.
    pub(in crate::broker) fn in_use(&self) -> &[Arc<Shard<M>>] {
        self.shards.get().map_or(&[], Vec::as_slice)
    }

    fn set(&self, topic: &TopicState) -> &[Arc<Shard<M>>] {
        self.shards.get_or_init(|| {
            let cells = topic.partitions().into_iter();
            cells.map(Shard::new).collect()
        })
    }

    fn topic_name(&self) -> Result<TopicName, Error> {
        TopicName::parse(self.name).map_err(|error| Error::Internal(error.to_string()))
    }

    fn id(&self) -> Result<TopicId, Error> {
        TopicId::from_bytes(self.id).ok_or_else(|| Error::Internal("a topic without id".to_owned()))
    }
}

/// The hash decides where on the disk a group's state is, so it must be the same for ever.
fn of_group<'a, M: Machine>(shards: &'a [Arc<Shard<M>>], group: &GroupId) -> &'a Arc<Shard<M>> {
    let hash = crate::routing::murmur2(group.as_str().as_bytes()) & 0x7fff_ffff;
    &shards[hash as usize % shards.len()]
}
