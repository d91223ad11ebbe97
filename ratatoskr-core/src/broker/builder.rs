//! Putting a broker together and opening it.

use std::sync::Arc;

use crate::{
    broker::{
        Broker, Shared,
        catalog::Catalog,
        compaction,
        config::BrokerConfig,
        context::Context,
        groups::{self, GroupEngine},
        queues::{self, QueueEngine},
        retention,
        subscribe::Subscriptions,
        supervision::{Failure, caught_async},
        topic::TopicState,
    },
    commit::Committer,
    error::Error,
    storage::Storage,
    sync::RwLock,
    time::Clock,
};

/// What a [`Broker`] is made of.
#[derive(Debug)]
#[must_use = "a builder does nothing until it is opened"]
pub struct BrokerBuilder {
    storage: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
    committer: Option<Arc<dyn Committer>>,
    config: BrokerConfig,
}

impl BrokerBuilder {
    pub(super) fn new(storage: Arc<dyn Storage>, clock: Arc<dyn Clock>) -> Self {
        Self {
            storage,
            clock,
            committer: None,
            config: BrokerConfig::default(),
        }
    }

    /// Who makes `fsync` topics durable. Without one, the broker flushes each partition itself.
    pub fn committer(mut self, committer: Arc<dyn Committer>) -> Self {
        self.committer = Some(committer);
        self
    }

    /// Settings other than the defaults.
    pub fn config(mut self, config: BrokerConfig) -> Self {
        self.config = config;
        self
    }

    /// Opens every topic that the storage has. Partitions are opened when they are first used.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`], and what the storage answers.
    ///
    /// # Cancel safety
    /// Dropping the future opens nothing.
    ///
    /// # Panics
    /// Outside a tokio runtime, which background work runs on.
    pub async fn open(self) -> Result<Broker, Error> {
        self.config.check()?;
        let context = Context::new(self.clock, self.committer, self.config);
        let mut catalog = Catalog::default();
        let storage = &self.storage;
        let descriptors = answered(caught_async(async { storage.list_topics().await }).await)?;
        for descriptor in descriptors {
            let opened = caught_async(async { storage.open_topic(descriptor.id).await }).await;
            let log = answered(opened)?;
            catalog.insert(TopicState::new(&descriptor, log, &context));
        }
        let shared = Arc::new(Shared {
            storage: self.storage,
            groups: GroupEngine::new(&context.config),
            context,
            catalog: RwLock::new(catalog),
            subscriptions: Subscriptions::default(),
            queues: QueueEngine::default(),
            admin: tokio::sync::Mutex::new(()),
        });
        retention::spawn(&shared);
        groups::spawn(&shared);
        compaction::spawn(&shared);
        queues::spawn_keeper(&shared);
        Ok(Broker { shared })
    }
}

/// What the storage as a whole answered, for a caller of the broker.
pub(super) fn answered<T>(answer: Result<T, Failure>) -> Result<T, Error> {
    answer.map_err(|failure| match failure {
        Failure::Storage(error) => error.into(),
        failure => Error::Internal(format!("the storage {failure}")),
    })
}
