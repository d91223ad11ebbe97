//! What an operation of the broker can answer instead of a result.
//!
//! Callers branch on the variants. Two questions have an answer for each of them: may the same call
//! succeed later ([`Error::is_retryable`]), and, for a send, is it known that nothing was appended
//! ([`Error::outcome`]).

use crate::{
    batch::BatchError,
    commit::CommitError,
    config::InvalidConfig,
    delivery::QueueError,
    groups::GroupError,
    name::TopicName,
    offset::{Bounds, Offset, PartitionIndex},
    producer::{ProducerEpoch, ProducerId, Sequence},
    storage::StorageError,
};

/// What every operation of the broker answers with.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the broker. Cheap to clone, since one failed commit fails many sends.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no topic of this name (any more).
    #[error("there is no topic named {0}")]
    UnknownTopic(TopicName),
    /// A topic of this name is there already.
    #[error("a topic named {0} exists")]
    TopicExists(TopicName),
    /// The name is kept for topics of the engine's own.
    #[error("topic names that begin with \"_rt.\" belong to the broker, as {0} does")]
    InternalTopic(TopicName),
    /// The topic has fewer partitions.
    #[error("topic {topic} has no partition {partition}")]
    UnknownPartition {
        /// The topic.
        topic: TopicName,
        /// What was asked for.
        partition: PartitionIndex,
    },
    /// The offset is not in the log (any more).
    #[error(
        "offset {requested} is out of range {} to {}",
        bounds.log_start, bounds.log_end
    )]
    OffsetOutOfRange {
        /// What was asked for.
        requested: Offset,
        /// What there is.
        bounds: Bounds,
    },
    /// The records kept for these offsets are not the records appended.
    #[error("records {from} to {until} (exclusive) are corrupt: {detail}")]
    CorruptRecords {
        /// First offset concerned.
        from: Offset,
        /// One past the last.
        until: Offset,
        /// What was seen.
        detail: String,
    },
    /// The bytes sent are not a batch that can be appended.
    #[error("invalid record batch: {0}")]
    InvalidBatch(#[from] BatchError),
    /// The batch is larger than its topic takes.
    #[error("batch of {bytes} bytes is larger than the {bytes_max} its topic takes")]
    BatchTooLarge {
        /// Bytes of the batch.
        bytes: usize,
        /// The topic's `batch_bytes_max`.
        bytes_max: u32,
    },
    /// A configuration value that cannot be.
    #[error("invalid configuration: {0}")]
    InvalidConfig(#[from] InvalidConfig),
    /// The storage backend, or this build, cannot do what was asked for.
    #[error("not supported: {0}")]
    Unsupported(String),
    /// One of the broker's bounds is reached.
    #[error("{limit} of {max} is reached")]
    LimitReached {
        /// The bound's name, as the configuration has it.
        limit: &'static str,
        /// Its value.
        max: u64,
    },
    /// The broker holds as many bytes of unfinished sends as it may: send again later.
    #[error("{bytes_max} bytes of sends are in flight, which is all the broker takes at once")]
    Overloaded {
        /// The broker's `in_flight_bytes_max`.
        bytes_max: usize,
    },
    /// A batch of this producer is missing before this one.
    #[error("producer {producer} sent sequence {found} where {expected} was next")]
    OutOfOrderSequence {
        /// Who sent it.
        producer: ProducerId,
        /// The sequence that would have been next.
        expected: Sequence,
        /// The batch's base sequence.
        found: Sequence,
    },
    /// A newer life of this producer has written to the partition: the sender must stop.
    #[error("producer {producer} of epoch {found} is fenced by epoch {current}")]
    ProducerFenced {
        /// Who sent it.
        producer: ProducerId,
        /// The newest epoch seen.
        current: ProducerEpoch,
        /// The batch's epoch.
        found: ProducerEpoch,
    },
    /// The partition is down for now; the broker is bringing it back.
    #[error("partition {partition} of topic {topic} is offline: {reason}")]
    PartitionOffline {
        /// The topic.
        topic: TopicName,
        /// The partition.
        partition: PartitionIndex,
        /// What took it down.
        reason: String,
    },
    /// Appended or not, nobody knows. Only an idempotent producer may send again blindly.
    #[error("outcome unknown: {reason}")]
    OutcomeUnknown {
        /// What came between.
        reason: String,
    },
    /// The write-ahead log cannot be trusted any more: the broker takes nothing until it is restarted.
    #[error("the broker is fenced: {reason}")]
    Fenced {
        /// The first failure.
        reason: String,
    },
    /// The broker is shutting down or has shut down.
    #[error("the broker is shutting down")]
    ShuttingDown,
    /// The storage backend said no.
    #[error(transparent)]
    Storage(StorageError),
    /// A consumer group refuses what it is asked for.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// A queue refuses what it is asked for.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// A defect: the operation panicked. What it was doing has been cut off from the rest.
    #[error("internal error: {0}")]
    Internal(String),
}

/// What is known of a send that answered an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Surely not appended: safe to send again.
    Failed,
    /// Appended or not, nobody knows.
    Unknown,
}

impl Error {
    /// Whether the same call may succeed later without anybody changing anything, and surely had no
    /// effect now. An unknown outcome is not retryable in this sense, see [`Error::outcome`].
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Overloaded { .. } | Self::PartitionOffline { .. } | Self::ShuttingDown => true,
            Self::Storage(error) => error.is_retryable(),
            Self::Group(error) => error.is_retryable(),
            _ => false,
        }
    }

    /// What is known of the send that this error answers.
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::OutcomeUnknown { .. } | Self::Internal(_) => Outcome::Unknown,
            _ => Outcome::Failed,
        }
    }
}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::OffsetOutOfRange { requested, bounds } => {
                Self::OffsetOutOfRange { requested, bounds }
            }
            StorageError::Corrupt {
                from,
                until,
                detail,
            } => Self::CorruptRecords {
                from,
                until,
                detail,
            },
            StorageError::TopicExists(name) => Self::TopicExists(name),
            StorageError::Unsupported(what) => Self::Unsupported(what),
            StorageError::Fenced { reason } => Self::Fenced { reason },
            other => Self::Storage(other),
        }
    }
}

impl From<CommitError> for Error {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Failed(error) => error.into(),
            CommitError::Unknown(error) => Self::OutcomeUnknown {
                reason: error.to_string(),
            },
        }
    }
}
