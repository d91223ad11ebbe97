//! What members ask for, and what they are told.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    groups::{GroupState, InstanceId, MemberEpoch, MemberId},
    name::GroupId,
};

/// A member joins, or says that what it wants has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinGroup {
    /// The group; it is made by the first that joins.
    pub group: GroupId,
    /// The id that the group has given the member; `None` if it has none yet.
    pub member: Option<MemberId>,
    /// What makes the member static.
    pub instance: Option<InstanceId>,
    /// How its program names itself.
    pub client: String,
    /// Where it is, for people.
    pub host: String,
    /// After how long without being heard of it is expelled.
    pub session_timeout: Duration,
    /// How long it may take to join and to fetch its assignment when the group is rebalanced.
    pub rebalance_timeout: Duration,
    /// What the group is for; the same for all members. `consumer` for Kafka's consumers.
    pub protocol_type: String,
    /// Ways to assign that the member knows, the best first, and for each what the leader is to know.
    pub protocols: Vec<(String, Bytes)>,
    /// Whether a member without an id is only given one, and joins with it the next time.
    pub needs_id: bool,
    /// Whether the member understands that it leads and need not assign
    /// ([`skip_assignment`](JoinedGroup::skip_assignment)).
    pub may_skip_assignment: bool,
}

/// What a member that joins is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinAnswer {
    /// It is to join with this id.
    MemberIdRequired(MemberId),
    /// It has joined.
    Joined(JoinedGroup),
}

/// A generation as a member of it sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedGroup {
    /// The member's id.
    pub member: MemberId,
    /// The generation's number.
    pub generation: MemberEpoch,
    /// What the group is for.
    pub protocol_type: String,
    /// How it is assigned; empty where nobody has decided yet.
    pub protocol: String,
    /// Who assigns.
    pub leader: MemberId,
    /// Everybody, if this member leads.
    pub members: Vec<JoinedMember>,
    /// The leader need not assign: everybody has what they had.
    pub skip_assignment: bool,
}

/// A member as the leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its id.
    pub member: MemberId,
    /// Its instance, if it is static.
    pub instance: Option<InstanceId>,
    /// What it wants, as the group's protocol has it.
    pub metadata: Bytes,
}

/// A member asks for what it was assigned; the leader says what everybody gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncGroup {
    /// The group.
    pub group: GroupId,
    /// The member.
    pub member: MemberId,
    /// Its instance, if it is static.
    pub instance: Option<InstanceId>,
    /// The generation that it has joined.
    pub generation: MemberEpoch,
    /// What it thinks the group is for, if it says so.
    pub protocol_type: Option<String>,
    /// What it thinks how the group is assigned, if it says so.
    pub protocol: Option<String>,
    /// What each member gets; looked at if this one leads.
    pub assignments: Vec<(MemberId, Bytes)>,
}

/// What a member was assigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncedGroup {
    /// What the group is for.
    pub protocol_type: String,
    /// How it is assigned.
    pub protocol: String,
    /// What the leader had for this member; empty if it had nothing.
    pub assignment: Bytes,
}

/// Who commits, where members name a generation or an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committer {
    /// The member; `None` for an instance that does not know its id, which no group has.
    pub member: Option<MemberId>,
    /// Its instance, if it is static.
    pub instance: Option<InstanceId>,
    /// The generation that it has joined, or the epoch that it was told.
    pub generation: MemberEpoch,
}

/// A classic group, with the bytes that only its members understand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicDescription {
    /// Its name.
    pub group: GroupId,
    /// How it is doing.
    pub state: GroupState,
    /// What it is for; empty where nobody has said so.
    pub protocol_type: String,
    /// How it is assigned; empty where nobody has decided yet.
    pub protocol: String,
    /// In the order of their ids.
    pub members: Vec<ClassicMemberDescription>,
}

/// A member of a classic group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicMemberDescription {
    /// Its id.
    pub member: MemberId,
    /// Its instance, if it is static.
    pub instance: Option<InstanceId>,
    /// How its program names itself.
    pub client: String,
    /// Where it is.
    pub host: String,
    /// What it wants, as the group's protocol has it; empty while the group is rebalanced.
    pub metadata: Bytes,
    /// What it was assigned; empty while the group is rebalanced.
    pub assignment: Bytes,
}
