//! The errors of queues as bodies, and back.

use super::{ErrorBody, ErrorCode};
use crate::{
    delivery::QueueError,
    name::{GroupId, TopicName},
};

impl ErrorCode {
    pub(super) const fn of_queue(error: &QueueError) -> Self {
        match error {
            QueueError::UnknownGroup(_) => Self::UnknownQueueGroup,
            QueueError::GroupExists(_) => Self::QueueGroupExists,
            QueueError::UnknownLease => Self::UnknownLease,
            QueueError::LeaseExpired => Self::LeaseExpired,
            QueueError::NotLeaseOwner => Self::NotLeaseOwner,
            QueueError::AlreadySettled => Self::AlreadySettled,
            QueueError::DeadLetterLoop(_) => Self::DeadLetterLoop,
            QueueError::NotDeadLetters(_) => Self::NotDeadLetters,
            QueueError::InvalidSettlement(_) => Self::InvalidSettlement,
        }
    }
}

impl ErrorBody {
    /// The same with what the error is about.
    pub(super) fn about_queue(self, error: &QueueError) -> Self {
        match error {
            QueueError::UnknownGroup(group) | QueueError::GroupExists(group) => {
                self.about(group.as_str())
            }
            QueueError::DeadLetterLoop(topic) | QueueError::NotDeadLetters(topic) => {
                self.about(topic.as_str())
            }
            QueueError::InvalidSettlement(problem) => self.about(problem),
            QueueError::UnknownLease
            | QueueError::LeaseExpired
            | QueueError::NotLeaseOwner
            | QueueError::AlreadySettled => self,
        }
    }

    /// The error of a queue that this was made of; `None` where it was none.
    pub(super) fn to_queue_error(&self, code: ErrorCode) -> Option<QueueError> {
        let text = || self.texts.first();
        let group = || GroupId::parse(text()?).ok();
        let topic = || TopicName::parse(text()?).ok();
        Some(match code {
            ErrorCode::UnknownQueueGroup => QueueError::UnknownGroup(group()?),
            ErrorCode::QueueGroupExists => QueueError::GroupExists(group()?),
            ErrorCode::UnknownLease => QueueError::UnknownLease,
            ErrorCode::LeaseExpired => QueueError::LeaseExpired,
            ErrorCode::NotLeaseOwner => QueueError::NotLeaseOwner,
            ErrorCode::AlreadySettled => QueueError::AlreadySettled,
            ErrorCode::DeadLetterLoop => QueueError::DeadLetterLoop(topic()?),
            ErrorCode::NotDeadLetters => QueueError::NotDeadLetters(topic()?),
            ErrorCode::InvalidSettlement => QueueError::InvalidSettlement(text()?.clone()),
            _ => return None,
        })
    }
}
