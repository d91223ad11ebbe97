//! `SyncGroup` (14), versions 0 to 5: the leader says what each member gets, and each fetches that.

use ratatoskr_core::{
    bytes::Bytes,
    groups::{MemberEpoch, MemberId, SyncGroup},
};

use super::{
    Handled,
    coordinator::{group_id, instance_id, member_id, unless_draining},
};
use crate::{
    error_code::ErrorCode,
    header::Request,
    reader::{Malformed, Reader},
    session::Session,
};

struct Sync {
    group: String,
    generation: i32,
    member: String,
    instance: Option<String>,
    protocol_type: Option<String>,
    protocol: Option<String>,
    assignments: Vec<(String, Bytes)>,
}

pub(super) fn handle(session: &Session, request: &mut Request<'_>) -> Result<Handled, Malformed> {
    let version = request.version;
    let mut reply = request.reply();
    let sync = read(&mut request.body, version)?;
    let session = session.clone();
    Ok(Handled::Later(Box::pin(async move {
        let answer = match to_sync(sync) {
            Ok(wanted) => {
                let synced = session.broker().sync_group(&wanted);
                unless_draining(&session, synced).await
            }
            Err(code) => Err(code),
        };
        let synced = answer.as_ref().ok();
        if version >= 1 {
            reply.throttle_time();
        }
        reply.error(answer.as_ref().err().copied().unwrap_or(ErrorCode::None));
        if version >= 5 {
            reply.nullable_string(synced.map(|synced| synced.protocol_type.as_str()));
            reply.nullable_string(synced.map(|synced| synced.protocol.as_str()));
        }
        reply.bytes(synced.map_or(&[], |synced| &synced.assignment));
        reply.end_of_structure();
        reply
    })))
}

fn read(body: &mut Reader<'_>, version: i16) -> Result<Sync, Malformed> {
    let text = |body: &mut Reader<'_>, from: i16| {
        if version < from {
            return Ok(None);
        }
        Ok(body.nullable_string()?.map(str::to_owned))
    };
    let group = body.string()?.to_owned();
    let generation = body.i32()?;
    let member = body.string()?.to_owned();
    let instance = text(body, 3)?;
    let protocol_type = text(body, 5)?;
    let protocol = text(body, 5)?;
    let assignments = body.array(|body| {
        let member = body.string()?.to_owned();
        let assignment = body.nullable_bytes()?.unwrap_or_default();
        body.end_of_structure()?;
        Ok((member, assignment))
    })?;
    body.end_of_structure()?;
    Ok(Sync {
        group,
        generation,
        member,
        instance,
        protocol_type,
        protocol,
        assignments,
    })
}

fn to_sync(sync: Sync) -> Result<SyncGroup, ErrorCode> {
    // What is for somebody that cannot be a member is for nobody.
    let assignments = sync.assignments.into_iter();
    let assignments =
        assignments.filter_map(|(id, assignment)| Some((MemberId::parse(&id).ok()?, assignment)));
    Ok(SyncGroup {
        group: group_id(&sync.group)?,
        member: member_id(&sync.member)?,
        instance: instance_id(sync.instance.as_deref())?,
        generation: MemberEpoch::new(sync.generation),
        protocol_type: sync.protocol_type,
        protocol: sync.protocol,
        assignments: assignments.collect(),
    })
}
