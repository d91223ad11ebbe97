//! The native door: frames of `ratatoskr_core::wire` over TCP, handed to a [`Broker`].
//!
//! ```text
//! door.rs         what a listener does with a connection of this protocol
//! handshake.rs    hello: nothing else is heard before a version is agreed on
//! connection.rs   one task a connection: frames in, responses and deliveries out
//! subscription.rs credit, next offsets
//! consumers.rs    whose leases end with a connection
//! handlers/       one small file a command or group of commands
//! ```
//! Invariants:
//! - a connection is one task: requests, acknowledgements and writes take no hop to another;
//! - every complete frame that one read brought is handled before anything is waited for;
//! - a connection that holds too much (bytes or requests) is not read from, so what a peer can make
//!   the server hold is bounded by [`NativeLimits`];
//! - a panic, a malformed frame or a peer that stalls ends that connection and no other.
//!
//! [`Broker`]: ratatoskr_core::Broker

mod connection;
mod consumers;
mod door;
mod handlers;
mod handshake;
mod limits;
mod ready;
mod subscription;

pub use door::serve;
pub use limits::NativeLimits;
