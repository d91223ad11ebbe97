//! Members of classic groups: they join, fetch what they were assigned, stay, leave and commit.
//!
//! Who waits for others looks again whenever something has changed in the group, and lets time pass
//! for it, so that a round ends when its time is up and not when the keeper comes by.

use std::{pin::pin, sync::Arc, time::Duration};

use crate::{
    broker::{
        Broker,
        groups::now,
        state::{Change, Shard},
    },
    error::Error,
    groups::{
        ClassicDescription, Committer, GroupError, Groups, InstanceId, JoinAnswer, JoinGroup,
        Joining, MemberEpoch, MemberId, OffsetCommit, SyncGroup, SyncedGroup, Syncing, said,
    },
    name::GroupId,
};

impl Broker {
    /// A member joins a group whose members assign partitions among themselves (Kafka's classic
    /// protocol), and waits for the others: up to
    /// [`group_initial_rebalance_delay`](crate::BrokerConfig::group_initial_rebalance_delay) in a new
    /// group, up to the longest rebalance timeout of its members otherwise.
    ///
    /// # Errors
    /// [`Error::Group`]: [`UnknownMember`](GroupError::UnknownMember),
    /// [`FencedInstance`](GroupError::FencedInstance),
    /// [`InconsistentProtocol`](GroupError::InconsistentProtocol) also where the broker manages the
    /// group, [`InvalidSessionTimeout`](GroupError::InvalidSessionTimeout),
    /// [`RebalanceInProgress`](GroupError::RebalanceInProgress) where the same member has asked again.
    /// [`Error::LimitReached`], [`Error::PartitionOffline`], [`Error::OutcomeUnknown`],
    /// [`Error::ShuttingDown`], [`Error::Fenced`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves the member joining or not; if so, it is expelled when its session
    /// is over, which begins when the others have joined.
    pub async fn join_group(&self, request: &JoinGroup) -> Result<JoinAnswer, Error> {
        let group = &request.group;
        let shard = match &request.member {
            None => self.group_shard(group).await?,
            Some(member) => self.shard_of_member(group, member)?,
        };
        let new_id = new_id(request);
        let broker = &self.shared;
        let (limits, clock) = (&broker.groups.limits, &*broker.context.clock);
        let joining = shard.change(|groups| {
            let decision = groups.join_classic(request, &new_id, now(clock), limits)?;
            Ok(decision.into())
        });
        match joining.await? {
            Joining::MemberIdRequired(member) => Ok(JoinAnswer::MemberIdRequired(member)),
            Joining::Joined(joined) => Ok(JoinAnswer::Joined(joined)),
            Joining::Waiting(ticket) => {
                let look = |groups: &Groups| groups.look_join(group, &ticket);
                let joined = self.wait_in_group(shard, group, look).await?;
                Ok(JoinAnswer::Joined(joined))
            }
        }
    }

    /// A member of a classic group fetches what it was assigned; the leader brings it. Waits for the
    /// leader, up to the longest rebalance timeout of the members.
    ///
    /// # Errors
    /// [`Error::Group`]: [`UnknownMember`](GroupError::UnknownMember),
    /// [`FencedInstance`](GroupError::FencedInstance), [`FencedMember`](GroupError::FencedMember) for
    /// another generation, [`InconsistentProtocol`](GroupError::InconsistentProtocol),
    /// [`RebalanceInProgress`](GroupError::RebalanceInProgress): join anew. [`Error::LimitReached`],
    /// [`Error::PartitionOffline`], [`Error::OutcomeUnknown`], [`Error::ShuttingDown`],
    /// [`Error::Fenced`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves what the leader brings taken or not.
    pub async fn sync_group(&self, request: &SyncGroup) -> Result<SyncedGroup, Error> {
        let group = &request.group;
        let shard = self.shard_of_member(group, &request.member)?;
        let broker = &self.shared;
        let (limits, clock) = (&broker.groups.limits, &*broker.context.clock);
        let syncing =
            shard.change(|groups| Ok(groups.sync_classic(request, now(clock), limits)?.into()));
        match syncing.await? {
            Syncing::Synced(synced) => Ok(synced),
            Syncing::Waiting => {
                let look = |groups: &Groups| groups.look_sync(request);
                self.wait_in_group(shard, group, look).await
            }
        }
    }

    /// A member of a classic group shows that it is there.
    ///
    /// # Errors
    /// [`Error::Group`]: [`UnknownMember`](GroupError::UnknownMember),
    /// [`FencedInstance`](GroupError::FencedInstance), [`FencedMember`](GroupError::FencedMember) for
    /// another generation, [`RebalanceInProgress`](GroupError::RebalanceInProgress): join anew.
    /// [`Error::PartitionOffline`], [`Error::ShuttingDown`], [`Error::Fenced`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves the member heard of or not.
    pub async fn classic_heartbeat(
        &self,
        group: &GroupId,
        member: &MemberId,
        instance: Option<&InstanceId>,
        generation: MemberEpoch,
    ) -> Result<(), Error> {
        let shard = self.shard_of_member(group, member)?;
        let clock = &*self.shared.context.clock;
        let beat = shard.change(|groups| {
            groups.beat_classic(group, member, instance, generation, now(clock))?;
            Ok(Change::nothing(()))
        });
        beat.await
    }

