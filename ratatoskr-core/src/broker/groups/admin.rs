//! Groups as people and tools see them.

use crate::{
    broker::{Broker, groups::by_topic},
    error::Error,
    groups::{GroupDescription, GroupError, GroupSummary},
    name::GroupId,
};

impl Broker {
    /// Every consumer group, in the order of their names.
    ///
    /// # Errors
    /// [`Error::PartitionOffline`], [`Error::ShuttingDown`], [`Error::Fenced`].
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn list_groups(&self) -> Result<Vec<GroupSummary>, Error> {
        let mut all = Vec::new();
        for shard in self.shared.groups.log.existing(self)? {
            let groups = shard.read(|groups| groups.summaries().collect::<Vec<_>>());
            all.extend(groups.await?);
        }
        all.sort_unstable_by(|a, b| a.group.cmp(&b.group));
        Ok(all)
    }

    /// One group with its members.
    ///
    /// # Errors
    /// [`Error::Group`]: [`UnknownGroup`](GroupError::UnknownGroup). [`Error::PartitionOffline`],
    /// [`Error::ShuttingDown`], [`Error::Fenced`].
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn describe_group(&self, group: &GroupId) -> Result<GroupDescription, Error> {
        let names = self.shared.topic_names();
        let topics = &*self.shared;
        let found = self.look_at_groups(group, |groups| {
            groups.description(group, topics, |keys| by_topic(keys, &names))
        });
        let unknown = || GroupError::UnknownGroup(group.clone());
        Ok(found.await?.flatten().ok_or_else(unknown)?)
    }

    /// Deletes a group without members, with all its offsets.
    ///
    /// # Errors
    /// [`Error::Group`]: [`UnknownGroup`](GroupError::UnknownGroup),
    /// [`NotEmpty`](GroupError::NotEmpty). [`Error::PartitionOffline`], [`Error::OutcomeUnknown`],
    /// [`Error::ShuttingDown`], [`Error::Fenced`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves it deleted or not.
    pub async fn delete_group(&self, group: &GroupId) -> Result<(), Error> {
        let shard = self.shared.groups.log.existing_shard(self, group)?;
        let shard = shard.ok_or_else(|| GroupError::UnknownGroup(group.clone()))?;
        shard
            .change(|groups| Ok(groups.delete(group)?.into()))
            .await
    }
}
