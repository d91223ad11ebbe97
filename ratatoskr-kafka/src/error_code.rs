//! Kafka's error codes, and which of them each error of the broker is.

use ratatoskr_core::{Error, batch::BatchError, wire};

macro_rules! codes {
    ($($name:ident = $number:literal),* $(,)?) => {
        /// An error code of Kafka's, by the name that Kafka's documentation gives it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(i16)]
        pub(crate) enum ErrorCode {
            $($name = $number),*
        }
    };
}

codes! {
    UnknownServerError = -1,
    None = 0,
    OffsetOutOfRange = 1,
    CorruptMessage = 2,
    UnknownTopicOrPartition = 3,
    NotLeaderOrFollower = 6,
    RequestTimedOut = 7,
    MessageTooLarge = 10,
    OffsetMetadataTooLarge = 12,
    CoordinatorLoadInProgress = 14,
    CoordinatorNotAvailable = 15,
    NotCoordinator = 16,
    InvalidTopicException = 17,
    NotEnoughReplicas = 19,
    InvalidRequiredAcks = 21,
    IllegalGeneration = 22,
    InconsistentGroupProtocol = 23,
    InvalidGroupId = 24,
    UnknownMemberId = 25,
    InvalidSessionTimeout = 26,
    RebalanceInProgress = 27,
    UnsupportedVersion = 35,
    TopicAlreadyExists = 36,
    InvalidPartitions = 37,
    InvalidReplicationFactor = 38,
    InvalidReplicaAssignment = 39,
    InvalidConfig = 40,
    InvalidRequest = 42,
    UnsupportedForMessageFormat = 43,
    PolicyViolation = 44,
    OutOfOrderSequenceNumber = 45,
    InvalidProducerEpoch = 47,
    TransactionalIdAuthorizationFailed = 53,
    KafkaStorageError = 56,
    NonEmptyGroup = 68,
    GroupIdNotFound = 69,
    FetchSessionIdNotFound = 70,
    FencedLeaderEpoch = 74,
    UnknownLeaderEpoch = 75,
    UnsupportedCompressionType = 76,
    MemberIdRequired = 79,
    GroupMaxSizeReached = 81,
    FencedInstanceId = 82,
    GroupSubscribedToTopic = 86,
    InvalidRecord = 87,
    UnknownTopicId = 100,
    FencedMemberEpoch = 110,
    UnreleasedInstanceId = 111,
    UnsupportedAssignor = 112,
    StaleMemberEpoch = 113,
    UnsupportedEndpointType = 115,
    InvalidRegularExpression = 128,
}

impl ErrorCode {
    /// What travels.
    pub(crate) const fn number(self) -> i16 {
        self as i16
    }
}

impl From<&Error> for ErrorCode {
    fn from(error: &Error) -> Self {
        match error {
            Error::InvalidBatch(error) => of_batch(error),
            Error::InvalidConfig(config) if config.key == "partitions" => Self::InvalidPartitions,
            error => of_kind(wire::ErrorCode::from(error)).unwrap_or(Self::UnknownServerError),
        }
    }
}

impl<T> From<&Result<T, Error>> for ErrorCode {
    fn from(result: &Result<T, Error>) -> Self {
        result.as_ref().err().map_or(Self::None, Self::from)
    }
}

/// The table: what each kind of error of the broker's is to a Kafka client. `None` where no request
/// of a Kafka client can end so.
///
/// What surely was not appended and may be sent again is told as such: clients retry it by
/// themselves. An unknown outcome is a time-out, which an idempotent producer retries safely.
const fn of_kind(kind: wire::ErrorCode) -> Option<ErrorCode> {
    use wire::ErrorCode as Kind;
    Some(match kind {
        Kind::Internal => ErrorCode::UnknownServerError,
        Kind::ShuttingDown | Kind::NotLeader => ErrorCode::NotLeaderOrFollower,
        Kind::UnknownTopic | Kind::UnknownPartition => ErrorCode::UnknownTopicOrPartition,
        Kind::TopicExists => ErrorCode::TopicAlreadyExists,
        Kind::InvalidTopicName | Kind::InternalTopic => ErrorCode::InvalidTopicException,
        Kind::InvalidConfig => ErrorCode::InvalidConfig,
        Kind::Unsupported | Kind::LimitReached => ErrorCode::PolicyViolation,
        Kind::OffsetOutOfRange => ErrorCode::OffsetOutOfRange,
        Kind::CorruptRecords => ErrorCode::CorruptMessage,
        Kind::InvalidBatch => ErrorCode::InvalidRecord,
        Kind::BatchTooLarge => ErrorCode::MessageTooLarge,
        Kind::Overloaded => ErrorCode::NotEnoughReplicas,
        Kind::OutcomeUnknown => ErrorCode::RequestTimedOut,
        Kind::OutOfOrderSequence => ErrorCode::OutOfOrderSequenceNumber,
        Kind::ProducerFenced => ErrorCode::InvalidProducerEpoch,
        Kind::PartitionOffline
        | Kind::StorageFull
        | Kind::StorageFailed
        | Kind::StorageUnavailable
        | Kind::Fenced => ErrorCode::KafkaStorageError,
        _ => return None,
    })
}

/// What is wrong with a batch, as far as Kafka tells it apart.
const fn of_batch(error: &BatchError) -> ErrorCode {
    match error {
        BatchError::UnsupportedMagic(_) => ErrorCode::UnsupportedForMessageFormat,
        BatchError::CrcMismatch { .. }
        | BatchError::Truncated { .. }
        | BatchError::InvalidLength(_) => ErrorCode::CorruptMessage,
        BatchError::UnknownCodec(_) | BatchError::CodecNotBuilt(_) => {
            ErrorCode::UnsupportedCompressionType
        }
        BatchError::TooLarge { .. } => ErrorCode::MessageTooLarge,
        _ => ErrorCode::InvalidRecord,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kinds that are about the native protocol's own frames.
    const NATIVE_ONLY: [&str; 9] = [
        "malformed",
        "unknown_kind",
        "unsupported_version",
        "frame_too_large",
        "timed_out",
        "too_many_connections",
        "too_many_requests",
        "unknown_subscription",
        "invalid_request",
    ];
    /// From here on: groups, whose errors their APIs tell by themselves, and queues, which this door
    /// does not speak.
    const GROUPS: u16 = 100;

    #[test]
    fn every_error_of_the_broker_has_a_row() {
        let kinds = wire::ErrorCode::ALL.iter();
        for &kind in kinds.filter(|&&kind| (kind as u16) < GROUPS) {
            let has_row = of_kind(kind).is_some();
            let is_native = NATIVE_ONLY.contains(&kind.name());
            assert_ne!(has_row, is_native, "{}", kind.name());
        }
    }

    #[test]
    fn what_may_be_sent_again_is_told_so() {
        // As Kafka's clients class them: retriable.
        let retriable = [
            ErrorCode::NotLeaderOrFollower,
            ErrorCode::RequestTimedOut,
            ErrorCode::NotEnoughReplicas,
            ErrorCode::KafkaStorageError,
        ];
        for &kind in wire::ErrorCode::ALL {
            if let Some(code) = of_kind(kind).filter(|_| kind.is_retryable()) {
                assert!(retriable.contains(&code), "{} is {code:?}", kind.name());
            }
        }
    }
}
