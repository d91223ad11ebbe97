//! What the APIs of consumer groups have in common: the group's name, and what its errors are to a
//! Kafka client.

use std::{collections::HashSet, time::Duration};

use ratatoskr_core::{
    Error,
    groups::{GroupError, GroupState, InstanceId, MemberId},
    name::GroupId,
};

use crate::{
    authorized,
    error_code::ErrorCode,
    reader::{Malformed, Reader},
    session::Session,
};

/// A group's name as a request has it.
///
/// # Errors
/// It is not one.
pub(super) fn group_id(id: &str) -> Result<GroupId, ErrorCode> {
    GroupId::parse(id).map_err(|_| ErrorCode::InvalidGroupId)
}

/// The groups that a request asks about. One that is named again and again is told once.
///
/// # Errors
/// The request is cut off, or has what no name is.
pub(super) fn group_names(body: &mut Reader<'_>) -> Result<Vec<String>, Malformed> {
    let mut groups = body.array(|body: &mut Reader<'_>| Ok(body.string()?.to_owned()))?;
    let mut told = HashSet::new();
    groups.retain(|group| told.insert(group.clone()));
    Ok(groups)
}

/// What may be done to a group that is there, for who wants to know.
pub(super) const fn operations(wanted: bool, is_there: bool) -> i32 {
    if wanted && is_there {
        authorized::GROUP
    } else {
        authorized::NOT_ASKED
    }
}

/// Who a member says it is.
///
/// # Errors
/// Nobody can be called so.
pub(super) fn member_id(id: &str) -> Result<MemberId, ErrorCode> {
    MemberId::parse(id).map_err(|_| ErrorCode::UnknownMemberId)
}

/// Which instance a member says it is.
///
/// # Errors
/// None can be called so.
pub(super) fn instance_id(id: Option<&str>) -> Result<Option<InstanceId>, ErrorCode> {
    let parsed = id.map(InstanceId::parse).transpose();
    parsed.map_err(|_| ErrorCode::InvalidRequest)
}

/// A number of milliseconds; a negative one is none.
pub(super) fn duration(ms: i32) -> Duration {
    Duration::from_millis(ms.max(0).unsigned_abs().into())
}

/// As Kafka calls the states of groups.
pub(super) const fn state_name(state: GroupState) -> &'static str {
    match state {
        GroupState::Empty => "Empty",
        GroupState::Reconciling => "Reconciling",
        GroupState::PreparingRebalance => "PreparingRebalance",
        GroupState::CompletingRebalance => "CompletingRebalance",
        GroupState::Stable => "Stable",
        _ => "Unknown",
    }
}

/// Work that waits for others, given up when the server shuts down: the client is to look for the
/// coordinator anew.
pub(super) async fn unless_draining<T>(
    session: &Session,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, ErrorCode> {
    tokio::select! {
        done = work => done.map_err(|error| code(&error)),
        () = session.drain.begun() => Err(ErrorCode::NotCoordinator),
    }
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
        GroupError::RebalanceInProgress(_) => ErrorCode::RebalanceInProgress,
        GroupError::FencedInstance { .. } => ErrorCode::FencedInstanceId,
        GroupError::InconsistentProtocol(_) => ErrorCode::InconsistentGroupProtocol,
        GroupError::InvalidSessionTimeout { .. } => ErrorCode::InvalidSessionTimeout,
        _ => ErrorCode::InvalidRequest,
    }
}
