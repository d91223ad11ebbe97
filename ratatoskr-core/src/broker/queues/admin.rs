//! Creating, changing, deleting and describing queue groups.

use std::sync::Arc;

use super::{
    NewQueue, QueueDescription, QueuePartitionDescription, QueueTopicDescription,
    engine::{QueueShard, check_name},
};
use crate::{
    broker::{Broker, offsets::first_record_at, state::Change, topic::TopicState},
    delivery::{
        Event, QueueConfig, QueueConfigChange, QueueCounters, QueueError, QueueStart, Queues,
    },
    error::Error,
    name::GroupId,
    offset::Offset,
};

impl Broker {
    /// Creates a queue group.
    ///
    /// # Errors
    /// [`Error::Queue`] with [`QueueError::GroupExists`], [`Error::InvalidConfig`],
    /// [`Error::LimitReached`], [`Error::PartitionOffline`], [`Error::OutcomeUnknown`],
    /// [`Error::Storage`], [`Error::ShuttingDown`], [`Error::Fenced`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves the group created or not created.
    pub async fn queue_create(
        &self,
        group: &GroupId,
        new: NewQueue,
    ) -> Result<QueueDescription, Error> {
        check_name(group)?;
        let defaults = &self.shared.context.config.queue_defaults;
        let config = new.config.apply_to(defaults)?;
        let shard = self.shared.queues.shard(self, group).await?;
        self.check_queue_groups(shard)?;
        let created = shard.change(|queues| {
            if queues.group(group).is_some() {
                return Err(QueueError::GroupExists(group.clone()).into());
            }
            Ok(configured(group, config))
        });
        created.await?;
        self.queue_describe(group).await
    }

    /// Changes how a queue group is configured; what is not named stays. Changing whether records are
    /// ordered by key ends all leases of the group.
    ///
    /// # Errors
    /// [`Error::Queue`] with [`QueueError::UnknownGroup`], [`Error::InvalidConfig`],
    /// [`Error::PartitionOffline`], [`Error::OutcomeUnknown`], [`Error::Storage`],
    /// [`Error::ShuttingDown`], [`Error::Fenced`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves the change made or not made.
    pub async fn queue_alter(
        &self,
        group: &GroupId,
        change: &QueueConfigChange,
    ) -> Result<QueueDescription, Error> {
        check_name(group)?;
        let shard = self.shared.queues.existing_shard(self, group)?;
        let altered = shard.change(|queues| {
            let known = known(queues, group)?;
            let config = change.apply_to(&known.config)?;
            Ok(configured(group, config))
        });
        altered.await?;
        self.queue_freed(shard, group);
        self.queue_describe(group).await
    }

    /// Deletes a queue group with all that it knows; leases are over. Consumers that still acquire
    /// make it anew.
    ///
    /// # Errors
    /// [`Error::Queue`] with [`QueueError::UnknownGroup`], [`Error::PartitionOffline`],
    /// [`Error::OutcomeUnknown`], [`Error::Storage`], [`Error::ShuttingDown`], [`Error::Fenced`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves the group deleted or not deleted.
    pub async fn queue_delete(&self, group: &GroupId) -> Result<(), Error> {
        check_name(group)?;
        let shard = self.shared.queues.existing_shard(self, group)?;
        let deleted = shard.change(|queues| {
            known(queues, group)?;
            let group = group.clone();
            Ok(Change {
                events: vec![Event::GroupDeleted { group }],
                answer: (),
            })
        });
        deleted.await
    }

    /// One queue group, with what it knows of each partition.
    ///
    /// # Errors
    /// [`Error::Queue`] with [`QueueError::UnknownGroup`], [`Error::PartitionOffline`],
    /// [`Error::ShuttingDown`], [`Error::Fenced`].
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn queue_describe(&self, group: &GroupId) -> Result<QueueDescription, Error> {
        check_name(group)?;
        let shard = self.shared.queues.existing_shard(self, group)?;
        let mut description = shard.read(|queues| describe(queues, group)).await??;
        for topic in &mut description.topics {
            let Some(state) =
                (self.topic(&topic.topic).ok()).filter(|state| state.id() == topic.id)
            else {
                continue;
            };
            for partition in &mut topic.partitions {
                let bounds = state
                    .partition(partition.partition)
                    .and_then(|cell| cell.bounds());
                if let Ok(bounds) = bounds {
                    partition.available += bounds.high_watermark.distance_from(partition.next);
                }
            }
        }
        description.topics.sort_by(|a, b| a.topic.cmp(&b.topic));
        Ok(description)
    }

