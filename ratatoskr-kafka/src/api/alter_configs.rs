//! `AlterConfigs` (33), versions 0 to 2, and `IncrementalAlterConfigs` (44), versions 0 and 1.
//!
//! The older one replaces a topic's whole configuration: what it does not name has its default again.
//! The newer one sets, deletes, appends and subtracts. A node's configuration cannot be changed.

use super::{
    Handled,
    describe_configs::{Configured, Resource},
};
use crate::{
    configs::topic::{Changes, Operation},
    error_code::ErrorCode,
    header::Request,
    reader::{Malformed, Reader},
    refusal::Refusal,
    session::Session,
};

/// What is asked for of one resource.
struct Alteration {
    resource: Resource,
    entries: Vec<Entry>,
    /// Whether what is not named has its default again.
    replaces: bool,
}

struct Entry {
    name: String,
    /// As it travels; checked when it is carried out.
    operation: i8,
    value: Option<String>,
}

pub(super) fn replace(session: &Session, request: &mut Request<'_>) -> Result<Handled, Malformed> {
    handle(session, request, true)
}

pub(super) fn change(session: &Session, request: &mut Request<'_>) -> Result<Handled, Malformed> {
    handle(session, request, false)
}

fn handle(
    session: &Session,
    request: &mut Request<'_>,
    replaces: bool,
) -> Result<Handled, Malformed> {
    let mut reply = request.reply();
    let body = &mut request.body;
    let alterations = body.array(|body| {
        let resource = Resource::read(body)?;
        let entries = body.array(|body| entry(body, replaces))?;
        body.end_of_structure()?;
        Ok(Alteration {
            resource,
            entries,
            replaces,
        })
    })?;
    let validate_only = body.bool()?;
    body.end_of_structure()?;
    let session = session.clone();
    Ok(Handled::Later(Box::pin(async move {
        let mut outcomes = Vec::new();
        for alteration in alterations {
            let outcome = alter(&session, &alteration, validate_only).await;
            outcomes.push((alteration.resource, outcome));
        }
        reply.throttle_time();
        reply.array(&outcomes, |reply, (resource, outcome)| {
            reply.outcome(outcome);
            reply.message(outcome);
            reply.i8(resource.kind);
            reply.string(&resource.name);
            reply.end_of_structure();
        });
        reply.end_of_structure();
        reply
    })))
}

fn entry(body: &mut Reader<'_>, replaces: bool) -> Result<Entry, Malformed> {
    let name = body.string()?.to_owned();
    let operation = if replaces { 0 } else { body.i8()? };
    let value = body.nullable_string()?.map(str::to_owned);
    body.end_of_structure()?;
    Ok(Entry {
        name,
        operation,
        value,
    })
}

async fn alter(
    session: &Session,
    alteration: &Alteration,
    validate_only: bool,
) -> Result<(), Refusal> {
    let topic = match alteration.resource.find(session)? {
        Configured::Topic(topic) => topic,
        Configured::Node => {
            let message = "a node is configured where it is started";
            return Err(Refusal::new(ErrorCode::PolicyViolation, message));
        }
    };
    let default = session.topic_default();
    let mut changes = Changes::of(&topic.config, &default);
    if alteration.replaces {
        changes.reset()?;
    }
    for entry in &alteration.entries {
        let operation = match entry.operation {
            0 => Operation::Set,
            1 => Operation::Delete,
            2 => Operation::Append,
            3 => Operation::Subtract,
            other => {
                let message = format!("there is no operation {other}");
                return Err(Refusal::new(ErrorCode::InvalidRequest, message));
            }
        };
        changes.apply(&entry.name, operation, entry.value.as_deref())?;
    }
    let change = changes.into_change();
    if validate_only {
        session.broker().check_change(&topic.name, &change)?;
    } else {
        session.broker().alter_topic(&topic.name, &change).await?;
    }
    Ok(())
}
