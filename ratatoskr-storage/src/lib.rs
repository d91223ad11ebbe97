//! Storage backends of the Ratatoskr message broker.

mod clock;
pub mod io;
#[cfg(feature = "memory")]
mod memory;
#[cfg(feature = "mmap")]
pub mod mmap;

pub use clock::SystemClock;
#[cfg(feature = "memory")]
pub use memory::MemoryStorage;
