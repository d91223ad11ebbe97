//! Setting where a group goes on.

use crate::{
    broker::{Broker, offsets::OffsetSpec},
    error::Error,
    groups::{Commit, CommittedOffset, GroupError, OffsetReset, PartitionKey},
    name::{GroupId, TopicName},
    offset::{Offset, PartitionIndex},
    time::Timestamp,
};

impl Broker {
    /// Sets where a group without members goes on in these topics, or in all that it has committed
    /// for, and answers what that changes, or would change (`dry_run`). All of it or nothing is done.
    ///
    /// An offset that a partition does not have is held between the ends of its log; a time later
    /// than every record means the end.
    ///
    /// # Errors
    /// [`Error::Group`]: [`NotEmpty`](GroupError::NotEmpty), also for a dry run;
    /// [`UnknownGroup`](GroupError::UnknownGroup) where no topic is named. [`Error::UnknownTopic`],
    /// [`Error::PartitionOffline`], [`Error::CorruptRecords`], [`Error::LimitReached`],
    /// [`Error::OutcomeUnknown`], [`Error::ShuttingDown`], [`Error::Fenced`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves all of it done or nothing.
    pub async fn reset_offsets(
        &self,
        group: &GroupId,
        topics: &[TopicName],
        to: OffsetSpec,
        dry_run: bool,
    ) -> Result<Vec<OffsetReset>, Error> {
        let existing = self.shared.groups.log.existing_shard(self, group)?;
        let known = match existing {
            Some(shard) => {
                let looked = shard.read(|groups| {
                    groups.check_empty(group)?;
                    Ok::<_, GroupError>(groups.contains(group))
                });
                looked.await??
            }
            None => false,
        };
        if !known && topics.is_empty() {
            return Err(GroupError::UnknownGroup(group.clone()).into());
        }
        let partitions = self.partitions_to_reset(group, topics).await?;
        let keys: Vec<_> = partitions.iter().map(|(_, key)| *key).collect();
        let before = self.committed(group, &keys).await?;
        let now = self.shared.context.clock.now();
        let mut plan = Vec::with_capacity(partitions.len());
        let mut commits = Vec::with_capacity(partitions.len());
        for ((topic, key), before) in partitions.into_iter().zip(before) {
            let before = before?;
            let offset = self.offset_to_reset_to(&topic, key.partition, to).await?;
            plan.push(OffsetReset {
                topic: topic.clone(),
                partition: key.partition,
                from: before.map(|before| before.offset),
                to: offset,
            });
            commits.push(self.reset_commit(topic, key, offset, now).await?);
        }
        if !dry_run {
            self.commit(group, None, commits).await?;
        }
        Ok(plan)
    }

    async fn partitions_to_reset(
        &self,
        group: &GroupId,
        topics: &[TopicName],
    ) -> Result<Vec<(TopicName, PartitionKey)>, Error> {
        if topics.is_empty() {
            let committed = self.fetch_offsets(group, None).await?.into_iter();
            return committed
                .map(|offset| {
                    let key = self.partition_key(&offset.topic, offset.partition)?;
                    Ok((offset.topic, key))
                })
                .collect();
        }
        let mut partitions = Vec::new();
        for name in topics {
            let topic = self.topic(name)?;
            partitions.extend((0..topic.partition_count()).map(|index| {
                let key = PartitionKey {
                    topic: topic.shared().id,
                    partition: PartitionIndex::new(index),
                };
                (name.clone(), key)
            }));
        }
        Ok(partitions)
    }

    async fn offset_to_reset_to(
        &self,
        topic: &TopicName,
        partition: PartitionIndex,
        to: OffsetSpec,
    ) -> Result<Offset, Error> {
        match self.offset_at(topic, partition, to).await {
            Ok(Some(offset)) => Ok(offset),
            Ok(None) => Ok(self.bounds(topic, partition)?.high_watermark),
            Err(Error::OffsetOutOfRange { requested, bounds }) => {
                Ok(requested.clamp(bounds.log_start, bounds.high_watermark))
            }
            Err(error) => Err(error),
        }
    }

    async fn reset_commit(
        &self,
        topic: TopicName,
        key: PartitionKey,
        offset: Offset,
        now: Timestamp,
    ) -> Result<Commit, Error> {
        let cell = self.topic(&topic)?.partition(key.partition)?;
        Ok(Commit {
            topic,
            key,
            committed: CommittedOffset {
                offset,
                leader_epoch: cell.leader_epoch().await?,
                metadata: String::new(),
                at: now,
            },
        })
    }
}
