//! What a consumer says of records that it holds.

use std::time::Duration;

use super::FencingToken;
use crate::offset::{Offset, PartitionIndex};

/// What becomes of records that a consumer holds under one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The records' partition.
    pub partition: PartitionIndex,
    /// The first offset.
    pub first: Offset,
    /// The last offset, included. Offsets between that were settled before, or hold no record, are
    /// passed over; at least one must be held under the token, and none by anybody else.
    pub last: Offset,
    /// The token that they were delivered with.
    pub token: FencingToken,
    /// What becomes of them.
    pub action: SettleAction,
}

/// See [`Settlement`].
///
/// After [`Release`](Self::Release) and [`Retry`](Self::Retry) records that have been delivered as
/// often as their group allows are dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettleAction {
    /// They are done.
    Acknowledge,
    /// They may be delivered again at once. The delivery counts.
    Release,
    /// They are delivered again later.
    Retry {
        /// How long to wait; `None` for the group's backoff.
        after: Option<Duration>,
        /// What went wrong: kept with the dead letter if this was the last attempt.
        cause: Option<String>,
    },
    /// They go to the dead letters at once.
    Reject {
        /// What is wrong with them: kept with the dead letter.
        cause: String,
    },
    /// The whole lease is to last this long from now on.
    Extend(Duration),
}
