//! Configuration of a topic.
//!
//! [`TopicConfig`] is complete: every value is set. A [`TopicConfigChange`] carries only what
//! somebody asked for; applying it to a configuration checks the values together.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::limits;

mod ratio;

pub use ratio::Ratio;

/// When a record may be read and is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Durability {
    /// Once a sync to disk that covers it has returned: survives a power cut.
    Fsync,
    /// Once the operating system has it; synced this often.
    Interval(Duration),
    /// Once the operating system has it: survives a kill of the process, no promise beyond.
    Os,
    /// Once it is in the heap: gone with the process.
    Memory,
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fsync => f.write_str("fsync"),
            Self::Interval(every) => write!(f, "interval({}ms)", every.as_millis()),
            Self::Os => f.write_str("os"),
            Self::Memory => f.write_str("memory"),
        }
    }
}

impl FromStr for Durability {
    type Err = InvalidConfig;

    /// `fsync`, `os`, `memory`, or `interval(N)` with N in milliseconds (a unit `ms` or `s` may follow).
    fn from_str(text: &str) -> Result<Self, InvalidConfig> {
        let wrong =
            || InvalidConfig::new("durability", text, "fsync, interval(100ms), os or memory");
        match text {
            "fsync" => Ok(Self::Fsync),
            "os" => Ok(Self::Os),
            "memory" => Ok(Self::Memory),
            _ => {
                let inner = text
                    .strip_prefix("interval(")
                    .and_then(|rest| rest.strip_suffix(')'))
                    .ok_or_else(wrong)?;
                let every = parse_duration(inner).ok_or_else(wrong)?;
                if every.is_zero() || every > limits::DURABILITY_INTERVAL_MAX {
                    return Err(wrong());
                }
                Ok(Self::Interval(every))
            }
        }
    }
}

/// How the engine compresses batches that it builds itself; producers' batches stay as they came.
/// The values are the codes in a batch's attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy in Kafka's (xerial's) framing.
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// RFC 8878.
    Zstd,
}

impl Compression {
    /// Every codec, in the order of its code in a batch's attributes.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The name that configuration and command line use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Compression {
    type Err = InvalidConfig;

    fn from_str(text: &str) -> Result<Self, InvalidConfig> {
        Self::ALL
            .into_iter()
            .find(|codec| codec.name() == text)
            .ok_or_else(|| {
                InvalidConfig::new("compression", text, "none, gzip, snappy, lz4 or zstd")
            })
    }
}

/// What happens to old records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CleanupPolicy {
    /// They go by age and size.
    #[default]
    Delete,
    /// The latest record of each key stays.
    Compact,
    /// Both.
    CompactDelete,
}

impl CleanupPolicy {
    /// Whether the latest record of a key is kept.
    pub const fn compacts(self) -> bool {
        matches!(self, Self::Compact | Self::CompactDelete)
    }

    /// Whether age and size remove records.
    pub const fn deletes(self) -> bool {
        matches!(self, Self::Delete | Self::CompactDelete)
    }
}

impl fmt::Display for CleanupPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Delete => "delete",
            Self::Compact => "compact",
            Self::CompactDelete => "compact,delete",
        })
    }
}

impl FromStr for CleanupPolicy {
    type Err = InvalidConfig;

    fn from_str(text: &str) -> Result<Self, InvalidConfig> {
        match text {
            "delete" => Ok(Self::Delete),
            "compact" => Ok(Self::Compact),
            "compact,delete" | "delete,compact" => Ok(Self::CompactDelete),
            _ => Err(InvalidConfig::new(
                "cleanup_policy",
                text,
                "delete, compact or compact,delete",
            )),
        }
    }
}

/// Whose time a record carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TimestampType {
    /// The producer's.
    #[default]
    CreateTime,
    /// The broker's, when it appended.
    LogAppendTime,
}

impl fmt::Display for TimestampType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CreateTime => "create",
            Self::LogAppendTime => "append",
        })
    }
}

impl FromStr for TimestampType {
    type Err = InvalidConfig;

