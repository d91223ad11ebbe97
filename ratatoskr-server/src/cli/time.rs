//! Moments and durations as they are typed, and as they are shown.

use std::{str::FromStr, time::Duration};

use ratatoskr_core::{config::parse_duration, time::Timestamp};

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Fixed.
    At(Timestamp),
    /// This long before now.
    Ago(Duration),
}

impl Moment {
    /// The moment as a timestamp, seen from `now`.
    pub(crate) fn timestamp(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(timestamp) => timestamp,
            Self::Ago(duration) => now.minus(duration),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    /// Milliseconds since the epoch, a date and time with its zone, or `-DURATION`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || "expected 2026-01-31T12:00:00Z, 1769860800000 or -15m".to_owned();
        if let Some(ago) = text.strip_prefix('-') {
            return parse_duration(ago).map(Self::Ago).ok_or_else(wrong);
        }
        let ms = match text.parse::<i64>() {
            Ok(ms) => ms,
            Err(_) => text
                .parse::<jiff::Timestamp>()
                .map_err(|_| wrong())?
                .as_millisecond(),
        };
        let at = (ms >= 0).then(|| Self::At(Timestamp::new(ms)));
        at.ok_or_else(wrong)
    }
}

/// A moment that is still to come, or any other that is fixed.
///
/// # Errors
/// What was expected.
pub(crate) fn fixed(text: &str) -> Result<Timestamp, String> {
    match text.parse() {
        Ok(Moment::At(at)) => Ok(at),
        _ => Err("expected 2026-01-31T12:00:00Z or 1769860800000".to_owned()),
    }
}

/// A duration: milliseconds, or a number with its unit.
///
/// # Errors
/// What was expected.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "expected a duration such as 500ms, 30s, 15m or 2h".into())
}

/// A timestamp for people, to the second.
pub(crate) fn shown(at: Timestamp) -> String {
    match jiff::Timestamp::from_millisecond(at.get()) {
        Ok(at) if at.as_millisecond() >= 0 => at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        _ => "-".to_owned(),
    }
}
