//! `DeleteGroups` (42), versions 0 to 2: groups without members, with all their offsets.

use super::{
    Handled,
    coordinator::{code, group_id},
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
    let groups = body.array(|body: &mut Reader<'_>| Ok(body.string()?.to_owned()))?;
    body.end_of_structure()?;
    let session = session.clone();
    Ok(Handled::Later(Box::pin(async move {
        let mut outcomes = Vec::new();
        for group in &groups {
            outcomes.push((group, delete(&session, group).await));
        }
        reply.throttle_time();
        reply.array(outcomes, |reply, (group, outcome)| {
            reply.string(group);
            reply.error(outcome.err().unwrap_or(ErrorCode::None));
            reply.end_of_structure();
        });
        reply.end_of_structure();
        reply
    })))
}

async fn delete(session: &Session, group: &str) -> Result<(), ErrorCode> {
    let group = group_id(group)?;
    let deleted = session.broker().delete_group(&group).await;
    deleted.map_err(|error| code(&error))
}
