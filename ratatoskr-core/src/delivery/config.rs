//! Configuration of a queue group.
//!
//! As with topics, [`QueueConfig`] is complete, and a [`QueueConfigChange`] carries what somebody
//! asked for.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    config::{InvalidConfig, parse_duration},
    limits,
    name::TopicName,
    time::Timestamp,
};

/// Everything that a queue group is configured with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueConfig {
    /// How long a consumer may hold records before they go to another, unless it asks for another
    /// time.
    pub lease: Duration,
    /// Deliveries after which a record that is not acknowledged is a dead letter.
    pub attempts_max: u32,
    /// How long a record waits that a consumer wants to see again.
    pub backoff: Backoff,
    /// Where dead letters go.
    pub dead_letters: DeadLetters,
    /// Whether records whose time to live has passed go to the dead letters, too. Otherwise they are
    /// only counted.
    pub dead_letter_expired: bool,
    /// Whether records of one key are delivered in order, one at a time.
    pub ordered_by_key: bool,
    /// Records that all consumers together may hold at once.
    pub in_flight_max: u32,
    /// Records that one consumer may hold at once.
    pub in_flight_per_consumer_max: u32,
    /// Where the group begins in a topic that it has not read yet.
    pub start: QueueStart,
}

/// Waits between attempts: the first is `min`, each next `multiplier` times as long, none longer than
/// `max`, and each is shortened at random by up to `jitter_percent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// The wait after the first attempt.
    pub min: Duration,
    /// The longest wait.
    pub max: Duration,
    /// How many times as long as the one before each wait is.
    pub multiplier: u32,
    /// 0 for waits that are all the same, 100 for any between nothing and the whole.
    pub jitter_percent: u8,
}

/// Where records go that a group gives up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeadLetters {
    /// To a topic of the name of theirs with `.dlq` behind it, made when it is needed.
    #[default]
    PerTopic,
    /// To this topic, made when it is needed.
    Topic(TopicName),
    /// Nowhere: they are counted and forgotten.
    Discard,
}

/// Where a group begins in a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum QueueStart {
    /// At the oldest record of each partition.
    #[default]
    Start,
    /// After the newest record of each partition.
    End,
    /// At the first record of this time or later.
    Timestamp(Timestamp),
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            min: Duration::from_secs(1),
            max: Duration::from_mins(5),
            multiplier: 2,
            jitter_percent: 20,
        }
    }
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            lease: limits::QUEUE_LEASE_DEFAULT,
            attempts_max: limits::QUEUE_ATTEMPTS_DEFAULT,
            backoff: Backoff::default(),
            dead_letters: DeadLetters::default(),
            dead_letter_expired: false,
            ordered_by_key: false,
            in_flight_max: limits::QUEUE_IN_FLIGHT_DEFAULT,
            in_flight_per_consumer_max: limits::QUEUE_IN_FLIGHT_PER_CONSUMER_DEFAULT,
            start: QueueStart::default(),
        }
    }
}

impl QueueConfig {
    /// Each name with its value as text, in the order of [`QueueConfigChange::KEYS`].
    pub fn entries(&self) -> Vec<(&'static str, String)> {
        QueueConfigChange::from(self.clone()).entries()
    }

    fn check(&self) -> Result<(), InvalidConfig> {
        let duration = |d: Duration| d.as_millis().to_string();
        let refuse = |key, value: &str, expected| Err(InvalidConfig::new(key, value, expected));
        if !(limits::QUEUE_LEASE_MIN..=limits::QUEUE_LEASE_MAX).contains(&self.lease) {
            return refuse("lease_ms", &duration(self.lease), "100ms to 12h");
        }
        if !(1..=limits::QUEUE_ATTEMPTS_MAX).contains(&self.attempts_max) {
            let value = self.attempts_max.to_string();
            return refuse("attempts_max", &value, "1 to 1000");
        }
        let backoff = self.backoff;
        if backoff.max > limits::QUEUE_DELAY_MAX || backoff.min > backoff.max {
            let value = duration(backoff.max);
            return refuse("backoff_max_ms", &value, "backoff_min_ms to 365d");
        }
        if !(1..=limits::QUEUE_BACKOFF_MULTIPLIER_MAX).contains(&backoff.multiplier) {
            let value = backoff.multiplier.to_string();
            return refuse("backoff_multiplier", &value, "1 to 100");
        }
        if backoff.jitter_percent > 100 {
            let value = backoff.jitter_percent.to_string();
            return refuse("backoff_jitter_percent", &value, "0 to 100");
        }
        for (key, value) in [
            ("in_flight_max", self.in_flight_max),
            (
                "in_flight_per_consumer_max",
                self.in_flight_per_consumer_max,
            ),
        ] {
            if !(1..=limits::QUEUE_IN_FLIGHT_MAX).contains(&value) {
                return refuse(key, &value.to_string(), "1 to 100000000");
            }
        }
        if let DeadLetters::Topic(topic) = &self.dead_letters
            && topic.is_internal()
        {
            return refuse("dead_letters", topic.as_str(), "a topic of your own");
        }
        Ok(())
    }
}