    /// A member leaves a classic group, or is made to: by its id, by its instance id, or by both.
    ///
    /// # Errors
    /// [`Error::Group`]: [`UnknownMember`](GroupError::UnknownMember),
    /// [`FencedInstance`](GroupError::FencedInstance). [`Error::PartitionOffline`],
    /// [`Error::OutcomeUnknown`], [`Error::ShuttingDown`], [`Error::Fenced`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves the member there or gone.
    pub async fn leave_group(
        &self,
        group: &GroupId,
        member: Option<&MemberId>,
        instance: Option<&InstanceId>,
    ) -> Result<(), Error> {
        let shard = self.shard_of_member(group, &said(member, instance))?;
        let broker = &self.shared;
        let (limits, clock) = (&broker.groups.limits, &*broker.context.clock);
        let left = shard.change(|groups| {
            let decision = groups.leave_classic(group, member, instance, now(clock), limits)?;
            Ok(decision.into())
        });
        left.await
    }

    /// As [`commit_offsets`](Self::commit_offsets), for who names a generation or an epoch and does
    /// not know of which kind the group is. In a classic group it counts as a heartbeat.
    ///
    /// # Errors
    /// As [`commit_offsets`](Self::commit_offsets), and [`Error::Group`]:
    /// [`UnknownGroup`](GroupError::UnknownGroup),
    /// [`FencedInstance`](GroupError::FencedInstance),
    /// [`RebalanceInProgress`](GroupError::RebalanceInProgress) for a member that has joined and not
    /// yet fetched what it was assigned.
    ///
    /// # Cancel safety
    /// Dropping the future leaves all of them committed or none.
    pub async fn commit_offsets_as(
        &self,
        group: &GroupId,
        committer: &Committer,
        offsets: &[OffsetCommit],
    ) -> Result<(), Error> {
        let commits = self.to_commits(offsets).await?;
        let shard = self.shared.groups.log.existing_shard(self, group)?;
        let shard = shard.ok_or_else(|| GroupError::UnknownGroup(group.clone()))?;
        let broker = &self.shared;
        let (limits, clock) = (&broker.groups.limits, &*broker.context.clock);
        let commit = shard.change(|groups| {
            let decision = groups.commit_as(group, committer, commits, now(clock), limits)?;
            Ok(decision.into())
        });
        commit.await
    }

    /// A group with the bytes that only its members understand, if it is one whose members assign
    /// partitions among themselves, or has never had members; `None` for a group that the broker
    /// manages.
    ///
    /// # Errors
    /// [`Error::Group`]: [`UnknownGroup`](GroupError::UnknownGroup). [`Error::PartitionOffline`],
    /// [`Error::ShuttingDown`], [`Error::Fenced`].
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn describe_classic_group(
        &self,
        group: &GroupId,
    ) -> Result<Option<ClassicDescription>, Error> {
        let found = self.look_at_groups(group, |groups| {
            let known = groups.contains(group);
            known.then(|| groups.classic_description(group))
        });
        let unknown = || GroupError::UnknownGroup(group.clone());
        Ok(found.await?.flatten().ok_or_else(unknown)?)
    }

    /// Where a group with this member is, if anywhere.
    fn shard_of_member(
        &self,
        group: &GroupId,
        member: &MemberId,
    ) -> Result<&Arc<Shard<Groups>>, Error> {
        let shard = self.shared.groups.log.existing_shard(self, group)?;
        Ok(shard.ok_or_else(|| GroupError::UnknownMember {
            group: group.clone(),
            member: member.clone(),
        })?)
    }

    /// Looks at a classic group until there is an answer.
    async fn wait_in_group<T>(
        &self,
        shard: &Arc<Shard<Groups>>,
        group: &GroupId,
        look: impl Fn(&Groups) -> Result<Option<T>, GroupError>,
    ) -> Result<T, Error> {
        let context = &self.shared.context;
        let limits = &self.shared.groups.limits;
        loop {
            context.check_running()?;
            let state = shard.peek(|groups| groups.classic_changes(group)).flatten();
            // Where nobody is in the group any more, looking says so.
            let (notify, next) = state.unwrap_or_default();
            let mut changed = pin!(notify.notified());
            // From here on nothing is missed.
            changed.as_mut().enable();
            if let Some(answer) = shard.read(|groups| look(groups)).await?? {
                return Ok(answer);
            }
            let present = context.clock.monotonic();
            // A clock that stands still must not make this spin.
            let next = next.map(|next| next.saturating_sub(present).max(Duration::from_millis(1)));
            let time_is_up = async {
                match next {
                    Some(next) => tokio::time::sleep(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = changed => {}
                () = context.stopped() => {}
                () = time_is_up => {
                    let passed = shard.change(|groups| {
                        let events = groups.pass_classic(group, now(&*context.clock), limits);
                        Ok(Change { events, answer: () })
                    });
                    passed.await?;
                }
            }
        }
    }
}

/// An id for a member that has none, which people recognise its program by.
fn new_id(request: &JoinGroup) -> MemberId {
    let name = request.instance.as_ref();
    let name = name.map_or(request.client.as_str(), InstanceId::as_str);
    let random = MemberId::random();
    MemberId::parse(&format!("{name}-{random}")).unwrap_or(random)
}
