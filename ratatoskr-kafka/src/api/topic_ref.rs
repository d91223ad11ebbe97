//! Topics as requests name them: by name, or by id in the newer versions.

use ratatoskr_core::{
    Broker,
    name::{TopicId, TopicName},
};

use crate::{
    error_code::ErrorCode,
    reader::{Malformed, Reader},
    reply::Reply,
};

/// How a request names a topic; its response names it the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TopicRef {
    Name(String),
    Id([u8; 16]),
}

impl TopicRef {
    /// Reads a topic's name or, where `by_id`, its id.
    pub(crate) fn read(body: &mut Reader<'_>, by_id: bool) -> Result<Self, Malformed> {
        if by_id {
            body.uuid().map(Self::Id)
        } else {
            Ok(Self::Name(body.string()?.to_owned()))
        }
    }

    pub(crate) fn write(&self, reply: &mut Reply) {
        match self {
            Self::Name(name) => reply.string(name),
            Self::Id(id) => reply.uuid(id),
        }
    }

    /// The topic's name, by which the broker knows it.
    ///
    /// # Errors
    /// What to answer where there can be no such topic.
    pub(crate) fn resolve(&self, broker: &Broker) -> Result<TopicName, ErrorCode> {
        match self {
            Self::Name(name) => {
                TopicName::parse(name).map_err(|_| ErrorCode::InvalidTopicException)
            }
            Self::Id(id) => TopicId::from_bytes(*id)
                .and_then(|id| broker.topic_name(id))
                .ok_or(ErrorCode::UnknownTopicId),
        }
    }
}
