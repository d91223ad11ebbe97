//! The engine of the Ratatoskr message broker: everything but the bytes' way in and their way to
//! the disk.
//!
//! ```text
//!   doors        in process · native TCP · Kafka · HTTP          (other crates, or your program)
//!                    │ publish, produce      ▲ fetch, stream, subscribe
//!   engine       Broker                      │                   broker
//!                    topics → partitions: a lock, the next offset, what is pending, producers
//!                    │ submit                ▲ apply, wake
//!   order        Committer (or none: appended at once)           commit
//!                    │ append                ▲ read
//!   storage      Storage → Topic → Partition                     storage
//! ```
//!
//! [`Broker`] is what a program embeds and what every door serves. It runs over any
//! [`storage::Storage`]: one of `ratatoskr-storage`, or one of your own, which the feature
//! `conformance` certifies. Sends and reads are in [`batch`]es, Kafka's, from the wire to the disk
//! and back; records are taken apart only for those who ask for records.
//!
//! ```
//! use std::sync::Arc;
//!
//! use ratatoskr_core::{
//!     Broker, Result,
//!     broker::{NewTopic, StreamOptions},
//!     name::TopicName,
//!     record::Record,
//!     storage::Storage,
//!     time::Clock,
//! };
//!
//! /// `ratatoskr_storage` has backends, and a `SystemClock`.
//! async fn greet(storage: Arc<dyn Storage>, clock: Arc<dyn Clock>) -> Result<()> {
//!     let broker = Broker::builder(storage, clock).open().await?;
//!     let topic: TopicName = "greetings".parse().expect("a legal name");
//!     broker.create_topic(&topic, NewTopic::default()).await?;
//!     broker.publish(&topic, Record::new("hello").with_key("world")).await?;
//!
//!     let mut records = broker.stream(&topic, StreamOptions::default()).await?;
//!     while let Some(record) = records.next().await {
//!         println!("{:?}", record?.record.value);
//!     }
//!     Ok(())
//! }
//! ```
//!
//! Batches need no broker:
//!
//! ```
//! # fn main() -> Result<(), ratatoskr_core::batch::BatchError> {
//! use ratatoskr_core::{
//!     batch::{BatchBuilder, RecordBatch, RecordLimits},
//!     config::Compression,
//!     record::Record,
//!     time::Timestamp,
//! };
//!
//! let mut builder = BatchBuilder::new(Compression::None);
//! builder.push(&Record::new("hello"), Timestamp::new(1_700_000_000_000))?;
//! let wire = builder.build()?.to_bytes();
//!
//! let batch = RecordBatch::parse(wire)?;
//! for record in batch.records(&RecordLimits::default())? {
//!     assert_eq!(record?.value.as_deref(), Some(&b"hello"[..]));
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Where to look
//! | module | has |
//! |---|---|
//! | [`broker`] | the engine: administration, sending, reading, subscriptions, supervision |
//! | [`batch`], [`record`], [`routing`] | records, Kafka's record batches, which partition a key goes to |
//! | [`storage`] | what a backend implements |
//! | [`compaction`] | what keeps the latest record of each key |
//! | [`commit`] | what decides order and durability: a write-ahead log, or a cluster |
//! | [`groups`] | consumer groups: members, assignments, committed offsets |
//! | [`wire`] | the frames of the native protocol |
//! | [`door`] | what doors that serve byte streams share |
//! | [`name`], [`offset`], [`producer`], [`time`], [`config`] | the words that all of it is made of |
//! | [`delivery`] | what queue groups are configured with and told |
//! | [`limits`] | every bound, by name |
//!
//! # What it does not do
//! It opens no file and no socket, and reads no clock: time comes from a [`time::Clock`] (timers
//! are tokio's). It has no backend, no server and no command line of its own.
//!
//! # Features
//! | feature | adds |
//! |---|---|
//! | `gzip`, `snappy`, `lz4`, `zstd` | one codec for record batches each |
//! | `compression` | all four |
//! | `conformance` | the test suite that certifies a storage backend |
//! | `counters` | a count of lock takes, for this project's own checks |
//!
//! None is on by default. A feature adds something and changes nothing that others do.

/// Unit tests share the backend and the committer of the integration tests, which name this crate.
#[cfg(test)]
extern crate self as ratatoskr_core;

pub mod batch;
pub mod broker;
pub mod commit;
pub mod compaction;
pub mod config;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod delivery;
pub mod door;
mod error;
pub mod groups;
pub mod limits;
pub mod name;
pub mod offset;
pub mod producer;
pub mod record;
pub mod routing;
pub mod storage;
mod storage_error;
#[doc(hidden)]
pub mod sync;
pub mod time;
pub mod wire;

pub use broker::{Broker, BrokerConfig};
pub use bytes;
pub use error::{Error, Outcome, Result};
