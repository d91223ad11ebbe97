//! `OffsetCommit` (8), versions 2 to 10: how far a group has come, with whatever text it likes.
//!
//! Partitions that cannot be committed for have an error each; the others are committed together, all
//! or none. Members name their generation. Who is no member (generation -1, no member id) commits to a group without members.

use ratatoskr_core::{
    Error,
    groups::{Committer, GroupError, GroupKind, MemberEpoch, OffsetCommit},
    name::GroupId,
    offset::Offset,
};

use super::{
    Handled, TopicRef,
    coordinator::{code, group_id, instance_id, member_id},
    topic_ref::{Topics, partition_index, write_topics},
};
use crate::{error_code::ErrorCode, header::Request, reader::Malformed, session::Session};

struct Partition {
    index: i32,
    offset: i64,
    metadata: String,
}

struct Commit {
    group: String,
    generation: i32,
    member: String,
    instance: Option<String>,
    topics: Topics<Partition>,
}

pub(super) fn handle(session: &Session, request: &mut Request<'_>) -> Result<Handled, Malformed> {
    let version = request.version;
    let mut reply = request.reply();
    let commit = read(request)?;
    let session = session.clone();
    Ok(Handled::Later(Box::pin(async move {
        let outcomes = commit_all(&session, &commit).await;
        if version >= 3 {
            reply.throttle_time();
        }
        write_topics(
            &mut reply,
            &commit.topics,
            outcomes,
            |reply, partition, outcome| {
                reply.i32(partition.index);
                reply.error(outcome.err().unwrap_or(ErrorCode::None));
            },
        );
        reply.end_of_structure();
        reply
    })))
}

fn read(request: &mut Request<'_>) -> Result<Commit, Malformed> {
    let version = request.version;
    let body = &mut request.body;
    let group = body.string()?.to_owned();
    let generation = body.i32()?;
    let member = body.string()?.to_owned();
    let instance = if version >= 7 {
        body.nullable_string()?.map(str::to_owned)
    } else {
        None
    };
    if version <= 4 {
        let _retention_ms = body.i64()?;
    }
    let topics = body.array(|body| {
        let named = TopicRef::read(body, version >= 10)?;
        let partitions = body.array(|body| {
            let index = body.i32()?;
            let offset = body.i64()?;
            if version >= 6 {
                let _leader_epoch = body.i32()?;
            }
            let metadata = body.nullable_string()?.unwrap_or_default().to_owned();
            body.end_of_structure()?;
            Ok(Partition {
                index,
                offset,
                metadata,
            })
        })?;
        body.end_of_structure()?;
        Ok((named, partitions))
    })?;
    body.end_of_structure()?;
    Ok(Commit {
        group,
        generation,
        member,
        instance,
        topics,
    })
}

/// What came of each partition, in the order of the request.
async fn commit_all(session: &Session, commit: &Commit) -> Vec<Result<(), ErrorCode>> {
    let mut valid = Vec::new();
    let mut outcomes = Vec::new();
    for (named, partitions) in &commit.topics {
        for partition in partitions {
            let checked = check(session, named, partition);
            outcomes.push(checked.map(|commit| valid.push(commit)));
        }
    }
    let committed = match group_id(&commit.group) {
        Ok(group) => commit_valid(session, &group, commit, &valid).await,
        Err(code) => Err(code),
    };
    if let Err(code) = committed {
        for outcome in outcomes.iter_mut().filter(|outcome| outcome.is_ok()) {
            *outcome = Err(code);
        }
    }
    outcomes
}

async fn commit_valid(
    session: &Session,
    group: &GroupId,
    commit: &Commit,
    offsets: &[OffsetCommit],
) -> Result<(), ErrorCode> {
    let broker = session.broker();
    if commit.generation < 0 && commit.member.is_empty() && commit.instance.is_none() {
        let committed = broker.commit_offsets(group, None, offsets).await;
        return committed.map_err(|error| match error {
            // As Kafka puts it to those who are no members of a group that has some.
            Error::Group(GroupError::NotEmpty(_)) => ErrorCode::UnknownMemberId,
            error => code(&error),
        });
    }
    let committer = Committer {
        member: match commit.member.as_str() {
            "" => None,
            id => Some(member_id(id)?),
        },
        instance: instance_id(commit.instance.as_deref())?,
        generation: MemberEpoch::new(commit.generation),
    };
    match broker.commit_offsets_as(group, &committer, offsets).await {
        Ok(()) => Ok(()),
        Err(Error::Group(GroupError::UnknownGroup(_))) => Err(ErrorCode::IllegalGeneration),
        Err(Error::Group(GroupError::FencedMember { .. } | GroupError::NotAssigned { .. })) => {
            Err(outdated(session, group).await)
        }
        Err(error) => Err(code(&error)),
    }
}

/// What it is called that the member's generation is another one: in a group that the broker manages
/// it is an epoch.
async fn outdated(session: &Session, group: &GroupId) -> ErrorCode {
    match session.broker().describe_group(group).await {
        Ok(described) if described.kind == GroupKind::Consumer => ErrorCode::StaleMemberEpoch,
        _ => ErrorCode::IllegalGeneration,
    }
}

/// The commit of one partition, as far as it can be told wrong by itself.
fn check(
    session: &Session,
    named: &TopicRef,
    partition: &Partition,
) -> Result<OffsetCommit, ErrorCode> {
    let broker = session.broker();
    let topic = named.resolve(broker)?;
    let index = partition_index(partition.index)?;
    let offset = Offset::from_wire(partition.offset).ok_or(ErrorCode::OffsetOutOfRange)?;
    if partition.metadata.len() > broker.config().offset_metadata_bytes_max {
        return Err(ErrorCode::OffsetMetadataTooLarge);
    }
    let offset = match broker.bounds(&topic, index) {
        // Kafka takes such an offset. A consumer has it after the log has lost its end, for one, and
        // goes on from there.
        Ok(bounds) => offset.min(bounds.log_end),
        Err(error @ (Error::UnknownTopic(_) | Error::UnknownPartition { .. })) => {
            return Err(ErrorCode::from(&error));
        }
        // Whether a partition that is down has the offset, the broker knows.
        Err(_) => offset,
    };
    Ok(OffsetCommit {
        topic,
        partition: index,
        offset,
        metadata: partition.metadata.clone(),
    })
}
