//! What a member tells its group, and what it is told.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Assignor, InstanceId, MemberEpoch, MemberId, TopicPattern};
use crate::{
    name::{GroupId, TopicId, TopicName},
    offset::PartitionIndex,
};

/// One call for all of a member's life: it joins, shows that it is there, says what it has given
/// up, and leaves (KIP-848).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupHeartbeat {
    /// The group; it is made by the first member that joins.
    pub group: GroupId,
    /// The member, whose id it chose itself.
    pub member: MemberId,
    /// The epoch that it was told last, or [`JOIN`](MemberEpoch::JOIN),
    /// [`LEAVE`](MemberEpoch::LEAVE), [`LEAVE_STATIC`](MemberEpoch::LEAVE_STATIC).
    pub epoch: MemberEpoch,
    /// What makes the member static; looked at when it joins.
    pub instance: Option<InstanceId>,
    /// How its program names itself, for people; looked at when it joins.
    pub client: String,
    /// What it wants to read, whether it is there or not; `None` for no change. A member that joins
    /// names topics, or wants some by a pattern.
    pub topics: Option<Vec<TopicName>>,
    /// What it wants to read beside that, whatever there will be: the empty pattern for nothing, `None`
    /// for no change. New topics are seen with the member's next heartbeat.
    pub pattern: Option<TopicPattern>,
    /// How the group should assign partitions; the one that most members want is taken. Looked at
    /// when it joins.
    pub assignor: Option<Assignor>,
    /// How long it may take to give up partitions, from when it is told to; looked at when it joins.
    pub rebalance_timeout: Duration,
    /// What it reads now; `None` for no change since it told last. What is not among these any more
    /// has been given up.
    pub owned: Option<Vec<TopicPartitions>>,
}

/// Partitions of one topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicPartitions {
    /// The topic's name.
    pub topic: TopicName,
    /// Its id, which tells it from a topic of that name that was deleted.
    #[serde(with = "crate::name::topic_id_bytes")]
    pub id: TopicId,
    /// The partitions, ascending.
    pub partitions: Vec<PartitionIndex>,
}

/// What a member is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupHeartbeatResponse {
    /// The member's epoch from now on, which commits carry.
    pub epoch: MemberEpoch,
    /// When it should be heard of again.
    pub heartbeat_interval: Duration,
    /// After how long without a heartbeat it is expelled.
    pub session_timeout: Duration,
    /// What it is to read; what it reads beyond that it is to give up. `None` where that is exactly
    /// what it said it reads (whatever it was told before), or, where it did not say, nothing new.
    pub assignment: Option<Vec<TopicPartitions>>,
}
