//! Requests about consumer groups in every version, and what is answered to them.

use kafka_protocol::{
    messages::{
        ApiKey, FindCoordinatorRequest, FindCoordinatorResponse, GroupId, OffsetCommitRequest,
        OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, OffsetFetchRequest,
        OffsetFetchResponse, ResponseHeader, offset_commit_request as commit,
        offset_delete_request as forget, offset_fetch_request as fetch,
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
        other => panic!("no sample of {other:?}"),
    }
}

/// The codes that a sample is answered with.
pub(crate) fn expected(key: ApiKey) -> &'static [i16] {
    match key {
        ApiKey::OffsetDelete => &[0, 0],
        _ => &[0],
    }
}
