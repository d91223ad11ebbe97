//! Errors as they travel: a code from a table that only ever grows, whether a retry may help, a
//! sentence for people, and what a program needs to name the error again.

use serde::{Deserialize, Serialize};

use super::{Body, Kind};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal $text:literal $retryable:ident),* $(,)?) => {
        /// What went wrong. Codes are never reused, not even of errors that are gone.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[$doc])* $name = $code),*
        }

        impl ErrorCode {
            /// Every code, ascending.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The code of this number.
            pub const fn from_number(number: u16) -> Option<Self> {
                match number {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The name that documents, logs and `ratatoskr explain` use.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text),*
                }
            }

            /// Whether the same request may succeed later, unchanged.
            pub const fn is_retryable(self) -> bool {
                match self {
                    $(Self::$name => $retryable),*
                }
            }
        }
    };
}

codes! {
    /// An error of the broker's own making.
    Internal = 1 "internal" false,
    /// The frame or its body is not what its kind has.
    Malformed = 2 "malformed" false,
    /// The frame's kind is not known, or not one that this peer takes.
    UnknownKind = 3 "unknown_kind" false,
    /// No version is spoken by both; numbers: oldest and newest spoken here.
    UnsupportedVersion = 4 "unsupported_version" false,
    /// The frame is larger than this peer takes; numbers: its bytes, the limit.
    FrameTooLarge = 5 "frame_too_large" false,
    /// A deadline of the connection has passed.
    TimedOut = 6 "timed_out" true,
    /// Too many connections, in all or from this address; numbers: the limit.
    TooManyConnections = 7 "too_many_connections" true,
    /// Too many requests or subscriptions at once on this connection; numbers: the limit.
    TooManyRequests = 8 "too_many_requests" true,
    /// The broker is shutting down; the request was not carried out.
    ShuttingDown = 9 "shutting_down" true,
    /// There is no such subscription on this connection.
    UnknownSubscription = 10 "unknown_subscription" false,
    /// A value in the request cannot be.
    InvalidRequest = 11 "invalid_request" false,

    /// There is no such topic; texts: its name.
    UnknownTopic = 20 "unknown_topic" false,
    /// A topic of this name exists; texts: the name.
    TopicExists = 21 "topic_exists" false,
    /// There is no such partition; texts: the topic; numbers: the partition.
    UnknownPartition = 22 "unknown_partition" false,
    /// Not a legal topic name; texts: the name.
    InvalidTopicName = 23 "invalid_topic_name" false,
    /// A configuration value cannot be; texts: its name, the value, what was expected.
    InvalidConfig = 24 "invalid_config" false,
    /// The storage cannot do this; texts: what.
    Unsupported = 25 "unsupported" false,
    /// A bound on topics, partitions or the like is reached; texts: its name; numbers: the bound.
    LimitReached = 26 "limit_reached" false,
    /// The topic is the broker's own; texts: its name.
    InternalTopic = 27 "internal_topic" false,

    /// The offset is not in the log; numbers: offset, then the five bounds.
    OffsetOutOfRange = 40 "offset_out_of_range" false,
    /// The records kept there are corrupt; texts: what was seen; numbers: first offset, one past the
    /// last.
    CorruptRecords = 41 "corrupt_records" false,
    /// The partition is offline and being reopened; texts: the topic, the reason; numbers: the
    /// partition.
    PartitionOffline = 42 "partition_offline" true,
    /// This node does not lead the partition.
    NotLeader = 43 "not_leader" true,

    /// Not a record batch, or one with wrong content.
    InvalidBatch = 60 "invalid_batch" false,
    /// The batch is larger than the topic takes; numbers: its bytes, the limit.
    BatchTooLarge = 61 "batch_too_large" false,
    /// Too much is under way; nothing was appended; numbers: the bytes that may be.
    Overloaded = 62 "overloaded" true,
    /// There is no room on the disk; nothing was appended.
    StorageFull = 63 "storage_full" true,
    /// The batch may or may not have been appended; texts: what came between.
    OutcomeUnknown = 64 "outcome_unknown" false,
    /// An idempotent producer skipped a sequence; numbers: producer, expected,
    /// found.
    OutOfOrderSequence = 65 "out_of_order_sequence" false,
    /// The producer's epoch is no longer the newest; numbers: producer, newest epoch, epoch found.
    ProducerFenced = 66 "producer_fenced" false,

    /// The storage failed; the request was not carried out.
    StorageFailed = 80 "storage_failed" false,
    /// The write-ahead log cannot be trusted: nothing is taken until a restart; texts: the failure.
    Fenced = 81 "fenced" false,
    /// The storage is not at hand just now; the request was not carried out.
    StorageUnavailable = 82 "storage_unavailable" true,

    /// There is no such consumer group; texts: its name.
    UnknownGroup = 100 "unknown_group" false,
    /// The group has no such member; texts: the group, the member.
    UnknownMember = 101 "unknown_member" false,
    /// The epoch is not the member's; texts: the group, the member; numbers: its epoch, the epoch
    /// found.
    FencedMember = 102 "fenced_member" false,
    /// Another member has the instance id; texts: the group, the instance.
    InstanceInUse = 103 "instance_in_use" true,
    /// The partition is not the member's; texts: the group, the topic; numbers: the partition.
    NotAssigned = 104 "not_assigned" false,
    /// The group has members; texts: its name.
    GroupNotEmpty = 105 "group_not_empty" false,
    /// The request to a group cannot be; texts: what is wrong.
    InvalidGroupRequest = 106 "invalid_group_request" false,
    /// The members of a classic group are to join anew; texts: the group.
    RebalanceInProgress = 107 "rebalance_in_progress" false,
    /// A static member has a later life; texts: the group, the instance.
    FencedInstance = 108 "fenced_instance" false,
    /// The group's members speak another protocol; texts: the group.
    InconsistentProtocol = 109 "inconsistent_protocol" false,
    /// A session timeout is out of its bounds; numbers: the shortest and the longest, in milliseconds.
    InvalidSessionTimeout = 110 "invalid_session_timeout" false,
    /// There is no such queue group; texts: its name.
    UnknownQueueGroup = 120 "unknown_queue_group" false,
    /// A queue group of this name exists; texts: the name.
    QueueGroupExists = 121 "queue_group_exists" false,
    /// The token is of no delivery.
    UnknownLease = 122 "unknown_lease" false,
    /// The lease is over: its records are, or were, with somebody else.
    LeaseExpired = 123 "lease_expired" false,
    /// The lease is another consumer's.
    NotLeaseOwner = 124 "not_lease_owner" false,
    /// The records were acknowledged, rejected or removed before.
    AlreadySettled = 125 "already_settled" false,
    /// Dead letters of dead letters would go where they are; texts: the topic.
    DeadLetterLoop = 126 "dead_letter_loop" false,
    /// The topic holds no dead letters; texts: the topic.
    NotDeadLetters = 127 "not_dead_letters" false,
    /// The settlement cannot be; texts: why.
    InvalidSettlement = 128 "invalid_settlement" false,
}

