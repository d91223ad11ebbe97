//! What a consumer group refuses. None of these changes any state.

use std::time::Duration;

use super::{InstanceId, MemberEpoch, MemberId};
use crate::{
    name::{GroupId, TopicName},
    offset::PartitionIndex,
};

/// Why a consumer group refuses what it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// There is no consumer group of this name (any more).
    #[error("there is no consumer group named {0}")]
    UnknownGroup(GroupId),
    /// The group has no such member (any more): it left, or its session timed out. It may join anew.
    #[error("consumer group {group} has no member {member}")]
    UnknownMember {
        /// The group.
        group: GroupId,
        /// Who asked.
        member: MemberId,
    },
    /// The member's epoch is not that of the member: it must stop reading, and may join anew.
    #[error("member {member} of consumer group {group} has epoch {current}, not {found}")]
    FencedMember {
        /// The group.
        group: GroupId,
        /// Who asked.
        member: MemberId,
        /// The member's epoch.
        current: MemberEpoch,
        /// What was sent.
        found: MemberEpoch,
    },
    /// Another member has this instance id, and neither has it left nor has its session timed out.
    #[error("instance {instance} of consumer group {group} is another member's")]
    InstanceInUse {
        /// The group.
        group: GroupId,
        /// The instance.
        instance: InstanceId,
    },
    /// The member does not have the partition (any more), or somebody else had it in between.
    #[error("partition {partition} of topic {topic} is not the member's in consumer group {group}")]
    NotAssigned {
        /// The group.
        group: GroupId,
        /// The topic.
        topic: TopicName,
        /// The partition.
        partition: PartitionIndex,
    },
    /// The group has members, which would be surprised.
    #[error("consumer group {0} has members; this needs a group without")]
    NotEmpty(GroupId),
    /// The members of the classic group are to join anew, since somebody has come or gone.
    #[error("consumer group {0} is being rebalanced; its members are to join anew")]
    RebalanceInProgress(GroupId),
    /// A later life of this static member has taken its place: it must stop.
    #[error("instance {instance} of consumer group {group} has a later life")]
    FencedInstance {
        /// The group.
        group: GroupId,
        /// The instance.
        instance: InstanceId,
    },
    /// The group's members speak another protocol, or assign partitions in no way that this one knows.
    #[error("the members of consumer group {0} speak another protocol")]
    InconsistentProtocol(GroupId),
    /// The session timeout that a member of a classic group asks for is out of its bounds.
    #[error("a session timeout is between {min:?} and {max:?}")]
    InvalidSessionTimeout {
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
    /// The request says something that cannot be.
    #[error("invalid request to a consumer group: {0}")]
    InvalidRequest(String),
}

impl GroupError {
    /// Whether the same call may succeed later without anybody changing anything.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::InstanceInUse { .. })
    }
}