    fn from_str(text: &str) -> Result<Self, InvalidConfig> {
        match text {
            "create" => Ok(Self::CreateTime),
            "append" => Ok(Self::LogAppendTime),
            _ => Err(InvalidConfig::new(
                "timestamp_type",
                text,
                "create or append",
            )),
        }
    }
}

/// Everything that a topic is configured with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicConfig {
    /// When a record is readable and acknowledged.
    pub durability: Durability,
    /// Records older than this go; `None` keeps them for ever.
    pub retention: Option<Duration>,
    /// Bytes a partition keeps; `None` for no bound. Whole segments go, the oldest first.
    pub retention_bytes: Option<u64>,
    /// A segment is sealed at this many bytes.
    pub segment_bytes: u64,
    /// A segment is sealed at this age; `None` for never.
    pub segment_age: Option<Duration>,
    /// The largest batch accepted, in bytes with its header.
    pub batch_bytes_max: u32,
    /// How long a queue group may still deliver a record that names no time of its own.
    pub ttl_default: Option<Duration>,
    /// How the engine compresses batches that it builds.
    pub compression: Compression,
    /// What happens to old records.
    pub cleanup_policy: CleanupPolicy,
    /// Whose time records carry.
    pub timestamp_type: TimestampType,
    /// How long a compacted log still shows that a key was deleted.
    #[serde(default = "tombstone_retention_default")]
    pub tombstone_retention: Duration,
    /// Compaction leaves records alone that are younger than this.
    #[serde(default)]
    pub compaction_lag: Duration,
    /// Records older than this are compacted however few they are; `None` for no bound.
    #[serde(default)]
    pub compaction_lag_max: Option<Duration>,
    /// A log is compacted once this part of its sealed bytes is new since the last time.
    #[serde(default = "dirty_ratio_default")]
    pub dirty_ratio_min: Ratio,
}

const fn tombstone_retention_default() -> Duration {
    Duration::from_hours(24)
}

const fn dirty_ratio_default() -> Ratio {
    Ratio::HALF
}

impl TopicConfig {
    /// The defaults, at this durability.
    pub fn new(durability: Durability) -> Self {
        Self {
            durability,
            retention: Some(Duration::from_hours(7 * 24)),
            retention_bytes: None,
            segment_bytes: limits::SEGMENT_BYTES_DEFAULT,
            segment_age: Some(Duration::from_hours(7 * 24)),
            batch_bytes_max: limits::BATCH_BYTES_DEFAULT,
            ttl_default: None,
            compression: Compression::None,
            cleanup_policy: CleanupPolicy::Delete,
            timestamp_type: TimestampType::CreateTime,
            tombstone_retention: tombstone_retention_default(),
            compaction_lag: Duration::ZERO,
            compaction_lag_max: None,
            dirty_ratio_min: dirty_ratio_default(),
        }
    }

    /// Each name with its value as text, in the order of [`TopicConfigChange::KEYS`].
    pub fn entries(&self) -> Vec<(&'static str, String)> {
        let all = TopicConfigChange {
            durability: Some(self.durability),
            retention: Some(self.retention),
            retention_bytes: Some(self.retention_bytes),
            segment_bytes: Some(self.segment_bytes),
            segment_age: Some(self.segment_age),
            batch_bytes_max: Some(self.batch_bytes_max),
            ttl_default: Some(self.ttl_default),
            compression: Some(self.compression),
            cleanup_policy: Some(self.cleanup_policy),
            timestamp_type: Some(self.timestamp_type),
            tombstone_retention: Some(self.tombstone_retention),
            compaction_lag: Some(self.compaction_lag),
            compaction_lag_max: Some(self.compaction_lag_max),
            dirty_ratio_min: Some(self.dirty_ratio_min),
        };
        all.entries()
    }

