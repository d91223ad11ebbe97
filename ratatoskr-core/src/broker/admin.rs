//! Creating, listing, describing, changing and deleting topics.
//!
//! Changes are made one after another, each by a task of its own: a caller that goes away leaves
//! the change to run to its end, so catalog and storage never disagree.

use std::{future::Future, sync::Arc};

use crate::{
    broker::{
        Broker, Shared,
        builder::answered,
        partition::{PartitionCell, PartitionState},
        supervision::caught_async,
        topic::TopicState,
    },
    config::{Durability, InvalidConfig, TopicConfig, TopicConfigChange},
    error::Error,
    limits,
    name::{TopicId, TopicName},
    offset::{Bounds, LeaderEpoch, Offset, PartitionIndex},
    storage::{PartitionStats, TopicDescriptor},
};

/// A topic to be created.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewTopic {
    /// How many partitions; `None` for the broker's default.
    pub partitions: Option<u32>,
    /// What is to differ from the defaults.
    pub config: TopicConfigChange,
}

/// A topic as it is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TopicDescription {
    /// New for each creation.
    pub id: TopicId,
    /// The name.
    pub name: TopicName,
    /// Every value, those by default as well.
    pub config: TopicConfig,
    /// From partition 0.
    pub partitions: Vec<PartitionDescription>,
}

/// A partition as it is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PartitionDescription {
    /// Its number.
    pub index: PartitionIndex,
    /// Where its log begins and ends; all zero while it is down or closed.
    pub bounds: Bounds,
    /// Bytes of its batches.
    pub bytes: u64,
    /// Segments of its log.
    pub segments: u32,
    /// What sends get.
    pub leader_epoch: LeaderEpoch,
    /// Whether it is up.
    pub state: PartitionState,
}

impl Broker {
    /// Creates a topic, whose partitions are closed until they are used. On return it lasts as long as the storage can make it.
    ///
    /// # Errors
    /// [`Error::TopicExists`], [`Error::InternalTopic`], [`Error::InvalidConfig`],
    /// [`Error::Unsupported`] where the storage cannot do what is asked for,
    /// [`Error::LimitReached`], [`Error::Storage`], [`Error::ShuttingDown`], [`Error::Fenced`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves the creation to run to its end.
    pub async fn create_topic(
        &self,
        name: &TopicName,
        new: NewTopic,
    ) -> Result<TopicDescription, Error> {
        let name = name.clone();
        self.change(async move |shared| {
            let topic = shared.create(&name, &new).await?;
            Ok(describe(&topic, Closed::Stay))
        })
        .await
    }

    /// Deletes a topic with all its records. Whoever waits for it gets [`Error::UnknownTopic`].
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], [`Error::InternalTopic`], [`Error::Storage`],
    /// [`Error::ShuttingDown`], [`Error::Fenced`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves the deletion to run to its end.
    pub async fn delete_topic(&self, name: &TopicName) -> Result<(), Error> {
        let name = name.clone();
        self.change(async move |shared| shared.delete(&name).await)
            .await
    }

    /// Every topic, in the order of their names. Opens no partition.
    pub fn list_topics(&self) -> Vec<TopicDescriptor> {
        let topics = self.shared.catalog.read().all();
        topics.iter().map(|topic| topic.descriptor()).collect()
    }

    /// One topic, with what its partitions hold. Opens partitions that nobody has used yet.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`].
    pub fn describe_topic(&self, name: &TopicName) -> Result<TopicDescription, Error> {
        Ok(describe(&*self.topic(name)?, Closed::Open))
    }

    /// Changes a topic's configuration; what is not named stays. A change of durability waits for
    /// the sends before it, makes their records durable, and holds back the sends after it
    /// meanwhile.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], [`Error::InternalTopic`], [`Error::InvalidConfig`],
    /// [`Error::Unsupported`], [`Error::PartitionOffline`] where a partition would have to be
    /// flushed and cannot, [`Error::Storage`], [`Error::ShuttingDown`], [`Error::Fenced`]. The
    /// configuration is then as it was.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the change to run to its end.
    pub async fn alter_topic(
        &self,
        name: &TopicName,
        change: &TopicConfigChange,
    ) -> Result<TopicDescription, Error> {
        let (name, change) = (name.clone(), change.clone());
        self.change(async move |shared| {
            let topic = shared.alter(&name, &change).await?;
            Ok(describe(&topic, Closed::Stay))
        })
        .await
    }

    /// Adds partitions until the topic has `total`. Keys may go to other partitions from then on.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], [`Error::InternalTopic`], [`Error::InvalidConfig`] where the topic
    /// has more already, [`Error::LimitReached`], [`Error::Storage`], [`Error::ShuttingDown`],
    /// [`Error::Fenced`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves the change to run to its end.
    pub async fn add_partitions(
        &self,
        name: &TopicName,
        total: u32,
    ) -> Result<TopicDescription, Error> {
        let name = name.clone();
        self.change(async move |shared| {
            let topic = shared.add_partitions(&name, total).await?;
            Ok(describe(&topic, Closed::Stay))
        })
        .await
    }

    /// Removes the records of a partition before `to`, for good. Moving to where the log starts
    /// already changes nothing.
    ///
    /// # Errors
    /// [`Error::OffsetOutOfRange`] where `to` lies beyond what can be read,
    /// [`Error::UnknownTopic`], [`Error::UnknownPartition`], [`Error::InternalTopic`],
    /// [`Error::PartitionOffline`], [`Error::Storage`], [`Error::ShuttingDown`], [`Error::Fenced`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves the records removed or not removed.
    pub async fn trim(
        &self,
        name: &TopicName,
        partition: PartitionIndex,
        to: Offset,
    ) -> Result<Bounds, Error> {
        self.shared.context.check_running()?;
        if name.is_internal() {
            return Err(Error::InternalTopic(name.clone()));
        }
        let cell = self.topic(name)?.partition(partition)?;
        cell.advance_log_start(to).await
    }

    /// A topic of the engine's own, made if it is not there. It is as durable as the storage can make
    /// it, and counts for no limit.
    ///
    /// # Errors
    /// [`Error::Storage`], [`Error::ShuttingDown`], [`Error::Fenced`].
    pub(super) async fn internal_topic(
        &self,
        name: &TopicName,
        id: TopicId,
        partitions: u32,
    ) -> Result<Arc<TopicState>, Error> {
        let name = name.clone();
        self.change(async move |shared| shared.create_internal(&name, id, partitions).await)
            .await
    }

    /// Runs a change of the catalog to its end, whether or not the caller stays.
    async fn change<T, F>(
        &self,
        change: impl FnOnce(Arc<Shared>) -> F + Send + 'static,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        self.shared.context.check_running()?;
        let shared = Arc::clone(&self.shared);
        let changed = tokio::spawn(async move {
            let for_change = Arc::clone(&shared);
            let _one_at_a_time = shared.admin.lock().await;
            shared.context.check_running()?;
            change(for_change).await
        });
        changed
            .await
            .unwrap_or_else(|error| Err(Error::Internal(error.to_string())))
    }
}

