//! Offsets that groups commit, as tools and consumers without a group protocol do.

use kafka_protocol::messages::{
    ApiKey, FindCoordinatorRequest, FindCoordinatorResponse, OffsetCommitRequest,
    OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, OffsetFetchRequest,
    OffsetFetchResponse, offset_commit_request as commit, offset_delete_request as forget,
    offset_fetch_request as fetch,
};
use ratatoskr_core::groups::OffsetCommit;

use crate::{
    group_samples::group,
    samples::{text, topic},
    support::{P0, Server, batch, name},
};

async fn server_with_records() -> Server {
    let server = Server::with_topic("orders", &[]).await;
    let produced = server
        .broker
        .produce(&name("orders"), P0, batch(&["a", "b", "c"]))
        .unwrap();
    produced.wait().await.unwrap();
    server
}

/// A commit of these partitions, each an index and an offset with metadata.
fn commit_of(group_id: &str, partitions: &[(i32, i64, &str)]) -> OffsetCommitRequest {
    let partitions = partitions.iter().map(|&(index, offset, metadata)| {
        commit::OffsetCommitRequestPartition::default()
            .with_partition_index(index)
            .with_committed_offset(offset)
            .with_committed_metadata(Some(text(metadata)))
    });
    let topic = commit::OffsetCommitRequestTopic::default()
        .with_name(topic("orders"))
        .with_partitions(partitions.collect());
    OffsetCommitRequest::default()
        .with_group_id(group(group_id))
        .with_topics(vec![topic])
}

fn codes(answer: &OffsetCommitResponse) -> Vec<i16> {
    let partitions = answer.topics[0].partitions.iter();
    partitions.map(|partition| partition.error_code).collect()
}

fn all_of(groups: &[&str]) -> OffsetFetchRequest {
    let groups = groups.iter().map(|id| {
        fetch::OffsetFetchRequestGroup::default()
            .with_group_id(group(id))
            .with_topics(None)
    });
    OffsetFetchRequest::default().with_groups(groups.collect())
}

#[tokio::test]
async fn what_cannot_be_committed_does_not_hold_up_the_rest() {
    let server = server_with_records().await;
    let mut peer = server.connect();
    let long = "x".repeat(server.broker.config().offset_metadata_bytes_max + 1);
    let request = commit_of(
        "billing",
        &[
            (0, 2, "ok"),
            (7, 0, ""),
            (-1, 0, ""),
            (0, -2, ""),
            (0, 1, &long),
        ],
    );
    let answer: OffsetCommitResponse = peer.ask(ApiKey::OffsetCommit, 8, &request).await;
    assert_eq!(codes(&answer), [0, 3, 3, 1, 12]);
    let answer: OffsetFetchResponse = peer
        .ask(ApiKey::OffsetFetch, 8, &all_of(&["billing"]))
        .await;
    let partition = &answer.groups[0].topics[0].partitions[0];
    assert_eq!(partition.committed_offset, 2);
    assert_eq!(partition.metadata, Some(text("ok")));
    // Both doors have the same offsets.
    let id = "billing".parse().unwrap();
    let native = server.broker.fetch_offsets(&id, None).await.unwrap();
    assert_eq!(native[0].committed.as_ref().unwrap().offset.get(), 2);
}

#[tokio::test]
async fn an_offset_beyond_the_end_is_held_at_the_end() {
    let server = server_with_records().await;
    let mut peer = server.connect();
    let request = commit_of("billing", &[(0, 100, "far")]);
    let answer: OffsetCommitResponse = peer.ask(ApiKey::OffsetCommit, 8, &request).await;
    assert_eq!(codes(&answer), [0]);
    let request = all_of(&["billing"]);
    let answer: OffsetFetchResponse = peer.ask(ApiKey::OffsetFetch, 8, &request).await;
    let partition = &answer.groups[0].topics[0].partitions[0];
    assert_eq!(partition.committed_offset, 3);
    assert_eq!(partition.metadata, Some(text("far")));
}

