//! A topic's configuration under Kafka's names, both ways.

use std::collections::HashMap;

use ratatoskr_core::config::{TopicConfig, TopicConfigChange};

use super::{Entry, Kind, Source};
use crate::{error_code::ErrorCode, refusal::Refusal};

/// One name.
struct Key {
    name: &'static str,
    kind: Kind,
    value: Value,
    /// Under which name a Kafka node configures the default.
    node_name: Option<&'static str>,
    about: &'static str,
}

/// Where its value is.
enum Value {
    /// In the broker's own configuration, under this name.
    Own(&'static str, Text),
    /// Here: it cannot be changed.
    Fixed(&'static str),
}

/// How the broker's text is Kafka's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Text {
    /// The same words.
    Word,
    /// A number, the same.
    Number,
    /// A number; none is -1.
    Bound,
    /// A number; none is the greatest there is.
    Age,
    TimestampType,
}

/// For "never" and "no bound" where Kafka has no other word.
const GREATEST: &str = "9223372036854775807";

const fn own(
    name: &'static str,
    kind: Kind,
    own: &'static str,
    text: Text,
    node_name: Option<&'static str>,
    about: &'static str,
) -> Key {
    Key {
        name,
        kind,
        value: Value::Own(own, text),
        node_name,
        about,
    }
}

const fn fixed(
    name: &'static str,
    kind: Kind,
    value: &'static str,
    node_name: Option<&'static str>,
    about: &'static str,
) -> Key {
    Key {
        name,
        kind,
        value: Value::Fixed(value),
        node_name,
        about,
    }
}

/// Every name, in order.
#[rustfmt::skip]
static KEYS: &[Key] = &[
    own("cleanup.policy", Kind::List, "cleanup_policy", Text::Word, Some("log.cleanup.policy"), "What happens to old records: delete, compact, or both."),
    fixed("compression.type", Kind::String, "producer", Some("compression.type"), "Batches keep the compression of their producer."),
    own("delete.retention.ms", Kind::Long, "tombstone_retention_ms", Text::Number, Some("log.cleaner.delete.retention.ms"), "How long a compacted log shows that a key was deleted."),
    fixed("file.delete.delay.ms", Kind::Long, "0", Some("log.segment.delete.delay.ms"), "Files go at once; readers keep what they hold."),
    fixed("flush.messages", Kind::Long, GREATEST, Some("log.flush.interval.messages"), "See ratatoskr.durability."),
    fixed("flush.ms", Kind::Long, GREATEST, Some("log.flush.interval.ms"), "See ratatoskr.durability."),
    fixed("index.interval.bytes", Kind::Int, "4096", Some("log.index.interval.bytes"), "Bytes of log between two entries of the index."),
    own("max.compaction.lag.ms", Kind::Long, "compaction_lag_max_ms", Text::Age, Some("log.cleaner.max.compaction.lag.ms"), "Records older than this are compacted in any case."),
    own("max.message.bytes", Kind::Int, "batch_bytes_max", Text::Number, Some("message.max.bytes"), "The largest batch that is taken."),
    fixed("message.timestamp.after.max.ms", Kind::Long, GREATEST, Some("log.message.timestamp.after.max.ms"), "How far ahead of the broker's a record's time may be."),
    fixed("message.timestamp.before.max.ms", Kind::Long, GREATEST, Some("log.message.timestamp.before.max.ms"), "How far behind the broker's a record's time may be."),
    own("message.timestamp.type", Kind::String, "timestamp_type", Text::TimestampType, Some("log.message.timestamp.type"), "Whose time records carry: CreateTime or LogAppendTime."),
    own("min.cleanable.dirty.ratio", Kind::Double, "dirty_ratio_min", Text::Word, Some("log.cleaner.min.cleanable.ratio"), "The part of a log that is new before it is compacted."),
    own("min.compaction.lag.ms", Kind::Long, "compaction_lag_ms", Text::Number, Some("log.cleaner.min.compaction.lag.ms"), "Records younger than this are not compacted."),
    fixed("min.insync.replicas", Kind::Int, "1", Some("min.insync.replicas"), "There is one replica."),
    fixed("preallocate", Kind::Boolean, "true", Some("log.preallocate"), "Space is taken before it is written."),
    own("retention.bytes", Kind::Long, "retention_bytes", Text::Bound, Some("log.retention.bytes"), "Bytes that a partition keeps; -1 for no bound."),
    own("retention.ms", Kind::Long, "retention_ms", Text::Bound, Some("log.retention.ms"), "Records older than this go; -1 keeps them for ever."),
    own("segment.bytes", Kind::Int, "segment_bytes", Text::Number, Some("log.segment.bytes"), "A segment is sealed at this many bytes."),
    fixed("segment.index.bytes", Kind::Int, "10485760", Some("log.index.size.max.bytes"), "An index grows with its segment."),
    fixed("segment.jitter.ms", Kind::Long, "0", Some("log.roll.jitter.ms"), "Segments are sealed at their age."),
    own("segment.ms", Kind::Long, "segment_ms", Text::Age, Some("log.roll.ms"), "A segment is sealed at this age."),
    fixed("unclean.leader.election.enable", Kind::Boolean, "false", Some("unclean.leader.election.enable"), "What was acknowledged is never given up."),
    own("ratatoskr.compression", Kind::String, "compression", Text::Word, None, "How the broker compresses batches that it builds itself."),
    own("ratatoskr.durability", Kind::String, "durability", Text::Word, None, "When a record is acknowledged: fsync, interval(100ms), os or memory."),
    own("ratatoskr.ttl.ms", Kind::Long, "ttl_ms", Text::Bound, None, "How long queue groups deliver a record; -1 for no bound."),
];

impl Text {
    fn kafkas(self, text: &str) -> String {
        match (self, text) {
            (Self::Bound, "none") => "-1",
            (Self::Age, "none") => GREATEST,
            (Self::TimestampType, "create") => "CreateTime",
            (Self::TimestampType, "append") => "LogAppendTime",
            (_, same) => same,
        }
        .to_owned()
    }

