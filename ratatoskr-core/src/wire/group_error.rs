//! The errors of consumer groups as bodies, and back.

use std::time::Duration;

use super::{ErrorBody, ErrorCode};
use crate::{
    groups::{GroupError, InstanceId, MemberEpoch, MemberId},
    name::{GroupId, TopicName},
    offset::PartitionIndex,
};

impl ErrorCode {
    pub(super) const fn of_group(error: &GroupError) -> Self {
        match error {
            GroupError::UnknownGroup(_) => Self::UnknownGroup,
            GroupError::UnknownMember { .. } => Self::UnknownMember,
            GroupError::FencedMember { .. } => Self::FencedMember,
            GroupError::InstanceInUse { .. } => Self::InstanceInUse,
            GroupError::NotAssigned { .. } => Self::NotAssigned,
            GroupError::NotEmpty(_) => Self::GroupNotEmpty,
            GroupError::RebalanceInProgress(_) => Self::RebalanceInProgress,
            GroupError::FencedInstance { .. } => Self::FencedInstance,
            GroupError::InconsistentProtocol(_) => Self::InconsistentProtocol,
            GroupError::InvalidSessionTimeout { .. } => Self::InvalidSessionTimeout,
            GroupError::InvalidRequest(_) => Self::InvalidGroupRequest,
        }
    }
}

impl ErrorBody {
    /// The same with what the error is about.
    pub(super) fn about_group(self, error: &GroupError) -> Self {
        match error {
            GroupError::UnknownGroup(group)
            | GroupError::NotEmpty(group)
            | GroupError::RebalanceInProgress(group)
            | GroupError::InconsistentProtocol(group) => self.about(group.as_str()),
            GroupError::UnknownMember { group, member } => {
                self.about(group.as_str()).about(member.as_str())
            }
            GroupError::FencedMember {
                group,
                member,
                current,
                found,
            } => self
                .about(group.as_str())
                .about(member.as_str())
                .with_numbers([current.get().into(), found.get().into()]),
            GroupError::InstanceInUse { group, instance }
            | GroupError::FencedInstance { group, instance } => {
                self.about(group.as_str()).about(instance.as_str())
            }
            GroupError::InvalidSessionTimeout { min, max } => {
                let ms = |time: &Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
                self.with_numbers([ms(min), ms(max)])
            }
            GroupError::NotAssigned {
                group,
                topic,
                partition,
            } => self
                .about(group.as_str())
                .about(topic.as_str())
                .with_numbers([partition.get().into()]),
            GroupError::InvalidRequest(problem) => self.about(problem),
        }
    }

    /// The error of a consumer group that this was made of; `None` where it was none.
    pub(super) fn to_group_error(&self, code: ErrorCode) -> Option<GroupError> {
        let text = |at: usize| self.texts.get(at);
        let group = || GroupId::parse(text(0)?).ok();
        let member = || MemberId::parse(text(1)?).ok();
        let number = |at: usize| self.numbers.get(at).copied();
        let epoch = |at: usize| Some(MemberEpoch::new(number(at)?.try_into().ok()?));
        Some(match code {
            ErrorCode::UnknownGroup => GroupError::UnknownGroup(group()?),
            ErrorCode::UnknownMember => GroupError::UnknownMember {
                group: group()?,
                member: member()?,
            },
            ErrorCode::FencedMember => GroupError::FencedMember {
                group: group()?,
                member: member()?,
                current: epoch(0)?,
                found: epoch(1)?,
            },
            ErrorCode::InstanceInUse => GroupError::InstanceInUse {
                group: group()?,
                instance: InstanceId::parse(text(1)?).ok()?,
            },
            ErrorCode::NotAssigned => GroupError::NotAssigned {
                group: group()?,
                topic: TopicName::parse(text(1)?).ok()?,
                partition: PartitionIndex::new(number(0)?.try_into().ok()?),
            },
            ErrorCode::GroupNotEmpty => GroupError::NotEmpty(group()?),
            ErrorCode::RebalanceInProgress => GroupError::RebalanceInProgress(group()?),
            ErrorCode::FencedInstance => GroupError::FencedInstance {
                group: group()?,
                instance: InstanceId::parse(text(1)?).ok()?,
            },
            ErrorCode::InconsistentProtocol => GroupError::InconsistentProtocol(group()?),
            ErrorCode::InvalidSessionTimeout => GroupError::InvalidSessionTimeout {
                min: Duration::from_millis(number(0)?.try_into().ok()?),
                max: Duration::from_millis(number(1)?.try_into().ok()?),
            },
            ErrorCode::InvalidGroupRequest => GroupError::InvalidRequest(text(0)?.clone()),
            _ => return None,
        })
    }
}
