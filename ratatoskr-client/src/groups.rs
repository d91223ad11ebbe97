//! Consumer groups from outside: committed offsets, and administration.

use ratatoskr_core::{
    broker::OffsetSpec,
    groups::{
        GroupDescription, GroupHeartbeat, GroupHeartbeatResponse, GroupOffset, GroupSummary,
        MemberEpoch, MemberId, OffsetCommit, OffsetReset, PartitionLag,
    },
    name::{GroupId, TopicName},
    offset::PartitionIndex,
    wire,
};

use crate::{
    Error,
    client::{Client, Transport},
    remote::Repeat,
};

/// Consumer groups. Reading as a member of one is [`ConsumerBuilder::group`](crate::ConsumerBuilder::group).
impl Client {
    /// Every consumer group, in the order of their names.
    ///
    /// # Errors
    /// As [`Broker::list_groups`](ratatoskr_core::Broker::list_groups), and those of the connection.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn list_groups(&self) -> Result<Vec<GroupSummary>, Error> {
        match &self.transport {
            Transport::InProcess(broker) => Ok(broker.list_groups().await?),
            Transport::Remote(remote) => {
                let request = wire::ListGroups {};
                remote.call("list groups", &request, Repeat::Freely).await
            }
        }
    }

    /// One group with its members.
    ///
    /// # Errors
    /// As [`Broker::describe_group`](ratatoskr_core::Broker::describe_group), and those of the
    /// connection.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn describe_group(&self, group: &GroupId) -> Result<GroupDescription, Error> {
        match &self.transport {
            Transport::InProcess(broker) => Ok(broker.describe_group(group).await?),
            Transport::Remote(remote) => {
                let group = group.clone();
                let request = wire::DescribeGroup { group };
                remote
                    .call("describe group", &request, Repeat::Freely)
                    .await
            }
        }
    }

    /// Deletes a group without members, with all its offsets.
    ///
    /// # Errors
    /// As [`Broker::delete_group`](ratatoskr_core::Broker::delete_group), and those of the connection.
    ///
    /// # Cancel safety
    /// Dropping the future may leave the group deleted.
    pub async fn delete_group(&self, group: &GroupId) -> Result<(), Error> {
        match &self.transport {
            Transport::InProcess(broker) => Ok(broker.delete_group(group).await?),
            Transport::Remote(remote) => {
                let group = group.clone();
                let request = wire::DeleteGroup { group };
                let repeat = Repeat::IfNotCarriedOut;
                remote.call("delete group", &request, repeat).await?;
                Ok(())
            }
        }
    }

    /// How far a group is behind, in records and in time, partition by partition.
    ///
    /// # Errors
    /// As [`Broker::group_lag`](ratatoskr_core::Broker::group_lag), and those of the connection.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn group_lag(&self, group: &GroupId) -> Result<Vec<PartitionLag>, Error> {
        match &self.transport {
            Transport::InProcess(broker) => Ok(broker.group_lag(group).await?),
            Transport::Remote(remote) => {
                let group = group.clone();
                let request = wire::GroupLag { group };
                remote.call("group lag", &request, Repeat::Freely).await
            }
        }
    }

    /// Sets where a group without members goes on in these topics, or in all that it has committed
    /// for, and answers what that changes, or would change (`dry_run`).
    ///
    /// # Errors
    /// As [`Broker::reset_offsets`](ratatoskr_core::Broker::reset_offsets), and those of the
    /// connection.
    ///
    /// # Cancel safety
    /// Dropping the future may leave all of it done.
    pub async fn reset_offsets(
        &self,
        group: &GroupId,
        topics: &[TopicName],
        to: OffsetSpec,
        dry_run: bool,
    ) -> Result<Vec<OffsetReset>, Error> {
        match &self.transport {
            Transport::InProcess(broker) => {
                Ok(broker.reset_offsets(group, topics, to, dry_run).await?)
            }
            Transport::Remote(remote) => {
                let request = wire::ResetOffsets {
                    group: group.clone(),
                    topics: topics.to_vec(),
                    to,
                    dry_run,
                };
                remote.call("reset offsets", &request, Repeat::Freely).await
            }
        }
    }

    /// Commits offsets of a group, all or none; they last when this returns. Without a member, the
    /// group must have none.
    ///
    /// # Errors
    /// As [`Broker::commit_offsets`](ratatoskr_core::Broker::commit_offsets), and those of the
    /// connection.
    ///
    /// # Cancel safety
    /// Dropping the future may leave all of them committed.
    pub async fn commit_offsets(
        &self,
        group: &GroupId,
        member: Option<(&MemberId, MemberEpoch)>,
        offsets: Vec<OffsetCommit>,
    ) -> Result<(), Error> {
        match &self.transport {
            Transport::InProcess(broker) => {
                Ok(broker.commit_offsets(group, member, &offsets).await?)
            }
            Transport::Remote(remote) => {
                let request = wire::CommitOffsets {
                    group: group.clone(),
                    member: member.map(|(id, epoch)| (id.clone(), epoch)),
                    offsets,
                };
                remote
                    .call("commit offsets", &request, Repeat::Freely)
                    .await?;
                Ok(())
            }
        }
    }

    /// The offsets that a group has committed: of these partitions, or of all.
    ///
    /// # Errors
    /// As [`Broker::fetch_offsets`](ratatoskr_core::Broker::fetch_offsets), and those of the
    /// connection.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn fetch_offsets(
        &self,
        group: &GroupId,
        partitions: Option<Vec<(TopicName, PartitionIndex)>>,
    ) -> Result<Vec<GroupOffset>, Error> {
        match &self.transport {
            Transport::InProcess(broker) => {
                Ok(broker.fetch_offsets(group, partitions.as_deref()).await?)
            }
            Transport::Remote(remote) => {
                let request = wire::FetchOffsets {
                    group: group.clone(),
                    partitions,
                };
                remote.call("fetch offsets", &request, Repeat::Freely).await
            }
        }
    }

    /// Forgets offsets of a group, all or none.
    ///
    /// # Errors
    /// As [`Broker::delete_offsets`](ratatoskr_core::Broker::delete_offsets), and those of the
    /// connection.
    ///
    /// # Cancel safety
    /// Dropping the future may leave all of them forgotten.
    pub async fn delete_offsets(
        &self,
        group: &GroupId,
        partitions: Vec<(TopicName, PartitionIndex)>,
    ) -> Result<(), Error> {
        match &self.transport {
            Transport::InProcess(broker) => Ok(broker.delete_offsets(group, &partitions).await?),
            Transport::Remote(remote) => {
                let request = wire::DeleteOffsets {
                    group: group.clone(),
                    partitions,
                };
                remote
                    .call("delete offsets", &request, Repeat::Freely)
                    .await?;
                Ok(())
            }
        }
    }

    /// One step of a member's life.
    pub(crate) async fn group_heartbeat(
        &self,
        request: GroupHeartbeat,
    ) -> Result<GroupHeartbeatResponse, Error> {
        match &self.transport {
            Transport::InProcess(broker) => Ok(broker.group_heartbeat(&request).await?),
            Transport::Remote(remote) => {
                let request = wire::GroupHeartbeat::from(request);
                let call = remote.call("group heartbeat", &request, Repeat::Freely);
                Ok(call.await?.into())
            }
        }
    }
}
