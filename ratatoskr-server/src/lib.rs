//! The Ratatoskr server as a library: what its binary, its tests and other programs that embed the
//! network doors are made of.
//!
//! [`native`] is the door for `ratatoskr-client`; `docs/wire.md` says what travels through it.
//! `kafka`, a feature, is the door for Kafka clients.
//! [`load`] is what a benchmark is made of, whoever it loads.

#[cfg(feature = "kafka")]
pub mod kafka;
mod listener;
pub mod load;
pub mod native;
