//! The requests of a group's member, and what of their answers it needs.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use kafka_protocol::{
    messages::{
        ConsumerProtocolAssignment, ConsumerProtocolSubscription, DescribeGroupsRequest,
        FetchRequest, GroupId, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest,
        OffsetCommitRequest, OffsetFetchRequest, SyncGroupRequest, TopicName,
        consumer_protocol_assignment::TopicPartition,
        fetch_request::{FetchPartition, FetchTopic},
        join_group_request::JoinGroupRequestProtocol,
        leave_group_request::MemberIdentity,
        offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic},
        offset_fetch_request::OffsetFetchRequestTopic,
        sync_group_request::SyncGroupRequestAssignment,
    },
    protocol::{Decodable, Encodable, StrBytes},
};
use ratatoskr_client::{Offset, PartitionIndex};
use ratatoskr_core::bytes::{Buf, BufMut, Bytes, BytesMut};

use super::connection::{Connection, text};
use crate::load::Topic;

/// The group.
pub(super) const GROUP: &str = "kafka-readers";
/// What its members call their way to assign partitions.
const PROTOCOL: &str = "range";
/// The shortest that the broker takes; who is gone for good is not waited for longer.
const SESSION_MS: i32 = 6_000;
/// How long a round waits for a member.
const REBALANCE_MS: i32 = 6_000;
/// How long a fetch waits for records.
const FETCH_WAIT_MS: i32 = 10;
/// Bytes of a fetch.
const FETCH_BYTES: i32 = 64 << 10;

fn group() -> GroupId {
    GroupId(text(GROUP))
}

fn named(topic: &str) -> TopicName {
    TopicName(text(topic))
}

fn index(partition: PartitionIndex) -> i32 {
    partition.get().cast_signed()
}

fn partition(index: i32) -> Result<PartitionIndex> {
    let index = u32::try_from(index).context("a partition")?;
    Ok(PartitionIndex::new(index))
}

fn offset(offset: i64) -> Result<Offset> {
    Offset::from_wire(offset).context("an offset")
}

fn shared(text_: Option<&str>) -> Option<StrBytes> {
    text_.map(text)
}

/// A member of a generation.
pub(super) struct Joined {
    pub(super) member: String,
    pub(super) generation: i32,
    /// Everybody, where this one is to assign partitions.
    members: Vec<StrBytes>,
}

/// Why somebody is no member yet.
pub(super) struct Refused {
    pub(super) code: i16,
    /// The id to try again with.
    pub(super) member: String,
}

/// Joins, and waits for the others.
pub(super) async fn join(
    connection: &mut Connection,
    topic: &str,
    member: &str,
    instance: Option<&str>,
) -> Result<Result<Joined, Refused>> {
    let wants = ConsumerProtocolSubscription::default().with_topics(vec![text(topic)]);
    let protocol = JoinGroupRequestProtocol::default()
        .with_name(text(PROTOCOL))
        .with_metadata(versioned(&wants)?);
    let request = JoinGroupRequest::default()
        .with_group_id(group())
        .with_session_timeout_ms(SESSION_MS)
        .with_rebalance_timeout_ms(REBALANCE_MS)
        .with_member_id(text(member))
        .with_group_instance_id(shared(instance))
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol]);
    let answer = connection.ask(9, &request).await?;
    let member = answer.member_id.to_string();
    if answer.error_code != 0 {
        let code = answer.error_code;
        return Ok(Err(Refused { code, member }));
    }
    let leads = answer.leader == answer.member_id && !answer.skip_assignment;
    let members = answer.members.into_iter().map(|member| member.member_id);
    Ok(Ok(Joined {
        member,
        generation: answer.generation_id,
        members: members.filter(|_| leads).collect(),
    }))
}

/// What the leader gives to each member: partitions in turn. Nothing, for all others.
pub(super) fn assign(joined: &Joined, topic: &Topic) -> BTreeMap<StrBytes, Vec<i32>> {
    let mut assignments: BTreeMap<_, Vec<i32>> = joined
        .members
        .iter()
        .map(|member| (member.clone(), Vec::new()))
        .collect();
    let count = assignments.len().max(1);
    for (at, place) in topic.places().enumerate() {
        if let Some(assigned) = assignments.values_mut().nth(at % count) {
            assigned.push(index(place.partition));
        }
    }
    assignments
}

/// Says what each gets, where this is the leader, and is told what it gets itself.
pub(super) async fn sync(
    connection: &mut Connection,
    joined: &Joined,
    instance: Option<&str>,
    topic: &str,
    assignments: BTreeMap<StrBytes, Vec<i32>>,
) -> Result<Result<Vec<PartitionIndex>, i16>> {
    let mut given = Vec::new();
    for (member, partitions) in assignments {
        let of_topic = TopicPartition::default()
            .with_topic(named(topic))
            .with_partitions(partitions);
        let gets = ConsumerProtocolAssignment::default().with_assigned_partitions(vec![of_topic]);
        let assignment = SyncGroupRequestAssignment::default()
            .with_member_id(member)
            .with_assignment(versioned(&gets)?);
        given.push(assignment);
    }
    let request = SyncGroupRequest::default()
        .with_group_id(group())
        .with_generation_id(joined.generation)
        .with_member_id(text(&joined.member))
        .with_group_instance_id(shared(instance))
        .with_protocol_type(Some(text("consumer")))
        .with_protocol_name(Some(text(PROTOCOL)))
        .with_assignments(given);
    let answer = connection.ask(5, &request).await?;
    if answer.error_code != 0 {
        return Ok(Err(answer.error_code));
    }
    let mut bytes = answer.assignment;
    ensure!(
        bytes.len() >= 2,
        "a member was assigned nothing that it can read"
    );
    let version = bytes.get_i16();
    let assigned = ConsumerProtocolAssignment::decode(&mut bytes, version)?;
    let partitions = assigned.assigned_partitions.iter();
    let partitions = partitions.flat_map(|topic| &topic.partitions);
    let partitions = partitions.map(|&index| partition(index));
    Ok(Ok(partitions.collect::<Result<_>>()?))
}

