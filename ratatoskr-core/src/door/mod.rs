//! What the doors that serve byte streams share: bytes in and out, deadlines, an orderly end.
//!
//! Nothing here opens a socket: whoever accepts connections hands in their streams. A connection is
//! one task that polls all of this by itself.

mod buffers;
mod close;
mod deadlines;
mod drain;

pub use buffers::{WRITTEN_ON_END_MAX, poll_read, poll_write};
pub use close::{close, flush_and_close};
pub use deadlines::Deadlines;
pub use drain::{Drain, DrainSwitch};