    fn check(&self) -> Result<(), InvalidConfig> {
        let segments = limits::SEGMENT_BYTES_MIN..=limits::SEGMENT_BYTES_MAX;
        if !segments.contains(&self.segment_bytes) {
            return Err(InvalidConfig::new(
                "segment_bytes",
                &self.segment_bytes.to_string(),
                "4096 to 1073741824",
            ));
        }
        if !(limits::BATCH_BYTES_MIN..=limits::BATCH_BYTES_MAX).contains(&self.batch_bytes_max) {
            return Err(InvalidConfig::new(
                "batch_bytes_max",
                &self.batch_bytes_max.to_string(),
                "1024 to 67108864",
            ));
        }
        if let Some(lag_max) = self.compaction_lag_max
            && lag_max < self.compaction_lag
        {
            return Err(InvalidConfig::new(
                "compaction_lag_max_ms",
                &lag_max.as_millis().to_string(),
                "no less than compaction_lag_ms",
            ));
        }
        Ok(())
    }
}

/// What somebody asked to set; `None` leaves a value as it is (or at its default).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TopicConfigChange {
    /// See [`TopicConfig::durability`].
    pub durability: Option<Durability>,
    /// See [`TopicConfig::retention`].
    pub retention: Option<Option<Duration>>,
    /// See [`TopicConfig::retention_bytes`].
    pub retention_bytes: Option<Option<u64>>,
    /// See [`TopicConfig::segment_bytes`].
    pub segment_bytes: Option<u64>,
    /// See [`TopicConfig::segment_age`].
    pub segment_age: Option<Option<Duration>>,
    /// See [`TopicConfig::batch_bytes_max`].
    pub batch_bytes_max: Option<u32>,
    /// See [`TopicConfig::ttl_default`].
    pub ttl_default: Option<Option<Duration>>,
    /// See [`TopicConfig::compression`].
    pub compression: Option<Compression>,
    /// See [`TopicConfig::cleanup_policy`].
    pub cleanup_policy: Option<CleanupPolicy>,
    /// See [`TopicConfig::timestamp_type`].
    pub timestamp_type: Option<TimestampType>,
    /// See [`TopicConfig::tombstone_retention`].
    pub tombstone_retention: Option<Duration>,
    /// See [`TopicConfig::compaction_lag`].
    pub compaction_lag: Option<Duration>,
    /// See [`TopicConfig::compaction_lag_max`].
    pub compaction_lag_max: Option<Option<Duration>>,
    /// See [`TopicConfig::dirty_ratio_min`].
    pub dirty_ratio_min: Option<Ratio>,
}

impl TopicConfigChange {
    /// The names that [`set`](Self::set) knows.
    pub const KEYS: [&'static str; 14] = [
        "durability",
        "retention_ms",
        "retention_bytes",
        "segment_bytes",
        "segment_ms",
        "batch_bytes_max",
        "ttl_ms",
        "compression",
        "cleanup_policy",
        "timestamp_type",
        "tombstone_retention_ms",
        "compaction_lag_ms",
        "compaction_lag_max_ms",
        "dirty_ratio_min",
    ];

