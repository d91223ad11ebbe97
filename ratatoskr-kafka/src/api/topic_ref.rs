//! Topics as requests name them: by name, or by id in the newer versions.

use ratatoskr_core::{
    Broker,
    name::{TopicId, TopicName},
    offset::PartitionIndex,
};

use crate::{
    error_code::ErrorCode,
    reader::{Malformed, Reader},
    reply::Reply,
};

/// What a request has for partitions, by their topics.
pub(super) type Topics<P> = Vec<(TopicRef, Vec<P>)>;

/// Reads topics by their names, and of each the partitions.
pub(super) fn read_topics<'a, P>(
    body: &mut Reader<'a>,
    mut partition: impl FnMut(&mut Reader<'a>) -> Result<P, Malformed>,
) -> Result<Topics<P>, Malformed> {
    body.array(|body| {
        let named = TopicRef::read(body, false)?;
        let partitions = body.array(|body| {
            let read = partition(body)?;
            body.end_of_structure()?;
            Ok(read)
        })?;
        body.end_of_structure()?;
        Ok((named, partitions))
    })
}

/// Writes an answer for each of the partitions that a request named, in its order.
pub(super) fn write_topics<P, A>(
    reply: &mut Reply,
    topics: &Topics<P>,
    answers: Vec<Result<A, ErrorCode>>,
    mut write: impl FnMut(&mut Reply, &P, Result<A, ErrorCode>),
) {
    let mut answers = answers.into_iter();
    reply.array(topics, |reply, (named, partitions)| {
        named.write(reply);
        reply.array(partitions, |reply, partition| {
            let answer = answers.next().unwrap_or(Err(ErrorCode::UnknownServerError));
            write(reply, partition, answer);
            reply.end_of_structure();
        });
        reply.end_of_structure();
    });
}

/// A partition's number as a request has it.
///
/// # Errors
/// There is none of a negative number.
pub(super) fn partition_index(index: i32) -> Result<PartitionIndex, ErrorCode> {
    let index = u32::try_from(index).map_err(|_| ErrorCode::UnknownTopicOrPartition)?;
    Ok(PartitionIndex::new(index))
}

/// How a request names a topic; its response names it the same way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
