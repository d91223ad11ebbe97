//! What the broker as a whole is configured with.

use std::time::Duration;

use crate::limits;

/// Settings of a broker; [`BrokerConfig::default`] has the documented defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerConfig {
    /// Whether publishing to a topic that is not there creates it.
    pub auto_create_topics: bool,
    /// Partitions of a topic that is created without a number.
    pub partitions_default: u32,
    /// Most topics.
    pub topics_max: usize,
    /// Most partitions of one topic.
    pub partitions_per_topic_max: u32,
    /// Most partitions of all topics together.
    pub partitions_max: usize,
    /// Most bytes of batches that are submitted and neither committed nor failed.
    pub in_flight_bytes_max: usize,
    /// Most subscriptions with a callback.
    pub subscriptions_max: usize,
    /// Idempotent producers remembered a partition; the ones silent for longest are forgotten first.
    pub producers_per_partition_max: usize,
    /// A producer that appended nothing for this long may be forgotten.
    pub producer_expiry: Duration,
    /// Most queue groups.
    pub queue_groups_max: usize,
    /// Most records of a partition that a queue group holds back until their time.
    pub queue_delayed_records_max: usize,
    /// How often retention looks for records that are too old or too many.
    pub retention_interval: Duration,
    /// Wait before the first attempt to bring back what failed; it doubles with each attempt.
    pub restart_backoff_min: Duration,
    /// Longest wait between two attempts to bring back what failed.
    pub restart_backoff_max: Duration,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            auto_create_topics: false,
            partitions_default: 1,
            topics_max: limits::TOPICS_MAX,
            partitions_per_topic_max: limits::PARTITIONS_PER_TOPIC_MAX,
            partitions_max: limits::PARTITIONS_MAX,
            in_flight_bytes_max: limits::IN_FLIGHT_BYTES_MAX,
            subscriptions_max: limits::SUBSCRIPTIONS_MAX,
            producers_per_partition_max: limits::PRODUCERS_PER_PARTITION_MAX,
            producer_expiry: limits::PRODUCER_EXPIRY,
            queue_groups_max: limits::QUEUE_GROUPS_MAX,
            queue_delayed_records_max: limits::QUEUE_DELAYED_RECORDS_MAX,
            retention_interval: Duration::from_secs(30),
            restart_backoff_min: Duration::from_millis(100),
            restart_backoff_max: Duration::from_secs(30),
        }
    }
}
