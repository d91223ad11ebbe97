//! The broker: topics and their partitions, sending, reading, and what keeps them running.
//!
//! Every door (in process, native, Kafka, HTTP) calls the same [`Broker`]. What it promises does not
//! depend on the door.

mod admin;
mod batch_reader;
mod builder;
mod catalog;
mod config;
mod context;
mod fetch;
mod groups;
mod in_flight;
mod offsets;
mod partition;
mod partition_reader;
mod problems;
mod produce;
mod producers;
mod publish;
mod publisher;
mod reader;
mod retention;
mod shutdown;
mod state;
mod stats;
mod stream;
mod subscribe;
mod supervision;
mod topic;
mod waiters;

use std::sync::Arc;

pub use admin::{NewTopic, PartitionDescription, TopicDescription};
pub use batch_reader::{BatchReader, BatchReaderOptions, ReadLimits};
pub use builder::BrokerBuilder;
pub use config::BrokerConfig;
pub use fetch::{FetchPartition, FetchRequest, FetchResponse, Fetched, FetchedPartition};
pub use offsets::OffsetSpec;
pub use partition::PartitionState;
pub use problems::{Problem, ProblemScope};
pub use produce::{PendingProduce, Produced, ProducerIdentity};
pub use publisher::TopicPublisher;
pub use shutdown::ShutdownReport;
pub use stats::{BrokerStats, Throughput};
pub use stream::{RecordStream, StartAt, StreamOptions};
pub use subscribe::{Acknowledgement, SubscribeOptions, Subscription};

use crate::{error::Error, name::TopicName, storage::Storage, sync::RwLock, time::Clock};

/// A handle to the broker; clones are the same broker.
#[derive(Clone, Debug)]
pub struct Broker {
    shared: Arc<Shared>,
}

/// What all handles share.
#[derive(Debug)]
struct Shared {
    storage: Arc<dyn Storage>,
    context: Arc<context::Context>,
    catalog: RwLock<catalog::Catalog>,
    subscriptions: subscribe::Subscriptions,
    groups: groups::GroupEngine,
    /// Changes of the catalog are made one after another.
    admin: tokio::sync::Mutex<()>,
}

impl Broker {
    /// A broker over `storage`, to be opened. Time comes from `clock` alone.
    pub fn builder(storage: Arc<dyn Storage>, clock: Arc<dyn Clock>) -> BrokerBuilder {
        BrokerBuilder::new(storage, clock)
    }

    fn topic(&self, name: &TopicName) -> Result<Arc<topic::TopicState>, Error> {
        self.shared.catalog.read().topic(name)
    }

    /// Every partition of every topic.
    fn cells(&self) -> Vec<Arc<partition::PartitionCell>> {
        self.shared.cells()
    }
}

impl Shared {
    fn cells(&self) -> Vec<Arc<partition::PartitionCell>> {
        let topics = self.catalog.read().all();
        topics.iter().flat_map(|topic| topic.partitions()).collect()
    }
}
