//! Consumer groups: who reads which partition, and how far they have come.
//!
//! ```text
//! machine.rs     every group of a shard; events in, decisions out     limits.rs   its bounds
//!   heartbeat.rs   join, stay, leave
//!   sessions.rs    who was silent for too long; what nobody needs any more
//!   commits.rs     offsets committed and forgotten, groups deleted
//! draft.rs       changes of one group that rest on one another
//!   wanted.rs      what a member wants                                pattern.rs  by a pattern of names
//!   assignor.rs    who is to read what
//!   reconcile.rs   what a member may read by now
//! membership.rs  the lasting state of one group's members    offset.rs   and of its offsets
//! classic/       groups whose members assign partitions among themselves
//! event.rs       what is kept in the log
//! request.rs, describe.rs, id.rs, error.rs   what callers see
//! ```
//! The semantics are those of KIP-848, and of Kafka's classic protocol for groups of that kind. This is a state machine: it does no I/O, reads no clock, and
//! changes what lasts by its events alone.
//!
//! Invariants:
//! - A partition is held by one member at most. It goes to another only after the first said that
//!   it reads it no more, or was expelled.
//! - A group's epoch and a member's epoch never go back, so an epoch tells lives apart.
//! - Offsets know nothing of members: who may commit is checked before there is an event.

mod assignor;
mod classic;
mod commits;
mod describe;
mod draft;
mod error;
mod event;
mod heartbeat;
mod id;
mod limits;
mod machine;
mod membership;
mod offset;
mod pattern;
mod reconcile;
mod request;
mod sessions;
#[cfg(test)]
mod tests;
mod wanted;

use std::{collections::BTreeSet, ops::RangeInclusive, sync::Arc};

use serde::{Deserialize, Serialize};

pub use assignor::Assignor;
pub use classic::{
    ClassicDescription, ClassicMemberDescription, Committer, JoinAnswer, JoinGroup, JoinedGroup,
    JoinedMember, SyncGroup, SyncedGroup,
};
pub use describe::{
    GroupDescription, GroupKind, GroupState, GroupSummary, MemberDescription, OffsetReset,
    PartitionLag,
};
pub use error::GroupError;
pub use id::{InstanceId, InvalidMemberId, MEMBER_ID_BYTES_MAX, MemberEpoch, MemberId};
pub use offset::{CommittedOffset, GroupOffset, OffsetCommit};
pub use pattern::{InvalidTopicPattern, TOPIC_PATTERN_BYTES_MAX, TopicPattern};
pub use request::{GroupHeartbeat, GroupHeartbeatResponse, TopicPartitions};

pub(crate) use classic::{Generation, Joining, Syncing, said};
pub(crate) use commits::Commit;
pub(crate) use event::Event;
pub(crate) use limits::GroupLimits;
pub(crate) use machine::{Decision, Group, Groups};

use crate::{
    name::{TopicId, TopicName},
    offset::PartitionIndex,
    time::Timestamp,
};

/// A partition, of one topic and none that had or will have its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct PartitionKey {
    #[serde(with = "crate::name::topic_id_bytes")]
    pub(crate) topic: TopicId,
    pub(crate) partition: PartitionIndex,
}

impl PartitionKey {
    /// Every partition that the topic could have.
    fn all_of(topic: TopicId) -> RangeInclusive<Self> {
        let key = |index| Self {
            topic,
            partition: PartitionIndex::new(index),
        };
        key(0)..=key(u32::MAX)
    }
}

/// The same moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) wall: Timestamp,
    pub(crate) monotonic: std::time::Duration,
}

/// Which topics there are.
pub(crate) trait Topics {
    /// Id and number of partitions.
    fn shape(&self, topic: &TopicName) -> Option<(TopicId, u32)>;

    /// The names of all that the pattern matches.
    fn matching(&self, pattern: &TopicPattern) -> Arc<BTreeSet<TopicName>>;
}
