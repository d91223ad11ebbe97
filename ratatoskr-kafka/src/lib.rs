//! Kafka's protocol over a Ratatoskr broker.
//!
//! ```text
//! frame → header → api::dispatch ─┬─ answer at once (metadata, configuration)
//!   (frame.rs, header.rs, api/)   ├─ produce: gathered, one call of the broker a partition
//!                                 └─ work that is waited for (fetch, administration)
//! connection.rs: one task a connection; answers leave in the order of the requests
//! ```
//! Batches are stored and served byte for byte: a producer's batch is a slice of the frame that
//! brought it, a consumer's records are slices of the log, written to the socket as they are.
//!
//! Invariants:
//! - only what works is advertised ([`api`](self)'s table); anything else closes the connection;
//! - no length or count from the wire is believed before it is compared with the bytes that are
//!   there ([`KafkaLimits`] bounds the rest), so a hostile request costs its sender a connection;
//! - handlers decode, call the broker and encode; what another door would need is in core.
//!
//! This crate opens no socket: [`serve`] takes a stream, whoever accepts it counts it. Transactions
//! and share groups are not there yet, and are not advertised.
//!
//! ```no_run
//! # async fn example(broker: ratatoskr_core::Broker) -> std::io::Result<()> {
//! use std::sync::Arc;
//!
//! use ratatoskr_core::door::Drain;
//! use ratatoskr_kafka::{Door, KafkaLimits, Node};
//!
//! let door = Arc::new(Door::new(broker, Node::new("my-cluster"), KafkaLimits::default()));
//! let (_switch, drain) = Drain::new();
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:9092").await?;
//! loop {
//!     let (stream, peer) = listener.accept().await?;
//!     let here = stream.local_addr()?;
//!     tokio::spawn(ratatoskr_kafka::serve(stream, here, peer, Arc::clone(&door), drain.clone()));
//! }
//! # }
//! ```

mod api;
mod authorized;
mod configs;
mod connection;
mod error_code;
mod frame;
mod header;
mod limits;
mod node;
mod produce_run;
mod reader;
mod refusal;
mod reply;
mod session;

pub use connection::serve;
pub use limits::KafkaLimits;
pub use node::Node;
pub use session::Door;
