//! What a native connection may cost, by name.

use std::time::Duration;

use ratatoskr_core::wire;

/// Bounds of the native door; [`NativeLimits::default`] has the documented defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativeLimits {
    /// Largest frame taken, in bytes.
    pub frame_bytes_max: usize,
    /// Bytes of unanswered requests and unsent responses beyond which a connection is not read from.
    pub in_flight_bytes_max: usize,
    /// Unanswered requests beyond which a connection is not read from.
    pub requests_in_flight_max: usize,
    /// Subscriptions of one connection.
    pub subscriptions_max: usize,
    /// Consumers of queue groups that one connection speaks for.
    pub queue_consumers_max: usize,
    /// Partitions of one fetch or subscription.
    pub partitions_per_request_max: usize,
    /// Longest that a fetch may wait for records.
    pub fetch_wait_max: Duration,
    /// Connections in all.
    pub connections_max: usize,
    /// Connections from one address.
    pub connections_per_address_max: usize,
    /// A connection must have said hello after this long.
    pub handshake_deadline: Duration,
    /// A frame must be whole this long after its first byte.
    pub frame_deadline: Duration,
    /// A connection on which nothing arrives for this long is closed.
    pub idle_deadline: Duration,
    /// How long connections may take to finish when the server shuts down.
    pub drain_deadline: Duration,
}

impl Default for NativeLimits {
    fn default() -> Self {
        Self {
            frame_bytes_max: wire::FRAME_BYTES_MAX,
            in_flight_bytes_max: 16 << 20,
            requests_in_flight_max: 10_000,
            subscriptions_max: 1_000,
            queue_consumers_max: 10_000,
            partitions_per_request_max: 10_000,
            fetch_wait_max: Duration::from_mins(1),
            connections_max: 10_000,
            connections_per_address_max: 1_000,
            handshake_deadline: Duration::from_secs(10),
            frame_deadline: Duration::from_secs(30),
            idle_deadline: Duration::from_mins(10),
            drain_deadline: Duration::from_secs(10),
        }
    }
}
