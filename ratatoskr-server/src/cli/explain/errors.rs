//! What each error of the broker means to the one who sees it, and what to do about it.

use ratatoskr_core::wire::ErrorCode;

/// Meaning and advice of an error.
pub(super) fn meaning(code: ErrorCode) -> Option<(&'static str, &'static str)> {
    let known = ERRORS.iter().find(|(known, _, _)| *known == code);
    known.map(|(_, meaning, advice)| (*meaning, *advice))
}

const ERRORS: &[(ErrorCode, &str, &str)] = &[
    (
        ErrorCode::Internal,
        "a defect of the broker ended the operation",
        "The broker cut off what failed and goes on; its log has the details. Please report it.",
    ),
    (
        ErrorCode::Malformed,
        "a frame or its body is not what its kind has",
        "Client and server disagree about the protocol, or something else speaks to this port.",
    ),
    (
        ErrorCode::UnknownKind,
        "a frame of a kind that this peer does not know",
        "The client is newer than the broker: update the broker.",
    ),
    (
        ErrorCode::UnsupportedVersion,
        "client and broker have no version of the protocol in common",
        "Update the older of the two.",
    ),
    (
        ErrorCode::FrameTooLarge,
        "a frame is larger than the peer takes",
        "Send smaller batches.",
    ),
    (
        ErrorCode::TimedOut,
        "a deadline of the connection passed",
        "Check the network and the load of the broker: `ratatoskr check server`.",
    ),
    (
        ErrorCode::TooManyConnections,
        "the broker has as many connections as it may",
        "Close some, or raise native.connections_max or native.connections_per_address_max.",
    ),
    (
        ErrorCode::TooManyRequests,
        "a connection has as many requests or subscriptions under way as it may",
        "Wait for answers, or open another connection.",
    ),
    (
        ErrorCode::ShuttingDown,
        "the broker is shutting down; the request was not carried out",
        "Send it again when the broker is back.",
    ),
    (
        ErrorCode::UnknownSubscription,
        "the connection has no such subscription",
        "It was ended by the other side; subscribe again.",
    ),
    (
        ErrorCode::InvalidRequest,
        "a value in the request cannot be",
        "The message says which.",
    ),
    (
        ErrorCode::UnknownTopic,
        "there is no topic of this name",
        "`ratatoskr topic ls` shows what there is, `ratatoskr topic create NAME` makes one.",
    ),
    (
        ErrorCode::TopicExists,
        "a topic of this name is there already",
        "`ratatoskr topic describe NAME` shows it, `ratatoskr topic alter` changes it.",
    ),
    (
        ErrorCode::UnknownPartition,
        "the topic has no partition of this number",
        "`ratatoskr topic describe NAME` shows its partitions; they count from 0.",
    ),
    (
        ErrorCode::InvalidTopicName,
        "not a legal topic name",
        "Use 1 to 249 letters, digits, '.', '_' or '-'.",
    ),
    (
        ErrorCode::InvalidConfig,
        "a configuration value cannot be",
        "The message says what was expected; `ratatoskr topic alter --help` lists the names.",
    ),
    (
        ErrorCode::Unsupported,
        "the storage of this broker cannot do that",
        "A broker in memory, for example, has no durability fsync.",
    ),
    (
        ErrorCode::LimitReached,
        "one of the broker's bounds is reached",
        "The message names it; remove something or raise the bound.",
    ),
    (
        ErrorCode::InternalTopic,
        "topics that begin with _rt. belong to the broker",
        "Choose another name.",
    ),
    (
        ErrorCode::OffsetOutOfRange,
        "the offset is not in the log, or no longer",
        "Retention may have removed it: start from `-o start`.",
    ),
    (
        ErrorCode::PartitionOffline,
        "the partition failed and is being brought back",
        "Retry in a moment; `ratatoskr check server` says what took it down.",
    ),
    (
        ErrorCode::NotLeader,
        "another node leads this partition",
        "Clients find it by themselves; retry.",
    ),
    (
        ErrorCode::InvalidBatch,
        "the bytes sent are no record batch, or one with wrong content",
        "The message says what is wrong with it.",
    ),
    (
        ErrorCode::BatchTooLarge,
        "the batch is larger than its topic takes",
        "Send smaller records, or raise it: `ratatoskr topic alter NAME batch_bytes_max=…`.",
    ),
    (
        ErrorCode::Overloaded,
        "the broker has as many bytes under way as it may; nothing was appended",
        "Send again, more slowly.",
    ),
    (
        ErrorCode::StorageFull,
        "there is no room on the disk; nothing was appended",
        "Free space, or shorten retention: `ratatoskr topic alter NAME retention_bytes=…`.",
    ),
    (
        ErrorCode::OutcomeUnknown,
        "the records may or may not have been appended",
        "Only an idempotent producer may send them again blindly.",
    ),
    (
        ErrorCode::OutOfOrderSequence,
        "an earlier batch of this idempotent producer is missing",
        "That batch failed for good: start a new producer.",
    ),
    (
        ErrorCode::ProducerFenced,
        "a newer life of this producer has taken over",
        "Stop this one: another instance runs with the same identity.",
    ),
    (
        ErrorCode::StorageFailed,
        "the storage failed; the request was not carried out",
        "The broker's log has the cause; `ratatoskr check server` lists what is down.",
    ),
    (
        ErrorCode::Fenced,
        "the broker can no longer vouch for its write-ahead log and takes nothing more",
        "Check the disk and restart the broker: it recovers what was acknowledged.",
    ),
    (
        ErrorCode::CorruptRecords,
        "what is kept for these offsets is not what was appended",
        "The rest of the log stays readable: start past the range named, then check the disk.",
    ),
    (
        ErrorCode::StorageUnavailable,
        "the storage is not at hand just now",
        "Retry in a moment.",
    ),
    (
        ErrorCode::UnknownGroup,
        "there is no consumer group of this name",
        "`ratatoskr group ls` lists those there are; joining or committing creates one.",
    ),
    (
        ErrorCode::UnknownMember,
        "the member left its consumer group, or its session timed out",
        "Join anew. Records that it had and did not commit are with other members.",
    ),
    (
        ErrorCode::FencedMember,
        "the epoch is not the member's: another life of it has joined, or it missed an assignment",
        "Stop reading, and join anew.",
    ),
    (
        ErrorCode::InstanceInUse,
        "another member has this instance id, and is not known to have stopped",
        "Retry until its session times out, or choose another instance id.",
    ),
    (
        ErrorCode::NotAssigned,
        "the partition is another member's, so this member may not commit for it",
        "Stop reading it: the other member goes on from the last commit.",
    ),
    (
        ErrorCode::GroupNotEmpty,
        "the consumer group has members, and this would pull the rug from under them",
        "Stop its consumers first; `ratatoskr group describe NAME` lists them.",
    ),
    (
        ErrorCode::RebalanceInProgress,
        "somebody has joined or left the consumer group, and its members are to join anew",
        "Clients of Kafka do so by themselves. If it goes on for long, a member may be joining and leaving all the time: `ratatoskr group describe NAME`.",
    ),
    (
        ErrorCode::FencedInstance,
        "another program has joined the consumer group under the same instance id",
        "Give each consumer an instance id of its own (Kafka's `group.instance.id`).",
    ),
    (
        ErrorCode::InconsistentProtocol,
        "the consumer group has members that speak another protocol than this one",
        "Stop them first, or take another group: `ratatoskr group describe NAME` tells its kind. Its offsets stay.",
    ),
    (
        ErrorCode::InvalidSessionTimeout,
        "the member asks for a session timeout that is too short or too long",
        "Set Kafka's `session.timeout.ms` to something between the two that the message names.",
    ),
    (
        ErrorCode::InvalidGroupRequest,
        "the request to a consumer group cannot be",
        "The message says what is wrong.",
    ),
    (
        ErrorCode::UnknownQueueGroup,
        "there is no queue group of this name",
        "`ratatoskr queue ls` lists those there are; acquiring creates one.",
    ),
    (
        ErrorCode::QueueGroupExists,
        "a queue group of this name is there already",
        "Alter it instead, or choose another name.",
    ),
    (
        ErrorCode::UnknownLease,
        "the fencing token is of no delivery that the broker ever made",
        "Settle with the token that came with the records.",
    ),
    (
        ErrorCode::LeaseExpired,
        "the lease is over, and the records may be with another consumer",
        "Do not settle: they are delivered again. Extend leases in time, or ask for longer ones.",
    ),
    (
        ErrorCode::NotLeaseOwner,
        "another consumer holds these records",
        "Settle only what you acquired under your own consumer's name.",
    ),
    (
        ErrorCode::AlreadySettled,
        "the records were acknowledged, rejected or removed before",
        "Nothing to do: what was settled stays settled.",
    ),
    (
        ErrorCode::DeadLetterLoop,
        "records of a dead-letter topic cannot become dead letters of that topic again",
        "Acknowledge or discard them, or name another topic in the group's `dead_letters`.",
    ),
    (
        ErrorCode::NotDeadLetters,
        "the topic holds no dead letters",
        "`ratatoskr dlq ls` lists the topics that do.",
    ),
    (
        ErrorCode::InvalidSettlement,
        "the offsets are no range, or a time is out of its bounds",
        "The message says what is wrong.",
    ),
];
