//! Fencing tokens, and the names of consumers.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// Bits of a token that count the deliveries since the group's state was read from its log.
const COUNTER_BITS: u32 = 40;

/// Comes with each delivery and only ever grows, so that what a consumer writes to can refuse one
/// that has lost its lease: remember the greatest token seen a record, and refuse what comes with a
/// smaller one.
///
/// The high 24 bits count how often the group's state has been read from its log, the low 40 count
/// deliveries since.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct FencingToken(u64);

impl FencingToken {
    /// Wraps the number.
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The bare number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The first token of an epoch is the one after this.
    pub(crate) const fn of_epoch(epoch: u32) -> Self {
        Self((epoch as u64) << COUNTER_BITS)
    }

    /// The token after this one. 2^40 deliveries are 12 days at a million a second, and then the
    /// epoch grows instead.
    #[must_use]
    pub(crate) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Longest name of a consumer in bytes.
pub const CONSUMER_ID_BYTES_MAX: usize = 255;

/// What a consumer of a queue group calls itself: 1 to 255 bytes of text without control characters.
/// Two consumers of one name are one consumer to the broker: they share limits and leases.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ConsumerId(Arc<str>);

/// Why a string is not a consumer's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{id:?} is not a consumer's name: use 1 to {CONSUMER_ID_BYTES_MAX} bytes of text without control characters"
)]
pub struct InvalidConsumerId {
    /// What was given, cut to 300 characters.
    pub id: String,
}

impl ConsumerId {
    /// Checks `id` and keeps it.
    ///
    /// # Errors
    /// [`InvalidConsumerId`] where the name breaks the rule above.
    pub fn parse(id: &str) -> Result<Self, InvalidConsumerId> {
        if id.is_empty() || id.len() > CONSUMER_ID_BYTES_MAX || id.contains(char::is_control) {
            return Err(InvalidConsumerId {
                id: id.chars().take(300).collect(),
            });
        }
        Ok(Self(id.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ConsumerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ConsumerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl FromStr for ConsumerId {
    type Err = InvalidConsumerId;

    fn from_str(id: &str) -> Result<Self, Self::Err> {
        Self::parse(id)
    }
}

impl TryFrom<String> for ConsumerId {
    type Error = InvalidConsumerId;

    fn try_from(id: String) -> Result<Self, Self::Error> {
        Self::parse(&id)
    }
}

impl From<ConsumerId> for String {
    fn from(id: ConsumerId) -> Self {
        id.0.as_ref().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_a_later_epoch_is_greater_than_any_before() {
        let first = FencingToken::of_epoch(1);
        assert!(
            FencingToken::new(first.get() + (1 << COUNTER_BITS) - 1) < FencingToken::of_epoch(2)
        );
        assert!(first < first.next());
    }

    #[test]
    fn names_of_consumers_are_any_printable_text() {
        for good in [
            "a",
            "worker 7 on host é",
            &"x".repeat(CONSUMER_ID_BYTES_MAX),
        ] {
            assert_eq!(ConsumerId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "a\n", &"x".repeat(CONSUMER_ID_BYTES_MAX + 1)] {
            assert!(ConsumerId::parse(bad).is_err(), "{bad:?} passed");
        }
    }
}
