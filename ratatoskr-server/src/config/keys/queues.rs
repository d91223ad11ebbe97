//! Settings of queue groups: their limits, and what a new group is configured with where whoever makes
//! it says nothing. Those have the names that `ratatoskr queue create` knows.

use std::time::Duration;

use ratatoskr_core::{
    delivery::{Backoff, QueueConfig, QueueConfigChange},
    limits::QUEUE_DELAY_MAX,
};

use super::{Key, Pair, positive, put};
use crate::config::Settings;

/// Waits that grow end at the longest.
pub(super) const BACKOFF_GROWS: Pair = Pair {
    name: "queues.backoff_min_ms",
    expected: "no more than queues.backoff_max_ms",
    holds: |settings| {
        let defaults = &settings.queues.defaults;
        defaults.apply_to(&QueueConfig::default()).is_ok()
    },
};

/// In the order in which they are shown.
pub(super) const KEYS: &[Key] = &[
    Key {
        name: "queues.groups_max",
        about: "most queue groups",
        default: "100000",
        expected: "a number from 1",
        set: |to, text| put(&mut to.queues.groups_max, positive(text)),
    },
    Key {
        name: "queues.delayed_records_max",
        about: "most records of a partition that a queue group holds back until their time",
        default: "10000000",
        expected: "a number from 1",
        set: |to, text| put(&mut to.queues.delayed_records_max, positive(text)),
    },
    Key {
        name: "queues.lease_ms",
        about: "of new queue groups: how long a consumer may hold records",
        default: "30s",
        expected: "a duration from 100ms to 12h, for example 30s",
        set: |to, text| of_new_groups(to, "lease_ms", text),
    },
    Key {
        name: "queues.attempts_max",
        about: "of new queue groups: deliveries after which a record is a dead letter",
        default: "5",
        expected: "a number from 1 to 1000",
        set: |to, text| of_new_groups(to, "attempts_max", text),
    },
    Key {
        name: "queues.backoff_min_ms",
        about: "of new queue groups: wait after the first attempt",
        default: "1s",
        expected: "a duration up to queues.backoff_max_ms, for example 1s",
        set: |to, text| of_new_groups(to, "backoff_min_ms", text),
    },
    Key {
        name: "queues.backoff_max_ms",
        about: "of new queue groups: longest wait between attempts",
        default: "5m",
        expected: "a duration from queues.backoff_min_ms to 365d, for example 5m",
        set: |to, text| of_new_groups(to, "backoff_max_ms", text),
    },
    Key {
        name: "queues.backoff_multiplier",
        about: "of new queue groups: how many times as long each next wait is",
        default: "2",
        expected: "a number from 1 to 100",
        set: |to, text| of_new_groups(to, "backoff_multiplier", text),
    },
    Key {
        name: "queues.backoff_jitter_percent",
        about: "of new queue groups: by how much waits are shortened at random",
        default: "20",
        expected: "a number from 0 to 100",
        set: |to, text| of_new_groups(to, "backoff_jitter_percent", text),
    },
    Key {
        name: "queues.dead_letters",
        about: "of new queue groups: where dead letters go: topic is the name of their topic with .dlq behind it",
        default: "topic",
        expected: "topic, topic:NAME or discard",
        set: |to, text| of_new_groups(to, "dead_letters", text),
    },
    Key {
        name: "queues.dead_letter_expired",
        about: "of new queue groups: whether records whose time to live has passed are dead letters",
        default: "false",
        expected: "true or false",
        set: |to, text| of_new_groups(to, "dead_letter_expired", text),
    },
    Key {
        name: "queues.ordered_by_key",
        about: "of new queue groups: whether records of one key are delivered in order, one at a time",
        default: "false",
        expected: "true or false",
        set: |to, text| of_new_groups(to, "ordered_by_key", text),
    },
    Key {
        name: "queues.in_flight_max",
        about: "of new queue groups: records that all consumers of a group may hold",
        default: "100000",
        expected: "a number from 1 to 100000000",
        set: |to, text| of_new_groups(to, "in_flight_max", text),
    },
    Key {
        name: "queues.in_flight_per_consumer_max",
        about: "of new queue groups: records that one consumer may hold",
        default: "1000",
        expected: "a number from 1 to 100000000",
        set: |to, text| of_new_groups(to, "in_flight_per_consumer_max", text),
    },
    Key {
        name: "queues.start",
        about: "of new queue groups: where a topic is begun: at its oldest record, after its newest, or at a time",
        default: "start",
        expected: "start, end or milliseconds since 1970",
        set: |to, text| of_new_groups(to, "start", text),
    },
];

/// Sets what new groups are configured with, if the value is in its own range.
fn of_new_groups(to: &mut Settings, name: &str, text: &str) -> Option<()> {
    // Takes any wait, whatever the other one is: see [`BACKOFF_GROWS`].
    let any_wait = QueueConfig {
        backoff: Backoff {
            min: Duration::ZERO,
            max: QUEUE_DELAY_MAX,
            ..Backoff::default()
        },
        ..QueueConfig::default()
    };
    let mut alone = QueueConfigChange::default();
    alone.set(name, text).ok()?;
    alone.apply_to(&any_wait).ok()?;
    to.queues.defaults.set(name, text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_group_is_configured_with_has_a_default_here_that_is_the_engines() {
        let of_groups = |key: &Key| key.about.starts_with("of new queue groups");
        let here = KEYS.iter().filter(|key| of_groups(key));
        let mut change = QueueConfigChange::default();
        for (key, name) in here.zip(QueueConfigChange::KEYS) {
            assert_eq!(key.name, format!("queues.{name}"));
            change.set(name, key.default).unwrap();
        }
        assert_eq!(change, QueueConfig::default().into());
    }
}