impl Shared {
    pub(super) async fn create(
        self: &Arc<Self>,
        name: &TopicName,
        new: &NewTopic,
    ) -> Result<Arc<TopicState>, Error> {
        let descriptor = self.plan(name, new)?;
        self.insert(&descriptor).await
    }

    /// The topic as it would be created.
    pub(super) fn plan(&self, name: &TopicName, new: &NewTopic) -> Result<TopicDescriptor, Error> {
        if name.is_internal() {
            return Err(Error::InternalTopic(name.clone()));
        }
        let capabilities = self.storage.capabilities();
        let base = TopicConfig::new(capabilities.durability_default);
        let config = new.config.apply_to(&base)?;
        self.check_supported(&config)?;
        let partitions = new
            .partitions
            .unwrap_or(self.context.config.partitions_default);
        self.check_limits(name, partitions)?;
        Ok(TopicDescriptor {
            id: TopicId::random(),
            name: name.clone(),
            partitions,
            config,
        })
    }

    async fn create_internal(
        &self,
        name: &TopicName,
        id: TopicId,
        partitions: u32,
    ) -> Result<Arc<TopicState>, Error> {
        let known = self.catalog.read().topic(name);
        if known.is_ok() {
            return known;
        }
        let capabilities = self.storage.capabilities();
        let durability = if capabilities.supports(Durability::Fsync) {
            Durability::Fsync
        } else {
            capabilities.durability_default
        };
        let descriptor = TopicDescriptor {
            id,
            name: name.clone(),
            partitions,
            config: TopicConfig {
                // Only the engine knows what of its state it still needs.
                retention: None,
                segment_age: None,
                batch_bytes_max: limits::BATCH_BYTES_MAX,
                ..TopicConfig::new(durability)
            },
        };
        self.insert(&descriptor).await
    }

    async fn insert(&self, descriptor: &TopicDescriptor) -> Result<Arc<TopicState>, Error> {
        let created = caught_async(async { self.storage.create_topic(descriptor).await }).await;
        let topic = TopicState::new(descriptor, answered(created)?, &self.context);
        self.catalog.write().insert(Arc::clone(&topic));
        tracing::info!(topic = %descriptor.name, partitions = descriptor.partitions, "topic created");
        Ok(topic)
    }

    pub(super) fn check_supported(&self, config: &TopicConfig) -> Result<(), Error> {
        let capabilities = self.storage.capabilities();
        if !capabilities.supports(config.durability) {
            return Err(Error::Unsupported(format!(
                "durability {} by this storage",
                config.durability
            )));
        }
        if config.cleanup_policy.compacts() && !capabilities.compaction {
            return Err(Error::Unsupported("compaction by this storage".to_owned()));
        }
        Ok(())
    }

    fn check_limits(&self, name: &TopicName, partitions: u32) -> Result<(), Error> {
        let config = &self.context.config;
        let catalog = self.catalog.read();
        if catalog.topic(name).is_ok() {
            return Err(Error::TopicExists(name.clone()));
        }
        if catalog.len() >= config.topics_max {
            return Err(limit("topics_max", config.topics_max));
        }
        self.check_partitions(partitions, partitions as usize, &catalog)
    }

