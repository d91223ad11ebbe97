//! Requests that are not what they say: each costs its sender the connection at most.

use std::time::Duration;

use kafka_protocol::messages::{
    ApiKey, DescribeConfigsRequest, DescribeConfigsResponse, MetadataRequest, MetadataResponse,
    describe_configs_request::DescribeConfigsResource, metadata_request::MetadataRequestTopic,
};
use ratatoskr_core::bytes::BytesMut;
use tokio::time::timeout;

use crate::{
    samples::{self, About, topic},
    support::{P0, Server, batch, encoded, frame, framed, name},
};

/// Numbers in place of a length or a count.
const NUMBERS: [i32; 6] = [i32::MIN, -2, -1, i32::MAX, 0x7f7f_7f7f, 1 << 28];
/// The same for compact lengths.
const VARINTS: [&[u8]; 3] = [
    b"\xff\xff\xff\xff\x0f",
    b"\xff\xff\xff\xff\xff",
    b"\x80\x80\x80\x08",
];

/// Far more than the requests here need, and less than what they ask for.
const PEAK_BYTES_MAX: usize = 200 << 20;

async fn server() -> (Server, [u8; 16]) {
    let server = Server::with_topic("orders", &[]).await;
    let produced = server
        .broker
        .produce(&name("orders"), P0, batch(&["a"]))
        .unwrap();
    produced.wait().await.unwrap();
    let id = server.broker.topic_descriptor(&name("orders")).unwrap().id;
    (server, *id.as_bytes())
}

/// How long a request has to be answered, or to close its connection, before its peer goes. The clock
/// of these tests stands still while anybody has something to do, so this is never too short.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends each request on a connection of its own, and lets the broker do what comes of it. The
/// connection must end when its peer goes, without a panic, and others must be served as before.
pub(crate) async fn survives(server: &Server, requests: impl Iterator<Item = BytesMut>) {
    for request in requests {
        let mut peer = server.connect();
        peer.send_bytes(&framed(&request)).await;
        let _ = timeout(PATIENCE, peer.next()).await;
        peer.leave().await;
    }
    let mut neighbour = server.connect();
    let wanted = samples::topic("orders");
    let wanted = MetadataRequestTopic::default().with_name(Some(wanted));
    let request = MetadataRequest::default().with_topics(Some(vec![wanted]));
    let answer: MetadataResponse = neighbour.ask(ApiKey::Metadata, 12, &request).await;
    assert_eq!(answer.topics[0].error_code, 0);
}

/// The request, ending at each byte behind what every request begins with.
pub(crate) fn cut(whole: &BytesMut) -> impl Iterator<Item = BytesMut> {
    (8..whole.len()).map(|end| BytesMut::from(&whole[..end]))
}

/// The request with each of the numbers at each place behind what every request begins with.
pub(crate) fn changed(whole: &BytesMut) -> impl Iterator<Item = BytesMut> {
    let numbers = NUMBERS.iter().map(|number| number.to_be_bytes().to_vec());
    let odd: Vec<Vec<u8>> = numbers.chain(VARINTS.map(<[u8]>::to_vec)).collect();
    (8..whole.len()).flat_map(move |at| {
        let changed = odd.clone().into_iter().map(move |odd| {
            let mut changed = whole.clone();
            for (to, from) in changed[at..].iter_mut().zip(odd) {
                *to = from;
            }
            changed
        });
        changed.collect::<Vec<_>>()
    })
}

/// A request without its length.
fn request(about: &About<'_>, key: ApiKey, version: i16) -> BytesMut {
    let mut frame = frame(key, version, 7, &about.request(key, version));
    frame.split_off(4)
}

#[tokio::test(start_paused = true)]
async fn requests_that_end_anywhere_are_survived() {
    let (server, id) = server().await;
    let about = About {
        topic: "orders",
        id,
        batch: batch(&["b"]).to_bytes(),
    };
    for (key, version) in samples::all() {
        let whole = request(&about, key, version);
        survives(&server, cut(&whole)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn numbers_that_cannot_be_are_survived() {
    let (server, id) = server().await;
    let about = About {
        topic: "orders",
        id,
        batch: batch(&["b"]).to_bytes(),
    };
    // The newest version of each API, and the newest that is not flexible.
    for &(key, min, max) in samples::SPOKEN {
        let older = (min.max(3).min(max)..=max).find(|&v| key.request_header_version(v) < 2);
        for version in [Some(max), older].into_iter().flatten() {
            let whole = request(&about, key, version);
            survives(&server, changed(&whole)).await;
        }
    }
    // All tests of this program together; any of the numbers, believed once, would be more.
    let peak_bytes = crate::ALLOCATOR.peak_usage();
    assert!(
        peak_bytes < PEAK_BYTES_MAX,
        "{peak_bytes} bytes were in use at once"
    );
}

#[tokio::test(start_paused = true)]
async fn bytes_at_random_are_survived() {
    let (server, _) = server().await;
    // A cheap generator, the same each time.
    let mut state = 1_u64;
    let mut next = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_be_bytes()[0]
    };
    let mut requests = Vec::new();
    for (key, version) in samples::all() {
        for _ in 0..20 {
            let body: Vec<u8> = (0..next()).map(|_| next()).collect();
            let mut frame = frame(key, version, 1, &body);
            requests.push(frame.split_off(4));
        }
    }
    survives(&server, requests.into_iter()).await;
}

#[tokio::test]
async fn a_request_of_more_elements_than_allowed_is_not_carried_out() {
    let limits = ratatoskr_kafka::KafkaLimits {
        request_elements_max: 10,
        ..ratatoskr_kafka::KafkaLimits::default()
    };
    let server = Server::with(limits).await;
    let of = |count: usize| {
        let topics = (0..count)
            .map(|n| MetadataRequestTopic::default().with_name(Some(topic(&format!("t{n}")))));
        let request = MetadataRequest::default().with_topics(Some(topics.collect()));
        frame(ApiKey::Metadata, 9, 1, &encoded(&request, 9))
    };
    let mut peer = server.connect();
    peer.send_bytes(&of(10)).await;
    assert!(peer.next().await.is_some());
    peer.send_bytes(&of(11)).await;
    peer.assert_closed().await;
    assert_eq!(server.broker.list_topics().len(), 10);
}

#[tokio::test]
async fn a_topic_that_is_named_again_and_again_is_told_once() {
    let (server, id) = server().await;
    let mut peer = server.connect();
    let wanted = MetadataRequestTopic::default().with_name(Some(topic("orders")));
    let request = MetadataRequest::default().with_topics(Some(vec![wanted; 100_000]));
    let answer: MetadataResponse = peer.ask(ApiKey::Metadata, 12, &request).await;
    assert_eq!(answer.topics.len(), 1);
    assert_eq!(*answer.topics[0].topic_id.as_bytes(), id);
    let resource = DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(samples::text("orders"))
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default().with_resources(vec![resource; 100_000]);
    let answer: DescribeConfigsResponse = peer.ask(ApiKey::DescribeConfigs, 4, &request).await;
    assert_eq!(answer.results.len(), 1);
    assert!(answer.results[0].configs.len() > 20);
}
