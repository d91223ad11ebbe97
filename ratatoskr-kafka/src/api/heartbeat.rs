//! `Heartbeat` (12), versions 0 to 4: a member shows that it is there, and hears whether it is to join
//! anew.

use ratatoskr_core::groups::MemberEpoch;

use super::{
    Handled,
    coordinator::{code, group_id, instance_id, member_id},
};
use crate::{error_code::ErrorCode, header::Request, reader::Malformed, session::Session};

struct Heartbeat {
    group: String,
    generation: i32,
    member: String,
    instance: Option<String>,
}

pub(super) fn handle(session: &Session, request: &mut Request<'_>) -> Result<Handled, Malformed> {
    let version = request.version;
    let mut reply = request.reply();
    let body = &mut request.body;
    let group = body.string()?.to_owned();
    let generation = body.i32()?;
    let member = body.string()?.to_owned();
    let instance = if version >= 3 {
        body.nullable_string()?.map(str::to_owned)
    } else {
        None
    };
    body.end_of_structure()?;
    let heartbeat = Heartbeat {
        group,
        generation,
        member,
        instance,
    };
    let session = session.clone();
    Ok(Handled::Later(Box::pin(async move {
        let outcome = beat(&session, &heartbeat).await;
        if version >= 1 {
            reply.throttle_time();
        }
        reply.error(outcome.err().unwrap_or(ErrorCode::None));
        reply.end_of_structure();
        reply
    })))
}

async fn beat(session: &Session, heartbeat: &Heartbeat) -> Result<(), ErrorCode> {
    let group = group_id(&heartbeat.group)?;
    let member = member_id(&heartbeat.member)?;
    let instance = instance_id(heartbeat.instance.as_deref())?;
    let generation = MemberEpoch::new(heartbeat.generation);
    let broker = session.broker();
    let heard_of = broker.classic_heartbeat(&group, &member, instance.as_ref(), generation);
    heard_of.await.map_err(|error| code(&error))
}
