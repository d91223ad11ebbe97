//! `DescribeLogDirs` (35), versions 1 to 4: how many bytes each partition keeps. There is one directory.

use std::collections::{BTreeMap, BTreeSet};

use ratatoskr_core::{broker::TopicDescription, name::TopicName};

use super::Handled;
use crate::{
    error_code::ErrorCode,
    header::Request,
    reader::{Malformed, Reader},
    session::Session,
};

pub(super) fn handle(session: &Session, request: &mut Request<'_>) -> Result<Handled, Malformed> {
    let version = request.version;
    let mut reply = request.reply();
    let body = &mut request.body;
    let wanted = body.nullable_array(|body| {
        let topic = body.string()?.to_owned();
        let partitions = body.array(Reader::i32)?;
        body.end_of_structure()?;
        Ok((topic, partitions))
    })?;
    body.end_of_structure()?;
    let session = session.clone();
    // Looking at partitions that nobody has used yet opens them.
    Ok(Handled::Later(Box::pin(async move {
        let topics = match wanted {
            None => all(&session),
            Some(wanted) => named(&session, &wanted),
        };
        reply.throttle_time();
        if version >= 3 {
            reply.error(ErrorCode::None);
        }
        reply.array([&topics], |reply, topics| {
            reply.error(ErrorCode::None);
            reply.string(&session.node().log_dir);
            reply.array(topics, |reply, topic| {
                reply.string(topic.name.as_str());
                reply.array(&topic.partitions, |reply, partition| {
                    reply.i32(partition.index.get().cast_signed());
                    reply.i64(i64::try_from(partition.bytes).unwrap_or(i64::MAX));
                    // Nothing lags, and nothing is being moved.
                    reply.i64(0);
                    reply.bool(false);
                    reply.end_of_structure();
                });
                reply.end_of_structure();
            });
            if version >= 4 {
                // The sizes of the volume; unknown.
                reply.i64(-1);
                reply.i64(-1);
            }
            reply.end_of_structure();
        });
        reply.end_of_structure();
        reply
    })))
}

fn all(session: &Session) -> Vec<TopicDescription> {
    let topics = session.broker().list_topics().into_iter();
    topics
        .filter_map(|topic| session.broker().describe_topic(&topic.name).ok())
        .collect()
}

/// What there is of the partitions named, each topic once.
fn named(session: &Session, wanted: &[(String, Vec<i32>)]) -> Vec<TopicDescription> {
    let mut indexes: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
    for (topic, partitions) in wanted {
        indexes.entry(topic).or_default().extend(partitions);
    }
    let describe = |(topic, indexes): (&str, BTreeSet<i32>)| {
        let topic = TopicName::parse(topic).ok()?;
        let mut topic = session.broker().describe_topic(&topic).ok()?;
        topic
            .partitions
            .retain(|partition| indexes.contains(&partition.index.get().cast_signed()));
        Some(topic)
    };
    indexes.into_iter().filter_map(describe).collect()
}
