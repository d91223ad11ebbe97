//! The locks of the project: those of `parking_lot`, which can be counted.
//!
//! Engine, backends, client and doors take their locks from here. Without the feature `counters`
//! the names are `parking_lot`'s own types. With it `Mutex` and `RwLock` count each take before
//! they delegate, so that `cargo xtask counters` can tell how many locks a record costs; guards and
//! `Condvar` stay `parking_lot`'s. Not for programs that use Ratatoskr.

#[cfg(feature = "counters")]
mod counted;

pub use parking_lot::{Condvar, MutexGuard, RwLockReadGuard, RwLockWriteGuard};

#[cfg(not(feature = "counters"))]
pub use parking_lot::{Mutex, RwLock};

#[cfg(feature = "counters")]
pub use counted::{Mutex, RwLock, Site, sites, takes};
