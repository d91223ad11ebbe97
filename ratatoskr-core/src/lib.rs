//! The engine of the Ratatoskr message broker.

pub mod batch;
pub mod broker;
pub mod commit;
pub mod config;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
pub mod limits;
pub mod name;
pub mod offset;
pub mod producer;
pub mod record;
pub mod routing;
pub mod storage;
mod storage_error;
pub mod time;
pub mod wire;

pub use broker::{Broker, BrokerConfig};
pub use bytes;
pub use error::{Error, Outcome, Result};
