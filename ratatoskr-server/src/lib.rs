//! The Ratatoskr server as a library: what its binary, its tests and other programs that embed the
//! network doors are made of.
//!
//! [`native`] is the door for `ratatoskr-client`; `docs/wire.md` says what travels through it.
//! [`load`] is what a benchmark is made of, whoever it loads.

pub mod load;
pub mod native;
