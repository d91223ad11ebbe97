//! Requests about consumer groups in every version, and what is answered to them.

use kafka_protocol::{
    messages::{
        ApiKey, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse,
        ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, DeleteGroupsRequest,
        DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
        FindCoordinatorRequest, FindCoordinatorResponse, GroupId, HeartbeatRequest,
        HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
        LeaveGroupResponse, ListGroupsRequest, ListGroupsResponse, OffsetCommitRequest,
        OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, OffsetFetchRequest,
        OffsetFetchResponse, ResponseHeader, SyncGroupRequest, SyncGroupResponse,
        consumer_group_heartbeat_request as heartbeat,
        join_group_request::JoinGroupRequestProtocol, leave_group_request::MemberIdentity,
        offset_commit_request as commit, offset_delete_request as forget,
        offset_fetch_request as fetch, sync_group_request::SyncGroupRequestAssignment,
    },
    protocol::{Decodable, Encodable},
};
use ratatoskr_core::bytes::{Bytes, BytesMut};

use crate::{
    samples::{About, text, topic},
    support::{Peer, encoded},
};

/// The group that the requests are about.
pub(crate) const GROUP: &str = "billing";
/// One that the broker manages.
const MANAGED: &str = "managed";
/// The newest version in which the other implementation knows topics by their names.
const BY_NAME_MAX: i16 = 9;

pub(crate) fn group(name: &str) -> GroupId {
    GroupId(text(name))
}

/// The body of a request.
pub(crate) fn request(about: &About<'_>, key: ApiKey, version: i16) -> BytesMut {
    match key {
        ApiKey::FindCoordinator => {
            let mut request = FindCoordinatorRequest::default();
            if version >= 4 {
                request.coordinator_keys = vec![text(GROUP)];
            } else {
                request.key = text(GROUP);
            }
            encoded(&request, version)
        }
        ApiKey::OffsetCommit => {
            let partition = commit::OffsetCommitRequestPartition::default()
                .with_committed_offset(0)
                .with_committed_metadata(Some(text("half way")));
            let topic = commit::OffsetCommitRequestTopic::default()
                .with_name(topic(about.topic))
                .with_partitions(vec![partition]);
            let request = OffsetCommitRequest::default()
                .with_group_id(group(GROUP))
                .with_topics(vec![topic]);
            by_id(about, &request, version)
        }
        ApiKey::OffsetFetch => by_id(about, &offset_fetch(about, version), version),
        ApiKey::OffsetDelete => {
            let partition = forget::OffsetDeleteRequestPartition::default();
            let topic = forget::OffsetDeleteRequestTopic::default()
                .with_name(topic(about.topic))
                .with_partitions(vec![partition]);
            let request = OffsetDeleteRequest::default()
                .with_group_id(group(GROUP))
                .with_topics(vec![topic]);
            encoded(&request, version)
        }
        other => membership(other, version),
    }
}

