//! Consumer groups of the broker: the state machine of [`crate::groups`], kept in `_rt.groups`.
//!
//! ```text
//! members.rs   heartbeats        classic.rs   members of classic groups
//! offsets.rs   commit, fetch, forget, and offsets that were lost
//! admin.rs     list, describe    lag.rs       how far behind       reset.rs   where to go on
//! keeper.rs    what passes with time    matching.rs   topics by patterns of their names
//! ```
//! What is here finds the group's shard, asks the catalog and the partitions what the machine has to
//! know, and hands out what the machine has decided once it lasts.

mod admin;
mod classic;
mod keeper;
mod lag;
mod matching;
mod members;
mod offsets;
mod reset;
mod truncated;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use matching::Matches;

pub(super) use keeper::spawn;

use crate::{
    broker::{
        Broker, Shared,
        config::BrokerConfig,
        state::{Change, Machine, Shard, StateLog},
    },
    error::Error,
    groups::{Decision, Event, GroupLimits, Groups, Now, PartitionKey, TopicPartitions},
    name::{GroupId, TopicId, TopicName},
    time::Clock,
};

/// Where groups are kept.
const TOPIC: &str = "_rt.groups";
/// The same on every broker.
const TOPIC_ID: [u8; 16] = *b"_rt.groups......";

/// What the broker has of its groups.
#[derive(Debug)]
pub(super) struct GroupEngine {
    log: StateLog<Groups>,
    limits: GroupLimits,
    /// Committed offsets that were set back since the broker was opened, since the log had lost the
    /// records before them.
    offsets_clamped: AtomicU64,
    matches: Matches,
}

impl GroupEngine {
    pub(super) fn new(config: &BrokerConfig) -> Self {
        Self {
            log: StateLog::new(TOPIC, TOPIC_ID),
            limits: GroupLimits {
                session_timeout: config.group_session_timeout,
                heartbeat_interval: config.group_heartbeat_interval,
                rebalance_timeout_max: config.group_rebalance_timeout_max,
                session_timeout_min: config.group_session_timeout_min,
                session_timeout_max: config.group_session_timeout_max,
                initial_rebalance_delay: config.group_initial_rebalance_delay,
                metadata_bytes_max: config.group_metadata_bytes_max,
                members_max: config.group_members_max,
                member_topics_max: config.group_member_topics_max,
                offsets_max: config.group_offsets_max,
                offset_metadata_bytes_max: config.offset_metadata_bytes_max,
                offsets_retention: config.offsets_retention,
            },
            offsets_clamped: AtomicU64::new(0),
            matches: Matches::default(),
        }
    }

    pub(super) fn offsets_clamped(&self) -> u64 {
        self.offsets_clamped.load(Ordering::Relaxed)
    }
}

impl Machine for Groups {
    type Event = Event;

    fn apply(&mut self, event: Event) {
        Self::apply(self, event);
    }

    fn snapshot(&self, out: &mut dyn FnMut(Event)) {
        Self::snapshot(self, out);
    }
}

impl<T> From<Decision<T>> for Change<Event, T> {
    fn from(Decision { events, answer }: Decision<T>) -> Self {
        Self { events, answer }
    }
}

fn now(clock: &dyn Clock) -> Now {
    Now {
        wall: clock.now(),
        monotonic: clock.monotonic(),
    }
}

impl Shared {
    /// The names of all topics.
    fn topic_names(&self) -> HashMap<TopicId, TopicName> {
        let topics = self.catalog.read().all();
        topics
            .iter()
            .map(|topic| (topic.shared().id, topic.name().clone()))
            .collect()
    }
}

impl Broker {
    /// Where a group is or will be, if there may be one (more).
    ///
    /// # Errors
    /// [`Error::LimitReached`].
    async fn group_shard(&self, group: &GroupId) -> Result<&Arc<Shard<Groups>>, Error> {
        let log = &self.shared.groups.log;
        let shard = log.shard(self, group).await?;
        if shard.peek(|groups| groups.contains(group)) == Some(true)
            || shard.read(|groups| groups.contains(group)).await?
        {
            return Ok(shard);
        }
        let max = self.shared.context.config.groups_max;
        let mut there = 0;
        for shard in log.existing(self)? {
            there += shard.read(|groups| groups.len()).await?;
        }
        if there >= max {
            return Err(Error::LimitReached {
                limit: "groups_max",
                max: max as u64,
            });
        }
        Ok(shard)
    }

    /// Looks at a group; `None` where there is none.
    async fn look_at_group<T>(
        &self,
        group: &GroupId,
        look: impl FnOnce(&crate::groups::Group) -> T,
    ) -> Result<Option<T>, Error> {
        let look = |groups: &Groups| groups.group(group).map(look);
        Ok(self.look_at_groups(group, look).await?.flatten())
    }

    /// Looks at the groups among which this one is or would be; `None` where there are none at all.
    async fn look_at_groups<T>(
        &self,
        group: &GroupId,
        look: impl FnOnce(&Groups) -> T,
    ) -> Result<Option<T>, Error> {
        match self.shared.groups.log.existing_shard(self, group)? {
            Some(shard) => shard.read(|groups| look(groups)).await.map(Some),
            None => Ok(None),
        }
    }

    /// The partition of this name, as groups know it.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], [`Error::UnknownPartition`].
    fn partition_key(
        &self,
        topic: &TopicName,
        partition: crate::offset::PartitionIndex,
    ) -> Result<PartitionKey, Error> {
        let topic = self.topic(topic)?;
        topic.partition(partition)?;
        Ok(PartitionKey {
            topic: topic.shared().id,
            partition,
        })
    }
}

/// Partitions by topic, in the order of names; those of topics that are gone are left out.
fn by_topic(
    keys: impl Iterator<Item = PartitionKey>,
    names: &HashMap<TopicId, TopicName>,
) -> Vec<TopicPartitions> {
    let mut topics = std::collections::BTreeMap::<&TopicName, TopicPartitions>::new();
    for key in keys {
        if let Some(name) = names.get(&key.topic) {
            let topic = topics.entry(name).or_insert_with(|| TopicPartitions {
                topic: name.clone(),
                id: key.topic,
                partitions: Vec::new(),
            });
            topic.partitions.push(key.partition);
        }
    }
    topics.into_values().collect()
}
