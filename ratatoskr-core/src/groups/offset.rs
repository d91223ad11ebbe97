//! Committed offsets, which need no members.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::PartitionKey;
use crate::{
    name::TopicName,
    offset::{LeaderEpoch, Offset, PartitionIndex},
    time::Timestamp,
};

/// An offset to be committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffsetCommit {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionIndex,
    /// The first offset that is not processed.
    pub offset: Offset,
    /// Whatever the consumer wants to find there again, as text.
    pub metadata: String,
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommittedOffset {
    /// The first offset that is not processed.
    pub offset: Offset,
    /// The partition's leader epoch when it was committed.
    pub leader_epoch: LeaderEpoch,
    /// What came with it.
    pub metadata: String,
    /// When.
    pub at: Timestamp,
}

/// A committed offset and its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupOffset {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionIndex,
    /// What was committed; `None` where nothing was.
    pub committed: Option<CommittedOffset>,
}

/// The offsets that one group has committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Offsets(BTreeMap<PartitionKey, CommittedOffset>);

impl Offsets {
    pub(super) fn commit(&mut self, offsets: Vec<(PartitionKey, CommittedOffset)>) {
        self.0.extend(offsets);
    }

    pub(super) fn forget(&mut self, partitions: &[PartitionKey]) {
        for key in partitions {
            self.0.remove(key);
        }
    }

    pub(crate) fn get(&self, key: &PartitionKey) -> Option<&CommittedOffset> {
        self.0.get(key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&PartitionKey, &CommittedOffset)> {
        self.0.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
