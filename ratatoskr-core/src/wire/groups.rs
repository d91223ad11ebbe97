//! Bodies about consumer groups: heartbeats, committed offsets, administration.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Body, Done, Kind, Request, fetch::offset_spec, topics::requests};
use crate::{
    broker::OffsetSpec,
    groups::{
        self, Assignor, GroupDescription, GroupHeartbeatResponse, GroupOffset, GroupSummary,
        InstanceId, MemberEpoch, MemberId, OffsetCommit, OffsetReset, PartitionLag,
        TopicPartitions, TopicPattern,
    },
    name::{GroupId, TopicName},
    offset::PartitionIndex,
};

/// A member joins, shows that it is there, or leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupHeartbeat {
    /// The group.
    pub group: GroupId,
    /// The member.
    pub member: MemberId,
    /// Its epoch; 0 to join, -1 to leave, -2 to leave for a while.
    pub epoch: MemberEpoch,
    /// What makes it static.
    pub instance: Option<InstanceId>,
    /// How its program names itself.
    pub client: String,
    /// What it wants to read; `None` for no change.
    pub topics: Option<Vec<TopicName>>,
    /// How partitions should be assigned.
    pub assignor: Option<Assignor>,
    /// How long it may take to give up partitions.
    pub rebalance_ms: u64,
    /// What it reads; `None` for no change.
    pub owned: Option<Vec<TopicPartitions>>,
    /// What it wants to read beside its topics; empty for nothing, `None` for no change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<TopicPattern>,
}

/// What a member is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupHeartbeatBody {
    /// Its epoch from now on.
    pub epoch: MemberEpoch,
    /// When it should be heard of again.
    pub heartbeat_ms: u64,
    /// After how long without a heartbeat it is expelled.
    pub session_ms: u64,
    /// What it is to read, where that is not what it says it reads.
    pub assignment: Option<Vec<TopicPartitions>>,
}

/// Commits offsets, all or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitOffsets {
    /// The group.
    pub group: GroupId,
    /// Who commits, under which epoch; `None` for somebody who is no member.
    pub member: Option<(MemberId, MemberEpoch)>,
    /// What.
    pub offsets: Vec<OffsetCommit>,
}

/// Asks for committed offsets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchOffsets {
    /// The group.
    pub group: GroupId,
    /// Of which partitions; `None` for all that were committed.
    pub partitions: Option<Vec<(TopicName, PartitionIndex)>>,
}

/// Forgets committed offsets, all or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteOffsets {
    /// The group.
    pub group: GroupId,
    /// Of which partitions.
    pub partitions: Vec<(TopicName, PartitionIndex)>,
}

/// Lists every consumer group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListGroups {}

/// Describes one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribeGroup {
    /// Its name.
    pub group: GroupId,
}

/// Deletes a group with its offsets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteGroup {
    /// Its name.
    pub group: GroupId,
}

/// Asks how far a group is behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupLag {
    /// Its name.
    pub group: GroupId,
}

/// Sets where a group goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResetOffsets {
    /// Its name.
    pub group: GroupId,
    /// In which topics; none for all that it has committed for.
    pub topics: Vec<TopicName>,
    /// Where to.
    #[serde(with = "offset_spec")]
    pub to: OffsetSpec,
    /// Whether only to say what it would do.
    pub dry_run: bool,
}

requests! {
    GroupHeartbeat -> GroupHeartbeatBody,
    CommitOffsets -> Done,
    FetchOffsets -> Vec<GroupOffset>,
    DeleteOffsets -> Done,
    ListGroups -> Vec<GroupSummary>,
    DescribeGroup -> GroupDescription,
    DeleteGroup -> Done,
    GroupLag -> Vec<PartitionLag>,
    ResetOffsets -> Vec<OffsetReset>,
}

impl From<groups::GroupHeartbeat> for GroupHeartbeat {
    fn from(request: groups::GroupHeartbeat) -> Self {
        Self {
            group: request.group,
            member: request.member,
            epoch: request.epoch,
            instance: request.instance,
            client: request.client,
            topics: request.topics,
            assignor: request.assignor,
            rebalance_ms: milliseconds(request.rebalance_timeout),
            owned: request.owned,
            pattern: request.pattern,
        }
    }
}

impl From<GroupHeartbeat> for groups::GroupHeartbeat {
    fn from(body: GroupHeartbeat) -> Self {
        Self {
            group: body.group,
            member: body.member,
            epoch: body.epoch,
            instance: body.instance,
            client: body.client,
            topics: body.topics,
            assignor: body.assignor,
            rebalance_timeout: Duration::from_millis(body.rebalance_ms),
            owned: body.owned,
            pattern: body.pattern,
        }
    }
}

impl From<GroupHeartbeatResponse> for GroupHeartbeatBody {
    fn from(response: GroupHeartbeatResponse) -> Self {
        Self {
            epoch: response.epoch,
            heartbeat_ms: milliseconds(response.heartbeat_interval),
            session_ms: milliseconds(response.session_timeout),
            assignment: response.assignment,
        }
    }
}

impl From<GroupHeartbeatBody> for GroupHeartbeatResponse {
    fn from(body: GroupHeartbeatBody) -> Self {
        Self {
            epoch: body.epoch,
            heartbeat_interval: Duration::from_millis(body.heartbeat_ms),
            session_timeout: Duration::from_millis(body.session_ms),
            assignment: body.assignment,
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
