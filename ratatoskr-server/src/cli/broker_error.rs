//! What an error of the broker means for the one who typed the command: the exit code, and what to
//! try next.

use ratatoskr_core::{
    Error,
    delivery::QueueError,
    groups::GroupError,
    wire::{ErrorBody, ErrorCode, RemoteError},
};

use super::exit::{Exit, Failure};

impl Failure {
    /// What the broker answered, with what to try where that can be known.
    pub(crate) fn of(error: &Error) -> Self {
        let code = ErrorBody::from(error).known_code();
        let exit = code.map_or(Exit::Failure, exit_of);
        let failure = Self::new(exit, error.to_string()).coded(code.map(ErrorCode::name));
        match next_after(error) {
            Some(next) => failure.next(next),
            None => failure,
        }
    }

    /// What the server answered about a connection or a frame.
    pub(crate) fn of_server(error: &RemoteError) -> Self {
        let exit = error.code.map_or(Exit::Failure, exit_of);
        Self::new(exit, error.message.clone()).coded(error.code.map(ErrorCode::name))
    }
}

/// The exit code that an error of the broker leads to.
fn exit_of(code: ErrorCode) -> Exit {
    match code {
        ErrorCode::UnknownTopic
        | ErrorCode::UnknownPartition
        | ErrorCode::OffsetOutOfRange
        | ErrorCode::UnknownSubscription
        | ErrorCode::UnknownGroup
        | ErrorCode::UnknownMember
        | ErrorCode::UnknownQueueGroup
        | ErrorCode::UnknownLease
        | ErrorCode::NotDeadLetters => Exit::NotFound,
        ErrorCode::TopicExists
        | ErrorCode::FencedMember
        | ErrorCode::InstanceInUse
        | ErrorCode::NotAssigned
        | ErrorCode::GroupNotEmpty
        | ErrorCode::RebalanceInProgress
        | ErrorCode::FencedInstance
        | ErrorCode::InconsistentProtocol
        | ErrorCode::QueueGroupExists
        | ErrorCode::LeaseExpired
        | ErrorCode::NotLeaseOwner
        | ErrorCode::AlreadySettled => Exit::Conflict,
        ErrorCode::InvalidTopicName
        | ErrorCode::InvalidConfig
        | ErrorCode::InternalTopic
        | ErrorCode::InvalidRequest
        | ErrorCode::InvalidGroupRequest
        | ErrorCode::InvalidSessionTimeout
        | ErrorCode::DeadLetterLoop
        | ErrorCode::InvalidSettlement
        | ErrorCode::Unsupported => Exit::Usage,
        ErrorCode::TimedOut | ErrorCode::ShuttingDown | ErrorCode::TooManyConnections => {
            Exit::Unreachable
        }
        ErrorCode::Fenced => Exit::Fenced,
        _ => Exit::Failure,
    }
}

fn next_after(error: &Error) -> Option<String> {
    Some(match error {
        Error::UnknownTopic(topic) => format!("ratatoskr topic create {topic}"),
        Error::TopicExists(topic) | Error::UnknownPartition { topic, .. } => {
            format!("ratatoskr topic describe {topic}")
        }
        Error::BatchTooLarge { bytes, .. } => {
            format!("ratatoskr topic alter TOPIC batch_bytes_max={bytes}")
        }
        Error::Group(GroupError::UnknownGroup(_)) => "ratatoskr group ls".into(),
        Error::Group(GroupError::NotEmpty(group) | GroupError::InconsistentProtocol(group)) => {
            format!("stop its members: ratatoskr group describe {group:?}")
        }
        Error::Queue(QueueError::UnknownGroup(group)) => format!("ratatoskr queue create {group}"),
        Error::Queue(QueueError::GroupExists(group)) => format!("ratatoskr queue describe {group}"),
        Error::Queue(QueueError::NotDeadLetters(_)) => "ratatoskr dlq ls".into(),
        Error::Queue(QueueError::LeaseExpired) => {
            "a longer lease: ratatoskr queue alter GROUP lease_ms=DURATION".into()
        }
        Error::Fenced { .. } => "restart the broker: it recovers from its log".into(),
        Error::Storage(_) | Error::PartitionOffline { .. } => "ratatoskr check server".into(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_of_the_wire_leads_to_an_exit_code() {
        let lines: Vec<String> = ErrorCode::ALL
            .iter()
            .map(|code| format!("{} {}", code.name(), exit_of(*code).number()))
            .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }
}
