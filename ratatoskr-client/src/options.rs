//! How a client connects.

use std::time::Duration;

/// Longest time that a producer or consumer waits for anything: it can be added to any moment.
pub(crate) const FOREVER: Duration = Duration::from_hours(24 * 365);
/// How often a topic is asked for partitions that were added.
pub(crate) const PARTITIONS_REFRESH: Duration = Duration::from_secs(30);

/// Settings of a client's connection; [`ConnectOptions::default`] has the documented defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectOptions {
    /// How the client names itself to the server.
    pub name: String,
    /// How long one attempt to connect may take.
    pub connect_timeout: Duration,
    /// How long an operation waits for a connection and its answer together.
    pub request_timeout: Duration,
    /// Wait before the second attempt to reconnect; it doubles with each attempt.
    pub backoff_min: Duration,
    /// Longest wait between two attempts to reconnect.
    pub backoff_max: Duration,
    /// A connection on which nothing arrives for this long is asked for a sign of life; after twice
    /// as long it counts as lost.
    pub keep_alive: Duration,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            name: concat!("ratatoskr-client ", env!("CARGO_PKG_VERSION")).into(),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(5),
            keep_alive: Duration::from_secs(30),
        }
    }
}
