//! One topic as the broker holds it: its configuration and its partitions.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use arc_swap::{ArcSwap, Guard};

use crate::{
    broker::{
        context::Context,
        partition::PartitionCell,
        stats::{Counters, Throughput},
        waiters::{Registration, Waiters},
    },
    config::TopicConfig,
    error::Error,
    name::{TopicId, TopicName},
    offset::PartitionIndex,
    routing::Router,
    storage::{Topic, TopicDescriptor},
};

/// What the partitions of a topic share.
#[derive(Debug)]
pub(super) struct TopicShared {
    pub(super) id: TopicId,
    pub(super) name: TopicName,
    pub(super) log: Arc<dyn Topic>,
    pub(super) counters: Counters,
    config: ArcSwap<TopicConfig>,
}

impl TopicShared {
    /// The configuration as of now. Every send asks for it, so it is neither locked nor cloned.
    #[inline]
    pub(super) fn config(&self) -> Guard<Arc<TopicConfig>> {
        self.config.load()
    }

    pub(super) fn set_config(&self, config: TopicConfig) {
        self.config.store(Arc::new(config));
    }
}

/// A topic: what it is, and its partitions from 0. The number of partitions only grows.
#[derive(Debug)]
pub(super) struct TopicState {
    shared: Arc<TopicShared>,
    context: Arc<Context>,
    router: Router,
    partitions: ArcSwap<Vec<Arc<PartitionCell>>>,
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
                config: ArcSwap::from_pointee(descriptor.config.clone()),
            }),
            context: Arc::clone(context),
            router: Router::default(),
            partitions: ArcSwap::default(),
            deleted: AtomicBool::new(false),
            waiters: Waiters::default(),
        });
        topic.grow_to(descriptor.partitions);
        topic
    }

    /// Adds partitions until there are `total`. Changes of the catalog are made one after another.
    pub(super) fn grow_to(&self, total: u32) {
        let mut partitions = self.partitions();
        partitions.extend((self.partition_count()..total).map(|index| {
            PartitionCell::new(
                Arc::clone(&self.shared),
                PartitionIndex::new(index),
                Arc::clone(&self.context),
            )
        }));
        self.partitions.store(Arc::new(partitions));
        self.waiters.wake(&self.context.runtime);
    }

    /// Notifies the waiter when partitions are added or the topic is deleted, once.
    pub(super) fn register(&self, registration: &Arc<Registration>) {
        self.waiters.register(registration);
    }

    /// The topic has been deleted: whoever waits for one of its partitions learns of it.
    pub(super) fn delete(&self) {
        self.deleted.store(true, Ordering::Release);
        for partition in self.partitions() {
            partition.delete();
        }
        self.waiters.wake(&self.context.runtime);
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    pub(super) fn name(&self) -> &TopicName {
        &self.shared.name
    }

    pub(super) fn id(&self) -> TopicId {
        self.shared.id
    }

    pub(super) fn shared(&self) -> &TopicShared {
        &self.shared
    }

    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// What went through it since the broker was opened.
    pub(super) fn throughput(&self) -> Throughput {
        let mut sum = self.shared.counters.snapshot();
        for partition in self.partitions.load().iter() {
            sum += partition.readable().snapshot();
        }
        sum
    }

    pub(super) fn partitions(&self) -> Vec<Arc<PartitionCell>> {
        Vec::clone(&self.partitions.load())
    }

    pub(super) fn partition_count(&self) -> u32 {
        u32::try_from(self.partitions.load().len()).unwrap_or(u32::MAX)
    }

    /// The partition for a record with this key, or without one.
    #[inline]
    pub(super) fn route(&self, key: Option<&[u8]>) -> PartitionIndex {
        self.router.route(key, self.partition_count())
    }

    /// Records without a key go to the next partition from now on.
    #[inline]
    pub(super) fn next_batch(&self) {
        self.router.next_batch();
    }

    /// # Errors
    /// [`Error::UnknownPartition`].
    pub(super) fn partition(&self, index: PartitionIndex) -> Result<Arc<PartitionCell>, Error> {
        self.with_partition(index, Arc::clone)
    }

    /// Does something with a partition at once, which spares sends from counting its references.
    ///
    /// # Errors
    /// [`Error::UnknownPartition`].
    #[inline]
    pub(super) fn with_partition<T>(
        &self,
        index: PartitionIndex,
        then: impl FnOnce(&Arc<PartitionCell>) -> T,
    ) -> Result<T, Error> {
        let partitions = self.partitions.load();
        let cell = usize::try_from(index.get())
            .ok()
            .and_then(|index| partitions.get(index));
        cell.map(then).ok_or_else(|| Error::UnknownPartition {
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
