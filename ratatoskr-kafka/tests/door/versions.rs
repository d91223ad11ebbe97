//! What is advertised works: every version of every API is answered in its own format, as another
//! implementation of the protocol reads it.

use kafka_protocol::{
    messages::{
        AlterConfigsResponse, ApiKey, ApiVersionsRequest, ApiVersionsResponse,
        CreatePartitionsResponse, CreateTopicsResponse, DeleteRecordsResponse,
        DeleteTopicsResponse, DescribeClusterResponse, DescribeConfigsResponse,
        DescribeLogDirsResponse, FetchResponse, IncrementalAlterConfigsResponse,
        InitProducerIdResponse, ListOffsetsResponse, MetadataResponse,
        OffsetForLeaderEpochResponse, ProduceResponse,
    },
    protocol::Decodable,
};
use ratatoskr_core::bytes::Bytes;

use crate::{
    group_samples,
    samples::{self, About, SPOKEN},
    support::{P0, Peer, Server, batch, frame, name},
};

/// The answer to a request, and what is wanted of it.
macro_rules! answer {
    ($peer:ident, $key:ident, $version:ident, $response:ty, |$answer:ident| $wanted:expr) => {{
        let $answer: $response = $peer.answer($key, $version, 7).await;
        $wanted
    }};
}

/// Sends a sample and gives the error codes in the answer.
async fn codes(peer: &mut Peer, about: &About<'_>, key: ApiKey, version: i16) -> Vec<i16> {
    let frame = frame(key, version, 7, &about.request(key, version));
    peer.send_bytes(&frame).await;
    match key {
        ApiKey::Produce => answer!(peer, key, version, ProduceResponse, |a| a
            .responses
            .iter()
            .flat_map(|topic| &topic.partition_responses)
            .map(|partition| partition.error_code)
            .collect()),
        ApiKey::Fetch => answer!(peer, key, version, FetchResponse, |a| a
            .responses
            .iter()
            .flat_map(|topic| &topic.partitions)
            .map(|partition| {
                let records = partition.records.as_ref().map_or(0, Bytes::len);
                assert!(records > 0, "version {version} brought no records");
                assert_eq!(a.session_id, 0);
                partition.error_code
            })
            .collect()),
        ApiKey::ListOffsets => answer!(peer, key, version, ListOffsetsResponse, |a| a
            .topics
            .iter()
            .flat_map(|topic| &topic.partitions)
            .map(|partition| partition.error_code)
            .collect()),
        ApiKey::Metadata => answer!(peer, key, version, MetadataResponse, |a| {
            assert_eq!(a.brokers[0].port, 9092);
            assert_eq!(a.topics[0].partitions[0].leader_id, a.brokers[0].node_id);
            a.topics.iter().map(|topic| topic.error_code).collect()
        }),
        ApiKey::ApiVersions => answer!(peer, key, version, ApiVersionsResponse, |a| vec![
            a.error_code
        ]),
        _ => administrative(peer, about, key, version).await,
    }
}

/// The codes in the answer to a request that is about topics and not about their records.
async fn administrative(peer: &mut Peer, about: &About<'_>, key: ApiKey, version: i16) -> Vec<i16> {
    match key {
        ApiKey::CreateTopics => {
            answer!(peer, key, version, CreateTopicsResponse, |a| a
                .topics
                .iter()
                .map(|t| t.error_code)
                .collect())
        }
        ApiKey::DeleteTopics => {
            answer!(peer, key, version, DeleteTopicsResponse, |a| a
                .responses
                .iter()
                .map(|t| t.error_code)
                .collect())
        }
        ApiKey::DeleteRecords => answer!(peer, key, version, DeleteRecordsResponse, |a| a
            .topics
            .iter()
            .flat_map(|topic| &topic.partitions)
            .map(|partition| partition.error_code)
            .collect()),
        ApiKey::InitProducerId => answer!(peer, key, version, InitProducerIdResponse, |a| {
            assert!(a.producer_id.0 >= 0);
            vec![a.error_code]
        }),
        ApiKey::OffsetForLeaderEpoch => {
            answer!(peer, key, version, OffsetForLeaderEpochResponse, |a| a
                .topics
                .iter()
                .flat_map(|topic| &topic.partitions)
                .map(|partition| {
                    assert_eq!(partition.leader_epoch, 0);
                    partition.error_code
                })
                .collect())
        }
        ApiKey::DescribeConfigs => answer!(peer, key, version, DescribeConfigsResponse, |a| {
            assert_eq!(a.results[0].configs[0].name.as_str(), "retention.ms");
            assert_eq!(a.results[0].configs.len(), 1);
            vec![a.results[0].error_code]
        }),
        ApiKey::AlterConfigs => {
            answer!(peer, key, version, AlterConfigsResponse, |a| a
                .responses
                .iter()
                .map(|r| r.error_code)
                .collect())
        }
        ApiKey::IncrementalAlterConfigs => {
            answer!(peer, key, version, IncrementalAlterConfigsResponse, |a| a
                .responses
                .iter()
                .map(|resource| resource.error_code)
                .collect())
        }
        ApiKey::DescribeLogDirs => answer!(peer, key, version, DescribeLogDirsResponse, |a| {
            assert!(a.results[0].topics[0].partitions[0].partition_size > 0);
            vec![a.results[0].error_code]
        }),
        ApiKey::CreatePartitions => {
            answer!(peer, key, version, CreatePartitionsResponse, |a| a
                .results
                .iter()
                .map(|r| r.error_code)
                .collect())
        }
        ApiKey::DescribeCluster => answer!(peer, key, version, DescribeClusterResponse, |a| {
            assert_eq!((a.cluster_id.as_str(), a.brokers.len()), ("cluster", 1));
            vec![a.error_code]
        }),
        other => group_samples::codes(peer, about, other, version).await,
    }
}

