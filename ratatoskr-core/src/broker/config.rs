//! What the broker as a whole is configured with.

use std::time::Duration;

use crate::{
    config::InvalidConfig,
    delivery::{QueueConfig, QueueConfigChange},
    limits,
};

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
    /// Bytes appended to a partition after which what is known of its producers is kept beside its log:
    /// so many are read when it is opened. More where what is kept is large.
    pub snapshot_bytes: u64,
    /// Most consumer groups.
    pub groups_max: usize,
    /// Most members of a consumer group.
    pub group_members_max: usize,
    /// Most topics that a member of a consumer group names; its pattern may match more.
    pub group_member_topics_max: usize,
    /// Most partitions that a consumer group has committed offsets of.
    pub group_offsets_max: usize,
    /// Most bytes of metadata beside a committed offset.
    pub offset_metadata_bytes_max: usize,
    /// A member of a consumer group that is not heard of for this long is expelled.
    pub group_session_timeout: Duration,
    /// How often members of consumer groups are told to be heard of.
    pub group_heartbeat_interval: Duration,
    /// Shortest session timeout that a member of a classic group may ask for.
    pub group_session_timeout_min: Duration,
    /// Longest session timeout that a member of a classic group may ask for.
    pub group_session_timeout_max: Duration,
    /// How long the first member of a classic group waits for others to come, so that they need not
    /// be rebalanced one by one.
    pub group_initial_rebalance_delay: Duration,
    /// Most bytes that the members of a classic group may say and be assigned together.
    pub group_metadata_bytes_max: usize,
    /// Longest time that a member may ask for to give up what goes to others.
    pub group_rebalance_timeout_max: Duration,
    /// A consumer group that has had no member for this long, and got no commit, is deleted with its
    /// offsets.
    pub offsets_retention: Duration,
    /// Most queue groups.
    pub queue_groups_max: usize,
    /// Most records of a partition that a queue group holds back until their time.
    pub queue_delayed_records_max: usize,
    /// What a queue group is configured with where whoever makes it says nothing. A group keeps what
    /// it was made with.
    pub queue_defaults: QueueConfig,
    /// How often retention looks for records that are too old or too many.
    pub retention_interval: Duration,
    /// How often compaction looks for logs that have become dirty.
    pub compaction_interval: Duration,
    /// Bytes a second that compaction reads and writes, all partitions together.
    pub compaction_bytes_per_second: u64,
    /// Bytes a second that readers are given of what had to be waited for, all of them together: so
    /// that who reads old records leaves disk and processors to those who send and read new ones.
    /// Default none: as fast as can be.
    pub cold_read_bytes_per_second: Option<u64>,
    /// Most bytes of memory in which compaction notes keys.
    pub compaction_key_map_bytes_max: usize,
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
            snapshot_bytes: limits::SNAPSHOT_BYTES,
            groups_max: limits::GROUPS_MAX,
            group_members_max: limits::GROUP_MEMBERS_MAX,
            group_member_topics_max: limits::GROUP_MEMBER_TOPICS_MAX,
            group_offsets_max: limits::GROUP_OFFSETS_MAX,
            offset_metadata_bytes_max: limits::OFFSET_METADATA_BYTES_MAX,
            group_session_timeout: limits::GROUP_SESSION_TIMEOUT,
            group_heartbeat_interval: limits::GROUP_HEARTBEAT_INTERVAL,
            group_session_timeout_min: limits::GROUP_SESSION_TIMEOUT_MIN,
            group_session_timeout_max: limits::GROUP_SESSION_TIMEOUT_MAX,
            group_initial_rebalance_delay: limits::GROUP_INITIAL_REBALANCE_DELAY,
            group_metadata_bytes_max: limits::GROUP_METADATA_BYTES_MAX,
            group_rebalance_timeout_max: limits::GROUP_REBALANCE_TIMEOUT_MAX,
            offsets_retention: limits::OFFSETS_RETENTION,
            queue_groups_max: limits::QUEUE_GROUPS_MAX,
            queue_delayed_records_max: limits::QUEUE_DELAYED_RECORDS_MAX,
            queue_defaults: QueueConfig::default(),
            retention_interval: Duration::from_secs(30),
            compaction_interval: Duration::from_secs(15),
            compaction_bytes_per_second: limits::COMPACTION_BYTES_PER_SECOND,
            cold_read_bytes_per_second: None,
            compaction_key_map_bytes_max: limits::COMPACTION_KEY_MAP_BYTES_MAX,
            restart_backoff_min: Duration::from_millis(100),
            restart_backoff_max: Duration::from_secs(30),
        }
    }
}

impl BrokerConfig {
    /// Whether values go together that are not looked at where they are used.
    ///
    /// # Errors
    /// [`InvalidConfig`].
    pub(super) fn check(&self) -> Result<(), InvalidConfig> {
        QueueConfigChange::default().apply_to(&self.queue_defaults)?;
        Ok(())
    }
}
