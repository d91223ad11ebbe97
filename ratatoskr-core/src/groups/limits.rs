//! What a machine is bounded by.

use std::time::Duration;

use crate::error::Error;

/// The bounds of groups, as the broker is configured.
#[derive(Clone, Debug)]
pub(crate) struct GroupLimits {
    pub(crate) session_timeout: Duration,
    pub(crate) heartbeat_interval: Duration,
    pub(crate) rebalance_timeout_max: Duration,
    /// Of classic groups, whose members choose their own session timeout.
    pub(crate) session_timeout_min: Duration,
    pub(crate) session_timeout_max: Duration,
    pub(crate) initial_rebalance_delay: Duration,
    pub(crate) metadata_bytes_max: usize,
    pub(crate) members_max: usize,
    pub(crate) member_topics_max: usize,
    pub(crate) offsets_max: usize,
    pub(crate) offset_metadata_bytes_max: usize,
    pub(crate) offsets_retention: Duration,
}

/// # Errors
/// [`Error::LimitReached`] where there are more than may be.
pub(super) fn check(limit: &'static str, found: usize, max: usize) -> Result<(), Error> {
    if found <= max {
        return Ok(());
    }
    Err(Error::LimitReached {
        limit,
        max: max as u64,
    })
}
