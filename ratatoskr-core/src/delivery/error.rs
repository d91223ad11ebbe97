//! What a queue refuses. None of these changes any state.

use crate::name::{GroupId, TopicName};

/// Why a queue refuses what it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// There is no queue group of this name (any more).
    #[error("there is no queue group named {0}")]
    UnknownGroup(GroupId),
    /// A queue group of this name is there already.
    #[error("a queue group named {0} exists")]
    GroupExists(GroupId),
    /// No such delivery was ever made: the token is of nothing that the broker has handed out.
    #[error("no lease has this token")]
    UnknownLease,
    /// The lease is over: its deadline has passed, its records were released, or the broker was
    /// restarted. The records are, or were, with somebody else.
    #[error("the lease has expired")]
    LeaseExpired,
    /// The lease is another consumer's.
    #[error("the lease is another consumer's")]
    NotLeaseOwner,
    /// The records have been acknowledged, rejected or removed already.
    #[error("the records are settled already")]
    AlreadySettled,
    /// The records are dead letters already, in the topic where they would have to go.
    #[error("records of dead-letter topic {0} have no dead-letter topic of their own")]
    DeadLetterLoop(TopicName),
    /// Dead letters were asked for in a topic that holds none.
    #[error("{0} is not a dead-letter topic")]
    NotDeadLetters(TopicName),
    /// The offsets are no range, or the time is out of its bounds.
    #[error("invalid settlement: {0}")]
    InvalidSettlement(String),
}