    /// Sets one value from text, as the command line and the wire do. Durations are milliseconds,
    /// or a number with `ms`, `s`, `m`, `h` or `d`; sizes are bytes, or a number with `KiB`, `MiB`
    /// or `GiB`; `none` lifts a bound.
    ///
    /// # Errors
    /// [`InvalidConfig`] for an unknown name or a value that does not parse.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), InvalidConfig> {
        let duration = || match value {
            "none" => Ok(None),
            _ => parse_duration(value)
                .filter(|d| !d.is_zero())
                .map(Some)
                .ok_or_else(|| InvalidConfig::new(key, value, "a duration such as 7d, or none")),
        };
        // For these none is nothing else than 0.
        let span = || {
            parse_duration(value)
                .ok_or_else(|| InvalidConfig::new(key, value, "a duration such as 24h, or 0"))
        };
        let bytes = || {
            parse_bytes(value).ok_or_else(|| InvalidConfig::new(key, value, "a size such as 64MiB"))
        };
        match key {
            "durability" => self.durability = Some(value.parse()?),
            "retention_ms" => self.retention = Some(duration()?),
            "retention_bytes" => {
                self.retention_bytes = Some(if value == "none" {
                    None
                } else {
                    Some(bytes()?)
                });
            }
            "segment_bytes" => self.segment_bytes = Some(bytes()?),
            "segment_ms" => self.segment_age = Some(duration()?),
            "batch_bytes_max" => {
                let size = u32::try_from(bytes()?)
                    .map_err(|_| InvalidConfig::new(key, value, "1024 to 67108864"))?;
                self.batch_bytes_max = Some(size);
            }
            "ttl_ms" => self.ttl_default = Some(duration()?),
            "compression" => self.compression = Some(value.parse()?),
            "cleanup_policy" => self.cleanup_policy = Some(value.parse()?),
            "timestamp_type" => self.timestamp_type = Some(value.parse()?),
            "tombstone_retention_ms" => self.tombstone_retention = Some(span()?),
            "compaction_lag_ms" => self.compaction_lag = Some(span()?),
            "compaction_lag_max_ms" => self.compaction_lag_max = Some(duration()?),
            "dirty_ratio_min" => {
                let ratio = value.parse::<Ratio>();
                let named = |wrong: InvalidConfig| InvalidConfig::new(key, value, &wrong.expected);
                self.dirty_ratio_min = Some(ratio.map_err(named)?);
            }
            _ => return Err(InvalidConfig::unknown(key)),
        }
        Ok(())
    }

    /// Each name that is set with its value as text, as [`set`](Self::set) takes it.
    pub fn entries(&self) -> Vec<(&'static str, String)> {
        let bound = |bytes: Option<u64>| bytes.map_or("none".into(), |bytes| bytes.to_string());
        let duration = |d: Option<Duration>| d.map_or("none".into(), |d| d.as_millis().to_string());
        let value = |key| match key {
            "durability" => self.durability.map(|value| value.to_string()),
            "retention_ms" => self.retention.map(duration),
            "retention_bytes" => self.retention_bytes.map(bound),
            "segment_bytes" => self.segment_bytes.map(|value| value.to_string()),
            "segment_ms" => self.segment_age.map(duration),
            "batch_bytes_max" => self.batch_bytes_max.map(|value| value.to_string()),
            "ttl_ms" => self.ttl_default.map(duration),
            "compression" => self.compression.map(|value| value.to_string()),
            "cleanup_policy" => self.cleanup_policy.map(|value| value.to_string()),
            "timestamp_type" => self.timestamp_type.map(|value| value.to_string()),
            "tombstone_retention_ms" => self.tombstone_retention.map(|d| duration(Some(d))),
            "compaction_lag_ms" => self.compaction_lag.map(|d| duration(Some(d))),
            "compaction_lag_max_ms" => self.compaction_lag_max.map(duration),
            "dirty_ratio_min" => self.dirty_ratio_min.map(|value| value.to_string()),
            other => unreachable!("{other} is in KEYS but has no value"),
        };
        let keys = Self::KEYS.into_iter();
        keys.filter_map(|key| Some((key, value(key)?))).collect()
    }

    /// `base` with this change; `base` itself where nothing is asked for.
    ///
    /// # Errors
    /// [`InvalidConfig`] where a value of the result is out of its range.
    pub fn apply_to(&self, base: &TopicConfig) -> Result<TopicConfig, InvalidConfig> {
        let config = TopicConfig {
            durability: self.durability.unwrap_or(base.durability),
            retention: self.retention.unwrap_or(base.retention),
            retention_bytes: self.retention_bytes.unwrap_or(base.retention_bytes),
            segment_bytes: self.segment_bytes.unwrap_or(base.segment_bytes),
            segment_age: self.segment_age.unwrap_or(base.segment_age),
            batch_bytes_max: self.batch_bytes_max.unwrap_or(base.batch_bytes_max),
            ttl_default: self.ttl_default.unwrap_or(base.ttl_default),
            compression: self.compression.unwrap_or(base.compression),
            cleanup_policy: self.cleanup_policy.unwrap_or(base.cleanup_policy),
            timestamp_type: self.timestamp_type.unwrap_or(base.timestamp_type),
            tombstone_retention: self.tombstone_retention.unwrap_or(base.tombstone_retention),
            compaction_lag: self.compaction_lag.unwrap_or(base.compaction_lag),
            compaction_lag_max: self.compaction_lag_max.unwrap_or(base.compaction_lag_max),
            dirty_ratio_min: self.dirty_ratio_min.unwrap_or(base.dirty_ratio_min),
        };
        config.check()?;
        Ok(config)
    }
}

