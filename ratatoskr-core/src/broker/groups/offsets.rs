//! Offsets that groups commit. Who is no member may commit too, to a group without members.

use crate::{
    broker::{Broker, groups::truncated::Looked},
    error::Error,
    groups::{
        Commit, CommittedOffset, GroupError, GroupOffset, MemberEpoch, MemberId, OffsetCommit,
        PartitionKey,
    },
    name::{GroupId, TopicName},
    offset::{LeaderEpoch, PartitionIndex},
    time::Timestamp,
};

impl Broker {
    /// Commits offsets of a group, all or none; they last when this returns. An offset may be lower
    /// than the one before.
    ///
    /// A member may commit for what it reads, until it has said that it reads it no more. Without a
    /// member, the group must have none.
    ///
    /// # Errors
    /// [`Error::Group`]: [`UnknownMember`](GroupError::UnknownMember),
    /// [`FencedMember`](GroupError::FencedMember), [`NotAssigned`](GroupError::NotAssigned),
    /// [`NotEmpty`](GroupError::NotEmpty). [`Error::UnknownTopic`], [`Error::UnknownPartition`],
    /// [`Error::OffsetOutOfRange`] for an offset beyond the end of its log, [`Error::LimitReached`],
    /// [`Error::PartitionOffline`], [`Error::OutcomeUnknown`], [`Error::ShuttingDown`],
    /// [`Error::Fenced`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves all of them committed or none.
    pub async fn commit_offsets(
        &self,
        group: &GroupId,
        member: Option<(&MemberId, MemberEpoch)>,
        offsets: &[OffsetCommit],
    ) -> Result<(), Error> {
        let commits = self.to_commits(offsets).await?;
        let member = member.map(|(id, epoch)| (id.clone(), epoch));
        self.commit(group, member.as_ref(), commits).await
    }

    pub(super) async fn to_commits(&self, offsets: &[OffsetCommit]) -> Result<Vec<Commit>, Error> {
        let now = self.shared.context.clock.now();
        let mut commits = Vec::with_capacity(offsets.len());
        for commit in offsets {
            commits.push(self.to_commit(commit, now).await?);
        }
        Ok(commits)
    }

    pub(super) async fn commit(
        &self,
        group: &GroupId,
        member: Option<&(MemberId, MemberEpoch)>,
        commits: Vec<Commit>,
    ) -> Result<(), Error> {
        let shard = match member {
            None => self.group_shard(group).await?,
            Some((id, _)) => {
                let existing = self.shared.groups.log.existing_shard(self, group)?;
                existing.ok_or_else(|| GroupError::UnknownMember {
                    group: group.clone(),
                    member: id.clone(),
                })?
            }
        };
        let limits = &self.shared.groups.limits;
        shard
            .change(|groups| Ok(groups.commit(group, member, commits, limits)?.into()))
            .await
    }

    async fn to_commit(&self, commit: &OffsetCommit, now: Timestamp) -> Result<Commit, Error> {
        let key = self.partition_key(&commit.topic, commit.partition)?;
        let cell = self.topic(&commit.topic)?.partition(commit.partition)?;
        let leader_epoch = match cell.bounds() {
            Ok(bounds) if commit.offset > bounds.log_end => {
                return Err(Error::OffsetOutOfRange {
                    requested: commit.offset,
                    bounds,
                });
            }
            Ok(_) => cell.leader_epoch().await,
            Err(error) => Err(error),
        };
        let leader_epoch = match leader_epoch {
            // What was processed before the partition went down may be said all the same.
            Err(Error::PartitionOffline { .. }) => LeaderEpoch::UNKNOWN,
            epoch => epoch?,
        };
        Ok(Commit {
            topic: commit.topic.clone(),
            key,
            committed: CommittedOffset {
                offset: commit.offset,
                leader_epoch,
                metadata: commit.metadata.clone(),
                at: now,
            },
        })
    }

