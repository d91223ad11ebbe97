//! Every bound that the engine enforces, by name. What a user may change, `BrokerConfig` carries.

use std::time::Duration;

/// A segment is sealed at this many bytes unless its topic says otherwise.
pub const SEGMENT_BYTES_DEFAULT: u64 = 64 << 20;
/// Smallest `segment_bytes`.
pub const SEGMENT_BYTES_MIN: u64 = 4 << 10;
/// Largest `segment_bytes`.
pub const SEGMENT_BYTES_MAX: u64 = 1 << 30;
/// Largest batch in bytes unless its topic says otherwise.
pub const BATCH_BYTES_DEFAULT: u32 = 1 << 20;
/// Smallest `batch_bytes_max`.
pub const BATCH_BYTES_MIN: u32 = 1 << 10;
/// Largest `batch_bytes_max`.
pub const BATCH_BYTES_MAX: u32 = 64 << 20;
/// Most headers a record may have.
pub const HEADERS_MAX: usize = 1_000;
/// Longest key of a record in bytes.
pub const KEY_BYTES_MAX: usize = 64 << 10;
/// Most bytes a batch may decompress to.
pub const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;
/// Most times its compressed size that a batch may decompress to.
pub const DECOMPRESSION_RATIO_MAX: usize = 1_000;
/// Up to this many decompressed bytes the ratio is not looked at: a batch of equal records
/// compresses better than any bomb, and this much harms nobody.
pub const DECOMPRESSION_RATIO_FREE_BYTES: usize = 1 << 20;
/// Longest interval between syncs that `durability = interval(…)` takes.
pub const DURABILITY_INTERVAL_MAX: Duration = Duration::from_hours(1);
/// Most topics of a broker.
pub const TOPICS_MAX: usize = 100_000;
/// Most partitions of a topic.
pub const PARTITIONS_PER_TOPIC_MAX: u32 = 10_000;
/// Most partitions of a broker.
pub const PARTITIONS_MAX: usize = 100_000;
/// Most idempotent producers remembered a partition.
pub const PRODUCERS_PER_PARTITION_MAX: usize = 10_000;
/// Batches remembered a producer and partition, to answer a repeated one (Kafka's five).
pub const PRODUCER_BATCHES_REMEMBERED: usize = 5;
/// Bytes of sends in flight that a broker takes unless it is configured otherwise.
pub const IN_FLIGHT_BYTES_MAX: usize = 256 << 20;
/// An idempotent producer that is silent for this long may be forgotten.
pub const PRODUCER_EXPIRY: Duration = Duration::from_hours(24);
/// Bytes appended to a partition between snapshots of its producers, unless the broker is configured
/// otherwise.
pub const SNAPSHOT_BYTES: u64 = 16 << 20;
/// Bytes a second that compaction reads and writes unless the broker is configured otherwise.
pub const COMPACTION_BYTES_PER_SECOND: u64 = 64 << 20;
/// Most bytes of memory in which compaction notes keys, unless the broker is configured otherwise.
pub const COMPACTION_KEY_MAP_BYTES_MAX: usize = 64 << 20;
/// Most subscriptions with a callback that a broker runs.
pub const SUBSCRIPTIONS_MAX: usize = 1_000_000;
/// Bytes of each partition that a stream or a subscription holds unless told otherwise.
pub const STREAM_BYTES_DEFAULT: usize = 1 << 20;
/// Longest time that a fetch waits for records.
pub const FETCH_WAIT_MAX: Duration = Duration::from_hours(1);
/// Most consumer groups of a broker.
pub const GROUPS_MAX: usize = 10_000;
/// Most members of a consumer group.
pub const GROUP_MEMBERS_MAX: usize = 1_000;
/// Most topics that a member of a consumer group reads.
pub const GROUP_MEMBER_TOPICS_MAX: usize = 1_000;
/// Most partitions that a consumer group has committed offsets of.
pub const GROUP_OFFSETS_MAX: usize = 100_000;
/// Most bytes of metadata beside a committed offset (Kafka's limit).
pub const OFFSET_METADATA_BYTES_MAX: usize = 4 << 10;
/// A member of a consumer group that is not heard of for this long is expelled (KIP-848's default).
pub const GROUP_SESSION_TIMEOUT: Duration = Duration::from_secs(45);
/// How often members of consumer groups are told to be heard of (KIP-848's default).
pub const GROUP_HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);
/// Shortest session timeout that a member of a classic group may ask for (Kafka's).
pub const GROUP_SESSION_TIMEOUT_MIN: Duration = Duration::from_secs(6);
/// Longest session timeout that a member of a classic group may ask for (Kafka's).
pub const GROUP_SESSION_TIMEOUT_MAX: Duration = Duration::from_mins(30);
/// How long the first member of a classic group waits for others to come (Kafka's default).
pub const GROUP_INITIAL_REBALANCE_DELAY: Duration = Duration::from_secs(3);
/// Most bytes that the members of a classic group may say and be assigned together.
pub const GROUP_METADATA_BYTES_MAX: usize = 16 << 20;
/// Longest time that a member may ask for to give up what goes to others.
pub const GROUP_REBALANCE_TIMEOUT_MAX: Duration = Duration::from_hours(1);
/// Offsets are kept for this long after a consumer group was last used (Kafka's default).
pub const OFFSETS_RETENTION: Duration = Duration::from_hours(24 * 7);
/// How long a queue group's consumer holds records unless told otherwise.
pub const QUEUE_LEASE_DEFAULT: Duration = Duration::from_secs(30);
/// Shortest lease.
pub const QUEUE_LEASE_MIN: Duration = Duration::from_millis(100);
/// Longest lease, and longest extension of one.
pub const QUEUE_LEASE_MAX: Duration = Duration::from_hours(12);
/// Deliveries after which a record is a dead letter, unless its group says otherwise.
pub const QUEUE_ATTEMPTS_DEFAULT: u32 = 5;
/// Most deliveries that a queue group may allow.
pub const QUEUE_ATTEMPTS_MAX: u32 = 1_000;
/// Most times that one wait between attempts may be as long as the one before.
pub const QUEUE_BACKOFF_MULTIPLIER_MAX: u32 = 100;
/// Longest time that a record is held back, by its producer or by a consumer that wants it again.
pub const QUEUE_DELAY_MAX: Duration = Duration::from_hours(365 * 24);
/// Records that a queue group's consumers hold at once unless it says otherwise.
pub const QUEUE_IN_FLIGHT_DEFAULT: u32 = 100_000;
/// Records that one consumer holds at once unless its group says otherwise.
pub const QUEUE_IN_FLIGHT_PER_CONSUMER_DEFAULT: u32 = 1_000;
/// Most records that a queue group may be configured to hold at once.
pub const QUEUE_IN_FLIGHT_MAX: u32 = 100_000_000;
/// Most records of a partition that a queue group holds back until their time.
pub const QUEUE_DELAYED_RECORDS_MAX: usize = 10_000_000;
/// Most records of a partition that wait behind an earlier one of their key.
pub const QUEUE_BLOCKED_RECORDS_MAX: usize = 100_000;
/// Most settlements in one call.
pub const QUEUE_SETTLEMENTS_MAX: usize = 10_000;
/// Longest cause of a rejection in bytes; the rest is cut.
pub const QUEUE_CAUSE_BYTES_MAX: usize = 1_024;
/// Most queue groups of a broker.
pub const QUEUE_GROUPS_MAX: usize = 100_000;
/// Most records that a look at a queue, or at dead letters, answers with.
pub const QUEUE_BROWSE_RECORDS_MAX: usize = 10_000;
