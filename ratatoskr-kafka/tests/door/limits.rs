//! What a connection may cost, and when it ends.

use std::time::Duration;

use kafka_protocol::messages::{ApiKey, ApiVersionsRequest, ApiVersionsResponse, FetchResponse};
use ratatoskr_kafka::KafkaLimits;

use crate::{
    data::fetch_from,
    samples::About,
    support::{Server, batch, encoded, frame, framed, name, within},
};

#[tokio::test]
async fn lengths_that_no_request_has_close_the_connection_at_once() {
    let limits = KafkaLimits {
        request_bytes_max: 100,
        ..KafkaLimits::default()
    };
    let server = Server::with(limits).await;
    for length in [-1, 0, 7, 101, i32::MAX] {
        let mut peer = server.connect();
        // Nothing of the request itself.
        peer.send_bytes(&i32::to_be_bytes(length)).await;
        peer.assert_closed().await;
        peer.leave().await;
    }
    // A browser, and a client that expects TLS.
    for hello in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
    ] {
        let mut peer = server.connect();
        peer.send_bytes(hello).await;
        peer.assert_closed().await;
    }
}

#[tokio::test(start_paused = true)]
async fn silence_and_half_a_request_end_a_connection() {
    let limits = KafkaLimits::default();
    let server = Server::with(limits.clone()).await;
    let start = tokio::time::Instant::now();
    let mut peer = server.connect();
    peer.assert_silent_close().await;
    assert!(start.elapsed() >= limits.idle_deadline);

    let start = tokio::time::Instant::now();
    let mut peer = server.connect();
    peer.send_bytes(&framed(b"12345678")[..7]).await;
    peer.assert_silent_close().await;
    let late = start.elapsed();
    assert!(
        late >= limits.frame_deadline && late < limits.idle_deadline,
        "{late:?}"
    );
}

impl crate::support::Peer {
    /// Waits, however long it takes, for the door to close.
    async fn assert_silent_close(&mut self) {
        use tokio::io::AsyncReadExt as _;
        assert_eq!(self.stream.read(&mut [0]).await.unwrap_or(0), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_waits_longer_than_idle_is_answered() {
    let limits = KafkaLimits {
        idle_deadline: Duration::from_secs(1),
        ..KafkaLimits::default()
    };
    let server = Server::with(limits).await;
    server.topic("orders", &[]).await;
    let mut peer = server.connect();
    peer.send(ApiKey::Fetch, 4, 1, &fetch_from("orders", 0, 5_000))
        .await;
    let answer: FetchResponse = peer.answer(ApiKey::Fetch, 4, 1).await;
    assert_eq!(answer.responses[0].partitions[0].error_code, 0);
}

#[tokio::test]
async fn a_connection_that_is_owed_enough_is_not_read_from() {
    let limits = KafkaLimits {
        requests_in_flight_max: 2,
        ..KafkaLimits::default()
    };
    let server = Server::with(limits).await;
    server.topic("orders", &[]).await;
    let mut peer = server.connect();
    // The first waits; of those behind it only one is taken.
    peer.send(ApiKey::Fetch, 4, 1, &fetch_from("orders", 0, 20_000))
        .await;
    let about = About {
        topic: "orders",
        id: [0; 16],
        batch: batch(&["a"]).to_bytes(),
    };
    let produce = about.request(ApiKey::Produce, 3);
    for correlation in 2..=4 {
        peer.send_bytes(&frame(ApiKey::Produce, 3, correlation, &produce))
            .await;
    }
    // The second request is carried out, which ends the wait of the first.
    for correlation in 1..=4 {
        let answer = peer.next().await.unwrap();
        assert_eq!(answer[..4], i32::to_be_bytes(correlation));
    }
    let end = server
        .broker
        .bounds(&name("orders"), crate::support::P0)
        .unwrap();
    assert_eq!(end.high_watermark.get(), 3);
}

#[tokio::test]
async fn a_server_that_shuts_down_answers_what_it_has_taken_and_closes() {
    let server = Server::with_topic("orders", &[]).await;
    let request = ApiVersionsRequest::default();
    let mut waiting = server.connect();
    // Both at once, so that the fetch has been taken when the first is answered.
    let mut both = frame(ApiKey::ApiVersions, 0, 1, &encoded(&request, 0));
    let fetch = fetch_from("orders", 0, 60_000);
    both.extend_from_slice(&frame(ApiKey::Fetch, 4, 2, &encoded(&fetch, 4)));
    waiting.send_bytes(&both).await;
    let _: ApiVersionsResponse = waiting.answer(ApiKey::ApiVersions, 0, 1).await;
    let mut idle = server.connect();
    let _: ApiVersionsResponse = idle.ask(ApiKey::ApiVersions, 0, &request).await;
    server.switch.begin();
    let answer: FetchResponse = waiting.answer(ApiKey::Fetch, 4, 2).await;
    assert_eq!(answer.responses[0].partitions[0].error_code, 0);
    waiting.assert_closed().await;
    idle.assert_closed().await;
    within(waiting.leave()).await;
    // Whoever comes now is not served.
    let mut late = server.connect();
    late.send_bytes(&frame(ApiKey::ApiVersions, 0, 1, &encoded(&request, 0)))
        .await;
    late.assert_closed().await;
}