    /// Whether a topic may have `total` partitions, `added` of them new.
    pub(super) fn check_partitions(
        &self,
        total: u32,
        added: usize,
        catalog: &super::catalog::Catalog,
    ) -> Result<(), Error> {
        let config = &self.context.config;
        if total == 0 {
            return Err(InvalidConfig::new("partitions", "0", "at least 1").into());
        }
        if total > config.partitions_per_topic_max {
            return Err(limit(
                "partitions_per_topic_max",
                config.partitions_per_topic_max as usize,
            ));
        }
        if catalog.partition_count().saturating_add(added) > config.partitions_max {
            return Err(limit("partitions_max", config.partitions_max));
        }
        Ok(())
    }

    async fn alter(
        self: &Arc<Self>,
        name: &TopicName,
        change: &TopicConfigChange,
    ) -> Result<Arc<TopicState>, Error> {
        let topic = self.own_topic(name)?;
        let before = topic.shared().config();
        let config = change.apply_to(&before)?;
        self.check_supported(&config)?;
        let partitions = topic.partitions();
        let mut holds = Vec::new();
        if config.durability != before.durability {
            for partition in &partitions {
                // What an earlier run of the broker left unflushed must be made durable as well.
                partition.bounds()?;
                holds.extend(partition.hold_and_drain().await);
                partition.flush().await?;
            }
        }
        let descriptor = TopicDescriptor {
            config: config.clone(),
            ..topic.descriptor()
        };
        self.update(&descriptor).await?;
        topic.shared().set_config(config);
        for hold in &holds {
            hold.switch_durability();
        }
        Ok(topic)
    }

    async fn add_partitions(
        self: &Arc<Self>,
        name: &TopicName,
        total: u32,
    ) -> Result<Arc<TopicState>, Error> {
        let topic = self.growing_topic(name, total)?;
        let descriptor = TopicDescriptor {
            partitions: total,
            ..topic.descriptor()
        };
        self.update(&descriptor).await?;
        topic.grow_to(total);
        Ok(topic)
    }

    /// A topic that may have `total` partitions.
    pub(super) fn growing_topic(
        &self,
        name: &TopicName,
        total: u32,
    ) -> Result<Arc<TopicState>, Error> {
        let topic = self.own_topic(name)?;
        let have = topic.partition_count();
        if total < have {
            let expected = format!("at least {have}, as many as there are");
            return Err(InvalidConfig::new("partitions", &total.to_string(), &expected).into());
        }
        self.check_partitions(total, (total - have) as usize, &self.catalog.read())?;
        Ok(topic)
    }

    async fn update(&self, descriptor: &TopicDescriptor) -> Result<(), Error> {
        answered(caught_async(async { self.storage.update_topic(descriptor).await }).await)
    }

    /// A topic that users may change.
    pub(super) fn own_topic(&self, name: &TopicName) -> Result<Arc<TopicState>, Error> {
        if name.is_internal() {
            return Err(Error::InternalTopic(name.clone()));
        }
        self.catalog.read().topic(name)
    }

    async fn delete(self: &Arc<Self>, name: &TopicName) -> Result<(), Error> {
        let topic = self.own_topic(name)?;
        let id = topic.shared().id;
        // Nothing may be on its way into a topic whose deletion is in the log before it.
        let partitions = topic.partitions();
        let mut holds = Vec::new();
        for partition in &partitions {
            holds.extend(partition.hold_and_drain().await);
        }
        answered(caught_async(async { self.storage.delete_topic(id).await }).await)?;
        topic.delete();
        self.catalog.write().remove(name);
        tracing::info!(topic = %name, "topic deleted");
        Ok(())
    }
}

fn limit(limit: &'static str, max: usize) -> Error {
    Error::LimitReached {
        limit,
        max: max as u64,
    }
}

/// What to do with partitions that nobody has used yet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Closed {
    /// Open them to see what they hold.
    Open,
    /// Describe them as closed.
    Stay,
}

fn describe(topic: &TopicState, closed: Closed) -> TopicDescription {
    let shared = topic.shared();
    let partitions = topic.partitions();
    TopicDescription {
        id: shared.id,
        name: shared.name.clone(),
        config: TopicConfig::clone(&shared.config()),
        partitions: partitions
            .iter()
            .map(|partition| describe_partition(partition, closed))
            .collect(),
    }
}

fn describe_partition(partition: &PartitionCell, closed: Closed) -> PartitionDescription {
    let look = closed == Closed::Open || partition.is_open();
    let (bounds, log) = if look {
        (partition.bounds(), partition.log_stats())
    } else {
        (Ok(Bounds::default()), Ok(PartitionStats::default()))
    };
    // Looking may have opened it, or taken it down.
    let (state, leader_epoch) = partition.state();
    let log = log.unwrap_or_default();
    PartitionDescription {
        index: partition.index(),
        bounds: bounds.unwrap_or_default(),
        bytes: log.bytes,
        segments: u32::try_from(log.segments.len()).unwrap_or(u32::MAX),
        leader_epoch,
        state,
    }
}
