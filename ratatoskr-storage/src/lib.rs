//! Storage backends of the Ratatoskr message broker: in the heap, or on disk.
//!
//! ```text
//!   MemoryStorage      topics in the heap: for tests, and for data that may go with the process
//!   MmapStorage        topics in a directory
//!     ├ wal            one write-ahead log for all partitions: many batches, one sync
//!     ├ disk           catalog, checkpoints, recovery: what ties the two together
//!     ├ mmap           a partition's log: segments with a sparse index beside each
//!     └ io             every file operation, so that crashes and faults can be simulated
//! ```
//!
//! Both implement [`Storage`](ratatoskr_core::storage::Storage) and pass the same conformance kit.
//! The formats are in `docs/format.md`.
//!
//! ```
//! use std::sync::Arc;
//!
//! use ratatoskr_core::{broker::NewTopic, name::TopicName, record::Record};
//! use ratatoskr_storage::{MmapOptions, MmapStorage};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let directory = tempfile::tempdir()?;
//! let storage = Arc::new(MmapStorage::open(directory.path(), MmapOptions::default()).await?);
//! let broker = storage.broker().open().await?;
//!
//! let topic: TopicName = "greetings".parse()?;
//! broker.create_topic(&topic, NewTopic::default()).await?;
//! let sent = broker.publish(&topic, Record::new("hello")).await?;
//! assert_eq!(sent.offset.get(), 0);
//! # Ok(())
//! # }
//! ```
//!
//! # What it does not do
//! It knows nothing of producers, consumers or groups, and speaks no protocol: that is the engine's
//! and the doors'.
//!
//! # Features
//! | feature | adds | by default |
//! |---|---|---|
//! | `memory` | `MemoryStorage` | yes |
//! | `mmap` | `MmapStorage` | yes |
//! | `sim` | a file system in memory that can crash, for tests | no |
//! | `planted-bugs` | mistakes that can be switched on, to prove that the crash model finds them | no |

#[cfg(feature = "mmap")]
mod blocking;
mod clock;
#[cfg(feature = "mmap")]
mod disk;
pub mod io;
#[cfg(feature = "memory")]
mod memory;
#[cfg(feature = "mmap")]
pub mod mmap;
#[cfg(any(feature = "memory", feature = "mmap"))]
mod pieces;
#[cfg(feature = "mmap")]
pub mod planted;
#[cfg(feature = "mmap")]
mod wal;

pub use clock::SystemClock;
#[cfg(feature = "mmap")]
pub use disk::{MmapOptions, MmapStorage, RecoveryReport, TornTail};
#[cfg(feature = "memory")]
pub use memory::MemoryStorage;
#[cfg(feature = "mmap")]
pub use mmap::Verify;
#[cfg(feature = "mmap")]
pub use wal::{InvalidWalOptions, WalOptions};

/// The README's program is compiled and run with the doctests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
