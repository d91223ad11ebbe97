//! Groups as they are shown to people and tools.

use serde::{Deserialize, Serialize};

use super::{Assignor, InstanceId, MemberEpoch, MemberId, TopicPartitions, TopicPattern};
use crate::{
    name::{GroupId, TopicName},
    offset::{Offset, PartitionIndex},
    time::Timestamp,
};

/// What manages who reads what in a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GroupKind {
    /// Nobody: the group is offsets alone, which somebody commits who is no member.
    #[default]
    Simple,
    /// The broker (KIP-848).
    Consumer,
    /// Its members: one of them, the leader, says who reads what (Kafka's classic protocol).
    Classic,
}

/// How a group is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GroupState {
    /// It has no members.
    Empty,
    /// Partitions are on their way from one member to another.
    Reconciling,
    /// Every member reads what it is meant to.
    Stable,
    /// Of a classic group: its members are to join (anew).
    PreparingRebalance,
    /// Of a classic group: its leader is to say who reads what.
    CompletingRebalance,
}

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupSummary {
    /// Its name.
    pub group: GroupId,
    /// What manages it.
    pub kind: GroupKind,
    /// How it is doing.
    pub state: GroupState,
    /// How many members it has.
    pub members: u32,
    /// What a classic group is for: `consumer` for Kafka's consumers. Empty where nobody has said so.
    #[serde(default)]
    pub protocol_type: String,
}

/// A group with its members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupDescription {
    /// Its name.
    pub group: GroupId,
    /// What manages it.
    pub kind: GroupKind,
    /// How it is doing.
    pub state: GroupState,
    /// The epoch that all members are to come to; of a classic group, its generation.
    pub epoch: MemberEpoch,
    /// How the broker assigns partitions.
    pub assignor: Assignor,
    /// In the order of their ids.
    pub members: Vec<MemberDescription>,
    /// How the leader of a classic group assigns partitions, by the name that its members have for it;
    /// empty where nobody has decided yet, and for other groups.
    #[serde(default)]
    pub protocol: String,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberDescription {
    /// Its id.
    pub member: MemberId,
    /// Its instance, if it is static.
    pub instance: Option<InstanceId>,
    /// How its program names itself.
    pub client: String,
    /// Which assignment it has come to; [`LEAVE_STATIC`](MemberEpoch::LEAVE_STATIC) while it is away.
    pub epoch: MemberEpoch,
    /// What it wants to read.
    pub topics: Vec<TopicName>,
    /// What it reads.
    pub assigned: Vec<TopicPartitions>,
    /// What it was told to give up and has not yet.
    pub revoking: Vec<TopicPartitions>,
    /// What it is to read in the end.
    pub target: Vec<TopicPartitions>,
    /// What it wants to read beside the topics that it names.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "super::pattern::kept"
    )]
    pub pattern: Option<TopicPattern>,
}

/// How far a group has come in a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionLag {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionIndex,
    /// Who reads it.
    pub member: Option<MemberId>,
    /// Where the group goes on; `None` where it has committed nothing.
    pub committed: Option<Offset>,
    /// Where the log starts.
    pub log_start: Offset,
    /// Where the readable log ends.
    pub end: Offset,
    /// Records between; `None` where the group has committed nothing.
    pub records: Option<u64>,
    /// Milliseconds since the first record that the group has not consumed was created; 0 if there
    /// is none. `None` where the group has committed nothing or that record cannot be read.
    pub lag_ms: Option<u64>,
    /// When the offset was committed.
    pub committed_at: Option<Timestamp>,
}

/// What a reset of a group's offset does, or would do, in a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffsetReset {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionIndex,
    /// Where the group would have gone on.
    pub from: Option<Offset>,
    /// Where it goes on.
    pub to: Offset,
}
