//! What a load generator is made of, whoever it loads: this broker over the network, one in the same
//! process, or another broker altogether.
//!
//! ```text
//! Plan ──► drive ──send──► Sink (yours)          Payloads ──► records that prove themselves
//!            │  ◄─receipt─┘                      Verifier ◄── what was read
//!            ▼
//!          Tally ──► Latencies ──► Report        one object: JSON, or text for people
//! ```
//!
//! A queue is worked off by a [`work::Worker`] (yours), in either loop.
//!
//! - In a **closed loop** a fixed number of sends is in flight: it finds the highest throughput.
//! - In an **open loop** sends are due at fixed moments, and the latency of a send counts from when
//!   it was due. A target that stalls is charged for all that had to wait (no coordinated omission).
//!
//! The generator is to cost little beside what it measures: the clock is read once a burst,
//! acknowledgements are settled in the order of the sends, nothing is locked or allocated a record,
//! and between bursts it sleeps on a [`Timer`] that wakes within tens of microseconds.

mod begun;
mod drive;
mod latencies;
mod pace;
mod payloads;
mod report;
mod tally;
mod timer;
pub mod work;

pub use begun::{Begun, begun};
pub use drive::{Sink, drive};
pub use latencies::{Latencies, Percentiles};
pub use pace::{Pace, Plan, Schedule};
pub use payloads::{BYTES_MIN, Label, Payloads, Verifier};
pub use report::Report;
pub use tally::Tally;
pub use timer::Timer;
