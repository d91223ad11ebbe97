//! Batches in and out: byte for byte, in order, and what is wrong with them.

use kafka_protocol::messages::{
    ApiKey, FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse, MetadataRequest,
    MetadataResponse, ProduceRequest, ProduceResponse, fetch_request, list_offsets_request,
    metadata_request,
    produce_request::{PartitionProduceData, TopicProduceData},
    produce_response::PartitionProduceResponse,
};
use ratatoskr_core::{
    broker::{FetchPartition, FetchRequest as BrokerFetch},
    bytes::{BufMut, Bytes, BytesMut},
    config::Compression,
    offset::Offset,
    producer::{ProducerEpoch, ProducerId, ProducerStamp, Sequence},
};

use crate::{
    samples::topic,
    support::{P0, Peer, Server, batch, compressed, encoded, frame, name},
};

fn produce(topic_name: &str, records: Bytes, acks: i16) -> ProduceRequest {
    let partition = PartitionProduceData::default().with_records(Some(records));
    let data = TopicProduceData::default()
        .with_name(topic(topic_name))
        .with_partition_data(vec![partition]);
    ProduceRequest::default()
        .with_transactional_id(None)
        .with_acks(acks)
        .with_timeout_ms(1_000)
        .with_topic_data(vec![data])
}

pub(crate) fn fetch_from(topic_name: &str, offset: i64, wait_ms: i32) -> FetchRequest {
    let partition = fetch_request::FetchPartition::default()
        .with_fetch_offset(offset)
        .with_partition_max_bytes(1);
    let wanted = fetch_request::FetchTopic::default()
        .with_topic(topic(topic_name))
        .with_partitions(vec![partition]);
    FetchRequest::default()
        .with_max_wait_ms(wait_ms)
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_topics(vec![wanted])
}

async fn produced(
    peer: &mut Peer,
    version: i16,
    request: &ProduceRequest,
) -> PartitionProduceResponse {
    let answer: ProduceResponse = peer.ask(ApiKey::Produce, version, request).await;
    answer.responses[0].partition_responses[0].clone()
}

async fn fetched(peer: &mut Peer, topic: &str, offset: i64) -> Bytes {
    let request = fetch_from(topic, offset, 0);
    let answer: FetchResponse = peer.ask(ApiKey::Fetch, 4, &request).await;
    let partition = &answer.responses[0].partitions[0];
    assert_eq!(partition.error_code, 0);
    partition.records.clone().unwrap_or_default()
}

/// The bytes that another door reads.
async fn read_in_process(server: &Server, topic: &str) -> Vec<u8> {
    let request = BrokerFetch {
        partitions: vec![FetchPartition {
            topic: name(topic),
            partition: P0,
            from: Offset::ZERO,
            bytes_max: 1 << 20,
        }],
        ..BrokerFetch::default()
    };
    let response = server.broker.fetch(&request).await.unwrap();
    let fetched = response
        .partitions
        .into_iter()
        .next()
        .unwrap()
        .result
        .unwrap();
    fetched.batches.into_slices().concat()
}

#[tokio::test]
async fn batches_are_the_same_bytes_at_every_door() {
    for codec in Compression::ALL {
        let server = Server::with_topic("orders", &[]).await;
        let mut peer = server.connect();
        let sent = compressed(&["a", "b", "c"], codec);
        let answer = produced(&mut peer, 7, &produce("orders", sent.to_bytes(), -1)).await;
        assert_eq!((answer.error_code, answer.base_offset), (0, 0));
        let other_door = compressed(&["d"], codec);
        let pending = server
            .broker
            .produce(&name("orders"), P0, other_door.clone())
            .unwrap();
        pending.wait().await.unwrap();

        // Only base offset and leader epoch are the broker's.
        let mut expected = Vec::new();
        for (batch, offset) in [(sent, 0), (other_door, 3)] {
            let mut batch = batch;
            batch.assign(Offset::new(offset), 0.into());
            expected.extend_from_slice(&batch.to_bytes());
        }
        assert_eq!(
            read_in_process(&server, "orders").await,
            expected,
            "{codec}"
        );
        let first = fetched(&mut peer, "orders", 0).await;
        let second = fetched(&mut peer, "orders", 3).await;
        assert_eq!([first, second].concat(), expected, "{codec}");
    }
}

