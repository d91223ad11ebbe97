//! Which topics and partitions there are, and which of these are open.
//!
//! A partition is opened when it is asked for, by one thread at a time. A handle that has failed is
//! taken out of its slot, which is then **stale**: its log may lack frames that are durable, so
//! opening it again replays the write-ahead log (see `partition.rs`). While no handle is there nothing
//! is written for the partition.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use ratatoskr_core::{
    batch::RecordBatch,
    config::TopicConfig,
    name::{TopicId, TopicName},
    offset::{Offset, PartitionIndex},
    storage::{IoKind, StorageError, StorageResult, TopicDescriptor},
    sync::{Condvar, Mutex, RwLock},
};

use super::{
    catalog::{Catalog, Change},
    layout::Layout,
    partition::MmapPartition,
};
use crate::{
    mmap::{LogCheckpoint, LogId},
    wal::{Partitions, WalPartition},
};

#[derive(Debug, Default)]
pub(super) struct Registry {
    tables: RwLock<Tables>,
    pub(super) signal: CheckpointSignal,
}

#[derive(Debug, Default)]
struct Tables {
    catalog: Catalog,
    topics: HashMap<TopicId, Arc<TopicState>>,
}

/// A topic that is there, or was until it was deleted.
#[derive(Debug)]
pub(super) struct TopicState {
    pub(super) id: TopicId,
    pub(super) name: TopicName,
    current: RwLock<Current>,
    slots: Mutex<BTreeMap<PartitionIndex, Arc<Slot>>>,
    /// Whether the topic's directory was made and may not last yet. Held while it is synced, so that
    /// nobody takes it for lasting before that is done.
    unsynced: Mutex<bool>,
}

#[derive(Debug)]
struct Current {
    config: TopicConfig,
    partitions: u32,
    /// Why it is over, once it is.
    end: Option<StorageError>,
}

/// The place of a partition, open or not.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) index: PartitionIndex,
    /// Held while the partition is opened. Never taken by the write-ahead log or a checkpoint.
    pub(super) opening: Mutex<()>,
    state: Mutex<SlotState>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct SlotState {
    pub(super) handle: Option<Arc<MmapPartition>>,
    /// As in the `CHECKPOINT` file.
    pub(super) checkpoint: Option<LogCheckpoint>,
    /// Whether the log may lack frames from the checkpoint's point on.
    pub(super) stale: bool,
    /// The greatest log start that was made durable since the storage was opened.
    pub(super) log_start: Offset,
}

impl Slot {
    pub(super) fn state(&self) -> SlotState {
        self.state.lock().clone()
    }

    fn install(&self, handle: &Arc<MmapPartition>) {
        let log_start = {
            let mut state = self.state.lock();
            state.handle = Some(handle.clone());
            state.stale = false;
            state.log_start
        };
        // It may have been moved after the handle's log was read.
        handle.apply_log_start(log_start);
    }

    /// Moves the log start, which is durable already, in whichever handle there is: the one that
    /// asked may have failed meanwhile, and another one taken its place.
    pub(super) fn move_log_start(&self, to: Offset) {
        let handle = {
            let mut state = self.state.lock();
            state.log_start = state.log_start.max(to);
            state.handle.clone()
        };
        if let Some(handle) = handle {
            handle.apply_log_start(to);
        }
    }

    /// Up to here the log is in sealed segments as of the `CHECKPOINT` file.
    pub(super) fn sealed_end(&self) -> Offset {
        let checkpoint = self.state.lock().checkpoint;
        checkpoint.map_or(Offset::ZERO, |checkpoint| checkpoint.segment_base)
    }

    pub(super) fn set_checkpoint(&self, checkpoint: LogCheckpoint) {
        self.state.lock().checkpoint = Some(checkpoint);
    }

    /// The handle that `handle` is, to be kept beyond the call; `None` once it was taken out.
    pub(super) fn handle_of(&self, handle: &MmapPartition) -> Option<Arc<MmapPartition>> {
        let there = self.state.lock().handle.clone()?;
        std::ptr::eq(Arc::as_ptr(&there), handle).then_some(there)
    }

    /// Takes a handle that has failed out of its slot, if it is still there.
    pub(super) fn evict(&self, handle: &MmapPartition) {
        let mut state = self.state.lock();
        let is_it = |there: &Arc<MmapPartition>| std::ptr::eq(Arc::as_ptr(there), handle);
        if state.handle.as_ref().is_some_and(is_it) {
            state.handle = None;
            state.stale = true;
        }
    }

    pub(super) fn set_stale(&self) {
        self.state.lock().stale = true;
    }

