//! What the queue groups of a broker share.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;

use super::turn::Turn;
use crate::{
    broker::{
        Broker,
        context::Context,
        state::{Machine, Shard, StateLog},
    },
    config::InvalidConfig,
    delivery::{Event, Now, QueueError, Queues},
    error::Error,
    name::{GroupId, INTERNAL_PREFIX, TopicId},
    sync::Mutex,
};

/// The internal topic that holds the state of queue groups, the same on every broker.
const STATE_TOPIC: &str = "_rt.queues";
const STATE_TOPIC_ID: [u8; 16] = *b"ratatoskr.queues";
/// Turns that are kept before those that nobody uses are dropped.
const TURNS_MIN: usize = 1_024;

impl Machine for Queues {
    type Event = Event;

    fn apply(&mut self, event: Event) {
        Self::apply(self, event);
    }

    fn snapshot(&self, out: &mut dyn FnMut(Event)) {
        Self::snapshot(self, out);
    }

    fn loaded(&self) -> Option<Event> {
        Some(Self::loaded(self))
    }
}

/// A part of the groups, and the log that it is kept in.
pub(super) type QueueShard = Shard<Queues>;

/// See the module.
#[derive(Debug)]
pub(in crate::broker) struct QueueEngine {
    log: StateLog<Queues>,
    turns: Mutex<HashMap<(GroupId, TopicId), Arc<Turn>>>,
    /// Notified when the keeper has to look.
    pub(super) keeper: Arc<Notify>,
    /// Whether the keeper sees no reason to look by itself.
    pub(super) keeper_idle: AtomicBool,
    hasher: RandomState,
    drawn: AtomicU64,
    /// Held by whoever moves or removes dead letters.
    pub(super) redriving: tokio::sync::Mutex<()>,
}

impl Default for QueueEngine {
    fn default() -> Self {
        Self {
            log: StateLog::new(STATE_TOPIC, STATE_TOPIC_ID),
            turns: Mutex::default(),
            keeper: Arc::default(),
            keeper_idle: AtomicBool::new(false),
            hasher: RandomState::new(),
            drawn: AtomicU64::new(0),
            redriving: tokio::sync::Mutex::default(),
        }
    }
}

impl QueueEngine {
    /// Whose turn it is to acquire records of a topic for a group.
    pub(super) fn turn(&self, group: &GroupId, topic: TopicId) -> Arc<Turn> {
        let mut turns = self.turns.lock();
        if turns.len() >= TURNS_MIN && turns.len() == turns.capacity() {
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        }
        Arc::clone(turns.entry((group.clone(), topic)).or_default())
    }

    /// Records of a topic have become available to a group.
    pub(super) fn wake(&self, group: &GroupId, topic: TopicId) {
        let turns = self.turns.lock();
        if let Some(turn) = turns.get(&(group.clone(), topic)) {
            turn.wake();
        }
    }

    /// The keeper need not look at once, but must not sleep for ever.
    pub(super) fn rouse_keeper(&self) {
        if self.keeper_idle.swap(false, Ordering::AcqRel) {
            self.keeper.notify_one();
        }
    }

    /// The hash of a record's key.
    pub(super) fn key_hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }

    /// A random number.
    pub(super) fn random(&self) -> u64 {
        self.hasher
            .hash_one(self.drawn.fetch_add(1, Ordering::Relaxed))
    }

    /// Where a group's state is kept.
    pub(super) async fn shard(
        &self,
        broker: &Broker,
        group: &GroupId,
    ) -> Result<&Arc<QueueShard>, Error> {
        self.log.shard(broker, group).await
    }

    /// Where the state of a group is kept that must be there.
    ///
    /// # Errors
    /// [`QueueError::UnknownGroup`] where there has never been any group.
    pub(super) fn existing_shard(
        &self,
        broker: &Broker,
        group: &GroupId,
    ) -> Result<&Arc<QueueShard>, Error> {
        let shard = self.log.existing_shard(broker, group)?;
        shard.ok_or_else(|| QueueError::UnknownGroup(group.clone()).into())
    }

    /// The shards that somebody has asked for.
    pub(super) fn shards_in_use(&self) -> &[Arc<QueueShard>] {
        self.log.in_use()
    }

    /// Every shard; none where there has never been any group.
    pub(super) fn shards(&self, broker: &Broker) -> Result<&[Arc<QueueShard>], Error> {
        self.log.existing(broker)
    }
}

impl Broker {
    /// Fewer records of a group are in flight, so that any of its consumers may have more, of any
    /// topic.
    pub(super) fn queue_freed(&self, shard: &QueueShard, group: &GroupId) {
        let topics = shard.peek(|queues| queues.topics_of(group));
        let turns = self.shared.queues.turns.lock();
        for topic in topics.unwrap_or_default() {
            if let Some(turn) = turns.get(&(group.clone(), topic)) {
                turn.settled(true);
            }
        }
    }
}

impl Context {
    /// The present, by both clocks.
    pub(super) fn present(&self) -> Now {
        Now {
            wall: self.clock.now(),
            monotonic: self.clock.monotonic(),
        }
    }
}

/// Whether users may have a group of this name.
///
/// # Errors
/// [`Error::InvalidConfig`].
pub(super) fn check_name(group: &GroupId) -> Result<(), Error> {
    if group.as_str().starts_with(INTERNAL_PREFIX) {
        let expected = format!("a name that does not begin with {INTERNAL_PREFIX}");
        return Err(InvalidConfig::new("group", group.as_str(), &expected).into());
    }
    Ok(())
}
