//! The broker's errors as bodies, and bodies as the broker's errors again.
//!
//! What a caller branches on survives the journey. Errors that only describe what was wrong with the
//! sender's bytes come back as the sentence they were ([`RemoteError`]).

use std::sync::Arc;

use super::{ErrorBody, ErrorCode, FrameError};
use crate::{
    Error,
    config::InvalidConfig,
    name::TopicName,
    offset::{Bounds, Offset, PartitionIndex},
    producer::{ProducerEpoch, ProducerId, Sequence},
    storage::{IoKind, StorageError},
};

/// An error of a peer that is none of [`Error`]'s variants here: about the frames themselves, about
/// the sender's bytes, or one that only a newer peer knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RemoteError {
    /// The code, where this version knows it.
    pub code: Option<ErrorCode>,
    /// Whether the same request may succeed later, unchanged.
    pub retryable: bool,
    /// For people.
    pub message: String,
}

impl From<&Error> for ErrorBody {
    fn from(error: &Error) -> Self {
        let body = Self::new(code_of(error), error.to_string());
        match error {
            Error::UnknownTopic(topic)
            | Error::TopicExists(topic)
            | Error::InternalTopic(topic) => body.about(topic.as_str()),
            Error::UnknownPartition { topic, partition } => body
                .about(topic.as_str())
                .with_numbers([partition.get().into()]),
            Error::OffsetOutOfRange { requested, bounds } => {
                body.with_numbers(range_numbers(*requested, bounds))
            }
            Error::CorruptRecords {
                from,
                until,
                detail,
            } => body
                .about(detail)
                .with_numbers([from.to_wire(), until.to_wire()]),
            Error::BatchTooLarge { bytes, bytes_max } => {
                body.with_numbers([wire_size(*bytes), i64::from(*bytes_max)])
            }
            Error::InvalidConfig(InvalidConfig {
                key,
                value,
                expected,
            }) => body.about(key).about(value).about(expected),
            Error::Unsupported(what) => body.about(what),
            Error::LimitReached { limit, max } => body
                .about(*limit)
                .with_numbers([i64::try_from(*max).unwrap_or(i64::MAX)]),
            Error::Overloaded { bytes_max } => body.with_numbers([wire_size(*bytes_max)]),
            Error::OutOfOrderSequence {
                producer,
                expected,
                found,
            } => body.with_numbers([producer.get(), expected.get().into(), found.get().into()]),
            Error::ProducerFenced {
                producer,
                current,
                found,
            } => body.with_numbers([producer.get(), current.get().into(), found.get().into()]),
            Error::PartitionOffline {
                topic,
                partition,
                reason,
            } => body
                .about(topic.as_str())
                .about(reason)
                .with_numbers([partition.get().into()]),
            Error::OutcomeUnknown { reason } | Error::Fenced { reason } => body.about(reason),
            Error::Group(error) => body.about_group(error),
            Error::Queue(error) => body.about_queue(error),
            Error::InvalidBatch(_)
            | Error::ShuttingDown
            | Error::Storage(_)
            | Error::Internal(_) => body,
        }
    }
}

impl From<&Error> for ErrorCode {
    fn from(error: &Error) -> Self {
        code_of(error)
    }
}

fn code_of(error: &Error) -> ErrorCode {
    match error {
        Error::UnknownTopic(_) => ErrorCode::UnknownTopic,
        Error::TopicExists(_) => ErrorCode::TopicExists,
        Error::InternalTopic(_) => ErrorCode::InternalTopic,
        Error::UnknownPartition { .. } => ErrorCode::UnknownPartition,
        Error::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        Error::CorruptRecords { .. } => ErrorCode::CorruptRecords,
        Error::InvalidBatch(_) => ErrorCode::InvalidBatch,
        Error::BatchTooLarge { .. } => ErrorCode::BatchTooLarge,
        Error::InvalidConfig(_) => ErrorCode::InvalidConfig,
        Error::Unsupported(_) => ErrorCode::Unsupported,
        Error::LimitReached { .. } => ErrorCode::LimitReached,
        Error::Overloaded { .. } => ErrorCode::Overloaded,
        Error::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequence,
        Error::ProducerFenced { .. } => ErrorCode::ProducerFenced,
        Error::PartitionOffline { .. } => ErrorCode::PartitionOffline,
        Error::OutcomeUnknown { .. } => ErrorCode::OutcomeUnknown,
        Error::Fenced { .. } => ErrorCode::Fenced,
        Error::ShuttingDown => ErrorCode::ShuttingDown,
        Error::Group(error) => ErrorCode::of_group(error),
        Error::Queue(error) => ErrorCode::of_queue(error),
        Error::Storage(StorageError::Io {
            kind: IoKind::Full, ..
        }) => ErrorCode::StorageFull,
        Error::Storage(error) if error.is_retryable() => ErrorCode::StorageUnavailable,
        Error::Storage(_) => ErrorCode::StorageFailed,
        Error::Internal(_) => ErrorCode::Internal,
    }
}

impl From<&FrameError> for ErrorBody {
    fn from(error: &FrameError) -> Self {
        match error {
            FrameError::TooLarge { length, max } => {
                Self::new(ErrorCode::FrameTooLarge, error.to_string())
                    .with_numbers([i64::try_from(*length).unwrap_or(i64::MAX), wire_size(*max)])
            }
            FrameError::Encode(_) => Self::new(ErrorCode::Internal, error.to_string()),
            _ => Self::new(ErrorCode::Malformed, error.to_string()),
        }
    }
}

