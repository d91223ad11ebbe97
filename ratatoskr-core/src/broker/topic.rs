//! One topic as the broker holds it: its configuration and its partitions.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::{
    broker::{
        context::Context,
        partition::PartitionCell,
        stats::Counters,
        waiters::{Registration, Waiters},
    },
    config::TopicConfig,
    error::Error,
    name::{TopicId, TopicName},
    offset::PartitionIndex,
    routing::Router,
    storage::{Topic, TopicDescriptor},
    sync::RwLock,
};

/// What the partitions of a topic share.
#[derive(Debug)]
pub(super) struct TopicShared {
    pub(super) id: TopicId,
    pub(super) name: TopicName,
    pub(super) log: Arc<dyn Topic>,
    pub(super) counters: Counters,
    config: RwLock<Arc<TopicConfig>>,
}

impl TopicShared {
    pub(super) fn config(&self) -> Arc<TopicConfig> {
        Arc::clone(&self.config.read())
    }

    pub(super) fn set_config(&self, config: TopicConfig) {
        *self.config.write() = Arc::new(config);
    }
}

/// A topic: what it is, and its partitions from 0. The number of partitions only grows.
#[derive(Debug)]
pub(super) struct TopicState {
    shared: Arc<TopicShared>,
    router: Router,
    partitions: RwLock<Vec<Arc<PartitionCell>>>,
    deleted: AtomicBool,
    /// Who waits for partitions to be added, or for the deletion.
    waiters: Waiters,
}

impl TopicState {
    pub(super) fn new(
        descriptor: &TopicDescriptor,
        log: Arc<dyn Topic>,
        context: &Arc<Context>,
    ) -> Arc<Self> {
        let topic = Arc::new(Self {
            shared: Arc::new(TopicShared {
                id: descriptor.id,
                name: descriptor.name.clone(),
                log,
                counters: Counters::default(),
                config: RwLock::new(Arc::new(descriptor.config.clone())),
            }),
            router: Router::default(),
            partitions: RwLock::default(),
            deleted: AtomicBool::new(false),
            waiters: Waiters::default(),
        });
        topic.grow_to(descriptor.partitions, context);
        topic
    }

    /// Adds partitions until there are `total`.
    pub(super) fn grow_to(&self, total: u32, context: &Arc<Context>) {
        let mut partitions = self.partitions.write();
        let have = u32::try_from(partitions.len()).unwrap_or(u32::MAX);
        partitions.extend((have..total).map(|index| {
            PartitionCell::new(
                Arc::clone(&self.shared),
                PartitionIndex::new(index),
                Arc::clone(context),
            )
        }));
        drop(partitions);
        self.waiters.wake(&context.runtime);
    }

    /// Notifies the waiter when partitions are added or the topic is deleted, once.
    pub(super) fn register(&self, registration: &Arc<Registration>) {
        self.waiters.register(registration);
    }

    /// The topic has been deleted: whoever waits for one of its partitions learns of it.
    pub(super) fn delete(&self, context: &Context) {
        self.deleted.store(true, Ordering::Release);
        for partition in self.partitions() {
            partition.delete();
        }
        self.waiters.wake(&context.runtime);
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    pub(super) fn name(&self) -> &TopicName {
        &self.shared.name
    }

    pub(super) fn shared(&self) -> &TopicShared {
        &self.shared
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    pub(super) fn partitions(&self) -> Vec<Arc<PartitionCell>> {
        self.partitions.read().clone()
    }

    pub(super) fn partition_count(&self) -> u32 {
        u32::try_from(self.partitions.read().len()).unwrap_or(u32::MAX)
    }

    /// The partition for a record with this key, or without one.
    pub(super) fn route(&self, key: Option<&[u8]>) -> PartitionIndex {
        self.router.route(key, self.partition_count())
    }

    /// Records without a key go to the next partition from now on.
    pub(super) fn next_batch(&self) {
        self.router.next_batch();
    }

    /// # Errors
    /// [`Error::UnknownPartition`].
    pub(super) fn partition(&self, index: PartitionIndex) -> Result<Arc<PartitionCell>, Error> {
        usize::try_from(index.get())
            .ok()
            .and_then(|index| self.partitions.read().get(index).cloned())
            .ok_or_else(|| Error::UnknownPartition {
                topic: self.shared.name.clone(),
                partition: index,
            })
    }

    /// What the catalog of the storage keeps of it.
    pub(super) fn descriptor(&self) -> TopicDescriptor {
        TopicDescriptor {
            id: self.shared.id,
            name: self.shared.name.clone(),
            partitions: self.partition_count(),
            config: TopicConfig::clone(&self.shared.config()),
        }
    }
}
