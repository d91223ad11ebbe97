//! One partition under test beside the [`Model`] of what it must be like.

use std::sync::Arc;

use super::{BatchSpec, Model, Subject};
use crate::{
    batch::RecordBatch,
    config::TopicConfig,
    limits,
    name::{TopicId, TopicName},
    offset::{Offset, PartitionIndex},
    storage::{Appended, Partition, Storage, Topic, TopicDescriptor},
};

/// The only partition most cases need.
pub(super) const FIRST: PartitionIndex = PartitionIndex::new(0);

/// A new topic of the backend's default durability, with segments as small as can be.
pub(super) fn descriptor(storage: &dyn Storage, name: &str, partitions: u32) -> TopicDescriptor {
    let durability = storage.capabilities().durability_default;
    TopicDescriptor {
        id: TopicId::random(),
        name: TopicName::parse(name).unwrap(),
        partitions,
        config: TopicConfig {
            segment_bytes: limits::SEGMENT_BYTES_MIN,
            ..TopicConfig::new(durability)
        },
    }
}

/// A topic of one partition, and what that partition must be like.
#[derive(Debug)]
pub(super) struct Log {
    pub storage: Arc<dyn Storage>,
    pub topic: Arc<dyn Topic>,
    pub partition: Arc<dyn Partition>,
    pub model: Model,
}

impl Log {
    pub(super) async fn create(subject: &Subject) -> Self {
        let storage = subject.open().await;
        let descriptor = descriptor(&*storage, "log", 1);
        let topic = storage.create_topic(&descriptor).await.unwrap();
        Self {
            partition: topic.partition(FIRST).unwrap(),
            storage,
            topic,
            model: Model::default(),
        }
    }

    /// A log of these batches, appended one by one.
    pub(super) async fn with(subject: &Subject, specs: &[BatchSpec]) -> Self {
        let mut log = Self::create(subject).await;
        for spec in specs {
            log.append(&[*spec]);
        }
        log
    }

    /// A log of enough batches of various sizes to fill several segments, with a gap.
    pub(super) async fn varied(subject: &Subject) -> Self {
        let mut log = Self::create(subject).await;
        for round in 0..4 {
            log.append(&[BatchSpec::of(1).at(100 + 10 * round)]);
            log.append(&[
                BatchSpec::of(7).with_value_bytes(90).at(104 + 10 * round),
                BatchSpec::of(3).with_value_bytes(700).at(102 + 10 * round),
            ]);
            log.append(&[BatchSpec::of(2).with_value_bytes(0).at(103 + 10 * round)]);
        }
        let beyond = log.model.log_end().plus(5);
        log.append_batches(&[BatchSpec::of(4).at(150).build(beyond)]);
        log
    }

    /// Appends to the partition and to the model, which must answer the same.
    pub(super) fn append(&mut self, specs: &[BatchSpec]) -> Appended {
        let batches = self.model.next_batches(specs);
        self.append_batches(&batches)
    }

    pub(super) fn append_batches(&mut self, batches: &[RecordBatch]) -> Appended {
        let appended = self.partition.append(batches).unwrap();
        assert_eq!(appended, self.model.append(batches), "what append answers");
        appended
    }

    /// Trims the partition and the model.
    pub(super) async fn trim(&mut self, to: Offset) {
        let bounds = self.partition.advance_log_start(to).await.unwrap();
        self.model.trim(to);
        self.model.compare_bounds(&bounds).unwrap();
    }

    /// Panics where the partition is not as the model has it.
    pub(super) async fn check(&self) {
        self.model.compare(&*self.partition).await.unwrap();
    }

    /// Takes a new handle, as the engine does after a terminal error.
    pub(super) fn renew_handle(&mut self) {
        self.partition = self.topic.partition(FIRST).unwrap();
    }

    /// Drops every handle and opens the backend again.
    pub(super) async fn reopen(self, subject: &Subject) -> Self {
        let Self {
            storage,
            topic,
            partition,
            model,
        } = self;
        let id = topic.id();
        drop((partition, topic, storage));
        let storage = subject.open().await;
        let topic = storage.open_topic(id).await.unwrap();
        Self {
            partition: topic.partition(FIRST).unwrap(),
            storage,
            topic,
            model,
        }
    }
}