    /// The offsets that a group has committed: of these partitions, or of all that it has committed
    /// any of, in the order of topics and partitions. What is answered lasts.
    ///
    /// Where a log has lost the records before a committed offset (it is not `fsync`, and the
    /// machine went down), the offset is set back to where the log was cut, for good.
    ///
    /// # Errors
    /// [`Error::PartitionOffline`] where the group's state cannot be had just now, or a partition is
    /// down whose log may have lost records; [`Error::ShuttingDown`], [`Error::Fenced`].
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing that would not be changed by asking again.
    pub async fn fetch_offsets(
        &self,
        group: &GroupId,
        partitions: Option<&[(TopicName, PartitionIndex)]>,
    ) -> Result<Vec<GroupOffset>, Error> {
        let wanted: Vec<_> = match partitions {
            Some(partitions) => partitions
                .iter()
                .map(|(topic, partition)| {
                    let key = self.partition_key(topic, *partition).ok();
                    (topic.clone(), *partition, key)
                })
                .collect(),
            None => self.committed_partitions(group).await?,
        };
        let keys: Vec<_> = wanted.iter().filter_map(|(_, _, key)| *key).collect();
        let mut found = self.committed(group, &keys).await?.into_iter();
        wanted
            .into_iter()
            .map(|(topic, partition, key)| {
                let committed = key.and_then(|_| found.next());
                Ok(GroupOffset {
                    topic,
                    partition,
                    committed: committed.transpose()?.flatten(),
                })
            })
            .collect()
    }

    async fn committed_partitions(
        &self,
        group: &GroupId,
    ) -> Result<Vec<(TopicName, PartitionIndex, Option<PartitionKey>)>, Error> {
        let names = self.shared.topic_names();
        let all = self.look_at_group(group, |group| {
            let offsets = group.offsets.iter();
            let partitions = offsets.filter_map(|(&key, _)| {
                let name = names.get(&key.topic)?.clone();
                Some((name, key.partition, Some(key)))
            });
            partitions.collect::<Vec<_>>()
        });
        let mut all = all.await?.unwrap_or_default();
        all.sort_unstable();
        Ok(all)
    }

    /// What was committed of each, as far as the records before it are there; an error where that
    /// cannot be said just now.
    pub(super) async fn committed(
        &self,
        group: &GroupId,
        keys: &[PartitionKey],
    ) -> Result<Vec<Result<Option<CommittedOffset>, Error>>, Error> {
        let found = self.look_at_group(group, |group| {
            let offsets = keys.iter().map(|key| group.offsets.get(key).cloned());
            offsets.collect::<Vec<_>>()
        });
        let found = found.await?.unwrap_or_else(|| vec![None; keys.len()]);
        let names = self.shared.topic_names();
        let mut clamped = Vec::new();
        let mut answers = Vec::with_capacity(keys.len());
        for (key, committed) in keys.iter().zip(found) {
            let (Some(seen), Some(topic)) = (&committed, names.get(&key.topic)) else {
                answers.push(Ok(committed));
                continue;
            };
            let answer = match self.look_for_truncation(topic, key, seen).await {
                Ok(Looked::Well) => Ok(committed),
                Ok(Looked::Truncated(to)) => {
                    tracing::warn!(%group, %topic, partition = %key.partition, offset = %seen.offset,
                        to = %to.offset, "the log has lost records before a committed offset");
                    clamped.push((*key, seen.clone(), to.clone()));
                    Ok(Some(to))
                }
                Err(error) => Err(error),
            };
            answers.push(answer);
        }
        if !clamped.is_empty() {
            self.clamp(group, clamped).await?;
        }
        Ok(answers)
    }

    async fn clamp(
        &self,
        group: &GroupId,
        clamped: Vec<(PartitionKey, CommittedOffset, CommittedOffset)>,
    ) -> Result<(), Error> {
        let engine = &self.shared.groups;
        let count = clamped.len() as u64;
        if let Some(shard) = engine.log.existing_shard(self, group)? {
            shard
                .change(|groups| Ok(groups.clamp(group, clamped).into()))
                .await?;
        }
        engine
            .offsets_clamped
            .fetch_add(count, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }

    /// Forgets offsets of a group, all or none.
    ///
    /// # Errors
    /// [`Error::Group`]: [`UnknownGroup`](GroupError::UnknownGroup),
    /// [`NotEmpty`](GroupError::NotEmpty) where members read one of the topics.
    /// [`Error::UnknownTopic`], [`Error::UnknownPartition`], [`Error::PartitionOffline`],
    /// [`Error::OutcomeUnknown`], [`Error::ShuttingDown`], [`Error::Fenced`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves them forgotten or not.
    pub async fn delete_offsets(
        &self,
        group: &GroupId,
        partitions: &[(TopicName, PartitionIndex)],
    ) -> Result<(), Error> {
        let wanted = partitions.iter().map(|(topic, partition)| {
            let key = self.partition_key(topic, *partition)?;
            Ok((topic.clone(), key))
        });
        let wanted = wanted.collect::<Result<Vec<_>, Error>>()?;
        let shard = self.shared.groups.log.existing_shard(self, group)?;
        let shard = shard.ok_or_else(|| GroupError::UnknownGroup(group.clone()))?;
        shard
            .change(|groups| Ok(groups.forget(group, &wanted)?.into()))
            .await
    }
}
