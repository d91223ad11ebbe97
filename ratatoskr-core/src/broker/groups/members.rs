//! Members of consumer groups: one call from joining to leaving.

use crate::{
    broker::{Broker, groups::now},
    error::Error,
    groups::{GroupError, GroupHeartbeat, GroupHeartbeatResponse, Groups, MemberEpoch, MemberId},
    name::GroupId,
};

impl Broker {
    /// A member joins its group, shows that it is there, says what it has given up, or leaves, and is
    /// told what to read (KIP-848). A member that is not heard of for
    /// [`group_session_timeout`](crate::BrokerConfig::group_session_timeout) is expelled.
    ///
    /// # Errors
    /// [`Error::Group`]: [`UnknownMember`](GroupError::UnknownMember),
    /// [`FencedMember`](GroupError::FencedMember), [`InstanceInUse`](GroupError::InstanceInUse),
    /// [`InvalidRequest`](GroupError::InvalidRequest). [`Error::LimitReached`],
    /// [`Error::PartitionOffline`] where the group's state cannot be had just now,
    /// [`Error::OutcomeUnknown`]: ask again with what was sent. [`Error::ShuttingDown`],
    /// [`Error::Fenced`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves it done or not done.
    pub async fn group_heartbeat(
        &self,
        request: &GroupHeartbeat,
    ) -> Result<GroupHeartbeatResponse, Error> {
        let shard = if request.epoch == MemberEpoch::JOIN {
            self.group_shard(&request.group).await?
        } else {
            let existing = self
                .shared
                .groups
                .log
                .existing_shard(self, &request.group)?;
            existing.ok_or_else(|| GroupError::UnknownMember {
                group: request.group.clone(),
                member: request.member.clone(),
            })?
        };
        let broker = &self.shared;
        let (limits, clock) = (&broker.groups.limits, &broker.context.clock);
        shard
            .change(|groups| {
                let decision = groups.heartbeat(request, &**broker, now(&**clock), limits)?;
                Ok(decision.into())
            })
            .await
    }

    /// Whether a member is still one, under this epoch or a later one. Only groups that the broker
    /// manages know; of another group, or one that is not there, nobody is refused.
    ///
    /// # Errors
    /// [`Error::Group`]: [`UnknownMember`](GroupError::UnknownMember),
    /// [`FencedMember`](GroupError::FencedMember). [`Error::PartitionOffline`] where the group's state
    /// cannot be had just now, [`Error::ShuttingDown`], [`Error::Fenced`].
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn check_is_member(
        &self,
        group: &GroupId,
        member: &MemberId,
        epoch: MemberEpoch,
    ) -> Result<(), Error> {
        let check = |groups: &Groups| groups.check_is_member(group, member, epoch);
        let checked = self.look_at_groups(group, check).await?;
        Ok(checked.unwrap_or(Ok(()))?)
    }
}
