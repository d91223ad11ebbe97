//! `JoinGroup` (11), versions 0 to 9: a member joins a group, and waits for the others.
//!
//! From version 4 on a member without an id is only given one, and joins with it the next time, so
//! that a client that tries again and again leaves no members behind.

use std::time::Duration;

use ratatoskr_core::{
    bytes::Bytes,
    groups::{JoinAnswer, JoinGroup, JoinedGroup},
};

use super::{
    Handled,
    coordinator::{duration, group_id, instance_id, member_id, unless_draining},
};
use crate::{
    error_code::ErrorCode,
    header::Request,
    reader::{Malformed, Reader},
    reply::Reply,
    session::Session,
};

struct Join {
    group: String,
    session_timeout: Duration,
    rebalance_timeout: Duration,
    member: String,
    instance: Option<String>,
    protocol_type: String,
    protocols: Vec<(String, Bytes)>,
}

pub(super) fn handle(session: &Session, request: &mut Request<'_>) -> Result<Handled, Malformed> {
    let version = request.version;
    let mut reply = request.reply();
    let client = request.client.to_owned();
    let join = read(&mut request.body, version)?;
    let session = session.clone();
    Ok(Handled::Later(Box::pin(async move {
        let answer = match to_join(&session, &join, version, client) {
            Ok(wanted) => {
                let joined = session.broker().join_group(&wanted);
                unless_draining(&session, joined).await
            }
            Err(code) => Err(code),
        };
        write(&mut reply, version, &join, &answer);
        reply
    })))
}

fn read(body: &mut Reader<'_>, version: i16) -> Result<Join, Malformed> {
    let group = body.string()?.to_owned();
    let session_timeout = duration(body.i32()?);
    let rebalance_timeout = if version >= 1 {
        duration(body.i32()?)
    } else {
        session_timeout
    };
    let member = body.string()?.to_owned();
    let instance = if version >= 5 {
        body.nullable_string()?.map(str::to_owned)
    } else {
        None
    };
    let protocol_type = body.string()?.to_owned();
    let protocols = body.array(|body| {
        let name = body.string()?.to_owned();
        let metadata = body.nullable_bytes()?.unwrap_or_default();
        body.end_of_structure()?;
        Ok((name, metadata))
    })?;
    if version >= 8 {
        let _reason = body.nullable_string()?;
    }
    body.end_of_structure()?;
    Ok(Join {
        group,
        session_timeout,
        rebalance_timeout,
        member,
        instance,
        protocol_type,
        protocols,
    })
}

fn to_join(
    session: &Session,
    join: &Join,
    version: i16,
    client: String,
) -> Result<JoinGroup, ErrorCode> {
    let member = match join.member.as_str() {
        "" => None,
        id => Some(member_id(id)?),
    };
    Ok(JoinGroup {
        group: group_id(&join.group)?,
        member,
        instance: instance_id(join.instance.as_deref())?,
        client,
        host: format!("/{}", session.peer.ip().to_canonical()),
        session_timeout: join.session_timeout,
        rebalance_timeout: join.rebalance_timeout,
        protocol_type: join.protocol_type.clone(),
        protocols: join.protocols.clone(),
        needs_id: version >= 4,
        may_skip_assignment: version >= 9,
    })
}

fn write(reply: &mut Reply, version: i16, join: &Join, answer: &Result<JoinAnswer, ErrorCode>) {
    let (error, id, joined) = match answer {
        Ok(JoinAnswer::Joined(joined)) => (ErrorCode::None, joined.member.as_str(), Some(joined)),
        Ok(JoinAnswer::MemberIdRequired(id)) => (ErrorCode::MemberIdRequired, id.as_str(), None),
        Err(code) => (*code, join.member.as_str(), None),
    };
    if version >= 2 {
        reply.throttle_time();
    }
    reply.error(error);
    reply.i32(joined.map_or(-1, |joined| joined.generation.get()));
    if version >= 7 {
        reply.nullable_string(joined.map(|joined| joined.protocol_type.as_str()));
        reply.nullable_string(joined.map(|joined| joined.protocol.as_str()));
    } else {
        reply.string(joined.map_or("", |joined| &joined.protocol));
    }
    reply.string(joined.map_or("", |joined| joined.leader.as_str()));
    if version >= 9 {
        reply.bool(joined.is_some_and(|joined| joined.skip_assignment));
    }
    reply.string(id);
    write_members(reply, version, joined);
    reply.end_of_structure();
}

fn write_members(reply: &mut Reply, version: i16, joined: Option<&JoinedGroup>) {
    let members = joined.map_or(&[][..], |joined| &joined.members);
    reply.array(members, |reply, member| {
        reply.string(member.member.as_str());
        if version >= 5 {
            let instance = member.instance.as_ref();
            reply.nullable_string(instance.map(ratatoskr_core::groups::InstanceId::as_str));
        }
        reply.bytes(&member.metadata);
        reply.end_of_structure();
    });
}
