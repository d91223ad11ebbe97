//! What an operation of the client can answer instead of a result.

use std::time::Duration;

use ratatoskr_core::{Outcome, batch::BatchError, wire::RemoteError};

/// What every operation of the client answers with.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the client. Cheap to clone, since one lost connection fails many operations.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The broker's answer; the same in process and over the network.
    #[error(transparent)]
    Broker(#[from] ratatoskr_core::Error),
    /// The server's answer, where it is none of the broker's.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The address is not one of a broker.
    #[error("{address:?} is not an address: expected ratatoskr://HOST:PORT")]
    InvalidAddress {
        /// What was given.
        address: String,
    },
    /// There is no connection, and none could be made. Nothing was carried out.
    #[error("cannot connect to {address}: {reason}")]
    Unreachable {
        /// Where to.
        address: String,
        /// What was said.
        reason: String,
    },
    /// The connection ended before the answer.
    #[error("connection to {address} lost: {reason}")]
    ConnectionLost {
        /// Where to.
        address: String,
        /// What was seen.
        reason: String,
        /// Whether the request may have been carried out.
        outcome: Outcome,
    },
    /// No answer came in time.
    #[error("{operation} had no answer within {after:?}")]
    TimedOut {
        /// What was asked for.
        operation: &'static str,
        /// How long was waited.
        after: Duration,
        /// Whether it may have been carried out.
        outcome: Outcome,
    },
    /// The producer holds as many bytes of records as it may, and was told not to wait (any longer).
    #[error("the producer's buffer of {bytes_max} bytes is full")]
    BufferFull {
        /// Its size.
        bytes_max: usize,
    },
    /// The record cannot be put into a batch, or bytes received are no batch.
    #[error("invalid record batch: {0}")]
    Batch(#[from] BatchError),
    /// The record is larger than the topic, the server or the producer's buffer takes.
    #[error("a record of about {bytes} bytes is larger than the {bytes_max} allowed")]
    RecordTooLarge {
        /// Bytes of a batch with this record alone.
        bytes: usize,
        /// The smallest of the limits.
        bytes_max: usize,
    },
    /// The peer does not keep to the protocol.
    #[error("protocol error: {0}")]
    Protocol(String),
    /// The client or the producer has been closed.
    #[error("closed")]
    Closed,
}

impl Error {
    /// Whether the same call may succeed later without anybody changing anything, and surely had no
    /// effect now.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Broker(error) => error.is_retryable(),
            Self::Remote(error) => error.retryable,
            Self::Unreachable { .. } | Self::BufferFull { .. } => true,
            Self::ConnectionLost { outcome, .. } | Self::TimedOut { outcome, .. } => {
                matches!(outcome, Outcome::Failed)
            }
            Self::InvalidAddress { .. }
            | Self::Batch(_)
            | Self::RecordTooLarge { .. }
            | Self::Protocol(_)
            | Self::Closed => false,
        }
    }

    /// The same of a request that may have been carried out before this came.
    pub(crate) fn perhaps_carried_out(mut self) -> Self {
        if let Self::ConnectionLost { outcome, .. } = &mut self {
            *outcome = Outcome::Unknown;
        }
        self
    }

    /// What is known of the request, or the send, that this error answers.
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Broker(error) => error.outcome(),
            Self::ConnectionLost { outcome, .. } | Self::TimedOut { outcome, .. } => *outcome,
            Self::Protocol(_) => Outcome::Unknown,
            _ => Outcome::Failed,
        }
    }
}