    /// `None` where Kafka's text means nothing.
    fn own(self, text: &str) -> Option<String> {
        let text = text.trim();
        let is_number = || text.parse::<u64>().is_ok();
        let same = match (self, text) {
            (Self::Bound, "-1") | (Self::Age, GREATEST) => "none",
            (Self::TimestampType, "CreateTime") => "create",
            (Self::TimestampType, "LogAppendTime") => "append",
            (Self::Word, word) => return Some(word.replace(' ', "")),
            (Self::Bound | Self::Age | Self::Number, number) if is_number() => number,
            _ => return None,
        };
        Some(same.to_owned())
    }
}

/// Every entry of a topic's configuration; `default` is what a topic has for which nobody set anything.
pub(crate) fn entries(config: &TopicConfig, default: &TopicConfig) -> Vec<Entry> {
    let values: HashMap<_, _> = config.entries().into_iter().collect();
    let defaults: HashMap<_, _> = default.entries().into_iter().collect();
    let entry = |key: &Key| {
        let (value, default) = match key.value {
            Value::Own(own, text) => (
                text.kafkas(values.get(own).map_or("", String::as_str)),
                text.kafkas(defaults.get(own).map_or("", String::as_str)),
            ),
            Value::Fixed(value) => (value.to_owned(), value.to_owned()),
        };
        let mut synonyms = Vec::new();
        let mut source = Source::Default;
        if value != default {
            source = Source::Topic;
            synonyms.push((key.name, value.clone(), Source::Topic));
        }
        synonyms.extend(key.node_name.map(|name| (name, default, Source::Default)));
        Entry {
            name: key.name,
            value,
            kind: key.kind,
            source,
            is_fixed: matches!(key.value, Value::Fixed(_)),
            synonyms,
            about: key.about,
        }
    };
    KEYS.iter().map(entry).collect()
}

/// What is done to one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Set,
    /// Back to the default.
    Delete,
    /// Adds to a list.
    Append,
    /// Takes away from a list.
    Subtract,
}

