//! What is kept in the log of queue groups.

use serde::{Deserialize, Serialize};

use crate::{
    delivery::{QueueConfig, changes::Change},
    name::{GroupId, TopicId, TopicName},
    offset::{Offset, PartitionIndex},
};

/// Something that happened for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Event {
    /// The state was read from its log: tokens are of this epoch from now on.
    Loaded { epoch: u32 },
    /// A group was created, or configured anew.
    Group { group: GroupId, config: QueueConfig },
    /// A group was deleted, with all that it knew.
    GroupDeleted { group: GroupId },
    /// A group began to read a partition.
    Opened {
        group: GroupId,
        topic: TopicId,
        name: TopicName,
        partition: PartitionIndex,
        start: Offset,
    },
    /// The topic is gone.
    Forgotten { group: GroupId, topic: TopicId },
    /// Something happened to records.
    Changed {
        group: GroupId,
        topic: TopicId,
        partition: PartitionIndex,
        /// Everything before this offset was done before these changes.
        start: Option<Offset>,
        changes: Vec<Change>,
    },
}

impl Event {
    pub(super) fn changed(
        group: &GroupId,
        topic: TopicId,
        partition: PartitionIndex,
        changes: Vec<Change>,
    ) -> Self {
        Self::Changed {
            group: group.clone(),
            topic,
            partition,
            start: None,
            changes,
        }
    }

    /// The same, and everything before `start` was done before.
    #[must_use]
    pub(super) fn with_start(mut self, at: Option<u64>) -> Self {
        if let Self::Changed { start, .. } = &mut self {
            *start = at.map(Offset::new);
        }
        self
    }
}
