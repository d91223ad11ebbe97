//! `OffsetFetch` (9), versions 1 to 10: how far groups have come, several groups at a time from
//! version 8 on.
//!
//! What nobody has committed for has offset -1 and no error, also in a group that is not there.

use std::collections::HashSet;

use ratatoskr_core::{
    Error,
    groups::{CommittedOffset, GroupError, GroupOffset, MemberEpoch, MemberId},
    name::TopicName,
    offset::PartitionIndex,
};

use super::{
    Handled, TopicRef,
    coordinator::{code, group_id},
    topic_ref::{Topics, partition_index},
};
use crate::{
    error_code::ErrorCode,
    header::Request,
    reader::{Malformed, Reader},
    reply::Reply,
    session::Session,
};

/// The offset of what nobody has committed for.
const NONE: i64 = -1;

struct Wanted {
    group: String,
    /// Who asks, and under which epoch (KIP-848); a tool is no member.
    member: Option<(String, i32)>,
    /// Topics and their partitions; `None` for all that the group has committed for.
    topics: Option<Topics<i32>>,
}

/// What is answered of a topic.
struct Topic {
    named: TopicRef,
    partitions: Vec<(i32, Result<Option<CommittedOffset>, ErrorCode>)>,
}

pub(super) fn handle(session: &Session, request: &mut Request<'_>) -> Result<Handled, Malformed> {
    let version = request.version;
    let mut reply = request.reply();
    let wanted = read(&mut request.body, version)?;
    let session = session.clone();
    Ok(Handled::Later(Box::pin(async move {
        let mut answers = Vec::new();
        for wanted in &wanted {
            answers.push((&wanted.group, fetch(&session, wanted, version).await));
        }
        if version >= 3 {
            reply.throttle_time();
        }
        if version >= 8 {
            reply.array(&answers, |reply, (group, answer)| {
                reply.string(group);
                write_group(reply, version, answer);
                reply.end_of_structure();
            });
        } else if let Some((_, answer)) = answers.first() {
            write_group(&mut reply, version, answer);
        }
        reply.end_of_structure();
        reply
    })))
}

fn read(body: &mut Reader<'_>, version: i16) -> Result<Vec<Wanted>, Malformed> {
    let mut wanted = if version >= 8 {
        body.array(|body| {
            let group = body.string()?.to_owned();
            let member = if version >= 9 {
                let id = body.nullable_string()?.map(str::to_owned);
                let epoch = body.i32()?;
                let id = id.filter(|id| !id.is_empty());
                id.map(|id| (id, epoch))
            } else {
                None
            };
            let topics = read_topics(body, version)?;
            body.end_of_structure()?;
            Ok(Wanted {
                group,
                member,
                topics,
            })
        })?
    } else {
        let group = body.string()?.to_owned();
        let topics = read_topics(body, version)?;
        vec![Wanted {
            group,
            member: None,
            topics,
        }]
    };
    if version >= 7 {
        // Offsets of a transaction that is not finished; there is none.
        let _require_stable = body.bool()?;
    }
    body.end_of_structure()?;
    // A group that is named again and again is told once, so that no answer outgrows what there is.
    let mut told = HashSet::new();
    wanted.retain(|wanted: &Wanted| told.insert(wanted.group.clone()));
    Ok(wanted)
}

fn read_topics(body: &mut Reader<'_>, version: i16) -> Result<Option<Topics<i32>>, Malformed> {
    let topics = body.nullable_array(|body| {
        let named = TopicRef::read(body, version >= 10)?;
        let partitions = body.array(Reader::i32)?;
        body.end_of_structure()?;
        Ok((named, partitions))
    })?;
    if topics.is_none() && version < 2 {
        return Err(Malformed::InvalidLength(-1));
    }
    Ok(topics)
}

