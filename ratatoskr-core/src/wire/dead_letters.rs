//! Bodies about dead letters: list topics, browse, redrive, discard.

use serde::{Deserialize, Serialize};

use super::{Body, Kind, Request, topics::requests};
use crate::{
    broker::{
        BrowsePage, BrowsePosition, DeadLetter, DeadLetterFilter, DeadLetterTopic, DiscardReport,
        RedriveOptions, RedriveReport,
    },
    name::{GroupId, TopicName},
    offset::{Offset, PartitionIndex},
    record::{ConsumedRecord, Record},
    time::Timestamp,
};

/// Lists the topics that hold dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListDeadLetterTopics {}

/// Looks at dead letters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrowseDeadLetters {
    /// The topic that holds them.
    pub topic: TopicName,
    /// Where to begin.
    pub from: BrowsePosition,
    /// Letters to answer with at most.
    pub letters_max: u32,
    /// Which are meant.
    pub filter: DeadLetterFilter,
}

/// Some dead letters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetters {
    /// In the order of their places.
    pub letters: Vec<DeadLetterBody>,
    /// Where the next page begins; `None` where there is none.
    pub next: Option<BrowsePosition>,
}

/// A dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterBody {
    /// Its partition of the dead-letter topic.
    pub partition: PartitionIndex,
    /// Its offset there.
    pub offset: Offset,
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
    /// The record.
    pub record: Record,
}

/// Sends dead letters back to where they were; answered once all are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedriveDeadLetters {
    /// The topic that holds them.
    pub topic: TopicName,
    /// Which, and how.
    pub options: RedriveOptions,
}

/// Gives dead letters up for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscardDeadLetters {
    /// The topic that holds them.
    pub topic: TopicName,
    /// Which.
    pub filter: DeadLetterFilter,
    /// How many at most.
    pub limit: Option<u64>,
    /// Whether only to say what would be done.
    pub dry_run: bool,
}

requests! {
    ListDeadLetterTopics -> Vec<DeadLetterTopic>,
    BrowseDeadLetters -> DeadLetters,
    RedriveDeadLetters -> RedriveReport,
    DiscardDeadLetters -> DiscardReport,
}

impl From<BrowsePage> for DeadLetters {
    fn from(page: BrowsePage) -> Self {
        Self {
            letters: page.letters.into_iter().map(Into::into).collect(),
            next: page.next,
        }
    }
}

impl DeadLetters {
    /// The page of this topic.
    pub fn of(self, topic: &TopicName) -> BrowsePage {
        BrowsePage {
            letters: self
                .letters
                .into_iter()
                .map(|letter| letter.of(topic))
                .collect(),
            next: self.next,
        }
    }
}

impl From<DeadLetter> for DeadLetterBody {
    fn from(letter: DeadLetter) -> Self {
        Self {
            partition: letter.record.partition,
            offset: letter.record.offset,
            origin_topic: letter.origin_topic,
            origin_partition: letter.origin_partition,
            origin_offset: letter.origin_offset,
            group: letter.group,
            cause: letter.cause,
            attempts: letter.attempts,
            first_failure: letter.first_failure,
            last_failure: letter.last_failure,
            record: letter.record.record,
        }
    }
}

impl DeadLetterBody {
    fn of(self, topic: &TopicName) -> DeadLetter {
        DeadLetter {
            record: ConsumedRecord {
                topic: topic.clone(),
                partition: self.partition,
                offset: self.offset,
                record: self.record,
            },
            origin_topic: self.origin_topic,
            origin_partition: self.origin_partition,
            origin_offset: self.origin_offset,
            group: self.group,
            cause: self.cause,
            attempts: self.attempts,
            first_failure: self.first_failure,
            last_failure: self.last_failure,
        }
    }
}
