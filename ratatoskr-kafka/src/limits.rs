//! What a Kafka connection may cost, by name.

use std::time::Duration;

/// Bounds of the Kafka door; [`KafkaLimits::default`] has the documented defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaLimits {
    /// Largest request taken, in bytes.
    pub request_bytes_max: usize,
    /// Elements of all arrays of one request together: topics, partitions, configurations and so on.
    pub request_elements_max: usize,
    /// Bytes of unanswered requests and unsent responses beyond which a connection is not read from.
    pub in_flight_bytes_max: usize,
    /// Unanswered requests beyond which a connection is not read from.
    pub requests_in_flight_max: usize,
    /// Longest that a fetch may wait for records.
    pub fetch_wait_max: Duration,
    /// A request must be whole this long after its first byte.
    pub frame_deadline: Duration,
    /// A connection on which nothing arrives for this long, while nothing is owed to it, is closed.
    pub idle_deadline: Duration,
}

impl Default for KafkaLimits {
    fn default() -> Self {
        Self {
            request_bytes_max: 100 << 20,
            request_elements_max: 200_000,
            in_flight_bytes_max: 16 << 20,
            requests_in_flight_max: 1_000,
            fetch_wait_max: Duration::from_mins(1),
            frame_deadline: Duration::from_secs(30),
            idle_deadline: Duration::from_mins(10),
        }
    }
}
