//! Which topics there are.
//!
//! Changes are frames of the write-ahead log, so their order is that of the log; the checkpoint holds
//! the whole. What a change's frame says is applied by [`Catalog::apply`], the same way when it is
//! committed and when it is replayed. Replay may begin before what the checkpoint already holds, so
//! applying a change again, or one that later ones have overtaken, comes to the same end:
//! - a topic that is there is not created again; one that is not there is neither updated nor deleted;
//! - names are settled by the caller before a change is written, and checked once replay is done.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use ratatoskr_core::{
    name::{TopicId, TopicName},
    storage::{StorageError, StorageResult, TopicDescriptor},
};

use crate::wal::FrameKind;

/// The topics of a data directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Catalog {
    topics: BTreeMap<TopicId, TopicDescriptor>,
    names: HashMap<TopicName, TopicId>,
}

/// One change of the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Created(TopicDescriptor),
    Updated(TopicDescriptor),
    Deleted(TopicId),
}

impl Change {
    pub(super) const fn kind(&self) -> FrameKind {
        match self {
            Self::Created(_) => FrameKind::TopicCreated,
            Self::Updated(_) => FrameKind::TopicUpdated,
            Self::Deleted(_) => FrameKind::TopicDeleted,
        }
    }

    pub(super) const fn topic(&self) -> TopicId {
        match self {
            Self::Created(topic) | Self::Updated(topic) => topic.id,
            Self::Deleted(id) => *id,
        }
    }

    /// What the change's frame carries.
    pub(super) fn payload(&self) -> StorageResult<Bytes> {
        match self {
            Self::Created(topic) | Self::Updated(topic) => encode_topic(topic),
            Self::Deleted(_) => Ok(Bytes::new()),
        }
    }

    /// Reads a change back; `None` where the frame is of another kind.
    pub(super) fn decode(
        kind: FrameKind,
        topic: TopicId,
        payload: &[u8],
    ) -> StorageResult<Option<Self>> {
        let described = || {
            let described = decode_topic(payload)?;
            if described.id == topic {
                Ok(described)
            } else {
                Err(damaged("a frame and its topic name different ids"))
            }
        };
        Ok(match kind {
            FrameKind::TopicCreated => Some(Self::Created(described()?)),
            FrameKind::TopicUpdated => Some(Self::Updated(described()?)),
            FrameKind::TopicDeleted => Some(Self::Deleted(topic)),
            FrameKind::Batch | FrameKind::LogStartMoved => None,
        })
    }
}

impl Catalog {
    pub(super) fn topic(&self, id: TopicId) -> Option<&TopicDescriptor> {
        self.topics.get(&id)
    }

    pub(super) fn id_of(&self, name: &TopicName) -> Option<TopicId> {
        self.names.get(name).copied()
    }

    pub(super) fn topics(&self) -> impl Iterator<Item = &TopicDescriptor> {
        self.topics.values()
    }

    /// Carries out a change.
    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::Created(topic) => {
                self.names.insert(topic.name.clone(), topic.id);
                self.topics.entry(topic.id).or_insert(topic);
            }
            Change::Updated(topic) => {
                if let Some(there) = self.topics.get_mut(&topic.id) {
                    *there = topic;
                }
            }
            Change::Deleted(id) => {
                if let Some(gone) = self.topics.remove(&id)
                    && self.names.get(&gone.name) == Some(&id)
                {
                    self.names.remove(&gone.name);
                }
            }
        }
    }

    /// Finds names again once everything has been replayed.
    ///
    /// # Errors
    /// [`StorageError::Damaged`] where two topics have one name.
    pub(super) fn settle_names(&mut self) -> StorageResult<()> {
        self.names.clear();
        for topic in self.topics.values() {
            if self.names.insert(topic.name.clone(), topic.id).is_some() {
                return Err(damaged(&format!("two topics are named {}", topic.name)));
            }
        }
        Ok(())
    }
}

/// A topic as it lies in frames and in the checkpoint: `MessagePack`, fields by name, so that a later
/// version may add some.
pub(super) fn encode_topic(topic: &TopicDescriptor) -> StorageResult<Bytes> {
    rmp_serde::to_vec_named(topic)
        .map(Bytes::from)
        .map_err(|error| StorageError::io("encode a topic", std::io::Error::other(error)))
}

pub(super) fn decode_topic(bytes: &[u8]) -> StorageResult<TopicDescriptor> {
    rmp_serde::from_slice(bytes).map_err(|error| damaged(&error.to_string()))
}

fn damaged(detail: &str) -> StorageError {
    StorageError::Damaged {
        file: "the catalog".into(),
        detail: detail.into(),
    }
}

#[cfg(test)]
mod tests {
    use ratatoskr_core::config::{Durability, TopicConfig};

    use super::*;

    fn topic(id: u8, name: &str) -> TopicDescriptor {
        TopicDescriptor {
            id: TopicId::from_bytes([id; 16]).unwrap(),
            name: TopicName::parse(name).unwrap(),
            partitions: 3,
            config: TopicConfig::new(Durability::Fsync),
        }
    }

    fn replayed(mut catalog: Catalog, changes: &[Change]) -> Catalog {
        for change in changes {
            let payload = change.payload().unwrap();
            let read = Change::decode(change.kind(), change.topic(), &payload);
            catalog.apply(read.unwrap().unwrap());
        }
        catalog.settle_names().unwrap();
        catalog
    }

    #[test]
    fn replaying_from_any_point_before_the_checkpoint_comes_to_the_same_end() {
        let wider = TopicDescriptor {
            partitions: 6,
            ..topic(1, "a")
        };
        let changes = [
            Change::Created(topic(1, "a")),
            Change::Updated(wider),
            Change::Created(topic(2, "b")),
            Change::Deleted(topic(1, "a").id),
            Change::Created(topic(3, "a")),
        ];
        let end = replayed(Catalog::default(), &changes);
        assert_eq!(
            end.id_of(&TopicName::parse("a").unwrap()),
            Some(topic(3, "a").id)
        );
        for checkpoint in 0..=changes.len() {
            let held = replayed(Catalog::default(), &changes[..checkpoint]);
            for from in 0..=checkpoint {
                assert_eq!(replayed(held.clone(), &changes[from..]), end);
            }
        }
    }

    #[test]
    fn two_topics_of_one_name_are_damage() {
        let mut catalog = Catalog::default();
        catalog.apply(Change::Created(topic(1, "a")));
        catalog.apply(Change::Created(topic(2, "a")));
        assert!(matches!(
            catalog.settle_names(),
            Err(StorageError::Damaged { .. })
        ));
    }

    #[test]
    fn garbage_is_an_error() {
        let id = topic(1, "a").id;
        for payload in [&b""[..], b"\xff", b"\x84", &[0xdf, 0xff, 0xff, 0xff, 0xff]] {
            let read = Change::decode(FrameKind::TopicCreated, id, payload);
            assert!(matches!(read, Err(StorageError::Damaged { .. })));
        }
        let other = Change::Created(topic(2, "a")).payload().unwrap();
        assert!(Change::decode(FrameKind::TopicCreated, id, &other).is_err());
    }
}
