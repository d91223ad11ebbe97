//! `ConsumerGroupHeartbeat` (68), versions 0 and 1: one call for all of a member's life in a group that
//! the broker manages (KIP-848). In version 0 the broker gives the member its id.
//!
//! Assignors: Kafka's `uniform`, which spreads evenly and moves little.

use ratatoskr_core::{
    Error,
    groups::{
        Assignor, GroupError, GroupHeartbeat, GroupHeartbeatResponse, MemberEpoch, MemberId,
        TopicPartitions, TopicPattern,
    },
    name::{TopicId, TopicName},
    offset::PartitionIndex,
};

use super::{
    Handled,
    coordinator::{code, duration, group_id, instance_id},
};
use crate::{
    error_code::ErrorCode,
    header::Request,
    reader::{Malformed, Reader},
    refusal::Refusal,
    reply::Reply,
    session::Session,
};

/// What Kafka calls the assignor that is the default here.
pub(super) const UNIFORM: &str = "uniform";

/// Partitions by the ids of their topics.
type Owned = Vec<([u8; 16], Vec<i32>)>;

struct Heartbeat {
    group: String,
    member: String,
    epoch: i32,
    instance: Option<String>,
    rebalance_timeout_ms: i32,
    topics: Option<Vec<String>>,
    pattern: Option<String>,
    assignor: Option<String>,
    owned: Option<Owned>,
}

pub(super) fn handle(session: &Session, request: &mut Request<'_>) -> Result<Handled, Malformed> {
    let mut reply = request.reply();
    let client = request.client.to_owned();
    let heartbeat = read(&mut request.body, request.version)?;
    let session = session.clone();
    Ok(Handled::Later(Box::pin(async move {
        let outcome = match to_heartbeat(&session, &heartbeat, client) {
            Ok(wanted) => {
                let answer = session.broker().group_heartbeat(&wanted).await;
                let answer = answer.map_err(|error| refusal(&error));
                answer.map(|answer| (wanted.member, answer))
            }
            Err(refusal) => Err(refusal),
        };
        write(&mut reply, &outcome);
        reply
    })))
}

fn read(body: &mut Reader<'_>, version: i16) -> Result<Heartbeat, Malformed> {
    let text = |body: &mut Reader<'_>| Ok(body.nullable_string()?.map(str::to_owned));
    let group = body.string()?.to_owned();
    let member = body.string()?.to_owned();
    let epoch = body.i32()?;
    let instance = text(body)?;
    let _rack = body.nullable_string()?;
    let rebalance_timeout_ms = body.i32()?;
    let topics = body.nullable_array(|body| Ok(body.string()?.to_owned()))?;
    let pattern = if version >= 1 { text(body)? } else { None };
    let assignor = text(body)?;
    let owned = body.nullable_array(|body| {
        let topic = body.uuid()?;
        let partitions = body.array(Reader::i32)?;
        body.end_of_structure()?;
        Ok((topic, partitions))
    })?;
    body.end_of_structure()?;
    Ok(Heartbeat {
        group,
        member,
        epoch,
        instance,
        rebalance_timeout_ms,
        topics,
        pattern,
        assignor,
        owned,
    })
}

fn to_heartbeat(
    session: &Session,
    heartbeat: &Heartbeat,
    client: String,
) -> Result<GroupHeartbeat, Refusal> {
    let epoch = MemberEpoch::new(heartbeat.epoch);
    let member = match heartbeat.member.as_str() {
        "" if epoch == MemberEpoch::JOIN => MemberId::random(),
        id => MemberId::parse(id).map_err(|_| ErrorCode::InvalidRequest)?,
    };
    let assignor = match heartbeat.assignor.as_deref() {
        None | Some("") => None,
        Some(UNIFORM) => Some(Assignor::Sticky),
        Some(_) => {
            let message = "the only assignor is uniform";
            return Err(Refusal::new(ErrorCode::UnsupportedAssignor, message));
        }
    };
    let topics = heartbeat.topics.as_ref().map(|topics| {
        let topics = topics.iter().map(|name| TopicName::parse(name));
        topics.collect::<Result<_, _>>()
    });
    let topics = topics
        .transpose()
        .map_err(|_| ErrorCode::InvalidTopicException)?;
    let pattern = heartbeat.pattern.as_deref().map(TopicPattern::parse);
    let pattern = pattern
        .transpose()
        .map_err(|error| Refusal::new(ErrorCode::InvalidRegularExpression, error.to_string()))?;
    Ok(GroupHeartbeat {
        group: group_id(&heartbeat.group)?,
        member,
        epoch,
        instance: instance_id(heartbeat.instance.as_deref())?,
        client,
        topics,
        pattern,
        assignor,
        rebalance_timeout: duration(heartbeat.rebalance_timeout_ms),
        owned: (heartbeat.owned.as_ref()).map(|owned| to_owned_partitions(session, owned)),
    })
}

/// What the member says it reads. Of a topic that is gone nobody reads anything.
fn to_owned_partitions(session: &Session, owned: &Owned) -> Vec<TopicPartitions> {
    let topics = owned.iter().filter_map(|(id, partitions)| {
        let id = TopicId::from_bytes(*id)?;
        let partitions = partitions.iter();
        Some(TopicPartitions {
            topic: session.broker().topic_name(id)?,
            id,
            partitions: partitions
                .filter_map(|&index| u32::try_from(index).ok().map(PartitionIndex::new))
                .collect(),
        })
    });
    topics.collect()
}

fn refusal(error: &Error) -> Refusal {
    let code = match error {
        Error::Group(GroupError::FencedMember { .. }) => ErrorCode::FencedMemberEpoch,
        Error::Group(GroupError::InstanceInUse { .. }) => ErrorCode::UnreleasedInstanceId,
        // As Kafka puts it where a group of the other protocol is in the way.
        Error::Group(GroupError::InconsistentProtocol(_)) => ErrorCode::GroupIdNotFound,
        error => code(error),
    };
    Refusal::new(code, error.to_string())
}

fn write(reply: &mut Reply, outcome: &Result<(MemberId, GroupHeartbeatResponse), Refusal>) {
    let answer = outcome.as_ref().ok();
    reply.throttle_time();
    reply.outcome(outcome);
    reply.message(outcome);
    reply.nullable_string(answer.map(|(member, _)| member.as_str()));
    reply.i32(answer.map_or(0, |(_, answer)| answer.epoch.get()));
    let interval = answer.map_or(0, |(_, answer)| answer.heartbeat_interval.as_millis());
    reply.i32(i32::try_from(interval).unwrap_or(i32::MAX));
    let assignment = answer.and_then(|(_, answer)| answer.assignment.as_ref());
    reply.nullable_structure(assignment, |reply, topics| {
        reply.array(topics, |reply, topic| {
            reply.uuid(topic.id.as_bytes());
            write_partitions(reply, topic);
            reply.end_of_structure();
        });
        reply.end_of_structure();
    });
    reply.end_of_structure();
}

pub(super) fn write_partitions(reply: &mut Reply, topic: &TopicPartitions) {
    reply.array(&topic.partitions, |reply, index| {
        reply.i32(i32::try_from(index.get()).unwrap_or(i32::MAX));
    });
}
