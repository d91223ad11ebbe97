//! `ConsumerGroupDescribe` (69), versions 0 and 1: groups that the broker manages (KIP-848).

use ratatoskr_core::groups::{
    GroupDescription, GroupKind, InstanceId, MemberDescription, TopicPartitions, TopicPattern,
};

use super::{
    Handled,
    consumer_group_heartbeat::{UNIFORM, write_partitions},
    coordinator::{code, group_id, group_names, operations, state_name},
};
use crate::{
    error_code::ErrorCode, header::Request, reader::Malformed, refusal::Refusal, reply::Reply,
    session::Session,
};

/// A member of the protocol that this is about, and not one of the other that is being moved over.
const CONSUMER: i8 = 1;

pub(super) fn handle(session: &Session, request: &mut Request<'_>) -> Result<Handled, Malformed> {
    let version = request.version;
    let mut reply = request.reply();
    let body = &mut request.body;
    let groups = group_names(body)?;
    let wants_operations = body.bool()?;
    body.end_of_structure()?;
    let session = session.clone();
    Ok(Handled::Later(Box::pin(async move {
        let mut described = Vec::new();
        for group in &groups {
            described.push((group, describe(&session, group).await));
        }
        reply.throttle_time();
        reply.array(&described, |reply, (group, described)| {
            write(reply, version, group, described);
            reply.i32(operations(wants_operations, described.is_ok()));
            reply.end_of_structure();
        });
        reply.end_of_structure();
        reply
    })))
}

async fn describe(session: &Session, group: &str) -> Result<GroupDescription, Refusal> {
    let group = group_id(group)?;
    let described = session.broker().describe_group(&group).await;
    let described = described.map_err(|error| Refusal::new(code(&error), error.to_string()))?;
    if described.kind != GroupKind::Consumer {
        let message = "the group is not one that the broker manages";
        return Err(Refusal::new(ErrorCode::GroupIdNotFound, message));
    }
    Ok(described)
}

fn write(
    reply: &mut Reply,
    version: i16,
    group: &str,
    outcome: &Result<GroupDescription, Refusal>,
) {
    let described = outcome.as_ref().ok();
    let epoch = described.map_or(0, |described| described.epoch.get());
    reply.outcome(outcome);
    reply.message(outcome);
    reply.string(group);
    reply.string(described.map_or("", |described| state_name(described.state)));
    // A target is worked out as soon as the group's epoch begins, so both are the same.
    reply.i32(epoch);
    reply.i32(epoch);
    reply.string(described.map_or("", |_| UNIFORM));
    let members = described.map_or(&[][..], |described| &described.members);
    reply.array(members, |reply, member| {
        write_member(reply, version, member);
    });
}

fn write_member(reply: &mut Reply, version: i16, member: &MemberDescription) {
    reply.string(member.member.as_str());
    reply.nullable_string(member.instance.as_ref().map(InstanceId::as_str));
    // No racks.
    reply.nullable_string(None);
    reply.i32(member.epoch.get());
    reply.string(&member.client);
    reply.string("");
    reply.array(&member.topics, |reply, topic| reply.string(topic.as_str()));
    reply.nullable_string(member.pattern.as_ref().map(TopicPattern::as_str));
    write_assignment(reply, &member.assigned);
    write_assignment(reply, &member.target);
    if version >= 1 {
        reply.i8(CONSUMER);
    }
    reply.end_of_structure();
}

fn write_assignment(reply: &mut Reply, topics: &[TopicPartitions]) {
    reply.array(topics, |reply, topic| {
        reply.uuid(topic.id.as_bytes());
        reply.string(topic.topic.as_str());
        write_partitions(reply, topic);
        reply.end_of_structure();
    });
    reply.end_of_structure();
}