fn range_numbers(requested: Offset, bounds: &Bounds) -> [i64; 6] {
    let Bounds {
        log_start,
        last_stable,
        high_watermark,
        log_end,
        durable_end,
    } = *bounds;
    [
        requested,
        log_start,
        last_stable,
        high_watermark,
        log_end,
        durable_end,
    ]
    .map(Offset::to_wire)
}

fn wire_size(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

impl ErrorBody {
    /// The broker's error that this was made of.
    ///
    /// # Errors
    /// [`RemoteError`] where it was none, or where a value is missing that the code's entry names.
    pub fn into_error(self) -> Result<Error, RemoteError> {
        match self.known_code().and_then(|code| self.to_error(code)) {
            Some(error) => Ok(error),
            None => Err(RemoteError {
                code: self.known_code(),
                retryable: self.retryable,
                message: self.message,
            }),
        }
    }

    fn to_error(&self, code: ErrorCode) -> Option<Error> {
        let error = match code {
            ErrorCode::UnknownTopic => Error::UnknownTopic(self.topic()?),
            ErrorCode::TopicExists => Error::TopicExists(self.topic()?),
            ErrorCode::InternalTopic => Error::InternalTopic(self.topic()?),
            ErrorCode::UnknownPartition => Error::UnknownPartition {
                topic: self.topic()?,
                partition: self.partition()?,
            },
            ErrorCode::OffsetOutOfRange => self.offset_out_of_range()?,
            ErrorCode::CorruptRecords => Error::CorruptRecords {
                from: self.offset(0)?,
                until: self.offset(1)?,
                detail: self.text(0)?,
            },
            ErrorCode::BatchTooLarge => Error::BatchTooLarge {
                bytes: self.number(0)?.try_into().ok()?,
                bytes_max: self.number(1)?.try_into().ok()?,
            },
            ErrorCode::InvalidConfig => Error::InvalidConfig(InvalidConfig {
                key: self.text(0)?,
                value: self.text(1)?,
                expected: self.text(2)?,
            }),
            ErrorCode::Unsupported => Error::Unsupported(self.text(0)?),
            ErrorCode::Overloaded => Error::Overloaded {
                bytes_max: self.number(0)?.try_into().ok()?,
            },
            ErrorCode::OutOfOrderSequence => Error::OutOfOrderSequence {
                producer: ProducerId::new(self.number(0)?),
                expected: Sequence::new(self.number(1)?.try_into().ok()?),
                found: Sequence::new(self.number(2)?.try_into().ok()?),
            },
            ErrorCode::ProducerFenced => Error::ProducerFenced {
                producer: ProducerId::new(self.number(0)?),
                current: ProducerEpoch::new(self.number(1)?.try_into().ok()?),
                found: ProducerEpoch::new(self.number(2)?.try_into().ok()?),
            },
            ErrorCode::PartitionOffline => Error::PartitionOffline {
                topic: self.topic()?,
                partition: self.partition()?,
                reason: self.text(1)?,
            },
            ErrorCode::OutcomeUnknown => Error::OutcomeUnknown {
                reason: self.text(0)?,
            },
            ErrorCode::Fenced => Error::Fenced {
                reason: self.text(0)?,
            },
            ErrorCode::ShuttingDown => Error::ShuttingDown,
            ErrorCode::StorageFull => self.storage(IoKind::Full),
            ErrorCode::StorageUnavailable => self.storage(IoKind::Unavailable),
            ErrorCode::StorageFailed => self.storage(IoKind::Other),
            ErrorCode::Internal => Error::Internal(self.message.clone()),
            code => match self.to_queue_error(code) {
                Some(error) => Error::Queue(error),
                None => Error::Group(self.to_group_error(code)?),
            },
        };
        Some(error)
    }

    fn offset_out_of_range(&self) -> Option<Error> {
        Some(Error::OffsetOutOfRange {
            requested: self.offset(0)?,
            bounds: Bounds {
                log_start: self.offset(1)?,
                last_stable: self.offset(2)?,
                high_watermark: self.offset(3)?,
                log_end: self.offset(4)?,
                durable_end: self.offset(5)?,
            },
        })
    }

    fn storage(&self, kind: IoKind) -> Error {
        Error::Storage(StorageError::Io {
            kind,
            operation: "at the broker".into(),
            source: Arc::from(Box::<dyn std::error::Error + Send + Sync>::from(
                self.message.clone(),
            )),
        })
    }

    fn text(&self, at: usize) -> Option<String> {
        self.texts.get(at).cloned()
    }

    fn topic(&self) -> Option<TopicName> {
        TopicName::parse(self.texts.first()?).ok()
    }

    fn number(&self, at: usize) -> Option<i64> {
        self.numbers.get(at).copied()
    }

    fn offset(&self, at: usize) -> Option<Offset> {
        Offset::from_wire(self.number(at)?)
    }

    fn partition(&self) -> Option<PartitionIndex> {
        u32::try_from(self.number(0)?).ok().map(PartitionIndex::new)
    }
}
