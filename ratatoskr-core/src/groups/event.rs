//! What is kept of groups in their log. Fields are only ever added, at the end and with a default.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    Assignor, CommittedOffset, Generation, GroupKind, InstanceId, MemberEpoch, MemberId,
    PartitionKey, TopicPattern, wanted::Wanted,
};
use crate::{
    name::{GroupId, TopicId, TopicName},
    time::Timestamp,
};

/// Something that happened to a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) group: GroupId,
    pub(crate) what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum What {
    /// The group is there, or has become something else.
    Group {
        kind: GroupKind,
        /// Since when nobody needs it: it has no members, and nobody has committed.
        idle_since: Timestamp,
    },
    /// The group is gone with all that it had.
    Deleted,
    /// A member has joined, or wants something else.
    Member {
        member: MemberId,
        subscription: Subscription,
    },
    /// A member is gone.
    Removed { member: MemberId, at: Timestamp },
    /// A static member is back under another id.
    Renamed { from: MemberId, to: MemberId },
    /// What the members are to come to.
    Target {
        epoch: MemberEpoch,
        assignor: Assignor,
        topics: Vec<(TopicName, IdBytes, u32)>,
        /// The targets that have changed, whole.
        changed: Vec<(MemberId, Vec<PartitionKey>)>,
    },
    /// What a member has come to.
    Current {
        member: MemberId,
        epoch: MemberEpoch,
        previous: MemberEpoch,
        /// What it may read, and the epoch at which it was given that.
        assigned: Vec<(PartitionKey, MemberEpoch)>,
        /// What it was told to give up.
        revoking: Vec<(PartitionKey, MemberEpoch)>,
    },
    /// Offsets were committed together.
    Committed {
        offsets: Vec<(PartitionKey, CommittedOffset)>,
    },
    /// Offsets are not kept any longer.
    Forgotten { partitions: Vec<PartitionKey> },
    /// A classic group has come to this generation, or a static member of it is back.
    Generation {
        generation: Generation,
        at: Timestamp,
    },
}

/// A topic id as 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct IdBytes(#[serde(with = "crate::name::topic_id_bytes")] pub(crate) TopicId);

/// What a member is and wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Subscription {
    pub(crate) instance: Option<InstanceId>,
    pub(crate) client: String,
    pub(crate) topics: BTreeSet<TopicName>,
    pub(crate) assignor: Option<Assignor>,
    pub(crate) rebalance_timeout: Duration,
    #[serde(default, deserialize_with = "super::pattern::kept")]
    pub(crate) pattern: Option<TopicPattern>,
}

impl Subscription {
    /// What it wants as things are; `matching` tells what a pattern matches.
    pub(super) fn wanted<'a>(
        &'a self,
        matching: impl FnOnce(&'a TopicPattern) -> Arc<BTreeSet<TopicName>>,
    ) -> Wanted<'a> {
        Wanted {
            named: &self.topics,
            matched: self.pattern.as_ref().map(matching),
        }
    }

    /// Whether it wants a topic of this name.
    pub(super) fn wants(&self, topic: &TopicName) -> bool {
        let mut pattern = self.pattern.iter();
        self.topics.contains(topic) || pattern.any(|pattern| pattern.matches(topic))
    }

    /// Whether both want the same.
    pub(super) fn wants_the_same(&self, other: &Self) -> bool {
        self.topics == other.topics && self.pattern == other.pattern
    }
}

/// Partitions and the epochs at which they were given.
pub(crate) type Held = BTreeMap<PartitionKey, MemberEpoch>;

#[cfg(test)]
mod tests {
    use super::*;

    /// Before there were patterns, and where a pattern was taken that is none for this version.
    #[test]
    fn what_was_kept_is_read() {
        let fields = ((), "client", ["x"], (), Duration::from_secs(30));
        let bytes = rmp_serde::to_vec(&fields).unwrap();
        let before: Subscription = rmp_serde::from_slice(&bytes).unwrap();
        assert_eq!((before.topics.len(), before.pattern), (1, None));

        let fields = ((), "client", ["x"], (), Duration::from_secs(30), "(");
        let bytes = rmp_serde::to_vec(&fields).unwrap();
        let kept: Subscription = rmp_serde::from_slice(&bytes).unwrap();
        assert!(kept.pattern.is_some());
        assert!(!kept.wants(&TopicName::parse("y").unwrap()));
    }
}
