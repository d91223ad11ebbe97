//! `DescribeConfigs` (32), versions 1 to 4: of topics and of this node.

use std::collections::HashSet;

use super::Handled;
use crate::{
    configs::{Entry, broker, topic},
    error_code::ErrorCode,
    header::Request,
    reader::{Malformed, Reader},
    refusal::{Refusal, topic_name},
    session::Session,
};

/// What a configuration is of, in Kafka's numbers.
const TOPIC: i8 = 2;
const NODE: i8 = 4;

/// What a request names.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Resource {
    pub(super) kind: i8,
    pub(super) name: String,
}

/// A resource that has a configuration here.
pub(super) enum Configured {
    Topic(ratatoskr_core::storage::TopicDescriptor),
    Node,
}

impl Resource {
    pub(super) fn read(body: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            kind: body.i8()?,
            name: body.string()?.to_owned(),
        })
    }

    /// # Errors
    /// There is no such thing here.
    pub(super) fn find(&self, session: &Session) -> Result<Configured, Refusal> {
        match self.kind {
            TOPIC => {
                let topic = topic_name(&self.name)?;
                let descriptor = session.broker().topic_descriptor(&topic)?;
                Ok(Configured::Topic(descriptor))
            }
            NODE if self.name.is_empty() || self.name == session.node().id.to_string() => {
                Ok(Configured::Node)
            }
            NODE => {
                let message = format!("this is node {}, and the only one", session.node().id);
                Err(Refusal::new(ErrorCode::InvalidRequest, message))
            }
            kind => {
                let message = format!("resources of type {kind} have no configuration here");
                Err(Refusal::new(ErrorCode::InvalidRequest, message))
            }
        }
    }
}

pub(super) fn handle(session: &Session, request: &mut Request<'_>) -> Result<Handled, Malformed> {
    let version = request.version;
    let mut reply = request.reply();
    let body = &mut request.body;
    let mut resources = body.array(|body| {
        let resource = Resource::read(body)?;
        let keys = body.nullable_array(|body| Ok(body.string()?.to_owned()))?;
        body.end_of_structure()?;
        Ok((resource, keys))
    })?;
    let synonyms = body.bool()?;
    let about = version >= 3 && body.bool()?;
    body.end_of_structure()?;
    // A resource that is named twice is told once, as in Kafka.
    let mut named = HashSet::new();
    resources.retain(|(resource, _)| named.insert(resource.clone()));
    let session = session.clone();
    // Later, so that it sees what the requests before it have changed.
    Ok(Handled::Later(Box::pin(async move {
        reply.throttle_time();
        reply.array(&resources, |reply, (resource, keys)| {
            let entries = entries(&session, resource, keys.as_deref());
            reply.outcome(&entries);
            reply.message(&entries);
            reply.i8(resource.kind);
            reply.string(&resource.name);
            reply.array(entries.unwrap_or_default(), |reply, entry| {
                entry.write(reply, version, synonyms, about);
            });
            reply.end_of_structure();
        });
        reply.end_of_structure();
        reply
    })))
}

/// The entries of these names, or all.
fn entries(
    session: &Session,
    resource: &Resource,
    keys: Option<&[String]>,
) -> Result<Vec<Entry>, Refusal> {
    let mut entries = match resource.find(session)? {
        Configured::Topic(topic) => topic::entries(&topic.config, &session.topic_default()),
        Configured::Node => broker::entries(session),
    };
    if let Some(keys) = keys {
        entries.retain(|entry| keys.iter().any(|key| key == entry.name));
    }
    Ok(entries)
}