#[tokio::test]
async fn a_fetch_in_the_middle_of_a_batch_brings_the_whole_batch() {
    let server = Server::with_topic("orders", &[]).await;
    let mut peer = server.connect();
    let sent = batch(&["a", "b", "c"]).to_bytes();
    produced(&mut peer, 7, &produce("orders", sent.clone(), -1)).await;
    // Though the client asks for one byte.
    assert_eq!(fetched(&mut peer, "orders", 2).await.len(), sent.len());
    assert!(fetched(&mut peer, "orders", 3).await.is_empty());
}

#[tokio::test]
async fn answers_keep_the_order_of_the_requests_and_batches_that_of_their_arrival() {
    let server = Server::with_topic("orders", &[]).await;
    let mut peer = server.connect();
    let mut together = BytesMut::new();
    for correlation in 0..100 {
        let value = correlation.to_string();
        let request = produce("orders", batch(&[&value]).to_bytes(), 1);
        together.put(frame(
            ApiKey::Produce,
            9,
            correlation,
            &encoded(&request, 9),
        ));
    }
    peer.send_bytes(&together).await;
    for correlation in 0..100 {
        let answer: ProduceResponse = peer.answer(ApiKey::Produce, 9, correlation).await;
        let partition = &answer.responses[0].partition_responses[0];
        let expected = i64::from(correlation);
        assert_eq!((partition.error_code, partition.base_offset), (0, expected));
    }
}

#[tokio::test]
async fn a_waiting_fetch_is_answered_by_a_batch_that_comes_behind_it() {
    let server = Server::with_topic("orders", &[]).await;
    let mut peer = server.connect();
    peer.send(ApiKey::Fetch, 4, 1, &fetch_from("orders", 0, 20_000))
        .await;
    let sent = produce("orders", batch(&["a"]).to_bytes(), -1);
    peer.send(ApiKey::Produce, 9, 2, &sent).await;
    let fetched: FetchResponse = peer.answer(ApiKey::Fetch, 4, 1).await;
    assert!(fetched.responses[0].partitions[0].records.is_some());
    let _: ProduceResponse = peer.answer(ApiKey::Produce, 9, 2).await;
}

