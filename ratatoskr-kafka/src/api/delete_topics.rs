//! `DeleteTopics` (20), versions 1 to 6: by name, in the newest version also by id.

use super::{Handled, TopicRef};
use crate::{
    header::Request,
    reader::{Malformed, Reader},
    refusal::Refusal,
    session::Session,
};

pub(super) fn handle(session: &Session, request: &mut Request<'_>) -> Result<Handled, Malformed> {
    let version = request.version;
    let mut reply = request.reply();
    let body = &mut request.body;
    let topics = if version >= 6 {
        body.array(by_name_or_id)?
    } else {
        body.array(|body| TopicRef::read(body, false))?
    };
    let _timeout_ms = body.i32()?;
    body.end_of_structure()?;
    let session = session.clone();
    Ok(Handled::Later(Box::pin(async move {
        let mut outcomes = Vec::new();
        for named in &topics {
            outcomes.push((named, delete(&session, named).await));
        }
        reply.throttle_time();
        reply.array(&outcomes, |reply, (named, outcome)| {
            match named {
                TopicRef::Name(name) if version >= 6 => reply.nullable_string(Some(name)),
                TopicRef::Name(name) => reply.string(name),
                TopicRef::Id(_) => reply.nullable_string(None),
            }
            if version >= 6 {
                reply.uuid(match named {
                    TopicRef::Name(_) => &[0; 16],
                    TopicRef::Id(id) => id,
                });
            }
            reply.outcome(outcome);
            if version >= 5 {
                reply.message(outcome);
            }
            reply.end_of_structure();
        });
        reply.end_of_structure();
        reply
    })))
}

fn by_name_or_id(body: &mut Reader<'_>) -> Result<TopicRef, Malformed> {
    let name = body.nullable_string()?;
    let id = body.uuid()?;
    body.end_of_structure()?;
    Ok(name.map_or(TopicRef::Id(id), |name| TopicRef::Name(name.to_owned())))
}

async fn delete(session: &Session, named: &TopicRef) -> Result<(), Refusal> {
    let topic = named.resolve(session.broker())?;
    Ok(session.broker().delete_topic(&topic).await?)
}
