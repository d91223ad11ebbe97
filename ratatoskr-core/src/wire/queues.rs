//! Bodies about queue groups: acquire, settle, leave, and administration.
//!
//! A consumer is a name that comes with each request; a server gives back what consumers hold that
//! were named on a connection which has ended.

use serde::{Deserialize, Serialize};

use super::{
    Body, ConfigEntries, Done, ErrorBody, Kind, Request,
    topics::{requests, topic_id},
};
use crate::{
    broker::{
        AcquiredRange, PeekedRecord, QueueDescription, QueuePartitionDescription,
        QueueTopicDescription, RecordState,
    },
    config::InvalidConfig,
    delivery::{
        ConsumerId, FencingToken, QueueConfig, QueueConfigChange, QueueCounters, SettleAction,
        Settlement,
    },
    name::{GroupId, TopicId, TopicName},
    offset::{Offset, PartitionIndex},
    record::{ConsumedRecord, Record},
    time::Timestamp,
};

/// Takes records that nobody else holds; waits for the first, but no longer than `wait_ms`.
///
/// Other requests of the connection are answered in the meantime. The group is made with the defaults
/// if it is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueAcquire {
    /// The group.
    pub group: GroupId,
    /// The topic.
    pub topic: TopicName,
    /// Who takes them.
    pub consumer: ConsumerId,
    /// Records to take at most.
    pub records_max: u32,
    /// Bytes of batches to return at most, except that one batch is always returned.
    pub bytes_max: u32,
    /// How long to wait.
    pub wait_ms: u32,
    /// How long the records may be held; `None` for what the group is configured with.
    pub lease_ms: Option<u64>,
}

/// What was taken; the batches of all partitions follow the body back to back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueAcquired {
    /// How long the records may be held, from the answer on.
    pub lease_ms: u64,
    /// When that ends by the server's wall clock.
    pub deadline: Timestamp,
    /// Where records were taken; empty where there were none.
    pub partitions: Vec<QueueAcquiredPartition>,
}

/// What was taken of one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueAcquiredPartition {
    /// The partition.
    pub partition: PartitionIndex,
    /// Comes back with each settlement.
    pub token: FencingToken,
    /// Which records, in ascending order. The batches hold others as well.
    pub ranges: Vec<AcquiredRange>,
    /// Bytes of its batches after the body.
    pub bytes: u32,
}

/// Says what becomes of records; answered with one result a settlement, in order: nothing, or why it
/// was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueSettle {
    /// The group.
    pub group: GroupId,
    /// The topic.
    pub topic: TopicName,
    /// Who holds the records.
    pub consumer: ConsumerId,
    /// What becomes of them.
    pub settlements: Vec<SettlementBody>,
}

/// One settlement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettlementBody {
    /// The records' partition.
    pub partition: PartitionIndex,
    /// The first offset.
    pub first: Offset,
    /// The last offset, included.
    pub last: Offset,
    /// The token that they came with.
    pub token: FencingToken,
    /// 0 acknowledge, 1 release, 2 retry, 3 reject, 4 extend.
    pub action: u8,
    /// Of a retry the wait, `None` for the group's; of an extension how long it is to last.
    pub ms: Option<u64>,
    /// Of a retry or a rejection what went wrong.
    pub cause: Option<String>,
}

/// Gives back all that a consumer holds; answered with the number of records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueLeave {
    /// The group.
    pub group: GroupId,
    /// The consumer.
    pub consumer: ConsumerId,
}

/// Creates a queue group; answered with the [`QueueBody`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateQueue {
    /// Its name.
    pub group: GroupId,
    /// What differs from the defaults, in the words of [`QueueConfigChange::set`].
    pub config: ConfigEntries,
}

/// Changes a queue group's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlterQueue {
    /// Its name.
    pub group: GroupId,
    /// What to set.
    pub config: ConfigEntries,
}

/// Deletes a queue group with all that it knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteQueue {
    /// Its name.
    pub group: GroupId,
}

/// Describes a queue group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribeQueue {
    /// Its name.
    pub group: GroupId,
}

/// Lists the queue groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListQueues {}

/// Looks at the oldest records that a group is not done with, without taking any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeekQueue {
    /// The group.
    pub group: GroupId,
    /// The topic.
    pub topic: TopicName,
    /// Records to answer with at most.
    pub records_max: u32,
}

