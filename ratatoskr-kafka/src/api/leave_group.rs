//! `LeaveGroup` (13), versions 0 to 5: members leave, or are made to; several at a time from version 3
//! on, static ones by their instance id.

use super::{
    Handled,
    coordinator::{code, group_id, instance_id, member_id},
};
use crate::{
    error_code::ErrorCode,
    header::Request,
    reader::{Malformed, Reader},
    session::Session,
};

struct Member {
    id: String,
    instance: Option<String>,
}

pub(super) fn handle(session: &Session, request: &mut Request<'_>) -> Result<Handled, Malformed> {
    let version = request.version;
    let mut reply = request.reply();
    let body = &mut request.body;
    let group = body.string()?.to_owned();
    let members = if version >= 3 {
        body.array(|body| read_member(body, version))?
    } else {
        vec![Member {
            id: body.string()?.to_owned(),
            instance: None,
        }]
    };
    body.end_of_structure()?;
    let session = session.clone();
    Ok(Handled::Later(Box::pin(async move {
        let mut outcomes = Vec::new();
        for member in &members {
            let outcome = leave(&session, &group, member).await;
            outcomes.push(outcome.err().unwrap_or(ErrorCode::None));
        }
        if version >= 1 {
            reply.throttle_time();
        }
        if version < 3 {
            reply.error(outcomes.first().copied().unwrap_or(ErrorCode::None));
        } else {
            reply.error(group_id(&group).err().unwrap_or(ErrorCode::None));
            let members = members.iter().zip(outcomes).collect::<Vec<_>>();
            reply.array(members, |reply, (member, outcome)| {
                reply.string(&member.id);
                reply.nullable_string(member.instance.as_deref());
                reply.error(outcome);
                reply.end_of_structure();
            });
        }
        reply.end_of_structure();
        reply
    })))
}

fn read_member(body: &mut Reader<'_>, version: i16) -> Result<Member, Malformed> {
    let id = body.string()?.to_owned();
    let instance = body.nullable_string()?.map(str::to_owned);
    if version >= 5 {
        let _reason = body.nullable_string()?;
    }
    body.end_of_structure()?;
    Ok(Member { id, instance })
}

async fn leave(session: &Session, group: &str, member: &Member) -> Result<(), ErrorCode> {
    let group = group_id(group)?;
    let id = match member.id.as_str() {
        "" => None,
        id => Some(member_id(id)?),
    };
    let instance = instance_id(member.instance.as_deref())?;
    let broker = session.broker();
    let left = broker.leave_group(&group, id.as_ref(), instance.as_ref());
    left.await.map_err(|error| code(&error))
}
