//! Settings of consumer groups.

use std::time::Duration;

use ratatoskr_core::config::{parse_bytes, parse_duration};

use super::{Key, Pair, lasting, positive, put};

/// Members may miss a heartbeat without being taken for dead.
pub(super) const HEARTBEATS_IN_TIME: Pair = Pair {
    name: "groups.heartbeat_interval",
    expected: "less than groups.session_timeout",
    holds: |settings| settings.groups.heartbeat_interval < settings.groups.session_timeout,
};

/// There is a session timeout that a Kafka client may ask for.
pub(super) const SESSIONS_BETWEEN: Pair = Pair {
    name: "groups.session_timeout_min",
    expected: "no more than groups.session_timeout_max",
    holds: |settings| settings.groups.session_timeout_min <= settings.groups.session_timeout_max,
};

/// A shorter one expels members for one pause of their machines.
const SESSION_TIMEOUT_MIN: Duration = Duration::from_secs(1);
/// Members may say so often at most that they are there.
const HEARTBEAT_INTERVAL_MIN: Duration = Duration::from_millis(100);
/// Sessions and rebalances that last longer would leave partitions unread.
const TIMEOUT_MAX: Duration = Duration::from_hours(24);
/// A group that waits longer for its first members looks broken.
const INITIAL_REBALANCE_DELAY_MAX: Duration = Duration::from_hours(1);
/// A snapshot has this much of 1,000 offsets in one batch.
const METADATA_BYTES_MAX: u64 = 32 << 10;

/// In the order in which they are shown.
pub(super) const KEYS: &[Key] = &[
    Key {
        name: "groups.session_timeout",
        about: "a member of a consumer group that is not heard of for this long is expelled",
        default: "45s",
        expected: "a duration from 1s to 24h, for example 45s",
        set: |to, text| put(&mut to.groups.session_timeout, timeout(text)),
    },
    Key {
        name: "groups.heartbeat_interval",
        about: "how often members of consumer groups are told to be heard of",
        default: "5s",
        expected: "a duration from 100ms, for example 5s",
        set: |to, text| {
            let interval = lasting(text, HEARTBEAT_INTERVAL_MIN);
            put(&mut to.groups.heartbeat_interval, interval)
        },
    },
    Key {
        name: "groups.session_timeout_min",
        about: "shortest session timeout that a Kafka client may ask for in a group of the classic protocol",
        default: "6s",
        expected: "a duration from 1s, for example 6s",
        set: |to, text| {
            let timeout = lasting(text, SESSION_TIMEOUT_MIN);
            put(&mut to.groups.session_timeout_min, timeout)
        },
    },
    Key {
        name: "groups.session_timeout_max",
        about: "longest session timeout that a Kafka client may ask for in a group of the classic protocol",
        default: "30m",
        expected: "a duration to 24h, for example 30m",
        set: |to, text| {
            let timeout = parse_duration(text).filter(|d| *d <= TIMEOUT_MAX);
            put(&mut to.groups.session_timeout_max, timeout)
        },
    },
    Key {
        name: "groups.initial_rebalance_delay",
        about: "how long the first member of a Kafka client's group waits for others to come",
        default: "3s",
        expected: "a duration to 1h, for example 3s or 0s",
        set: |to, text| {
            let delay = parse_duration(text).filter(|d| *d <= INITIAL_REBALANCE_DELAY_MAX);
            put(&mut to.groups.initial_rebalance_delay, delay)
        },
    },
    Key {
        name: "groups.rebalance_timeout_max",
        about: "longest time that a member may ask for to give up what goes to others",
        default: "1h",
        expected: "a duration from 1s to 24h, for example 1h",
        set: |to, text| put(&mut to.groups.rebalance_timeout_max, timeout(text)),
    },
    Key {
        name: "groups.offsets_retention",
        about: "a group without members and commits for this long is deleted with its offsets",
        default: "7d",
        expected: "a duration from 1s, for example 7d",
        set: |to, text| {
            let retention = lasting(text, Duration::from_secs(1));
            put(&mut to.groups.offsets_retention, retention)
        },
    },
    Key {
        name: "groups.groups_max",
        about: "most consumer groups",
        default: "10000",
        expected: "a number from 1",
        set: |to, text| put(&mut to.groups.groups_max, positive(text)),
    },
    Key {
        name: "groups.members_max",
        about: "most members of a consumer group",
        default: "1000",
        expected: "a number from 1",
        set: |to, text| put(&mut to.groups.members_max, positive(text)),
    },
    Key {
        name: "groups.member_topics_max",
        about: "most topics that a member of a consumer group names",
        default: "1000",
        expected: "a number from 1",
        set: |to, text| put(&mut to.groups.member_topics_max, positive(text)),
    },
    Key {
        name: "groups.offsets_max",
        about: "most partitions that a consumer group has committed offsets of",
        default: "100000",
        expected: "a number from 1",
        set: |to, text| put(&mut to.groups.offsets_max, positive(text)),
    },
    Key {
        name: "groups.offset_metadata_bytes_max",
        about: "most metadata beside a committed offset",
        default: "4KiB",
        expected: "a size to 32KiB, for example 4KiB",
        set: |to, text| {
            let bytes = parse_bytes(text).filter(|bytes| *bytes <= METADATA_BYTES_MAX);
            put(
                &mut to.groups.offset_metadata_bytes_max,
                bytes.and_then(|bytes| bytes.try_into().ok()),
            )
        },
    },
];

/// A time that is neither too short for a session nor too long for one.
fn timeout(text: &str) -> Option<Duration> {
    lasting(text, SESSION_TIMEOUT_MIN).filter(|duration| *duration <= TIMEOUT_MAX)
}
