//! `DescribeGroups` (15), versions 0 to 6: groups whose members assign partitions among themselves.
//!
//! A group that is not there, or that the broker manages, is dead before version 6, and not found from
//! then on.

use ratatoskr_core::groups::{ClassicDescription, InstanceId};

use super::{
    Handled,
    coordinator::{code, group_id, group_names, operations, state_name},
};
use crate::{
    error_code::ErrorCode, header::Request, reader::Malformed, reply::Reply, session::Session,
};

const DEAD: &str = "Dead";

pub(super) fn handle(session: &Session, request: &mut Request<'_>) -> Result<Handled, Malformed> {
    let version = request.version;
    let mut reply = request.reply();
    let body = &mut request.body;
    let groups = group_names(body)?;
    let wants_operations = version >= 3 && body.bool()?;
    body.end_of_structure()?;
    let session = session.clone();
    Ok(Handled::Later(Box::pin(async move {
        let mut described = Vec::new();
        for group in &groups {
            described.push((group, describe(&session, group).await));
        }
        if version >= 1 {
            reply.throttle_time();
        }
        reply.array(&described, |reply, (group, described)| {
            write(reply, version, group, described);
            if version >= 3 {
                reply.i32(operations(wants_operations, described.is_ok()));
            }
            reply.end_of_structure();
        });
        reply.end_of_structure();
        reply
    })))
}

async fn describe(session: &Session, group: &str) -> Result<ClassicDescription, ErrorCode> {
    let group = group_id(group)?;
    let described = session.broker().describe_classic_group(&group).await;
    let described = described.map_err(|error| code(&error))?;
    described.ok_or(ErrorCode::GroupIdNotFound)
}

fn write(
    reply: &mut Reply,
    version: i16,
    group: &str,
    described: &Result<ClassicDescription, ErrorCode>,
) {
    let error = described.as_ref().err().copied();
    let is_missing = error == Some(ErrorCode::GroupIdNotFound);
    reply.error(match error {
        Some(_) if is_missing && version < 6 => ErrorCode::None,
        error => error.unwrap_or(ErrorCode::None),
    });
    if version >= 6 {
        let message = "there is no group of this name whose members assign partitions themselves";
        reply.nullable_string(is_missing.then_some(message));
    }
    reply.string(group);
    let described = described.as_ref().ok();
    reply.string(match described {
        Some(described) => state_name(described.state),
        None if is_missing => DEAD,
        None => "",
    });
    reply.string(described.map_or("", |described| &described.protocol_type));
    reply.string(described.map_or("", |described| &described.protocol));
    let members = described.map_or(&[][..], |described| &described.members);
    reply.array(members, |reply, member| {
        reply.string(member.member.as_str());
        if version >= 4 {
            reply.nullable_string(member.instance.as_ref().map(InstanceId::as_str));
        }
        reply.string(&member.client);
        reply.string(&member.host);
        reply.bytes(&member.metadata);
        reply.bytes(&member.assignment);
        reply.end_of_structure();
    });
}
