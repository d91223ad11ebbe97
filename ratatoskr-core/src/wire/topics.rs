//! Bodies about topics: create, delete, list, describe, alter, add partitions, trim.
//!
//! Configuration travels as text, name by name, so that a new name changes no layout.

use serde::{Deserialize, Serialize};

use super::{Body, Done, Kind, Request};
use crate::{
    broker::{PartitionDescription, PartitionState, TopicDescription},
    config::{Durability, InvalidConfig, TopicConfig, TopicConfigChange},
    name::{TopicId, TopicName},
    offset::{Bounds, LeaderEpoch, Offset, PartitionIndex},
    storage::TopicDescriptor,
};

/// Names and values of a configuration, in the words of [`TopicConfigChange::set`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConfigEntries(pub Vec<(String, String)>);

impl From<&TopicConfigChange> for ConfigEntries {
    fn from(change: &TopicConfigChange) -> Self {
        Self::texts(change.entries())
    }
}

impl ConfigEntries {
    /// Every value of `config`.
    pub fn of(config: &TopicConfig) -> Self {
        Self::texts(config.entries())
    }

    pub(super) fn texts(entries: Vec<(&'static str, String)>) -> Self {
        let entries = entries.into_iter();
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
    /// How many partitions it gets; `None` for the broker's default.
    pub partitions: Option<u32>,
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
    /// Whether to create it first, if it is not there and the broker is configured to.
    pub create: bool,
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
    #[serde(with = "crate::name::topic_id_bytes")]
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
    /// Whether it is up.
    #[serde(with = "partition_state")]
    pub state: PartitionState,
}

/// A topic as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicSummary {
    /// Its id, 16 bytes.
    #[serde(with = "crate::name::topic_id_bytes")]
    pub id: TopicId,
    /// Its name.
    pub name: TopicName,
    /// How many partitions it has.
    pub partitions: u32,
    /// Every value of its configuration.
    pub config: ConfigEntries,
}

impl From<TopicDescription> for TopicBody {
    fn from(topic: TopicDescription) -> Self {
        Self {
            id: topic.id,
            name: topic.name,
            config: ConfigEntries::of(&topic.config),
            partitions: topic.partitions.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<TopicBody> for TopicDescription {
    type Error = InvalidConfig;

    fn try_from(topic: TopicBody) -> Result<Self, InvalidConfig> {
        Ok(Self {
            id: topic.id,
            name: topic.name,
            config: topic.config.to_config()?,
            partitions: topic.partitions.into_iter().map(Into::into).collect(),
        })
    }
}

impl From<PartitionDescription> for PartitionBody {
    fn from(partition: PartitionDescription) -> Self {
        Self {
            index: partition.index,
            bounds: partition.bounds,
            bytes: partition.bytes,
            segments: partition.segments,
            leader_epoch: partition.leader_epoch,
            state: partition.state,
        }
    }
}

impl From<PartitionBody> for PartitionDescription {
    fn from(partition: PartitionBody) -> Self {
        Self {
            index: partition.index,
            bounds: partition.bounds,
            bytes: partition.bytes,
            segments: partition.segments,
            leader_epoch: partition.leader_epoch,
            state: partition.state,
        }
    }
}

impl From<TopicDescriptor> for TopicSummary {
    fn from(topic: TopicDescriptor) -> Self {
        Self {
            id: topic.id,
            name: topic.name,
            partitions: topic.partitions,
            config: ConfigEntries::of(&topic.config),
        }
    }
}

impl TryFrom<TopicSummary> for TopicDescriptor {
    type Error = InvalidConfig;

    fn try_from(topic: TopicSummary) -> Result<Self, InvalidConfig> {
        Ok(Self {
            id: topic.id,
            name: topic.name,
            partitions: topic.partitions,
            config: topic.config.to_config()?,
        })
    }
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
    ListTopics -> Vec<TopicSummary>,
    DescribeTopic -> TopicBody,
    AlterTopic -> TopicBody,
    AddPartitions -> TopicBody,
    Trim -> Bounds,
}

/// A partition's state as the array of number and reason.
mod partition_state {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    use crate::broker::PartitionState;

    const CLOSED: u8 = 0;
    const ONLINE: u8 = 1;
    const OFFLINE: u8 = 2;

    pub(super) fn serialize<S: Serializer>(
        state: &PartitionState,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match state {
            PartitionState::Closed => (CLOSED, ""),
            PartitionState::Online => (ONLINE, ""),
            PartitionState::Offline { reason } => (OFFLINE, reason.as_str()),
        }
        .serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<PartitionState, D::Error> {
        let (state, reason) = <(u8, String)>::deserialize(from)?;
        match state {
            CLOSED => Ok(PartitionState::Closed),
            ONLINE => Ok(PartitionState::Online),
            OFFLINE => Ok(PartitionState::Offline { reason }),
            _ => Err(D::Error::custom(format!(
                "partition state {state} is unknown"
            ))),
        }
    }
}