    /// Takes the handle away for good: the topic is deleted or the storage closed.
    fn take(&self) -> Option<Arc<MmapPartition>> {
        self.state.lock().handle.take()
    }
}

impl TopicState {
    fn new(topic: &TopicDescriptor) -> Self {
        Self {
            id: topic.id,
            name: topic.name.clone(),
            current: RwLock::new(Current {
                config: topic.config.clone(),
                partitions: topic.partitions,
                end: None,
            }),
            slots: Mutex::default(),
            unsynced: Mutex::new(false),
        }
    }

    /// Makes the topic's directory, before a partition's log makes its own in it.
    pub(super) fn prepare_directory(&self, layout: &Layout) -> StorageResult<()> {
        let mut unsynced = self.unsynced.lock();
        layout.create_topic(self.id)?;
        *unsynced = true;
        Ok(())
    }

    /// Makes the topic's directory last. Its partitions' logs see to their own.
    pub(super) fn sync_directory(&self, layout: &Layout) -> StorageResult<()> {
        let mut unsynced = self.unsynced.lock();
        if *unsynced {
            layout.sync_dir(&layout.topics())?;
            *unsynced = false;
        }
        Ok(())
    }

    pub(super) fn partitions(&self) -> u32 {
        self.current.read().partitions
    }

    pub(super) fn config(&self) -> TopicConfig {
        self.current.read().config.clone()
    }

    /// The partition's slot, made if need be.
    ///
    /// # Errors
    /// [`StorageError::UnknownTopic`] once it is deleted, [`StorageError::UnknownPartition`].
    pub(super) fn slot(&self, index: PartitionIndex) -> StorageResult<Arc<Slot>> {
        let current = self.current.read();
        if let Some(end) = &current.end {
            return Err(end.clone());
        }
        if index.get() >= current.partitions {
            return Err(StorageError::UnknownPartition(index));
        }
        let mut slots = self.slots.lock();
        let slot = slots.entry(index).or_insert_with(|| {
            Arc::new(Slot {
                index,
                opening: Mutex::default(),
                state: Mutex::default(),
            })
        });
        Ok(slot.clone())
    }

    pub(super) fn slots(&self) -> Vec<Arc<Slot>> {
        self.slots.lock().values().cloned().collect()
    }

    /// Fails once the topic is deleted or the storage closed.
    pub(super) fn check(&self) -> StorageResult<()> {
        match &self.current.read().end {
            Some(end) => Err(end.clone()),
            None => Ok(()),
        }
    }

    fn open_handle(&self, index: PartitionIndex) -> Option<Arc<MmapPartition>> {
        let slot = self.slots.lock().get(&index).cloned()?;
        slot.state.lock().handle.clone()
    }

    fn handles(&self) -> impl Iterator<Item = Arc<MmapPartition>> {
        let slots = self.slots().into_iter();
        slots.filter_map(|slot| slot.state.lock().handle.clone())
    }

    /// Puts an open handle into its slot.
    ///
    /// # Errors
    /// [`StorageError::UnknownTopic`] where the topic was deleted meanwhile.
    pub(super) fn install(&self, slot: &Slot, handle: &Arc<MmapPartition>) -> StorageResult<()> {
        let current = self.current.read();
        if let Some(end) = &current.end {
            return Err(end.clone());
        }
        slot.install(handle);
        Ok(())
    }

    /// Syncs all open partitions.
    ///
    /// # Errors
    /// The first that cannot be synced.
    pub(super) fn sync(&self) -> StorageResult<()> {
        self.handles()
            .try_for_each(|handle| handle.sync().map(drop))
    }

    fn update(&self, topic: &TopicDescriptor) {
        let mut current = self.current.write();
        current.config = topic.config.clone();
        current.partitions = topic.partitions;
        drop(current);
        for handle in self.handles() {
            handle.configure(&topic.config);
        }
    }

    fn end(&self, why: &StorageError) {
        self.current.write().end = Some(why.clone());
        for slot in self.slots() {
            if let Some(handle) = slot.take() {
                handle.close(why.clone());
            }
        }
    }
}

impl Registry {
    /// With the topics that recovery found, none of their partitions open.
    pub(super) fn new(
        catalog: Catalog,
        checkpoints: &HashMap<LogId, LogCheckpoint>,
    ) -> StorageResult<Self> {
        let topics: HashMap<_, _> = catalog
            .topics()
            .map(|topic| (topic.id, Arc::new(TopicState::new(topic))))
            .collect();
        for (id, &checkpoint) in checkpoints {
            if let Some(topic) = topics.get(&id.topic) {
                topic.slot(id.partition)?.set_checkpoint(checkpoint);
            }
        }
        Ok(Self {
            tables: RwLock::new(Tables { catalog, topics }),
            signal: CheckpointSignal::default(),
        })
    }

