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
mod token;

pub use config::{Backoff, DeadLetters, QueueConfig, QueueConfigChange, QueueStart};
pub use counters::QueueCounters;
pub use error::QueueError;
pub use settlement::{SettleAction, Settlement};
pub use token::{CONSUMER_ID_BYTES_MAX, ConsumerId, FencingToken, InvalidConsumerId};
