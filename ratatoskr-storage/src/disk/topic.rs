//! A topic on disk, as the engine sees it.

use std::sync::Arc;

use ratatoskr_core::{
    config::TopicConfig,
    name::{TopicId, TopicName},
    offset::PartitionIndex,
    storage::{Partition, StorageResult, Topic},
};

use super::{Shared, partition::MmapPartition, registry::TopicState};

#[derive(Debug)]
pub(super) struct MmapTopic {
    pub(super) shared: Arc<Shared>,
    pub(super) state: Arc<TopicState>,
}

impl Topic for MmapTopic {
    fn name(&self) -> &TopicName {
        &self.state.name
    }

    fn id(&self) -> TopicId {
        self.state.id
    }

    fn config(&self) -> TopicConfig {
        self.state.config()
    }

    fn partition(&self, index: PartitionIndex) -> StorageResult<Arc<dyn Partition>> {
        Ok(MmapPartition::open(&self.shared, &self.state, index)?)
    }
}
