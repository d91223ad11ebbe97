//! Storage backends of the Ratatoskr message broker.

mod clock;
#[cfg(feature = "mmap")]
mod disk;
pub mod io;
#[cfg(feature = "memory")]
mod memory;
#[cfg(feature = "mmap")]
pub mod mmap;
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
pub use wal::{InvalidWalOptions, WalOptions};