    /// Every queue group, in the order of their names.
    ///
    /// # Errors
    /// [`Error::PartitionOffline`], [`Error::ShuttingDown`], [`Error::Fenced`].
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn queue_list(&self) -> Result<Vec<GroupId>, Error> {
        let mut names = Vec::new();
        for shard in self.shared.queues.shards(self)? {
            names.extend(shard.read(|queues| queues.names()).await?);
        }
        names.retain(|name| check_name(name).is_ok());
        names.sort_unstable();
        Ok(names)
    }

    /// The totals of every queue group whose state is at hand, in the order of their names, at once:
    /// for metrics.
    pub fn queue_counters(&self) -> Vec<(GroupId, QueueCounters)> {
        let shards = self.shared.queues.shards_in_use();
        let counters = shards
            .iter()
            .filter_map(|shard| shard.peek(|queues| queues.counters()));
        let mut counters: Vec<_> = counters
            .flatten()
            .filter(|(name, _)| check_name(name).is_ok())
            .collect();
        counters.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        counters
    }

    /// Gives a group a place in each partition of a topic that it has none in; makes the group with
    /// the defaults if it is not there.
    pub(super) async fn queue_open(
        &self,
        shard: &Arc<QueueShard>,
        group: &GroupId,
        topic: &TopicState,
    ) -> Result<(), Error> {
        let id = topic.id();
        let look = |queues: &mut Queues| {
            let config = queues.group(group).map(|group| group.config.clone());
            (config, queues.has_read(group, id))
        };
        let (config, has_read) = shard.read(look).await?;
        if config.is_none() {
            self.check_queue_groups(shard)?;
        }
        let start = match &config {
            // Records of a partition that is added later are all new.
            Some(config) if !has_read => config.start,
            _ => QueueStart::Start,
        };
        let mut starts = Vec::new();
        for cell in topic.partitions() {
            let at = match start {
                // Records that are gone are passed over when they are looked for.
                QueueStart::Start => Offset::ZERO,
                QueueStart::End => cell.bounds()?.high_watermark,
                QueueStart::Timestamp(at) => match first_record_at(&cell, at).await? {
                    Some(offset) => offset,
                    None => cell.bounds()?.high_watermark,
                },
            };
            starts.push((cell.index(), at));
        }
        let opened = shard.change(|queues| {
            let mut events = Vec::new();
            if queues.group(group).is_none() {
                let defaults = &self.shared.context.config.queue_defaults;
                events = configured(group, defaults.clone()).events;
            }
            let unknown = starts
                .into_iter()
                .filter(|&(index, _)| !queues.knows(group, id, index));
            events.extend(unknown.map(|(partition, start)| Event::Opened {
                group: group.clone(),
                topic: id,
                name: topic.name().clone(),
                partition,
                start,
            }));
            Ok(Change { events, answer: () })
        });
        opened.await
    }

    fn check_queue_groups(&self, own: &QueueShard) -> Result<(), Error> {
        let max = self.shared.context.config.queue_groups_max;
        let shards = self.shared.queues.shards(self)?;
        // Groups are spread evenly, so one shard tells enough of those that are not at hand.
        let of_own = own.peek(|queues| queues.group_count()).unwrap_or(0);
        let counts = shards
            .iter()
            .map(|shard| shard.peek(|queues| queues.group_count()).unwrap_or(of_own));
        if counts.sum::<usize>() >= max {
            return Err(Error::LimitReached {
                limit: "queue_groups_max",
                max: max as u64,
            });
        }
        Ok(())
    }
}

fn configured(group: &GroupId, config: QueueConfig) -> Change<Event, ()> {
    let group = group.clone();
    Change {
        events: vec![Event::Group { group, config }],
        answer: (),
    }
}

fn known<'a>(
    queues: &'a Queues,
    group: &GroupId,
) -> Result<&'a crate::delivery::Group, QueueError> {
    let known = queues.group(group);
    known.ok_or_else(|| QueueError::UnknownGroup(group.clone()))
}

fn describe(queues: &Queues, name: &GroupId) -> Result<QueueDescription, Error> {
    let group = known(queues, name)?;
    let mut topics: Vec<QueueTopicDescription> = Vec::new();
    for (id, topic, index, partition) in group.partitions() {
        if topics.last().is_none_or(|last| last.id != id) {
            topics.push(QueueTopicDescription {
                topic: topic.clone(),
                id,
                dead_letter_topic: group.config.dead_letters.of(topic),
                partitions: Vec::new(),
            });
        }
        if let Some(topic) = topics.last_mut() {
            topic.partitions.push(QueuePartitionDescription {
                partition: index,
                start: Offset::new(partition.start()),
                next: Offset::new(partition.frontier()),
                available: partition.available(),
                counters: partition.counters(),
            });
        }
    }
    Ok(QueueDescription {
        group: name.clone(),
        config: group.config.clone(),
        topics,
        consumers: group.consumers(),
    })
}
