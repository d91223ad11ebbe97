//! The native door: frames of `ratatoskr_core::wire` over TCP, handed to a [`Broker`].
//!
//! ```text
//! listener.rs     accepts, counts connections, drains them at shutdown
//! handshake.rs    hello: nothing else is heard before a version is agreed on
//! connection.rs   one task a connection: frames in, responses and deliveries out
//! buffers.rs      bytes in and out     subscription.rs  credit, next offsets
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

mod buffers;
mod connection;
mod handlers;
mod handshake;
mod limits;
mod listener;
mod ready;
mod subscription;

pub use limits::NativeLimits;
pub use listener::serve;
