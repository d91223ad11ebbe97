//! Frames of the native protocol. `docs/wire.md` is normative; this module is its code.
//!
//! ```text
//! frame.rs       header, length, CRC-32: bytes ⇄ Frame
//! queue.rs       frames on their way out         inbox.rs       and in
//! kind.rs        one byte a kind          error.rs       error codes
//! hello.rs       versions, ping, goodbye  topics.rs      administration
//! broker_error.rs  Error ⇄ error body   group_error.rs  those of groups
//! produce.rs     batches in               fetch.rs       batches out, offsets
//! subscribe.rs   batches pushed           stats.rs       counters
//! groups.rs      consumer groups
//! queues.rs      queue groups             dead_letters.rs
//! ```
//! Nothing here opens a socket: the server and the client move the bytes. A body is the
//! `MessagePack` array of its struct's fields in their order; a version never changes a body.

mod broker_error;
mod dead_letters;
mod durability;
mod error;
mod fetch;
mod frame;
mod group_error;
mod groups;
mod hello;
mod inbox;
mod kind;
mod produce;
mod queue;
mod queue_error;
mod queues;
mod stats;
mod subscribe;
#[cfg(test)]
mod tests;
mod topics;

use bytes::BytesMut;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use broker_error::RemoteError;
pub use dead_letters::{
    BrowseDeadLetters, DeadLetterBody, DeadLetters, DiscardDeadLetters, ListDeadLetterTopics,
    RedriveDeadLetters,
};
pub use durability::WireDurability;
pub use error::{ErrorBody, ErrorCode};
pub use fetch::{Fetch, FetchPartition, Fetched, FetchedPartition, FindOffset, FoundOffset};
pub use frame::{BODY_DEPTH_MAX, FRAME_HEADER_BYTES, Frame, FrameError, FrameHead};
pub use groups::{
    CommitOffsets, DeleteGroup, DeleteOffsets, DescribeGroup, FetchOffsets, GroupHeartbeat,
    GroupHeartbeatBody, GroupLag, ListGroups, ResetOffsets,
};
pub use hello::{
    Goodbye, HELLO_VERSION, Hello, Ping, VERSION_MAX, VERSION_MIN, Welcome, negotiate,
};
pub use inbox::Inbox;
pub use kind::Kind;
pub use produce::{NewProducer, Produce, Produced, ProducerBody};
pub use queue::FrameQueue;
pub use queues::{
    AlterQueue, CreateQueue, DeleteQueue, DescribeQueue, ListQueues, PeekQueue, PeekedBody,
    QueueAcquire, QueueAcquired, QueueAcquiredPartition, QueueBody, QueueLeave, QueuePartitionBody,
    QueueSettle, QueueTopicBody, SettlementBody,
};
pub use stats::{ProblemBody, Stats, StatsBody};
pub use subscribe::{Credit, Deliver, Subscribe, Unsubscribe};
pub use topics::{
    AddPartitions, AlterTopic, ConfigEntries, CreateTopic, DeleteTopic, DescribeTopic, ListTopics,
    PartitionBody, TopicBody, TopicSummary, Trim,
};

/// A frame in bytes, unless a peer allows more.
pub const FRAME_BYTES_MAX: usize = 16 << 20;
/// A frame before the hello is answered, in bytes.
pub const HELLO_FRAME_BYTES_MAX: usize = 16 << 10;

/// What a frame of one kind has as its body.
pub trait Body: Serialize + DeserializeOwned {
    /// The kind.
    const KIND: Kind;
}

/// A body that is answered.
pub trait Request: Body {
    /// With what.
    type Response: Serialize + DeserializeOwned;
}

impl Request for Hello {
    type Response = Welcome;
}

impl Request for Ping {
    type Response = Done;
}

/// The response that says no more than that it is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {}

/// A duration as it travels.
fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Appends a frame of `body`'s kind to `out`; `batches_bytes` of record batches must follow it.
///
/// # Errors
/// As [`FrameHead::encode`].
pub fn encode<B: Body>(
    version: u8,
    correlation: u64,
    body: &B,
    batches_bytes: usize,
    out: &mut BytesMut,
) -> Result<(), FrameError> {
    let head = FrameHead {
        version,
        kind_code: B::KIND.code(),
        correlation,
    };
    head.encode(body, batches_bytes, out)
}

/// Appends the response to a request `R` to `out`; `batches_bytes` of record batches must follow it.
///
/// # Errors
/// As [`FrameHead::encode`].
pub fn encode_response<R: Request>(
    version: u8,
    correlation: u64,
    body: &R::Response,
    batches_bytes: usize,
    out: &mut BytesMut,
) -> Result<(), FrameError> {
    let head = FrameHead {
        version,
        kind_code: R::KIND.response_code(),
        correlation,
    };
    head.encode(body, batches_bytes, out)
}