/// What somebody asked to set; `None` leaves a value as it is (or at its default).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct QueueConfigChange {
    /// See [`QueueConfig::lease`].
    pub lease: Option<Duration>,
    /// See [`QueueConfig::attempts_max`].
    pub attempts_max: Option<u32>,
    /// See [`Backoff::min`].
    pub backoff_min: Option<Duration>,
    /// See [`Backoff::max`].
    pub backoff_max: Option<Duration>,
    /// See [`Backoff::multiplier`].
    pub backoff_multiplier: Option<u32>,
    /// See [`Backoff::jitter_percent`].
    pub backoff_jitter_percent: Option<u8>,
    /// See [`QueueConfig::dead_letters`].
    pub dead_letters: Option<DeadLetters>,
    /// See [`QueueConfig::dead_letter_expired`].
    pub dead_letter_expired: Option<bool>,
    /// See [`QueueConfig::ordered_by_key`].
    pub ordered_by_key: Option<bool>,
    /// See [`QueueConfig::in_flight_max`].
    pub in_flight_max: Option<u32>,
    /// See [`QueueConfig::in_flight_per_consumer_max`].
    pub in_flight_per_consumer_max: Option<u32>,
    /// See [`QueueConfig::start`].
    pub start: Option<QueueStart>,
}

impl From<QueueConfig> for QueueConfigChange {
    /// Everything is asked for.
    fn from(config: QueueConfig) -> Self {
        Self {
            lease: Some(config.lease),
            attempts_max: Some(config.attempts_max),
            backoff_min: Some(config.backoff.min),
            backoff_max: Some(config.backoff.max),
            backoff_multiplier: Some(config.backoff.multiplier),
            backoff_jitter_percent: Some(config.backoff.jitter_percent),
            dead_letters: Some(config.dead_letters),
            dead_letter_expired: Some(config.dead_letter_expired),
            ordered_by_key: Some(config.ordered_by_key),
            in_flight_max: Some(config.in_flight_max),
            in_flight_per_consumer_max: Some(config.in_flight_per_consumer_max),
            start: Some(config.start),
        }
    }
}

impl QueueConfigChange {
    /// The names that [`set`](Self::set) knows.
    pub const KEYS: [&'static str; 12] = [
        "lease_ms",
        "attempts_max",
        "backoff_min_ms",
        "backoff_max_ms",
        "backoff_multiplier",
        "backoff_jitter_percent",
        "dead_letters",
        "dead_letter_expired",
        "ordered_by_key",
        "in_flight_max",
        "in_flight_per_consumer_max",
        "start",
    ];

    /// Sets one value from text, as the command line and the wire do. Durations are milliseconds, or
    /// a number with `ms`, `s`, `m`, `h` or `d`; `dead_letters` is `topic` (`.dlq` behind the topic's
    /// name), `discard`, or `topic:NAME`; `start` is `start`, `end` or milliseconds since 1970.
    ///
    /// # Errors
    /// [`InvalidConfig`] for an unknown name or a value that does not parse.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), InvalidConfig> {
        let wrong = |expected: &str| InvalidConfig::new(key, value, expected);
        let duration = || parse_duration(value).ok_or_else(|| wrong("a duration such as 30s"));
        let number = || value.parse().map_err(|_| wrong("a whole number"));
        let flag = || value.parse().map_err(|_| wrong("true or false"));
        match key {
            "lease_ms" => self.lease = Some(duration()?),
            "attempts_max" => self.attempts_max = Some(number()?),
            "backoff_min_ms" => self.backoff_min = Some(duration()?),
            "backoff_max_ms" => self.backoff_max = Some(duration()?),
            "backoff_multiplier" => self.backoff_multiplier = Some(number()?),
            "backoff_jitter_percent" => {
                let percent = u8::try_from(number()?).map_err(|_| wrong("0 to 100"))?;
                self.backoff_jitter_percent = Some(percent);
            }
            "dead_letters" => self.dead_letters = Some(value.parse()?),
            "dead_letter_expired" => self.dead_letter_expired = Some(flag()?),
            "ordered_by_key" => self.ordered_by_key = Some(flag()?),
            "in_flight_max" => self.in_flight_max = Some(number()?),
            "in_flight_per_consumer_max" => self.in_flight_per_consumer_max = Some(number()?),
            "start" => self.start = Some(value.parse()?),
            _ => {
                return Err(InvalidConfig {
                    key: key.chars().take(300).collect(),
                    value: String::new(),
                    expected: format!("one of the names {}", Self::KEYS.join(", ")),
                });
            }
        }
        Ok(())
    }

    /// Each name that is set with its value as text, as [`set`](Self::set) takes it.
    pub fn entries(&self) -> Vec<(&'static str, String)> {
        let duration = |d: Duration| d.as_millis().to_string();
        let values = [
            self.lease.map(duration),
            self.attempts_max.map(|value| value.to_string()),
            self.backoff_min.map(duration),
            self.backoff_max.map(duration),
            self.backoff_multiplier.map(|value| value.to_string()),
            self.backoff_jitter_percent.map(|value| value.to_string()),
            self.dead_letters.as_ref().map(ToString::to_string),
            self.dead_letter_expired.map(|value| value.to_string()),
            self.ordered_by_key.map(|value| value.to_string()),
            self.in_flight_max.map(|value| value.to_string()),
            self.in_flight_per_consumer_max
                .map(|value| value.to_string()),
            self.start.map(|value| value.to_string()),
        ];
        let entries = Self::KEYS.into_iter().zip(values);
        entries
            .filter_map(|(key, value)| Some((key, value?)))
            .collect()
    }

    /// `base` with this change; `base` itself where nothing is asked for.
    ///
    /// # Errors
    /// [`InvalidConfig`] where a value of the result is out of its range.
    pub fn apply_to(&self, base: &QueueConfig) -> Result<QueueConfig, InvalidConfig> {
        let config = QueueConfig {
            lease: self.lease.unwrap_or(base.lease),
            attempts_max: self.attempts_max.unwrap_or(base.attempts_max),
            backoff: Backoff {
                min: self.backoff_min.unwrap_or(base.backoff.min),
                max: self.backoff_max.unwrap_or(base.backoff.max),
                multiplier: self.backoff_multiplier.unwrap_or(base.backoff.multiplier),
                jitter_percent: self
                    .backoff_jitter_percent
                    .unwrap_or(base.backoff.jitter_percent),
            },
            dead_letters: self
                .dead_letters
                .clone()
                .unwrap_or_else(|| base.dead_letters.clone()),
            dead_letter_expired: self.dead_letter_expired.unwrap_or(base.dead_letter_expired),
            ordered_by_key: self.ordered_by_key.unwrap_or(base.ordered_by_key),
            in_flight_max: self.in_flight_max.unwrap_or(base.in_flight_max),
            in_flight_per_consumer_max: self
                .in_flight_per_consumer_max
                .unwrap_or(base.in_flight_per_consumer_max),
            start: self.start.unwrap_or(base.start),
        };
        config.check()?;
        Ok(config)
    }
}

