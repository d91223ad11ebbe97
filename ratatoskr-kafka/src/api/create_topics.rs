//! `CreateTopics` (19), versions 2 to 7.
//!
//! There is one replica of everything, on this node: a replication factor of 1, or -1 for the default,
//! and by hand only assignments to this node.

use ratatoskr_core::{broker::NewTopic, name::TopicId, storage::TopicDescriptor};

use super::Handled;
use crate::{
    configs::topic::{self, Changes, Operation},
    error_code::ErrorCode,
    header::Request,
    reader::{Malformed, Reader},
    refusal::{Refusal, topic_name},
    reply::Reply,
    session::Session,
};

/// For "as many as there are by default".
const DEFAULT: i16 = -1;

struct Topic {
    name: String,
    partitions: i32,
    replication_factor: i16,
    /// Partition and nodes, by hand.
    assignments: Vec<(i32, Vec<i32>)>,
    configs: Vec<(String, Option<String>)>,
}

pub(super) fn handle(session: &Session, request: &mut Request<'_>) -> Result<Handled, Malformed> {
    let version = request.version;
    let mut reply = request.reply();
    let body = &mut request.body;
    let topics = body.array(read)?;
    let _timeout_ms = body.i32()?;
    let validate_only = body.bool()?;
    body.end_of_structure()?;
    let session = session.clone();
    Ok(Handled::Later(Box::pin(async move {
        let mut outcomes = Vec::new();
        for topic in &topics {
            outcomes.push((&topic.name, create(&session, topic, validate_only).await));
        }
        reply.throttle_time();
        reply.array(&outcomes, |reply, (name, outcome)| {
            write(&session, reply, version, name, outcome);
        });
        reply.end_of_structure();
        reply
    })))
}

fn read(body: &mut Reader<'_>) -> Result<Topic, Malformed> {
    let name = body.string()?.to_owned();
    let partitions = body.i32()?;
    let replication_factor = body.i16()?;
    let assignments = body.array(|body| {
        let partition = body.i32()?;
        let nodes = body.array(Reader::i32)?;
        body.end_of_structure()?;
        Ok((partition, nodes))
    })?;
    let configs = body.array(|body| {
        let name = body.string()?.to_owned();
        let value = body.nullable_string()?.map(str::to_owned);
        body.end_of_structure()?;
        Ok((name, value))
    })?;
    body.end_of_structure()?;
    Ok(Topic {
        name,
        partitions,
        replication_factor,
        assignments,
        configs,
    })
}

/// The topic as it was created, or would be; then without an id.
async fn create(
    session: &Session,
    topic: &Topic,
    validate_only: bool,
) -> Result<(Option<TopicId>, TopicDescriptor), Refusal> {
    let name = topic_name(&topic.name)?;
    let default = session.topic_default();
    let mut changes = Changes::of(&default, &default);
    for (name, value) in &topic.configs {
        changes.apply(name, Operation::Set, value.as_deref())?;
    }
    let new = NewTopic {
        partitions: partitions(session, topic)?,
        config: changes.into_change(),
    };
    if validate_only {
        return Ok((None, session.broker().plan_topic(&name, &new)?));
    }
    let created = session.broker().create_topic(&name, new).await?;
    let descriptor = TopicDescriptor {
        id: created.id,
        name: created.name,
        partitions: u32::try_from(created.partitions.len()).unwrap_or(u32::MAX),
        config: created.config,
    };
    Ok((Some(created.id), descriptor))
}

/// How many partitions are asked for.
fn partitions(session: &Session, topic: &Topic) -> Result<Option<u32>, Refusal> {
    if !matches!(topic.replication_factor, 1 | DEFAULT) {
        let message = "there is one node, so the replication factor can only be 1";
        return Err(Refusal::new(ErrorCode::InvalidReplicationFactor, message));
    }
    let default = i32::from(DEFAULT);
    if topic.assignments.is_empty() {
        if topic.partitions == default {
            return Ok(None);
        }
        return match u32::try_from(topic.partitions) {
            Ok(partitions @ 1..) => Ok(Some(partitions)),
            _ => Err(Refusal::new(
                ErrorCode::InvalidPartitions,
                "a topic has at least one partition",
            )),
        };
    }
    if topic.partitions != default || topic.replication_factor != DEFAULT {
        let message = "assignments by hand leave no number to be chosen: both must be -1";
        return Err(Refusal::new(ErrorCode::InvalidRequest, message));
    }
    let mut assigned: Vec<_> = topic.assignments.iter().map(|(index, _)| *index).collect();
    assigned.sort_unstable();
    let is_whole = (0..)
        .zip(assigned)
        .all(|(expected, index)| expected == index);
    let nodes = topic.assignments.iter().map(|(_, nodes)| nodes);
    if !is_whole || !are_here(session, nodes) {
        return Err(wrong_assignment());
    }
    Ok(Some(
        u32::try_from(topic.assignments.len()).unwrap_or(u32::MAX),
    ))
}

/// Whether each partition is to be on this node and no other.
pub(super) fn are_here<'a>(
    session: &Session,
    mut assignments: impl Iterator<Item = &'a Vec<i32>>,
) -> bool {
    assignments.all(|nodes| nodes[..] == [session.node().id])
}

pub(super) fn wrong_assignment() -> Refusal {
    let message = "partitions are numbered from 0, and each is on this one node";
    Refusal::new(ErrorCode::InvalidReplicaAssignment, message)
}

fn write(
    session: &Session,
    reply: &mut Reply,
    version: i16,
    name: &str,
    outcome: &Result<(Option<TopicId>, TopicDescriptor), Refusal>,
) {
    let created = outcome.as_ref().ok();
    reply.string(name);
    if version >= 7 {
        let id = created.and_then(|(id, _)| *id);
        reply.uuid(&id.map_or([0; 16], |id| *id.as_bytes()));
    }
    reply.outcome(outcome);
    reply.message(outcome);
    if version >= 5 {
        let count = created.and_then(|(_, topic)| i32::try_from(topic.partitions).ok());
        reply.i32(count.unwrap_or(-1));
        reply.i16(if created.is_some() { 1 } else { -1 });
        match created {
            None => reply.null_array(),
            Some((_, topic)) => {
                let entries = topic::entries(&topic.config, &session.topic_default());
                reply.array(&entries, |reply, entry| {
                    reply.string(entry.name);
                    reply.nullable_string(Some(&entry.value));
                    reply.bool(entry.is_fixed);
                    reply.i8(entry.source as i8);
                    reply.bool(false);
                    reply.end_of_structure();
                });
            }
        }
    }
    reply.end_of_structure();
}
