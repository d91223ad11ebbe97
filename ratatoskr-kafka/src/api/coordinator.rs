//! What the APIs of consumer groups have in common: the group's name, and what its errors are to a
//! Kafka client.

use ratatoskr_core::{Error, groups::GroupError, name::GroupId};

use crate::error_code::ErrorCode;

/// A group's name as a request has it.
///
/// # Errors
/// It is not one.
pub(super) fn group_id(id: &str) -> Result<GroupId, ErrorCode> {
    GroupId::parse(id).map_err(|_| ErrorCode::InvalidGroupId)
}

/// What the error of a request about a group is called.
///
/// Where the group's state cannot be had just now, clients know two things to do: to ask again, and
/// to look for the coordinator anew. They take what other requests say there for fatal.
pub(super) fn code(error: &Error) -> ErrorCode {
    match error {
        Error::Group(error) => of_group(error),
        Error::LimitReached { limit, .. } => match *limit {
            "group_members_max" => ErrorCode::GroupMaxSizeReached,
            "offset_metadata_bytes_max" => ErrorCode::OffsetMetadataTooLarge,
            _ => ErrorCode::PolicyViolation,
        },
        Error::ShuttingDown => ErrorCode::NotCoordinator,
        Error::OutcomeUnknown { .. } => ErrorCode::CoordinatorNotAvailable,
        Error::PartitionOffline { .. } | Error::Overloaded { .. } => {
            ErrorCode::CoordinatorLoadInProgress
        }
        error => match ErrorCode::from(error) {
            ErrorCode::KafkaStorageError => ErrorCode::CoordinatorNotAvailable,
            code => code,
        },
    }
}

const fn of_group(error: &GroupError) -> ErrorCode {
    match error {
        GroupError::UnknownGroup(_) => ErrorCode::GroupIdNotFound,
        GroupError::UnknownMember { .. } => ErrorCode::UnknownMemberId,
        GroupError::FencedMember { .. } => ErrorCode::IllegalGeneration,
        GroupError::NotEmpty(_) => ErrorCode::NonEmptyGroup,
        _ => ErrorCode::InvalidRequest,
    }
}
