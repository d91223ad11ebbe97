//! What an administrative change would come to, without making it.

use crate::{
    broker::{Broker, admin::NewTopic},
    config::TopicConfigChange,
    error::Error,
    name::TopicName,
    storage::TopicDescriptor,
};

impl Broker {
    /// The topic that [`create_topic`](Self::create_topic) would create now, under another id.
    ///
    /// # Errors
    /// As [`create_topic`](Self::create_topic), but for those of the storage.
    pub fn plan_topic(&self, name: &TopicName, new: &NewTopic) -> Result<TopicDescriptor, Error> {
        self.shared.context.check_running()?;
        self.shared.plan(name, new)
    }

    /// Whether [`alter_topic`](Self::alter_topic) would take this change now.
    ///
    /// # Errors
    /// As [`alter_topic`](Self::alter_topic), but for those of the storage and its partitions.
    pub fn check_change(&self, name: &TopicName, change: &TopicConfigChange) -> Result<(), Error> {
        self.shared.context.check_running()?;
        let topic = self.shared.own_topic(name)?;
        let config = change.apply_to(&topic.shared().config())?;
        self.shared.check_supported(&config)
    }

    /// Whether [`add_partitions`](Self::add_partitions) would take this number now.
    ///
    /// # Errors
    /// As [`add_partitions`](Self::add_partitions), but for those of the storage.
    pub fn check_growth(&self, name: &TopicName, total: u32) -> Result<(), Error> {
        self.shared.context.check_running()?;
        self.shared.growing_topic(name, total).map(drop)
    }
}