#[tokio::test]
async fn every_version_is_answered_in_its_own_format() {
    let server = Server::with_topic("orders", &[]).await;
    for version in 1..=6 {
        server.topic(&format!("orders-doomed-{version}"), &[]).await;
    }
    let produced = server
        .broker
        .produce(&name("orders"), P0, batch(&["a"]))
        .unwrap();
    produced.wait().await.unwrap();
    let about = About {
        topic: "orders",
        id: *server
            .broker
            .topic_descriptor(&name("orders"))
            .unwrap()
            .id
            .as_bytes(),
        batch: batch(&["b"]).to_bytes(),
    };
    let mut peer = server.connect();
    for (key, version) in samples::all() {
        let codes = codes(&mut peer, &about, key, version).await;
        let expected = group_samples::expected(key, version);
        assert_eq!(codes, expected, "{key:?} version {version}");
    }
    peer.leave().await;
}

#[tokio::test]
async fn exactly_what_is_spoken_is_advertised() {
    let server = Server::new().await;
    let mut peer = server.connect();
    let request = ApiVersionsRequest::default();
    let answer: ApiVersionsResponse = peer.ask(ApiKey::ApiVersions, 0, &request).await;
    let advertised = answer.api_keys.iter();
    let advertised: Vec<_> = advertised
        .map(|api| (api.api_key, api.min_version, api.max_version))
        .collect();
    let mut spoken: Vec<_> = SPOKEN
        .iter()
        .map(|&(key, min, max)| (key as i16, min, max))
        .collect();
    spoken.sort_unstable();
    assert_eq!(advertised, spoken);
}

#[tokio::test]
async fn a_version_of_api_versions_that_is_too_new_is_answered_in_the_oldest_format() {
    let server = Server::new().await;
    let mut peer = server.connect();
    // The body of a version that nobody knows yet.
    let frame = frame(ApiKey::ApiVersions, 4, 9, b"whatever it may be");
    let mut frame = frame;
    frame[6..8].copy_from_slice(&99_i16.to_be_bytes());
    peer.send_bytes(&frame).await;
    let mut bytes = peer.next().await.unwrap();
    assert_eq!(bytes.split_to(4)[..], 9_i32.to_be_bytes());
    let answer = ApiVersionsResponse::decode(&mut bytes, 0).unwrap();
    assert!(bytes.is_empty());
    assert_eq!(answer.error_code, 35);
    let own = answer
        .api_keys
        .iter()
        .find(|api| api.api_key == ApiKey::ApiVersions as i16);
    assert_eq!(own.unwrap().max_version, 4);
    // The client goes on with a version that it has learned of.
    let again = ApiVersionsRequest::default();
    let answer: ApiVersionsResponse = peer.ask(ApiKey::ApiVersions, 0, &again).await;
    assert_eq!(answer.error_code, 0);
}

#[tokio::test]
async fn what_is_not_spoken_closes_the_connection_and_no_other() {
    let server = Server::with_topic("orders", &[]).await;
    let about = About {
        topic: "orders",
        id: [1; 16],
        batch: Bytes::new(),
    };
    let mut neighbour = server.connect();
    for (key, min, max) in SPOKEN {
        for version in [min - 1, max + 1, -1, i16::MAX] {
            if *key == ApiKey::ApiVersions {
                continue;
            }
            let mut peer = server.connect();
            let body = about.request(*key, (*min).max(3).min(*max));
            let mut frame = frame(*key, *max, 1, &body);
            frame[6..8].copy_from_slice(&version.to_be_bytes());
            peer.send_bytes(&frame).await;
            peer.assert_closed().await;
            peer.leave().await;
        }
    }
    for key in [-1_i16, 4, 17, 24, 71, 78, 1_000] {
        let mut peer = server.connect();
        let mut frame = frame(ApiKey::Metadata, 1, 1, b"\0\0\0\0");
        frame[4..6].copy_from_slice(&key.to_be_bytes());
        peer.send_bytes(&frame).await;
        peer.assert_closed().await;
    }
    assert_eq!(
        codes(&mut neighbour, &about, ApiKey::Metadata, 12).await,
        [0]
    );
}