/// A request of a member, or about members.
fn membership(key: ApiKey, version: i16) -> BytesMut {
    match key {
        ApiKey::JoinGroup => {
            let protocol = JoinGroupRequestProtocol::default()
                .with_name(text("range"))
                .with_metadata(Bytes::from_static(b"wants"));
            let mut request = JoinGroupRequest::default()
                .with_group_id(group(&format!("{GROUP}-{version}")))
                .with_session_timeout_ms(10_000)
                .with_protocol_type(text("consumer"))
                .with_protocols(vec![protocol]);
            if version >= 1 {
                request.rebalance_timeout_ms = 10_000;
            }
            if version >= 8 {
                request.reason = Some(text("for a reason"));
            }
            encoded(&request, version)
        }
        ApiKey::SyncGroup => {
            let assignment = SyncGroupRequestAssignment::default()
                .with_member_id(text("nobody"))
                .with_assignment(Bytes::from_static(b"reads"));
            let mut request = SyncGroupRequest::default()
                .with_group_id(group(GROUP))
                .with_member_id(text("nobody"))
                .with_assignments(vec![assignment]);
            if version >= 5 {
                request.protocol_type = Some(text("consumer"));
                request.protocol_name = Some(text("range"));
            }
            encoded(&request, version)
        }
        ApiKey::Heartbeat => {
            let request = HeartbeatRequest::default()
                .with_group_id(group(GROUP))
                .with_member_id(text("nobody"));
            encoded(&request, version)
        }
        ApiKey::LeaveGroup => {
            let mut request = LeaveGroupRequest::default().with_group_id(group(GROUP));
            if version >= 3 {
                let mut member = MemberIdentity::default().with_member_id(text("nobody"));
                if version >= 5 {
                    member.reason = Some(text("for a reason"));
                }
                request.members = vec![member];
            } else {
                request.member_id = text("nobody");
            }
            encoded(&request, version)
        }
        ApiKey::DescribeGroups => {
            let request = DescribeGroupsRequest::default()
                .with_groups(vec![group(GROUP)])
                .with_include_authorized_operations(version >= 3);
            encoded(&request, version)
        }
        ApiKey::ListGroups => {
            let mut request = ListGroupsRequest::default();
            if version >= 4 {
                request.states_filter = vec![text("empty")];
            }
            if version >= 5 {
                request.types_filter = vec![text("Classic")];
            }
            encoded(&request, version)
        }
        ApiKey::DeleteGroups => {
            let request = DeleteGroupsRequest::default().with_groups_names(vec![group("nobody")]);
            encoded(&request, version)
        }
        ApiKey::ConsumerGroupHeartbeat => {
            let owned = heartbeat::TopicPartitions::default()
                .with_topic_id(uuid::Uuid::from_bytes([1; 16]))
                .with_partitions(vec![0]);
            let mut request = ConsumerGroupHeartbeatRequest::default()
                .with_group_id(group(MANAGED))
                .with_instance_id(None)
                .with_rebalance_timeout_ms(10_000)
                .with_subscribed_topic_names(Some(vec![topic("orders")]))
                .with_server_assignor(Some(text("uniform")))
                .with_topic_partitions(Some(vec![owned]));
            if version >= 1 {
                request.member_id = text("member");
            }
            encoded(&request, version)
        }
        ApiKey::ConsumerGroupDescribe => {
            let request = ConsumerGroupDescribeRequest::default()
                .with_group_ids(vec![group(MANAGED)])
                .with_include_authorized_operations(true);
            encoded(&request, version)
        }
        other => panic!("no sample of {other:?}"),
    }
}

fn offset_fetch(about: &About<'_>, version: i16) -> OffsetFetchRequest {
    if version >= 8 {
        let topics = fetch::OffsetFetchRequestTopics::default()
            .with_name(topic(about.topic))
            .with_partition_indexes(vec![0]);
        let wanted = fetch::OffsetFetchRequestGroup::default()
            .with_group_id(group(GROUP))
            .with_topics(Some(vec![topics]));
        return OffsetFetchRequest::default().with_groups(vec![wanted]);
    }
    let topics = fetch::OffsetFetchRequestTopic::default()
        .with_name(topic(about.topic))
        .with_partition_indexes(vec![0]);
    OffsetFetchRequest::default()
        .with_group_id(group(GROUP))
        .with_topics(Some(vec![topics]))
}

/// A request of a version that knows topics by their ids and is otherwise as the one before it, which
/// the other implementation knows.
fn by_id(about: &About<'_>, request: &impl Encodable, version: i16) -> BytesMut {
    if version <= BY_NAME_MAX {
        return encoded(request, version);
    }
    let by_name = encoded(request, BY_NAME_MAX);
    replaced(&by_name, &compact(about.topic), &about.id)
}

fn compact(text: &str) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(text.len() + 1).unwrap()];
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> BytesMut {
    let at = bytes.windows(from.len()).position(|found| found == from);
    let at = at.expect("the topic is named");
    let mut replaced = BytesMut::from(&bytes[..at]);
    replaced.extend_from_slice(to);
    replaced.extend_from_slice(&bytes[at + from.len()..]);
    replaced
}

/// An answer that knows topics by their ids from some version on.
async fn answer_by_id<R: Decodable>(
    peer: &mut Peer,
    about: &About<'_>,
    key: ApiKey,
    version: i16,
) -> R {
    if version <= BY_NAME_MAX {
        return peer.answer(key, version, 7).await;
    }
    let mut bytes = peer.next().await.expect("an answer");
    let header = ResponseHeader::decode(&mut bytes, 1).unwrap();
    assert_eq!(header.correlation_id, 7);
    let mut bytes: Bytes = replaced(&bytes, &about.id, &compact(about.topic)).freeze();
    let answer = R::decode(&mut bytes, BY_NAME_MAX).unwrap();
    assert!(bytes.is_empty());
    answer
}

