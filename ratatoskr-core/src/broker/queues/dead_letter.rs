//! What is told of dead letters, and asked of them.

use serde::{Deserialize, Serialize};

use crate::{
    name::{GroupId, TopicName},
    offset::{Offset, PartitionIndex},
    record::ConsumedRecord,
    time::Timestamp,
};

/// A topic that holds dead letters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterTopic {
    /// The topic.
    pub topic: TopicName,
    /// Letters that were neither redriven nor discarded, counted by offset.
    pub letters: u64,
    /// The groups that send theirs here.
    pub groups: Vec<GroupId>,
}

/// A dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The record as it lies in the dead-letter topic, its place there, and its headers without
    /// those that the fields below have.
    pub record: ConsumedRecord,
    /// Where it was first.
    pub origin_topic: TopicName,
    /// Its partition there.
    pub origin_partition: PartitionIndex,
    /// Its offset there.
    pub origin_offset: Offset,
    /// The group that gave it up.
    pub group: GroupId,
    /// Why.
    pub cause: String,
    /// How often it was delivered.
    pub attempts: u32,
    /// When it failed for the first time.
    pub first_failure: Timestamp,
    /// When it was given up.
    pub last_failure: Timestamp,
}

/// Which dead letters are meant: those that all of this holds for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeadLetterFilter {
    /// Of this group.
    pub group: Option<GroupId>,
    /// Of this topic.
    pub origin_topic: Option<TopicName>,
    /// Whose cause contains this.
    pub cause_contains: Option<String>,
    /// With this key.
    #[serde(with = "serde_bytes")]
    pub key: Option<Vec<u8>>,
    /// Given up at this time or later.
    pub since: Option<Timestamp>,
    /// Given up before this time.
    pub until: Option<Timestamp>,
    /// At this place of the dead-letter topic.
    pub place: Option<(PartitionIndex, Offset)>,
}

/// Where a look at dead letters goes on. The default is the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrowsePosition {
    /// The partition.
    pub partition: PartitionIndex,
    /// The offset.
    pub offset: Offset,
}

/// Some dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrowsePage {
    /// In the order of their places.
    pub letters: Vec<DeadLetter>,
    /// Where the next page begins; `None` where there is none.
    pub next: Option<BrowsePosition>,
}

/// How dead letters go back to where they were.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RedriveOptions {
    /// Which.
    pub filter: DeadLetterFilter,
    /// Most letters a second; `None` for as many as it goes.
    pub rate: Option<u32>,
    /// Most letters in all; `None` for all there are now.
    pub limit: Option<u64>,
    /// Whether only to say what would be done.
    pub dry_run: bool,
}

/// What a redrive did, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedriveReport {
    /// Letters looked at.
    pub examined: u64,
    /// Letters that are meant.
    pub matched: u64,
    /// Letters that went back; none in a dry run.
    pub redriven: u64,
    /// Letters that are meant and stay, since their topic is gone or does not take them.
    pub failed: u64,
}

/// What a discard did, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscardReport {
    /// Letters looked at.
    pub examined: u64,
    /// Letters that are meant; they are gone, unless it was a dry run.
    pub discarded: u64,
}
