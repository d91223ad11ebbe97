//! `OffsetDelete` (47), version 0: offsets that a group is to forget. A topic that the group reads is
//! refused.

use ratatoskr_core::{Error, groups::GroupError, name::GroupId};

use super::{
    Handled, TopicRef,
    coordinator::{code, group_id},
    topic_ref::{partition_index, read_topics, write_topics},
};
use crate::{
    error_code::ErrorCode,
    header::Request,
    reader::{Malformed, Reader},
    session::Session,
};

pub(super) fn handle(session: &Session, request: &mut Request<'_>) -> Result<Handled, Malformed> {
    let mut reply = request.reply();
    let body = &mut request.body;
    let group = body.string()?.to_owned();
    let topics = read_topics(body, Reader::i32)?;
    body.end_of_structure()?;
    let session = session.clone();
    Ok(Handled::Later(Box::pin(async move {
        let group = known(&session, &group).await;
        let mut outcomes = Vec::new();
        if let Ok(group) = &group {
            for (named, partitions) in &topics {
                outcomes.extend(forget(&session, group, named, partitions).await);
            }
        }
        reply.error(group.as_ref().err().copied().unwrap_or(ErrorCode::None));
        reply.throttle_time();
        let topics = if group.is_ok() { topics } else { Vec::new() };
        write_topics(&mut reply, &topics, outcomes, |reply, &index, outcome| {
            reply.i32(index);
            reply.error(outcome.err().unwrap_or(ErrorCode::None));
        });
        reply.end_of_structure();
        reply
    })))
}

/// A group that is there.
async fn known(session: &Session, group: &str) -> Result<GroupId, ErrorCode> {
    let group = group_id(group)?;
    match session.broker().describe_group(&group).await {
        Ok(_) => Ok(group),
        Err(error) => Err(code(&error)),
    }
}

/// What came of each partition of a topic.
async fn forget(
    session: &Session,
    group: &GroupId,
    named: &TopicRef,
    partitions: &[i32],
) -> Vec<Result<(), ErrorCode>> {
    let broker = session.broker();
    let topic = named.resolve(broker);
    let mut there = Vec::new();
    let mut outcomes: Vec<_> = (partitions.iter())
        .map(|&index| {
            let topic = topic.clone()?;
            let index = partition_index(index)?;
            broker.bounds(&topic, index).map(drop).or_else(|error| {
                match ErrorCode::from(&error) {
                    ErrorCode::UnknownTopicOrPartition => Err(ErrorCode::UnknownTopicOrPartition),
                    _ => Ok(()),
                }
            })?;
            there.push((topic, index));
            Ok(())
        })
        .collect();
    let forgotten = broker.delete_offsets(group, &there).await;
    if let Err(error) = forgotten {
        let code = match &error {
            Error::Group(GroupError::NotEmpty(_)) => ErrorCode::GroupSubscribedToTopic,
            error => code(error),
        };
        for outcome in outcomes.iter_mut().filter(|outcome| outcome.is_ok()) {
            *outcome = Err(code);
        }
    }
    outcomes
}