/// Collects what a request asks to change.
pub(crate) struct Changes<'a> {
    current: &'a TopicConfig,
    default: &'a TopicConfig,
    change: TopicConfigChange,
}

impl<'a> Changes<'a> {
    /// Nothing yet, of a topic that is configured so.
    pub(crate) fn of(current: &'a TopicConfig, default: &'a TopicConfig) -> Self {
        Self {
            current,
            default,
            change: TopicConfigChange::default(),
        }
    }

    /// Everything back to the default.
    pub(crate) fn reset(&mut self) -> Result<(), Refusal> {
        let mut keys = KEYS.iter();
        keys.try_for_each(|key| self.apply(key.name, Operation::Delete, None))
    }

    /// # Errors
    /// There is no such name, it takes no such value, or it is fixed and has another.
    pub(crate) fn apply(
        &mut self,
        name: &str,
        operation: Operation,
        value: Option<&str>,
    ) -> Result<(), Refusal> {
        let key = KEYS.iter().find(|key| key.name == name).ok_or_else(|| {
            let message = format!("topics have no configuration {name:?}");
            Refusal::new(ErrorCode::InvalidConfig, message)
        })?;
        let own = match key.value {
            Value::Own(own, text) => (own, text),
            Value::Fixed(fixed) => {
                return match (operation, value) {
                    (Operation::Delete, _) | (Operation::Set, None) => Ok(()),
                    (Operation::Set, Some(value)) if value == fixed => Ok(()),
                    _ => {
                        let message = format!("{name} is {fixed} and cannot be changed");
                        Err(Refusal::new(ErrorCode::PolicyViolation, message))
                    }
                };
            }
        };
        let value = match (operation, value) {
            (Operation::Set, Some(value)) => value.to_owned(),
            (Operation::Set, None) | (Operation::Delete, _) => return self.restore(own.0),
            (operation, value) => self.listed(key, own, operation, value.unwrap_or_default())?,
        };
        let wrong = |expected: &str| {
            let message = format!("{name} cannot be {value:?}{expected}");
            Refusal::new(ErrorCode::InvalidConfig, message)
        };
        let text = own.1.own(&value).ok_or_else(|| wrong(""))?;
        let set = self.change.set(own.0, &text);
        set.map_err(|error| wrong(&format!(": expected {}", error.expected)))
    }

    /// Sets a value of the broker's own back to its default.
    fn restore(&mut self, own: &str) -> Result<(), Refusal> {
        let entries = self.default.entries().into_iter();
        for (_, value) in entries.filter(|(key, _)| *key == own) {
            let set = self.change.set(own, &value);
            set.map_err(|error| Refusal::from(ratatoskr_core::Error::from(error)))?;
        }
        Ok(())
    }

    /// The current value of a list, with more or less in it.
    fn listed(
        &self,
        key: &Key,
        (own, text): (&str, Text),
        operation: Operation,
        value: &str,
    ) -> Result<String, Refusal> {
        if key.kind != Kind::List {
            let message = format!("{} is no list", key.name);
            return Err(Refusal::new(ErrorCode::InvalidConfig, message));
        }
        let entries = self.current.entries();
        let current = entries.iter().find(|(key, _)| *key == own);
        let current = current.map_or(String::new(), |(_, value)| text.kafkas(value));
        let mut items: Vec<_> = current.split(',').map(str::trim).collect();
        for item in value.split(',').map(str::trim) {
            items.retain(|known| *known != item);
            if operation == Operation::Append {
                items.push(item);
            }
        }
        Ok(items.join(","))
    }

    /// What was asked for, all of it.
    pub(crate) fn into_change(self) -> TopicConfigChange {
        self.change
    }
}

#[cfg(test)]
mod tests {
    use ratatoskr_core::config::{CleanupPolicy, Durability, TimestampType};

    use super::*;

    fn default() -> TopicConfig {
        TopicConfig::new(Durability::Os)
    }

