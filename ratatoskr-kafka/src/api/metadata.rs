//! Metadata (3), versions 0 to 13: which topics there are, and where.
//!
//! This node leads everything. A topic that is asked for by name, and is not there, is created before
//! the answer where the client allows it and the broker is configured to. In version 0 an empty list
//! asks for all topics; later null does, and an empty list asks for none.

use std::collections::HashSet;

use ratatoskr_core::{Error, name::TopicName, offset::PartitionIndex, storage::TopicDescriptor};

use super::{Handled, TopicRef};
use crate::{
    authorized,
    error_code::ErrorCode,
    header::Request,
    reader::{Malformed, Reader},
    reply::Reply,
    session::Session,
};

struct Metadata {
    /// `None` for all.
    topics: Option<Vec<TopicRef>>,
    may_create: bool,
    wants_cluster_operations: bool,
    wants_topic_operations: bool,
}

pub(super) fn handle(session: &Session, request: &mut Request<'_>) -> Result<Handled, Malformed> {
    let version = request.version;
    let mut reply = request.reply();
    let metadata = read(&mut request.body, version)?;
    let session = session.clone();
    Ok(Handled::Later(Box::pin(async move {
        let found = match &metadata.topics {
            None => {
                let topics = session.broker().list_topics();
                topics.into_iter().map(Found::Topic).collect()
            }
            Some(wanted) => {
                let mut found = Vec::with_capacity(wanted.len());
                for named in wanted {
                    tokio::task::consume_budget().await;
                    found.push(find(&session, named, metadata.may_create).await);
                }
                found
            }
        };
        write(&session, &mut reply, version, &metadata, &found);
        reply
    })))
}

fn read(body: &mut Reader<'_>, version: i16) -> Result<Metadata, Malformed> {
    let mut topics = body.nullable_array(|body| {
        let id = if version >= 10 { body.uuid()? } else { [0; 16] };
        let name = body.nullable_string()?;
        body.end_of_structure()?;
        match name {
            // Java sends an empty name along with an id.
            _ if id != [0; 16] => Ok(TopicRef::Id(id)),
            Some(name) => Ok(TopicRef::Name(name.to_owned())),
            None if version >= 10 => Ok(TopicRef::Id(id)),
            None => Err(Malformed::InvalidLength(-1)),
        }
    })?;
    // A topic that is named twice is told once, as in Kafka: its partitions may be many.
    let mut named = HashSet::new();
    if let Some(topics) = &mut topics {
        topics.retain(|topic| named.insert(topic.clone()));
    }
    if version == 0 {
        topics = topics.filter(|topics| !topics.is_empty());
    }
    let may_create = version < 4 || body.bool()?;
    let wants_cluster_operations = (8..=10).contains(&version) && body.bool()?;
    let wants_topic_operations = version >= 8 && body.bool()?;
    body.end_of_structure()?;
    Ok(Metadata {
        topics,
        may_create,
        wants_cluster_operations,
        wants_topic_operations,
    })
}

/// A topic, or why there is none.
enum Found {
    Topic(TopicDescriptor),
    Nothing(TopicRef, ErrorCode),
}

async fn find(session: &Session, named: &TopicRef, may_create: bool) -> Found {
    match named.resolve(session.broker()) {
        Err(code) => Found::Nothing(named.clone(), code),
        Ok(name) => match find_by_name(session, &name, may_create).await {
            Ok(topic) => Found::Topic(topic),
            Err(error) => Found::Nothing(named.clone(), ErrorCode::from(&error)),
        },
    }
}

async fn find_by_name(
    session: &Session,
    name: &TopicName,
    may_create: bool,
) -> Result<TopicDescriptor, Error> {
    let broker = session.broker();
    match broker.topic_descriptor(name) {
        Err(Error::UnknownTopic(_)) if may_create => {
            broker.ensure_topic(name).await?;
            broker.topic_descriptor(name)
        }
        found => found,
    }
}

fn write(session: &Session, reply: &mut Reply, version: i16, metadata: &Metadata, found: &[Found]) {
    let node = session.node();
    if version >= 3 {
        reply.throttle_time();
    }
    reply.array([node], |reply, node| {
        let (host, port) = node.address(session.here);
        reply.i32(node.id);
        reply.string(&host);
        reply.i32(port.into());
        if version >= 1 {
            reply.nullable_string(None);
        }
        reply.end_of_structure();
    });
    if version >= 2 {
        reply.nullable_string(Some(&node.cluster_id));
    }
    if version >= 1 {
        reply.i32(node.id);
    }
    reply.array(found, |reply, found| {
        write_topic(session, reply, version, found);
        if version >= 8 {
            let operations = match found {
                Found::Topic(_) if metadata.wants_topic_operations => authorized::TOPIC,
                _ => authorized::NOT_ASKED,
            };
            reply.i32(operations);
        }
        reply.end_of_structure();
    });
    if (8..=10).contains(&version) {
        reply.i32(if metadata.wants_cluster_operations {
            authorized::CLUSTER
        } else {
            authorized::NOT_ASKED
        });
    }
    if version >= 13 {
        reply.error(ErrorCode::None);
    }
    reply.end_of_structure();
}

fn write_topic(session: &Session, reply: &mut Reply, version: i16, found: &Found) {
    let (error, name, id, topic) = match found {
        Found::Topic(topic) => {
            let name = Some(topic.name.as_str());
            (ErrorCode::None, name, *topic.id.as_bytes(), Some(topic))
        }
        Found::Nothing(TopicRef::Name(name), code) => (*code, Some(name.as_str()), [0; 16], None),
        Found::Nothing(TopicRef::Id(id), code) => (*code, None, *id, None),
    };
    reply.error(error);
    if version >= 12 {
        reply.nullable_string(name);
    } else {
        reply.string(name.unwrap_or_default());
    }
    if version >= 10 {
        reply.uuid(&id);
    }
    if version >= 1 {
        reply.bool(topic.is_some_and(|topic| topic.name.is_internal()));
    }
    write_partitions(session, reply, version, topic);
}

fn write_partitions(
    session: &Session,
    reply: &mut Reply,
    version: i16,
    topic: Option<&TopicDescriptor>,
) {
    let node = session.node().id;
    let partitions = topic.map_or(0, |topic| topic.partitions);
    reply.array(0..partitions, |reply, index| {
        reply.error(ErrorCode::None);
        reply.i32(index.cast_signed());
        reply.i32(node);
        if version >= 7 {
            let index = PartitionIndex::new(index);
            reply.i32(topic.map_or(-1, |topic| session.leader_epoch(&topic.name, index)));
        }
        // Replicas, and those of them that are in sync.
        reply.array([node], Reply::i32);
        reply.array([node], Reply::i32);
        if version >= 5 {
            // Replicas that are offline.
            reply.array([0; 0], Reply::i32);
        }
        reply.end_of_structure();
    });
}
