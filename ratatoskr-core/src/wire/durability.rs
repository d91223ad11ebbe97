//! Durability on the wire: a level, and the milliseconds between syncs where the level has them.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::config::Durability;

const MEMORY: u8 = 0;
const OS: u8 = 1;
const INTERVAL: u8 = 2;
const FSYNC: u8 = 3;

/// A [`Durability`] as bodies carry it: the array of level and interval in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireDurability(pub Durability);

impl Serialize for WireDurability {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (level, interval) = match self.0 {
            Durability::Memory => (MEMORY, Duration::ZERO),
            Durability::Os => (OS, Duration::ZERO),
            Durability::Interval(every) => (INTERVAL, every),
            Durability::Fsync => (FSYNC, Duration::ZERO),
        };
        let interval_ms = super::milliseconds(interval);
        (level, interval_ms).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for WireDurability {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (level, interval_ms) = <(u8, u64)>::deserialize(deserializer)?;
        match level {
            MEMORY => Ok(Durability::Memory),
            OS => Ok(Durability::Os),
            INTERVAL => Ok(Durability::Interval(Duration::from_millis(interval_ms))),
            FSYNC => Ok(Durability::Fsync),
            _ => Err(D::Error::custom(format!("durability {level} is unknown"))),
        }
        .map(Self)
    }
}