    pub(super) fn topic(&self, id: TopicId) -> StorageResult<Arc<TopicState>> {
        let tables = self.tables.read();
        let topic = tables.topics.get(&id).cloned();
        topic.ok_or(StorageError::UnknownTopic(id))
    }

    pub(super) fn descriptor(&self, id: TopicId) -> Option<TopicDescriptor> {
        self.tables.read().catalog.topic(id).cloned()
    }

    pub(super) fn id_of(&self, name: &TopicName) -> Option<TopicId> {
        self.tables.read().catalog.id_of(name)
    }

    pub(super) fn descriptors(&self) -> Vec<TopicDescriptor> {
        self.tables.read().catalog.topics().cloned().collect()
    }

    /// All topics, always in the same order, so that a simulation can be repeated.
    pub(super) fn topics(&self) -> Vec<Arc<TopicState>> {
        let mut topics: Vec<_> = self.tables.read().topics.values().cloned().collect();
        topics.sort_by_key(|topic| topic.id);
        topics
    }

    /// Carries out a change of the catalog that is durable.
    pub(super) fn apply(&self, change: Change) {
        let mut tables = self.tables.write();
        tables.catalog.apply(change.clone());
        match change {
            Change::Created(topic) => {
                let state = || Arc::new(TopicState::new(&topic));
                tables.topics.entry(topic.id).or_insert_with(state);
            }
            Change::Updated(topic) => {
                let state = tables.topics.get(&topic.id).cloned();
                drop(tables);
                if let Some(state) = state {
                    state.update(&topic);
                }
            }
            Change::Deleted(id) => {
                let state = tables.topics.remove(&id);
                drop(tables);
                if let Some(state) = state {
                    state.end(&StorageError::UnknownTopic(id));
                }
            }
        }
    }

    /// Ends all handles: the storage is closed.
    pub(super) fn close(&self) {
        for topic in self.topics() {
            topic.end(&StorageError::Closed);
        }
    }

    fn usable_handle(
        &self,
        topic: TopicId,
        index: PartitionIndex,
    ) -> StorageResult<Arc<MmapPartition>> {
        let state = self.topic(topic)?;
        state.open_handle(index).ok_or_else(|| StorageError::Io {
            kind: IoKind::Unavailable,
            operation: format!("append to partition {index} of topic {}", state.name),
            source: Arc::new(std::io::Error::other("it is not open")),
        })
    }
}

impl Partitions for Registry {
    fn partition(
        &self,
        topic: TopicId,
        partition: PartitionIndex,
    ) -> StorageResult<Arc<dyn WalPartition>> {
        Ok(self.usable_handle(topic, partition)?)
    }

    fn apply_failed(
        &self,
        topic: TopicId,
        partition: PartitionIndex,
        batch: &RecordBatch,
        error: &StorageError,
    ) {
        let Ok(state) = self.topic(topic) else {
            return;
        };
        let base_offset = batch.header().base_offset;
        tracing::error!(topic = %state.name, %partition, %base_offset, %error,
            "a durable batch could not be applied; the partition is offline until it is opened again");
        if let Some(handle) = state.open_handle(partition) {
            handle.fail(error.clone());
        } else if let Ok(slot) = state.slot(partition) {
            slot.set_stale();
        }
    }

    fn checkpoint_wanted(&self) {
        self.signal.want();
    }
}

/// Tells the thread that writes checkpoints what is wanted.
#[derive(Debug, Default)]
pub(super) struct CheckpointSignal {
    wanted: Mutex<Wanted>,
    told: Condvar,
}

#[derive(Debug, Default)]
struct Wanted {
    checkpoint: bool,
    stop: bool,
}

impl CheckpointSignal {
    pub(super) fn want(&self) {
        self.wanted.lock().checkpoint = true;
        self.told.notify_all();
    }

    pub(super) fn stop(&self) {
        self.wanted.lock().stop = true;
        self.told.notify_all();
    }

    /// Waits until a checkpoint is wanted or `interval` is over; `false` once it is to stop.
    pub(super) fn wait(&self, interval: std::time::Duration) -> bool {
        let mut wanted = self.wanted.lock();
        if !wanted.checkpoint && !wanted.stop {
            self.told.wait_for(&mut wanted, interval);
        }
        wanted.checkpoint = false;
        !wanted.stop
    }
}