    fn changed(current: &TopicConfig, changes: &[(&str, Operation, &str)]) -> TopicConfig {
        let default = default();
        let mut all = Changes::of(current, &default);
        for (name, operation, value) in changes {
            all.apply(name, *operation, Some(value)).unwrap();
        }
        all.into_change().apply_to(current).unwrap()
    }

    #[test]
    fn every_own_setting_has_a_name_and_what_is_read_can_be_written_back() {
        let mut config = default();
        config.retention = None;
        config.retention_bytes = Some(1 << 30);
        config.segment_age = None;
        config.cleanup_policy = CleanupPolicy::CompactDelete;
        config.timestamp_type = TimestampType::LogAppendTime;
        let default = default();
        let mut changes = Changes::of(&default, &default);
        for entry in entries(&config, &default) {
            changes
                .apply(entry.name, Operation::Set, Some(&entry.value))
                .unwrap();
        }
        let change = changes.into_change();
        assert_eq!(change.entries().len(), TopicConfigChange::KEYS.len());
        assert_eq!(change.apply_to(&default).unwrap(), config);
    }

    #[test]
    fn what_differs_from_the_default_is_the_topics_and_names_what_it_hides() {
        let mut config = default();
        config.retention = None;
        let entries = entries(&config, &default());
        let entry = |name| entries.iter().find(|entry| entry.name == name).unwrap();
        let retention = entry("retention.ms");
        assert_eq!(
            (retention.value.as_str(), retention.source),
            ("-1", Source::Topic)
        );
        assert_eq!(
            retention.synonyms,
            [
                ("retention.ms", "-1".to_owned(), Source::Topic),
                ("log.retention.ms", "604800000".to_owned(), Source::Default),
            ]
        );
        assert_eq!(entry("segment.ms").source, Source::Default);
        assert!(entry("min.insync.replicas").is_fixed);
    }

    #[test]
    fn lists_grow_and_shrink_and_what_is_deleted_has_its_default_again() {
        let policy = "cleanup.policy";
        let both = changed(&default(), &[(policy, Operation::Append, "compact")]);
        assert_eq!(both.cleanup_policy, CleanupPolicy::CompactDelete);
        let compact = changed(&both, &[(policy, Operation::Subtract, "delete")]);
        assert_eq!(compact.cleanup_policy, CleanupPolicy::Compact);
        assert_eq!(
            changed(&compact, &[(policy, Operation::Delete, "")]),
            default()
        );
    }

    #[test]
    fn what_cannot_be_is_refused_with_kafkas_code() {
        let default = default();
        let mut changes = Changes::of(&default, &default);
        for (name, operation, value, code) in [
            ("colour", Operation::Set, "red", ErrorCode::InvalidConfig),
            (
                "retention.ms",
                Operation::Set,
                "7d",
                ErrorCode::InvalidConfig,
            ),
            (
                "retention.ms",
                Operation::Set,
                "-2",
                ErrorCode::InvalidConfig,
            ),
            (
                "retention.ms",
                Operation::Append,
                "1",
                ErrorCode::InvalidConfig,
            ),
            (
                "segment.bytes",
                Operation::Set,
                "-1",
                ErrorCode::InvalidConfig,
            ),
            (
                "cleanup.policy",
                Operation::Set,
                "burn",
                ErrorCode::InvalidConfig,
            ),
            (
                "message.timestamp.type",
                Operation::Set,
                "create",
                ErrorCode::InvalidConfig,
            ),
            (
                "min.insync.replicas",
                Operation::Set,
                "2",
                ErrorCode::PolicyViolation,
            ),
            (
                "compression.type",
                Operation::Set,
                "gzip",
                ErrorCode::PolicyViolation,
            ),
        ] {
            let refusal = changes.apply(name, operation, Some(value)).unwrap_err();
            assert_eq!(refusal.code, code, "{name}: {}", refusal.message);
        }
        assert_eq!(
            changes.apply("min.insync.replicas", Operation::Set, Some("1")),
            Ok(())
        );
        assert_eq!(changes.into_change(), TopicConfigChange::default());
    }
}