/// A queue group as it is described.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueBody {
    /// Its name.
    pub group: GroupId,
    /// Every value of its configuration.
    pub config: ConfigEntries,
    /// What it reads.
    pub topics: Vec<QueueTopicBody>,
    /// Who holds records, and how many.
    pub consumers: Vec<(ConsumerId, u64)>,
}

/// What a group has of one topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueTopicBody {
    /// The topic's name.
    pub topic: TopicName,
    /// Its id, 16 bytes.
    #[serde(with = "topic_id")]
    pub id: TopicId,
    /// Where its dead letters go, if anywhere.
    pub dead_letter_topic: Option<TopicName>,
    /// What it has of each partition.
    pub partitions: Vec<QueuePartitionBody>,
}

/// What a group has of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuePartitionBody {
    /// The partition.
    pub partition: PartitionIndex,
    /// All records before this offset are done.
    pub start: Offset,
    /// Records from here on have not been looked at.
    pub next: Offset,
    /// Records that may be taken now.
    pub available: u64,
    /// How many records are in which state, and what has happened.
    pub counters: QueueCounters,
}

/// A record that a group is not done with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeekedBody {
    /// Its partition.
    pub partition: PartitionIndex,
    /// Its offset.
    pub offset: Offset,
    /// How often it has been delivered.
    pub delivery_count: u32,
    /// What it waits for.
    #[serde(with = "record_state")]
    pub state: RecordState,
    /// The record.
    pub record: Record,
}

requests! {
    QueueAcquire -> QueueAcquired,
    QueueSettle -> Vec<Option<ErrorBody>>,
    QueueLeave -> u64,
    CreateQueue -> QueueBody,
    AlterQueue -> QueueBody,
    DeleteQueue -> Done,
    DescribeQueue -> QueueBody,
    ListQueues -> Vec<GroupId>,
    PeekQueue -> Vec<PeekedBody>,
}

const ACKNOWLEDGE: u8 = 0;
const RELEASE: u8 = 1;
const RETRY: u8 = 2;
const REJECT: u8 = 3;
const EXTEND: u8 = 4;

impl From<Settlement> for SettlementBody {
    fn from(settlement: Settlement) -> Self {
        let (action, after, cause) = match settlement.action {
            SettleAction::Acknowledge => (ACKNOWLEDGE, None, None),
            SettleAction::Release => (RELEASE, None, None),
            SettleAction::Retry { after, cause } => (RETRY, after, cause),
            SettleAction::Reject { cause } => (REJECT, None, Some(cause)),
            SettleAction::Extend(lease) => (EXTEND, Some(lease), None),
        };
        Self {
            partition: settlement.partition,
            first: settlement.first,
            last: settlement.last,
            token: settlement.token,
            action,
            ms: after.map(super::milliseconds),
            cause,
        }
    }
}

impl TryFrom<SettlementBody> for Settlement {
    type Error = String;

    /// Says what is wrong with an action that cannot be.
    fn try_from(body: SettlementBody) -> Result<Self, String> {
        let after = body.ms.map(std::time::Duration::from_millis);
        let action = match (body.action, after, body.cause) {
            (ACKNOWLEDGE, None, None) => SettleAction::Acknowledge,
            (RELEASE, None, None) => SettleAction::Release,
            (RETRY, after, cause) => SettleAction::Retry { after, cause },
            (REJECT, None, Some(cause)) => SettleAction::Reject { cause },
            (EXTEND, Some(lease), None) => SettleAction::Extend(lease),
            (action, ..) => return Err(format!("no settlement is of kind {action} like this")),
        };
        Ok(Self {
            partition: body.partition,
            first: body.first,
            last: body.last,
            token: body.token,
            action,
        })
    }
}

impl From<&QueueConfigChange> for ConfigEntries {
    fn from(change: &QueueConfigChange) -> Self {
        Self::texts(change.entries())
    }
}

impl ConfigEntries {
    /// The change of a queue group that sets exactly these.
    ///
    /// # Errors
    /// [`InvalidConfig`] for an unknown name or a value that does not parse.
    pub fn to_queue_change(&self) -> Result<QueueConfigChange, InvalidConfig> {
        let mut change = QueueConfigChange::default();
        for (key, value) in &self.0 {
            change.set(key, value)?;
        }
        Ok(change)
    }
}

