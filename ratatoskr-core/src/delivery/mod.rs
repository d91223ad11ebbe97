//! Delivery to queue groups, as a state machine without input or output: it reads no clock and no
//! log, and sends nothing. [`broker`](crate::broker) feeds it.

mod changes;
mod config;
mod consumers;
mod counters;
mod delayed;
mod error;
mod held;
mod keys;
mod leases;
mod machine;
mod partition;
mod range_map;
mod runs;
mod settlement;
#[cfg(test)]
mod tests;
mod token;

pub(crate) use changes::{Change, Dead, Done, Scan, ScanKind};
pub use config::{Backoff, DeadLetters, QueueConfig, QueueConfigChange, QueueStart};
pub use counters::QueueCounters;
pub use error::QueueError;
pub(crate) use machine::{
    AcquireRequest, DEAD_LETTER_SUFFIX, DeadWork, Event, Granted, Group, Limited, Queues,
    SettleRequest,
};
pub(crate) use partition::{Now, ScanLimits, Undone, UndoneState};
pub use settlement::{SettleAction, Settlement};
pub use token::{CONSUMER_ID_BYTES_MAX, ConsumerId, FencingToken, InvalidConsumerId};
