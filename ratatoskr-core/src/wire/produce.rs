//! Bodies of producing: a frame carries exactly one record batch for one partition.

use serde::{Deserialize, Serialize};

use super::Request;
use super::{Body, Kind, durability::WireDurability, topics::requests};
use crate::{
    broker,
    name::TopicName,
    offset::{Offset, PartitionIndex},
    producer::{ProducerEpoch, ProducerId},
    time::Timestamp,
};

/// Appends the record batch that follows the body. Responses come in the order of the requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Produce {
    /// The topic's name.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionIndex,
    /// Whether there is a response: without, neither success nor failure is told.
    pub acknowledge: bool,
}

/// Where a batch went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Produced {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// The broker's time, where the topic keeps that instead of the producer's.
    pub log_append_time: Option<Timestamp>,
    /// The durability reached.
    pub durability: WireDurability,
    /// Whether an idempotent producer had sent it before, so that nothing was appended now.
    pub duplicate: bool,
}

impl Produced {
    /// What it says of a batch that was sent to this partition.
    pub const fn at(self, partition: PartitionIndex) -> broker::Produced {
        broker::Produced {
            partition,
            base_offset: self.base_offset,
            log_append_time: self.log_append_time,
            durability: self.durability.0,
            duplicate: self.duplicate,
        }
    }
}

impl From<broker::Produced> for Produced {
    fn from(produced: broker::Produced) -> Self {
        Self {
            base_offset: produced.base_offset,
            log_append_time: produced.log_append_time,
            durability: WireDurability(produced.durability),
            duplicate: produced.duplicate,
        }
    }
}

/// Asks for a producer id of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewProducer {}

/// A producer id, handed out to nobody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerBody {
    /// The id.
    pub id: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
}

requests! {
    Produce -> Produced,
    NewProducer -> ProducerBody,
}