/// A configuration value that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} = {value:?}: expected {expected}")]
pub struct InvalidConfig {
    /// The name that was set.
    pub key: String,
    /// What it was set to.
    pub value: String,
    /// What would have been right.
    pub expected: String,
}

impl InvalidConfig {
    /// `value` is not what `key` takes.
    pub fn new(key: &str, value: &str, expected: &str) -> Self {
        Self {
            key: key.into(),
            value: value.chars().take(300).collect(),
            expected: expected.into(),
        }
    }

    fn unknown(key: &str) -> Self {
        Self {
            key: key.chars().take(300).collect(),
            value: String::new(),
            expected: format!("one of the names {}", TopicConfigChange::KEYS.join(", ")),
        }
    }
}

/// A duration: milliseconds, or a number with `ms`, `s`, `m`, `h` or `d`. `None` if it is neither.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale_ms = match unit {
        "" | "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let ms = number.parse::<u64>().ok()?.checked_mul(scale_ms)?;
    // Times are i64 milliseconds everywhere else, so a longer one could not be computed with.
    (i64::try_from(ms).is_ok()).then(|| Duration::from_millis(ms))
}

/// A size: bytes, or a number with `KiB`, `MiB` or `GiB` (`K`, `M`, `G` for short). `None` if it is neither.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        "" | "B" => 1,
        "K" | "KiB" => 1 << 10,
        "M" | "MiB" => 1 << 20,
        "G" | "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_set_from_the_text_it_prints() {
        let mut config = TopicConfig::new(Durability::Interval(Duration::from_millis(250)));
        config.retention_bytes = Some(1 << 30);
        config.cleanup_policy = CleanupPolicy::CompactDelete;
        config.tombstone_retention = Duration::ZERO;
        config.compaction_lag = Duration::from_secs(90);
        config.compaction_lag_max = Some(Duration::from_hours(1));
        config.dirty_ratio_min = Ratio::from_thousandths(25).unwrap();
        config.timestamp_type = TimestampType::LogAppendTime;
        config.compression = Compression::Zstd;
        let mut change = TopicConfigChange::default();
        for (key, value) in config.entries() {
            change.set(key, &value).unwrap();
        }
        let other = TopicConfig::new(Durability::Memory);
        assert_eq!(change.apply_to(&other).unwrap(), config);
    }

    #[test]
    fn values_out_of_range_are_refused() {
        let base = TopicConfig::new(Durability::Os);
        for (key, value) in [
            ("segment_bytes", "4095"),
            ("segment_bytes", "1073741825"),
            ("batch_bytes_max", "1023"),
            ("batch_bytes_max", "67108865"),
            ("batch_bytes_max", "5GiB"),
            ("retention_ms", "0"),
            ("retention_ms", "-1"),
            ("retention_ms", "7w"),
            ("durability", "interval(0)"),
            ("durability", "paper"),
            ("compression", "brotli"),
            ("dirty_ratio_min", "1.1"),
            ("tombstone_retention_ms", "none"),
            ("compaction_lag_max_ms", "0"),
            ("colour", "red"),
        ] {
            let mut change = TopicConfigChange::default();
            let outcome = change
                .set(key, value)
                .and_then(|()| change.apply_to(&base).map(drop));
            assert!(outcome.is_err(), "{key}={value} passed");
        }
    }

    #[test]
    fn durations_and_sizes_take_units() {
        assert_eq!(parse_duration("7d"), Some(Duration::from_hours(168)));
        assert_eq!(parse_duration("1500"), Some(Duration::from_millis(1500)));
        assert_eq!(parse_duration(&format!("{}d", u64::MAX)), None);
        assert_eq!(parse_duration(""), None);
        assert_eq!(parse_bytes("64MiB"), Some(64 << 20));
        assert_eq!(parse_bytes("x"), None);
    }
}