/// The body of an error frame, and of an error within a response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// An [`ErrorCode`]'s number, or one that only a newer peer knows.
    pub code: u16,
    /// Whether the same request may succeed later, unchanged.
    pub retryable: bool,
    /// For people.
    pub message: String,
    /// What the error is about, as the code's entry says.
    pub texts: Vec<String>,
    /// Further values, as the code's entry says.
    pub numbers: Vec<i64>,
}

impl Body for ErrorBody {
    const KIND: Kind = Kind::Error;
}

impl ErrorBody {
    /// Longest message in bytes; the rest is cut.
    pub const MESSAGE_BYTES_MAX: usize = 2_048;

    /// An error with nothing but a code and a sentence.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let mut message = message.into();
        message.truncate(message.floor_char_boundary(Self::MESSAGE_BYTES_MAX));
        Self {
            code: code as u16,
            retryable: code.is_retryable(),
            message,
            texts: Vec::new(),
            numbers: Vec::new(),
        }
    }

    /// The same about one thing (more).
    #[must_use]
    pub fn about(mut self, text: impl Into<String>) -> Self {
        self.texts.push(text.into());
        self
    }

    /// The same with values.
    #[must_use]
    pub fn with_numbers(mut self, numbers: impl Into<Vec<i64>>) -> Self {
        self.numbers = numbers.into();
        self
    }

    /// The code, where this version knows it.
    pub const fn known_code(&self) -> Option<ErrorCode> {
        ErrorCode::from_number(self.code)
    }
}
