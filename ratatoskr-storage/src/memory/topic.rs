//! An open topic: its descriptor, and the partitions that somebody has opened.

use std::{collections::BTreeMap, sync::Arc};

use ratatoskr_core::{
    config::TopicConfig,
    name::{TopicId, TopicName},
    offset::PartitionIndex,
    storage::{Partition, StorageError, StorageResult, Topic, TopicDescriptor},
    sync::RwLock,
};

use super::{Budget, partition::MemoryPartition};

#[derive(Debug)]
pub(super) struct MemoryTopic {
    id: TopicId,
    name: TopicName,
    state: RwLock<State>,
    budget: Arc<Budget>,
}

#[derive(Debug)]
struct State {
    partition_count: u32,
    config: Arc<TopicConfig>,
    opened: BTreeMap<PartitionIndex, Arc<MemoryPartition>>,
    deleted: bool,
}

impl MemoryTopic {
    pub(super) fn new(descriptor: TopicDescriptor, budget: Arc<Budget>) -> Self {
        Self {
            id: descriptor.id,
            name: descriptor.name,
            state: RwLock::new(State {
                partition_count: descriptor.partitions,
                config: Arc::new(descriptor.config),
                opened: BTreeMap::new(),
                deleted: false,
            }),
            budget,
        }
    }

    pub(super) fn descriptor(&self) -> TopicDescriptor {
        let state = self.state.read();
        TopicDescriptor {
            id: self.id,
            name: self.name.clone(),
            partitions: state.partition_count,
            config: state.config.as_ref().clone(),
        }
    }

    pub(super) fn update(&self, to: &TopicDescriptor) -> StorageResult<()> {
        let mut state = self.state.write();
        if to.partitions < state.partition_count {
            return Err(StorageError::Unsupported(format!(
                "taking topic {} from {} partitions to {}",
                self.name, state.partition_count, to.partitions
            )));
        }
        state.partition_count = to.partitions;
        state.config = Arc::new(to.config.clone());
        for partition in state.opened.values() {
            partition.configure(Arc::clone(&state.config));
        }
        Ok(())
    }

    /// Frees every record; handles that are open find the topic gone.
    pub(super) fn delete(&self) {
        let mut state = self.state.write();
        state.deleted = true;
        for (_, partition) in std::mem::take(&mut state.opened) {
            partition.delete();
        }
    }
}

impl Topic for MemoryTopic {
    fn name(&self) -> &TopicName {
        &self.name
    }

    fn id(&self) -> TopicId {
        self.id
    }

    fn config(&self) -> TopicConfig {
        self.state.read().config.as_ref().clone()
    }

    fn partition(&self, index: PartitionIndex) -> StorageResult<Arc<dyn Partition>> {
        let mut state = self.state.write();
        if state.deleted {
            return Err(StorageError::UnknownTopic(self.id));
        }
        if index.get() >= state.partition_count {
            return Err(StorageError::UnknownPartition(index));
        }
        let config = Arc::clone(&state.config);
        let partition = state.opened.entry(index).or_insert_with(|| {
            let budget = Arc::clone(&self.budget);
            Arc::new(MemoryPartition::new(self.id, config, budget))
        });
        Ok(Arc::clone(partition) as Arc<dyn Partition>)
    }
}