#[tokio::test]
async fn who_wants_no_acknowledgement_gets_none_and_a_refused_batch_ends_the_connection() {
    let server = Server::with_topic("orders", &[]).await;
    let mut peer = server.connect();
    let sent = batch(&["a"]).to_bytes();
    peer.send(ApiKey::Produce, 9, 1, &produce("orders", sent.clone(), 0))
        .await;
    // The next answer is that of the next request.
    let answer = produced(&mut peer, 9, &produce("orders", sent, 1)).await;
    assert_eq!(answer.base_offset, 1);
    peer.send(
        ApiKey::Produce,
        9,
        2,
        &produce("orders", Bytes::from_static(b"no"), 0),
    )
    .await;
    peer.assert_closed().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_batch_is_told_in_kafkas_codes() {
    let server = Server::with_topic("orders", &[("batch_bytes_max", "1024")]).await;
    let mut peer = server.connect();
    let good = batch(&["a"]).to_bytes();
    let changed = |at: usize, byte: u8| {
        let mut bytes = good.to_vec();
        bytes[at] = byte;
        Bytes::from(bytes)
    };
    let two = Bytes::from([&good[..], &good[..]].concat());
    let large = batch(&[&"x".repeat(60)]).to_bytes();
    let zstd = compressed(&["a"], Compression::Zstd).to_bytes();
    for (what, topic, records, acks, version, code) in [
        ("an unknown topic", "nothing", good.clone(), 1, 9, 3),
        ("no topic name", "a/b", good.clone(), 1, 9, 17),
        ("acks of 2", "orders", good.clone(), 2, 9, 21),
        ("nothing", "orders", Bytes::new(), 1, 9, 2),
        ("two batches", "orders", two, 1, 9, 87),
        ("an old format", "orders", changed(16, 1), 1, 9, 43),
        ("a wrong CRC", "orders", changed(good.len() - 1, 9), 1, 9, 2),
        ("a base offset", "orders", changed(7, 9), 1, 9, 87),
        ("a large batch", "orders", large, 1, 9, 10),
        ("zstd from an old client", "orders", zstd.clone(), 1, 6, 76),
        ("zstd from a newer one", "orders", zstd, 1, 7, 0),
        ("a good batch", "orders", good.clone(), 1, 9, 0),
    ] {
        let answer = produced(&mut peer, version, &produce(topic, records, acks)).await;
        assert_eq!(answer.error_code, code, "{what}");
        assert_eq!(answer.base_offset >= 0, code == 0, "{what}");
        if version >= 8 {
            assert_eq!(answer.error_message.is_some(), code != 0, "{what}");
        }
    }
}

#[tokio::test]
async fn versions_before_3_are_refused_with_a_code() {
    let server = Server::with_topic("orders", &[]).await;
    for version in 0..=2 {
        let mut peer = server.connect();
        let mut body = BytesMut::new();
        body.put_i16(1);
        body.put_i32(1_000);
        body.put_i32(1);
        body.put_i16(6);
        body.put_slice(b"orders");
        body.put_i32(1);
        body.put_i32(0);
        let records = batch(&["a"]).to_bytes();
        body.put_i32(records.len().try_into().unwrap());
        body.put_slice(&records);
        peer.send_bytes(&frame(ApiKey::Produce, version, 5, &body))
            .await;
        let answer = peer.next().await.unwrap();
        // Correlation id, one topic of this name, one partition, its number, the code.
        let mut expected = BytesMut::new();
        expected.put_i32(5);
        expected.put_i32(1);
        expected.put_i16(6);
        expected.put_slice(b"orders");
        expected.put_i32(1);
        expected.put_i32(0);
        expected.put_i16(35);
        assert_eq!(answer[..expected.len()], expected);
    }
    assert!(read_in_process(&server, "orders").await.is_empty());
}

#[tokio::test]
async fn a_batch_sent_again_is_acknowledged_with_its_first_offset_and_a_gap_is_refused() {
    let server = Server::with_topic("orders", &[]).await;
    let mut peer = server.connect();
    let stamped = |sequence: i32| {
        let mut batch = batch(&["a", "b"]);
        batch.set_producer(ProducerStamp {
            id: ProducerId::new(7),
            epoch: ProducerEpoch::new(0),
            base_sequence: Sequence::new(sequence),
        });
        batch.to_bytes()
    };
    for (sequence, code, offset) in [(0, 0, 0), (2, 0, 2), (0, 0, 0), (2, 0, 2), (5, 45, -1)] {
        let answer = produced(&mut peer, 9, &produce("orders", stamped(sequence), -1)).await;
        assert_eq!(
            (answer.error_code, answer.base_offset),
            (code, offset),
            "{sequence}"
        );
    }
}

#[tokio::test]
async fn a_topic_that_stamps_tells_the_time() {
    let server = Server::with_topic("orders", &[("timestamp_type", "append")]).await;
    let mut peer = server.connect();
    let sent = produce("orders", batch(&["a"]).to_bytes(), -1);
    let answer = produced(&mut peer, 9, &sent).await;
    assert!(answer.log_append_time_ms > 1_000_000_000_000);
}

#[tokio::test]
async fn errors_of_a_fetch_are_told_a_partition_and_others_have_their_records() {
    let server = Server::with_topic("orders", &[]).await;
    let mut peer = server.connect();
    produced(
        &mut peer,
        9,
        &produce("orders", batch(&["a"]).to_bytes(), -1),
    )
    .await;
    let mut request = fetch_from("orders", 0, 60_000);
    let good = request.topics[0].partitions[0]
        .clone()
        .with_partition_max_bytes(1 << 20);
    let bad = |index, offset| good.clone().with_partition(index).with_fetch_offset(offset);
    request.topics[0].partitions = vec![bad(0, 9), bad(1, 0), bad(-1, 0), bad(0, -5), good];
    let mut unknown = request.topics[0].clone().with_topic(topic("nothing"));
    unknown.partitions.truncate(1);
    request.topics.push(unknown);
    // It does not wait, since there is something to tell.
    let answer: FetchResponse = peer.ask(ApiKey::Fetch, 11, &request).await;
    let codes = answer.responses.iter().flat_map(|topic| &topic.partitions);
    let codes: Vec<_> = codes.map(|partition| partition.error_code).collect();
    assert_eq!(codes, [1, 3, 3, 1, 0, 3]);
    let good = &answer.responses[0].partitions[4];
    assert!(good.records.is_some());
    assert_eq!(
        (
            good.high_watermark,
            good.last_stable_offset,
            good.log_start_offset
        ),
        (1, 1, 0)
    );
}

#[tokio::test]
async fn a_fetch_session_that_never_was_is_refused() {
    let server = Server::with_topic("orders", &[]).await;
    let mut peer = server.connect();
    let request = fetch_from("orders", 0, 0)
        .with_session_id(5)
        .with_session_epoch(3);
    let answer: FetchResponse = peer.ask(ApiKey::Fetch, 12, &request).await;
    assert_eq!((answer.error_code, answer.session_id), (70, 0));
}

#[tokio::test]
async fn offsets_are_found_by_time() {
    let server = Server::with_topic("orders", &[]).await;
    let mut peer = server.connect();
    // Records of the times 1000, 1001, 1002.
    produced(
        &mut peer,
        9,
        &produce("orders", batch(&["a", "b", "c"]).to_bytes(), -1),
    )
    .await;
    for (time, expected) in [
        (-1, (3, -1)),
        (-2, (0, -1)),
        (-3, (2, 1_002)),
        (-4, (0, -1)),
        (-5, (-1, -1)),
        (0, (0, 1_000)),
        (1_001, (1, 1_001)),
        (1_003, (-1, -1)),
    ] {
        let partition = list_offsets_request::ListOffsetsPartition::default().with_timestamp(time);
        let wanted = list_offsets_request::ListOffsetsTopic::default()
            .with_name(topic("orders"))
            .with_partitions(vec![partition]);
        let request = ListOffsetsRequest::default().with_topics(vec![wanted]);
        let answer: ListOffsetsResponse = peer.ask(ApiKey::ListOffsets, 7, &request).await;
        let partition = &answer.topics[0].partitions[0];
        assert_eq!((partition.offset, partition.timestamp), expected, "{time}");
        assert_eq!((partition.error_code, partition.leader_epoch), (0, 0));
    }
}

#[tokio::test]
async fn metadata_creates_a_topic_only_where_the_client_allows_it() {
    let server = Server::with_topic("orders", &[]).await;
    let mut peer = server.connect();
    let wanted =
        |name| metadata_request::MetadataRequestTopic::default().with_name(Some(topic(name)));
    let request = |name, may_create| {
        MetadataRequest::default()
            .with_topics(Some(vec![wanted(name)]))
            .with_allow_auto_topic_creation(may_create)
    };
    let answer: MetadataResponse = peer.ask(ApiKey::Metadata, 9, &request("new", false)).await;
    assert_eq!(answer.topics[0].error_code, 3);
    let answer: MetadataResponse = peer.ask(ApiKey::Metadata, 9, &request("new", true)).await;
    assert_eq!(
        (
            answer.topics[0].error_code,
            answer.topics[0].partitions.len()
        ),
        (0, 1)
    );
    let answer: MetadataResponse = peer.ask(ApiKey::Metadata, 9, &request("a/b", true)).await;
    assert_eq!(answer.topics[0].error_code, 17);
    // Null is all topics, an empty list none; in version 0 an empty list is all.
    let all = MetadataRequest::default().with_topics(None);
    let none = MetadataRequest::default().with_topics(Some(Vec::new()));
    for (version, request, count) in [(9, &all, 2), (9, &none, 0), (0, &none, 2)] {
        let answer: MetadataResponse = peer.ask(ApiKey::Metadata, version, request).await;
        assert_eq!(answer.topics.len(), count, "version {version}");
    }
}

/// Java asks for topics of a pattern like that, with an empty name; KIP-516 has null.
#[tokio::test]
async fn metadata_goes_by_the_id_where_there_is_one() {
    let server = Server::with_topic("orders", &[]).await;
    let descriptor = server.broker.topic_descriptor(&name("orders")).unwrap();
    let id = uuid::Uuid::from_bytes(*descriptor.id.as_bytes());
    let mut peer = server.connect();
    for named in [None, Some(topic(""))] {
        let wanted = metadata_request::MetadataRequestTopic::default()
            .with_topic_id(id)
            .with_name(named);
        let request = MetadataRequest::default().with_topics(Some(vec![wanted]));
        let answer: MetadataResponse = peer.ask(ApiKey::Metadata, 13, &request).await;
        let found = &answer.topics[0];
        assert_eq!(
            (found.error_code, found.name.clone()),
            (0, Some(topic("orders")))
        );
    }
}