#[tokio::test]
async fn many_groups_are_asked_for_at_a_time() {
    let server = server_with_records().await;
    let mut peer = server.connect();
    for (id, offset) in [("a", 1), ("b", 2)] {
        let request = commit_of(id, &[(0, offset, "")]);
        let _: OffsetCommitResponse = peer.ask(ApiKey::OffsetCommit, 8, &request).await;
    }
    let request = all_of(&["a", "nobody", "b", ""]);
    let answer: OffsetFetchResponse = peer.ask(ApiKey::OffsetFetch, 9, &request).await;
    let offsets: Vec<_> = answer
        .groups
        .iter()
        .map(|group| {
            let topic = group.topics.first();
            let offset = topic.map(|topic| topic.partitions[0].committed_offset);
            (group.group_id.as_str(), group.error_code, offset)
        })
        .collect();
    let expected = [
        ("a", 0, Some(1)),
        ("nobody", 0, None),
        ("b", 0, Some(2)),
        ("", 24, None),
    ];
    assert_eq!(offsets, expected);
}

#[tokio::test]
async fn what_nobody_committed_for_is_minus_one_and_no_error() {
    let server = server_with_records().await;
    let mut peer = server.connect();
    let topics = [("orders", 0), ("orders", 9), ("not there", 0)].map(|(name, index)| {
        fetch::OffsetFetchRequestTopic::default()
            .with_name(topic(name))
            .with_partition_indexes(vec![index])
    });
    let request = OffsetFetchRequest::default()
        .with_group_id(group("billing"))
        .with_topics(Some(topics.to_vec()));
    let answer: OffsetFetchResponse = peer.ask(ApiKey::OffsetFetch, 5, &request).await;
    assert_eq!(answer.error_code, 0);
    for topic in &answer.topics {
        let partition = &topic.partitions[0];
        assert_eq!((partition.committed_offset, partition.error_code), (-1, 0));
    }
    assert_eq!(answer.topics.len(), 3);
}

#[tokio::test]
async fn offsets_are_forgotten_one_by_one() {
    let server = server_with_records().await;
    let id = "billing".parse().unwrap();
    let commit = OffsetCommit {
        topic: name("orders"),
        partition: P0,
        offset: ratatoskr_core::offset::Offset::new(1),
        metadata: String::new(),
    };
    server
        .broker
        .commit_offsets(&id, None, &[commit])
        .await
        .unwrap();
    let mut peer = server.connect();
    let partitions = [0, 5]
        .map(|index| forget::OffsetDeleteRequestPartition::default().with_partition_index(index));
    let topic = forget::OffsetDeleteRequestTopic::default()
        .with_name(topic("orders"))
        .with_partitions(partitions.to_vec());
    let request = OffsetDeleteRequest::default()
        .with_group_id(group("billing"))
        .with_topics(vec![topic]);
    let answer: OffsetDeleteResponse = peer.ask(ApiKey::OffsetDelete, 0, &request).await;
    let codes = answer.topics[0].partitions.iter();
    let codes: Vec<_> = codes.map(|partition| partition.error_code).collect();
    assert_eq!((answer.error_code, codes), (0, vec![0, 3]));
    assert_eq!(server.broker.fetch_offsets(&id, None).await.unwrap(), []);
    let request = request.with_group_id(group("nobody"));
    let answer: OffsetDeleteResponse = peer.ask(ApiKey::OffsetDelete, 0, &request).await;
    assert_eq!(answer.error_code, 69);
}

#[tokio::test]
async fn only_groups_have_a_coordinator() {
    let server = Server::new().await;
    let mut peer = server.connect();
    for (kind, code) in [(0, 0), (1, 53), (2, 42), (9, 42)] {
        let request = FindCoordinatorRequest::default()
            .with_key_type(kind)
            .with_coordinator_keys(vec![text("a"), text("b")]);
        let answer: FindCoordinatorResponse = peer.ask(ApiKey::FindCoordinator, 6, &request).await;
        let codes = answer.coordinators.iter();
        let codes: Vec<_> = codes.map(|coordinator| coordinator.error_code).collect();
        assert_eq!(codes, [code; 2]);
    }
}