impl From<QueueDescription> for QueueBody {
    fn from(queue: QueueDescription) -> Self {
        Self {
            group: queue.group,
            config: ConfigEntries::texts(queue.config.entries()),
            topics: queue.topics.into_iter().map(Into::into).collect(),
            consumers: queue.consumers,
        }
    }
}

impl TryFrom<QueueBody> for QueueDescription {
    type Error = InvalidConfig;

    fn try_from(queue: QueueBody) -> Result<Self, InvalidConfig> {
        let config = queue.config.to_queue_change()?;
        Ok(Self {
            group: queue.group,
            config: config.apply_to(&QueueConfig::default())?,
            topics: queue.topics.into_iter().map(Into::into).collect(),
            consumers: queue.consumers,
        })
    }
}

impl From<QueueTopicDescription> for QueueTopicBody {
    fn from(topic: QueueTopicDescription) -> Self {
        Self {
            topic: topic.topic,
            id: topic.id,
            dead_letter_topic: topic.dead_letter_topic,
            partitions: topic.partitions.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<QueueTopicBody> for QueueTopicDescription {
    fn from(topic: QueueTopicBody) -> Self {
        Self {
            topic: topic.topic,
            id: topic.id,
            dead_letter_topic: topic.dead_letter_topic,
            partitions: topic.partitions.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<QueuePartitionDescription> for QueuePartitionBody {
    fn from(partition: QueuePartitionDescription) -> Self {
        Self {
            partition: partition.partition,
            start: partition.start,
            next: partition.next,
            available: partition.available,
            counters: partition.counters,
        }
    }
}

impl From<QueuePartitionBody> for QueuePartitionDescription {
    fn from(partition: QueuePartitionBody) -> Self {
        Self {
            partition: partition.partition,
            start: partition.start,
            next: partition.next,
            available: partition.available,
            counters: partition.counters,
        }
    }
}

impl From<PeekedRecord> for PeekedBody {
    fn from(peeked: PeekedRecord) -> Self {
        Self {
            partition: peeked.record.partition,
            offset: peeked.record.offset,
            delivery_count: peeked.delivery_count,
            state: peeked.state,
            record: peeked.record.record,
        }
    }
}

impl PeekedBody {
    /// The record as it was peeked at, of this topic.
    pub fn of(self, topic: &TopicName) -> PeekedRecord {
        PeekedRecord {
            record: ConsumedRecord {
                topic: topic.clone(),
                partition: self.partition,
                offset: self.offset,
                record: self.record,
            },
            delivery_count: self.delivery_count,
            state: self.state,
        }
    }
}

/// What a record waits for as the array of number, consumer and time.
mod record_state {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    use crate::{broker::RecordState, delivery::ConsumerId, time::Timestamp};

    const AVAILABLE: u8 = 0;
    const IN_FLIGHT: u8 = 1;
    const DELAYED: u8 = 2;
    const BLOCKED: u8 = 3;
    const DYING: u8 = 4;

    type Body = (u8, Option<ConsumerId>, Option<Timestamp>);

    pub(super) fn serialize<S: Serializer>(state: &RecordState, to: S) -> Result<S::Ok, S::Error> {
        let body: Body = match state {
            RecordState::Available => (AVAILABLE, None, None),
            RecordState::InFlight(consumer) => (IN_FLIGHT, Some(consumer.clone()), None),
            RecordState::Delayed(until) => (DELAYED, None, Some(*until)),
            RecordState::Blocked => (BLOCKED, None, None),
            RecordState::Dying => (DYING, None, None),
        };
        body.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<RecordState, D::Error> {
        match Body::deserialize(from)? {
            (AVAILABLE, None, None) => Ok(RecordState::Available),
            (IN_FLIGHT, Some(consumer), None) => Ok(RecordState::InFlight(consumer)),
            (DELAYED, None, Some(until)) => Ok(RecordState::Delayed(until)),
            (BLOCKED, None, None) => Ok(RecordState::Blocked),
            (DYING, None, None) => Ok(RecordState::Dying),
            (state, ..) => Err(D::Error::custom(format!(
                "record state {state} is unknown like this"
            ))),
        }
    }
}