impl fmt::Display for DeadLetters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PerTopic => f.write_str("topic"),
            Self::Topic(topic) => write!(f, "topic:{topic}"),
            Self::Discard => f.write_str("discard"),
        }
    }
}

impl FromStr for DeadLetters {
    type Err = InvalidConfig;

    fn from_str(text: &str) -> Result<Self, InvalidConfig> {
        let topic = |name| TopicName::parse(name).ok().map(Self::Topic);
        match text {
            "topic" => Some(Self::PerTopic),
            "discard" => Some(Self::Discard),
            _ => text.strip_prefix("topic:").and_then(topic),
        }
        .ok_or_else(|| InvalidConfig::new("dead_letters", text, "topic, topic:NAME or discard"))
    }
}

impl fmt::Display for QueueStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("start"),
            Self::End => f.write_str("end"),
            Self::Timestamp(at) => at.fmt(f),
        }
    }
}

impl FromStr for QueueStart {
    type Err = InvalidConfig;

    fn from_str(text: &str) -> Result<Self, InvalidConfig> {
        match text {
            "start" => Ok(Self::Start),
            "end" => Ok(Self::End),
            _ => (text.parse().ok().filter(|&ms: &i64| ms >= 0))
                .map(|ms| Self::Timestamp(Timestamp::new(ms)))
                .ok_or_else(|| {
                    InvalidConfig::new("start", text, "start, end or milliseconds since 1970")
                }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_set_from_the_text_it_prints() {
        let config = QueueConfig {
            lease: Duration::from_secs(7),
            dead_letters: DeadLetters::Topic(TopicName::parse("lost").unwrap()),
            ordered_by_key: true,
            start: QueueStart::Timestamp(Timestamp::new(5)),
            ..QueueConfig::default()
        };
        let mut change = QueueConfigChange::default();
        for (key, value) in config.entries() {
            change.set(key, &value).unwrap();
        }
        assert_eq!(change.apply_to(&QueueConfig::default()).unwrap(), config);
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for (key, value) in [
            ("lease_ms", "99"),
            ("lease_ms", "43200001"),
            ("attempts_max", "0"),
            ("attempts_max", "1001"),
            ("backoff_min_ms", "301s"),
            ("backoff_max_ms", "366d"),
            ("backoff_multiplier", "0"),
            ("backoff_multiplier", "101"),
            ("backoff_jitter_percent", "101"),
            ("backoff_jitter_percent", "256"),
            ("in_flight_max", "0"),
            ("in_flight_max", "100000001"),
            ("in_flight_per_consumer_max", "0"),
            ("dead_letters", "topic:_rt.x"),
            ("dead_letters", "topic:a/b"),
            ("dead_letters", "nowhere"),
            ("start", "-1"),
            ("ordered_by_key", "maybe"),
            ("colour", "red"),
        ] {
            let mut change = QueueConfigChange::default();
            let outcome = change
                .set(key, value)
                .and_then(|()| change.apply_to(&QueueConfig::default()).map(drop));
            assert!(outcome.is_err(), "{key}={value} passed");
        }
    }
}