/// The codes in the answer to a sample.
pub(crate) async fn codes(
    peer: &mut Peer,
    about: &About<'_>,
    key: ApiKey,
    version: i16,
) -> Vec<i16> {
    match key {
        ApiKey::FindCoordinator => {
            let a: FindCoordinatorResponse = peer.answer(key, version, 7).await;
            if version >= 4 {
                let found = &a.coordinators[0];
                assert_eq!((found.key.as_str(), found.port), (GROUP, 9092));
                return vec![found.error_code];
            }
            assert_eq!((a.host.as_str(), a.port), ("127.0.0.1", 9092));
            vec![a.error_code]
        }
        ApiKey::OffsetCommit => {
            let a: OffsetCommitResponse = answer_by_id(peer, about, key, version).await;
            vec![a.topics[0].partitions[0].error_code]
        }
        ApiKey::OffsetFetch => {
            let a: OffsetFetchResponse = answer_by_id(peer, about, key, version).await;
            let (code, offset, metadata) = if version >= 8 {
                let partition = &a.groups[0].topics[0].partitions[0];
                let code = partition.error_code.max(a.groups[0].error_code);
                (code, partition.committed_offset, partition.metadata.clone())
            } else {
                let partition = &a.topics[0].partitions[0];
                let code = partition.error_code.max(a.error_code);
                (code, partition.committed_offset, partition.metadata.clone())
            };
            assert_eq!((offset, metadata), (0, Some(text("half way"))));
            vec![code]
        }
        ApiKey::OffsetDelete => {
            let a: OffsetDeleteResponse = peer.answer(key, version, 7).await;
            vec![a.error_code, a.topics[0].partitions[0].error_code]
        }
        other => membership_codes(peer, other, version).await,
    }
}

async fn membership_codes(peer: &mut Peer, key: ApiKey, version: i16) -> Vec<i16> {
    match key {
        ApiKey::JoinGroup => {
            let a: JoinGroupResponse = peer.answer(key, version, 7).await;
            assert!(a.member_id.starts_with("a test-"), "{}", a.member_id);
            if a.error_code == 0 {
                assert_eq!((a.generation_id, &a.leader), (1, &a.member_id));
                assert_eq!(&a.members[0].metadata[..], b"wants");
            }
            vec![a.error_code]
        }
        ApiKey::SyncGroup => {
            let a: SyncGroupResponse = peer.answer(key, version, 7).await;
            vec![a.error_code]
        }
        ApiKey::Heartbeat => {
            let a: HeartbeatResponse = peer.answer(key, version, 7).await;
            vec![a.error_code]
        }
        ApiKey::LeaveGroup => {
            let a: LeaveGroupResponse = peer.answer(key, version, 7).await;
            let member = a.members.first();
            vec![member.map_or(a.error_code, |member| member.error_code)]
        }
        ApiKey::DescribeGroups => {
            let a: DescribeGroupsResponse = peer.answer(key, version, 7).await;
            let described = &a.groups[0];
            assert_eq!(described.group_state.as_str(), "Empty");
            vec![described.error_code]
        }
        ApiKey::ListGroups => {
            let a: ListGroupsResponse = peer.answer(key, version, 7).await;
            assert!(
                a.groups
                    .iter()
                    .any(|listed| listed.group_id.as_str() == GROUP)
            );
            vec![a.error_code]
        }
        ApiKey::DeleteGroups => {
            let a: DeleteGroupsResponse = peer.answer(key, version, 7).await;
            vec![a.results[0].error_code]
        }
        ApiKey::ConsumerGroupHeartbeat => {
            let a: ConsumerGroupHeartbeatResponse = peer.answer(key, version, 7).await;
            assert!(a.member_epoch > 0 && a.heartbeat_interval_ms > 0);
            assert!(a.member_id.is_some() && a.assignment.is_some());
            vec![a.error_code]
        }
        ApiKey::ConsumerGroupDescribe => {
            let a: ConsumerGroupDescribeResponse = peer.answer(key, version, 7).await;
            let described = &a.groups[0];
            assert_eq!(described.assignor_name.as_str(), "uniform");
            assert_eq!(described.members.len(), 2);
            vec![described.error_code]
        }
        other => panic!("no sample of {other:?}"),
    }
}

/// The codes that a sample is answered with.
pub(crate) fn expected(key: ApiKey, version: i16) -> &'static [i16] {
    match key {
        ApiKey::OffsetDelete => &[0, 0],
        // A member id is required.
        ApiKey::JoinGroup if version >= 4 => &[79],
        ApiKey::SyncGroup | ApiKey::Heartbeat | ApiKey::LeaveGroup => &[25],
        ApiKey::DeleteGroups => &[69],
        _ => &[0],
    }
}