async fn fetch(session: &Session, wanted: &Wanted, version: i16) -> Result<Vec<Topic>, ErrorCode> {
    let group = group_id(&wanted.group)?;
    let broker = session.broker();
    if let Some((id, epoch)) = &wanted.member {
        let id = MemberId::parse(id).map_err(|_| ErrorCode::UnknownMemberId)?;
        let checked = broker.check_is_member(&group, &id, MemberEpoch::new(*epoch));
        checked.await.map_err(|error| member_code(&error))?;
    }
    let Some(topics) = &wanted.topics else {
        let all = broker.fetch_offsets(&group, None).await;
        return Ok(by_topic(
            session,
            version,
            all.map_err(|error| code(&error))?,
        ));
    };
    // What can be answered at once, and the others, which the broker is asked for together.
    let mut asked = Vec::new();
    let mut refused = Vec::new();
    for (named, partitions) in topics {
        let topic = named.resolve(broker);
        for &index in partitions {
            refused.push(to_ask(topic.clone(), index).map(|place| asked.push(place)));
        }
    }
    let found = broker.fetch_offsets(&group, Some(&asked)).await;
    let mut found = found.map_err(|error| code(&error))?.into_iter();
    let mut refused = refused.into_iter();
    let topics = topics.iter().map(|(named, partitions)| Topic {
        named: named.clone(),
        partitions: (partitions.iter())
            .map(|&index| {
                let answer = match refused.next() {
                    Some(Ok(())) => Ok(found.next().and_then(|offset| offset.committed)),
                    Some(Err(code)) => Err(code),
                    None => Err(ErrorCode::UnknownServerError),
                };
                (index, answer)
            })
            .collect(),
    });
    Ok(topics.collect())
}

fn member_code(error: &Error) -> ErrorCode {
    match error {
        Error::Group(GroupError::FencedMember { .. }) => ErrorCode::StaleMemberEpoch,
        error => code(error),
    }
}

/// What to ask the broker for. A name or a number that nothing can have was never committed for, which
/// is no error; an id that is not known is one.
fn to_ask(
    topic: Result<TopicName, ErrorCode>,
    index: i32,
) -> Result<(TopicName, PartitionIndex), ErrorCode> {
    match (topic, partition_index(index)) {
        (Err(ErrorCode::UnknownTopicId), _) => Err(ErrorCode::UnknownTopicId),
        (Ok(topic), Ok(index)) => Ok((topic, index)),
        _ => Err(ErrorCode::None),
    }
}

/// Everything that a group has committed, which comes in the order of topics.
fn by_topic(session: &Session, version: i16, all: Vec<GroupOffset>) -> Vec<Topic> {
    let mut topics: Vec<(TopicName, Topic)> = Vec::new();
    for offset in all {
        let partition = i32::try_from(offset.partition.get()).unwrap_or(i32::MAX);
        let answer = (partition, Ok(offset.committed));
        match topics.last_mut() {
            Some((name, topic)) if *name == offset.topic => topic.partitions.push(answer),
            _ => {
                let named = if version >= 10 {
                    let descriptor = session.broker().topic_descriptor(&offset.topic);
                    TopicRef::Id(descriptor.map_or([0; 16], |topic| *topic.id.as_bytes()))
                } else {
                    TopicRef::Name(offset.topic.to_string())
                };
                let partitions = vec![answer];
                topics.push((offset.topic, Topic { named, partitions }));
            }
        }
    }
    topics.into_iter().map(|(_, topic)| topic).collect()
}

/// Writes what is answered of a group.
fn write_group(reply: &mut Reply, version: i16, answer: &Result<Vec<Topic>, ErrorCode>) {
    let none = Vec::new();
    let topics = answer.as_ref().unwrap_or(&none);
    reply.array(topics, |reply, topic| {
        topic.named.write(reply);
        reply.array(&topic.partitions, |reply, (index, answer)| {
            let committed = answer.as_ref().ok().and_then(Option::as_ref);
            reply.i32(*index);
            reply.i64(committed.map_or(NONE, |committed| committed.offset.to_wire()));
            if version >= 5 {
                reply.i32(committed.map_or(-1, |committed| committed.leader_epoch.get()));
            }
            reply.string(committed.map_or("", |committed| &committed.metadata));
            reply.error(answer.as_ref().err().copied().unwrap_or(ErrorCode::None));
            reply.end_of_structure();
        });
        reply.end_of_structure();
    });
    if version >= 2 {
        reply.error(answer.as_ref().err().copied().unwrap_or(ErrorCode::None));
    }
}
