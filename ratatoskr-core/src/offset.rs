//! Places in a partition's log.
//!
//! ```text
//!            ┌────────────── records that can be read ──────────────┐
//!  (trimmed) │ log start ≤ last stable ≤ high watermark ≤ log end    │ (nothing yet)
//! ```
//! All ends are exclusive. `durable end ≤ log end`. None of them ever goes back while the
//! broker runs.

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, serde::Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name($inner);

        impl $name {
            /// Wraps the number.
            pub const fn new(value: $inner) -> Self {
                Self(value)
            }

            /// The bare number.
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }
    };
}
pub(crate) use number;

number! {
    /// A record's place in its partition: 0, 1, 2, … and at most `i64::MAX` (it travels as an `i64`).
    Offset(u64)
}
number! {
    /// A partition's number within its topic, from 0.
    PartitionIndex(u32)
}
number! {
    /// Counts the leaders a partition has had; never goes back. -1 on the wire means "unknown".
    LeaderEpoch(i32)
}

impl LeaderEpoch {
    /// "Unknown" on the wire.
    pub const UNKNOWN: Self = Self(-1);
}

impl Offset {
    /// The first offset of every partition.
    pub const ZERO: Self = Self(0);
    /// The greatest offset that fits the wire's `i64`.
    pub const MAX: Self = Self(i64::MAX as u64);

    /// An offset as it travels; `None` where the wire's number is negative.
    pub const fn from_wire(value: i64) -> Option<Self> {
        if value < 0 {
            None
        } else {
            Some(Self(value.cast_unsigned()))
        }
    }

    /// The `i64` that travels.
    pub const fn to_wire(self) -> i64 {
        self.0.cast_signed()
    }

    /// The offset `records` further on, held at [`Offset::MAX`].
    #[must_use]
    pub fn plus(self, records: u64) -> Self {
        Self(self.0.saturating_add(records)).min(Self::MAX)
    }

    /// How many offsets lie from `earlier` (inclusive) to `self` (exclusive); 0 if none.
    pub const fn distance_from(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Where a partition's log begins and ends. Every end is exclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// The first offset that may be read.
    pub log_start: Offset,
    /// Up to here no transaction is open: what `read_committed` readers see.
    pub last_stable: Offset,
    /// Up to here records are committed at the topic's durability: what readers see.
    pub high_watermark: Offset,
    /// One past the last record in the log.
    pub log_end: Offset,
    /// Up to here records would survive a power cut.
    pub durable_end: Offset,
}

impl Bounds {
    /// The bounds of a backend, which holds only committed records: readable up to its end.
    pub const fn of_log(log_start: Offset, log_end: Offset, durable_end: Offset) -> Self {
        Self {
            log_start,
            last_stable: log_end,
            high_watermark: log_end,
            log_end,
            durable_end,
        }
    }

    /// The exclusive end of what a reader of this isolation sees.
    pub const fn readable_end(&self, isolation: IsolationLevel) -> Offset {
        match isolation {
            IsolationLevel::ReadUncommitted => self.high_watermark,
            IsolationLevel::ReadCommitted => self.last_stable,
        }
    }

    /// Records between log start and high watermark, gaps of compaction included.
    pub const fn records(&self) -> u64 {
        self.high_watermark.distance_from(self.log_start)
    }
}

/// Whether a reader sees records of open transactions (KIP-98).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum IsolationLevel {
    /// Everything below the high watermark.
    #[default]
    ReadUncommitted,
    /// Everything below the last stable offset.
    ReadCommitted,
}
