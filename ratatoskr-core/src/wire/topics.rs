//! Bodies about topics: create, delete, list, describe, alter, add partitions, trim.
//!
//! Configuration travels as text, name by name, so that a new name changes no layout.

use serde::{Deserialize, Serialize};

use super::{Body, Done, Kind, Request};
use crate::{
    config::{Durability, InvalidConfig, TopicConfig, TopicConfigChange},
    name::{TopicId, TopicName},
    offset::{Bounds, LeaderEpoch, Offset, PartitionIndex},
};

/// Names and values of a configuration, in the words of [`TopicConfigChange::set`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConfigEntries(pub Vec<(String, String)>);

impl ConfigEntries {
    /// Every value of `config`.
    pub fn of(config: &TopicConfig) -> Self {
        let entries = config.entries().into_iter();
        Self(
            entries
                .map(|(key, value)| (key.to_owned(), value))
                .collect(),
        )
    }

    /// The change that sets exactly these.
    ///
    /// # Errors
    /// [`InvalidConfig`] for an unknown name or a value that does not parse.
    pub fn to_change(&self) -> Result<TopicConfigChange, InvalidConfig> {
        let mut change = TopicConfigChange::default();
        for (key, value) in &self.0 {
            change.set(key, value)?;
        }
        Ok(change)
    }

    /// The configuration these are all values of.
    ///
    /// # Errors
    /// As [`to_change`](Self::to_change).
    pub fn to_config(&self) -> Result<TopicConfig, InvalidConfig> {
        self.to_change()?
            .apply_to(&TopicConfig::new(Durability::Memory))
    }
}

/// Creates a topic; answered with the [`TopicBody`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateTopic {
    /// Its name.
    pub topic: TopicName,
    /// How many partitions it gets; 0 for the broker's default.
    pub partitions: u32,
    /// What differs from the broker's defaults.
    pub config: ConfigEntries,
}

/// Deletes a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteTopic {
    /// Its name.
    pub topic: TopicName,
}

/// Lists every topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListTopics {}

/// Describes one topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribeTopic {
    /// Its name.
    pub topic: TopicName,
}

/// Changes a topic's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlterTopic {
    /// Its name.
    pub topic: TopicName,
    /// What to set.
    pub config: ConfigEntries,
}

/// Gives a topic more partitions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddPartitions {
    /// Its name.
    pub topic: TopicName,
    /// How many it shall have in all.
    pub total: u32,
}

/// Moves a partition's log start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trim {
    /// The topic's name.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionIndex,
    /// The new log start.
    pub to: Offset,
}

/// A topic as it is described.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicBody {
    /// Its id, 16 bytes.
    #[serde(with = "topic_id")]
    pub id: TopicId,
    /// Its name.
    pub name: TopicName,
    /// Every value of its configuration.
    pub config: ConfigEntries,
    /// Its partitions, from 0.
    pub partitions: Vec<PartitionBody>,
}

/// A partition as it is described.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionBody {
    /// Its number.
    pub index: PartitionIndex,
    /// Where its log begins and ends.
    pub bounds: Bounds,
    /// Bytes of its log.
    pub bytes: u64,
    /// Segments of its log.
    pub segments: u32,
    /// Counts the leaders it has had.
    pub leader_epoch: LeaderEpoch,
    /// Why it takes no requests; `None` where it does.
    pub offline: Option<String>,
}

macro_rules! requests {
    ($($name:ident -> $response:ty),* $(,)?) => {
        $(
            impl Body for $name {
                const KIND: Kind = Kind::$name;
            }
            impl Request for $name {
                type Response = $response;
            }
        )*
    };
}
pub(super) use requests;

requests! {
    CreateTopic -> TopicBody,
    DeleteTopic -> Done,
    ListTopics -> Vec<TopicBody>,
    DescribeTopic -> TopicBody,
    AlterTopic -> TopicBody,
    AddPartitions -> TopicBody,
    Trim -> Bounds,
}

/// A topic id as 16 `MessagePack` bytes, not as an array of numbers.
mod topic_id {
    use serde::{Deserializer, Serializer, de::Error};

    use crate::name::TopicId;

    pub(super) fn serialize<S: Serializer>(id: &TopicId, to: S) -> Result<S::Ok, S::Error> {
        serde_bytes::serialize(id.as_bytes().as_slice(), to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<TopicId, D::Error> {
        let bytes: serde_bytes::ByteArray<16> = serde::Deserialize::deserialize(from)?;
        TopicId::from_bytes(bytes.into_array()).ok_or_else(|| D::Error::custom("topic id of zeros"))
    }
}