/// As members send it among themselves: a version, and what it says.
fn versioned(message: &impl Encodable) -> Result<Bytes> {
    let mut bytes = BytesMut::new();
    bytes.put_i16(0);
    message.encode(&mut bytes, 0)?;
    Ok(bytes.freeze())
}

/// What the group has committed of each partition, offset 0 where that is nothing, or a code.
pub(super) async fn offsets(
    connection: &mut Connection,
    topic: &str,
    partitions: &[PartitionIndex],
) -> Result<Vec<(PartitionIndex, Result<Offset, i16>)>> {
    let wanted = OffsetFetchRequestTopic::default()
        .with_name(named(topic))
        .with_partition_indexes(partitions.iter().copied().map(index).collect());
    let request = OffsetFetchRequest::default()
        .with_group_id(group())
        .with_topics(Some(vec![wanted]));
    let answer = connection.ask(7, &request).await?;
    let mut found = Vec::new();
    for &partition in partitions {
        let mut answers = answer.topics.iter().flat_map(|topic| &topic.partitions);
        let told = answers.find(|told| told.partition_index == index(partition));
        let told = match (answer.error_code, told) {
            (0, told) => told.context("a partition is left out")?,
            (code, _) => {
                found.push((partition, Err(code)));
                continue;
            }
        };
        let committed = match (told.error_code, told.committed_offset) {
            (0, -1) => Ok(Offset::ZERO),
            (0, committed) => Ok(offset(committed)?),
            (code, _) => Err(code),
        };
        found.push((partition, committed));
    }
    Ok(found)
}

/// What is there from these offsets on: a code and batches of each partition.
pub(super) async fn fetch(
    connection: &mut Connection,
    topic: &str,
    from: &BTreeMap<PartitionIndex, Offset>,
) -> Result<Vec<(PartitionIndex, i16, Bytes)>> {
    let partitions = from.iter().map(|(&partition, from)| {
        FetchPartition::default()
            .with_partition(index(partition))
            .with_fetch_offset(from.to_wire())
            .with_partition_max_bytes(FETCH_BYTES)
    });
    let wanted = FetchTopic::default()
        .with_topic(named(topic))
        .with_partitions(partitions.collect());
    let request = FetchRequest::default()
        .with_max_wait_ms(FETCH_WAIT_MS)
        .with_min_bytes(1)
        .with_max_bytes(FETCH_BYTES)
        .with_topics(vec![wanted]);
    let answer = connection.ask(11, &request).await?;
    ensure!(
        answer.error_code == 0,
        "a fetch was answered with {}",
        answer.error_code
    );
    let fetched = answer.responses.into_iter();
    let fetched = fetched.flat_map(|topic| topic.partitions).map(|data| {
        let records = data.records.unwrap_or_default();
        Ok((partition(data.partition_index)?, data.error_code, records))
    });
    fetched.collect()
}

/// Commits where a member goes on; the first code that is not 0, if there is one.
pub(super) async fn commit(
    connection: &mut Connection,
    topic: &str,
    (member, generation): (&str, i32),
    instance: Option<&str>,
    next: &BTreeMap<PartitionIndex, Offset>,
) -> Result<i16> {
    let partitions = next.iter().map(|(&partition, next)| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(index(partition))
            .with_committed_offset(next.to_wire())
    });
    let of_topic = OffsetCommitRequestTopic::default()
        .with_name(named(topic))
        .with_partitions(partitions.collect());
    let request = OffsetCommitRequest::default()
        .with_group_id(group())
        .with_member_id(text(member))
        .with_generation_id_or_member_epoch(generation)
        .with_group_instance_id(shared(instance))
        .with_topics(vec![of_topic]);
    let answer = connection.ask(8, &request).await?;
    let mut codes = answer
        .topics
        .iter()
        .flat_map(|topic| &topic.partitions)
        .map(|partition| partition.error_code);
    Ok(codes.find(|&code| code != 0).unwrap_or_default())
}

/// Shows that a member is there.
pub(super) async fn heartbeat(
    connection: &mut Connection,
    (member, generation): (&str, i32),
    instance: Option<&str>,
) -> Result<i16> {
    let request = HeartbeatRequest::default()
        .with_group_id(group())
        .with_generation_id(generation)
        .with_member_id(text(member))
        .with_group_instance_id(shared(instance));
    Ok(connection.ask(4, &request).await?.error_code)
}

/// A member leaves.
pub(super) async fn leave(connection: &mut Connection, member: &str) -> Result<i16> {
    let member = MemberIdentity::default().with_member_id(text(member));
    let request = LeaveGroupRequest::default()
        .with_group_id(group())
        .with_members(vec![member]);
    let answer = connection.ask(4, &request).await?;
    let of_member = answer.members.first().map(|member| member.error_code);
    Ok(match answer.error_code {
        0 => of_member.context("nothing is said of the member")?,
        code => code,
    })
}

/// The state of the group, and how many members it has.
pub(super) async fn describe(connection: &mut Connection) -> Result<(String, usize)> {
    let request = DescribeGroupsRequest::default().with_groups(vec![group()]);
    let answer = connection.ask(5, &request).await?;
    let described = answer.groups.first().context("no group is described")?;
    ensure!(
        described.error_code == 0,
        "the group's state was answered with {}",
        described.error_code
    );
    let state = described.group_state.to_string();
    Ok((state, described.members.len()))
}
