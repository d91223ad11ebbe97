//! Frames that are wrong: told by type, and nobody else notices.

use bytes::{BufMut, BytesMut};
use ratatoskr_core::wire::{
    self, Done, ErrorBody, ErrorCode, FrameHead, Goodbye, Kind, ListTopics, Ping, Produce,
};
use ratatoskr_server::native::NativeLimits;

use crate::{
    brokers::{BrokenClock, broker},
    raw::{Peer, Server, batch, produce},
};

async fn server() -> Server {
    Server::start(broker().await, NativeLimits::default()).await
}

async fn assert_goes_on(peer: &mut Peer) {
    peer.send(99, &Ping {}).await;
    peer.answer::<Ping>(99).await;
}

#[tokio::test]
async fn an_unknown_kind_is_told_and_the_connection_goes_on() {
    let server = server().await;
    let mut peer = server.greet().await;
    let pong = Kind::Ping.response_code();
    for kind_code in [
        0x00,
        0x6e,
        0x7e,
        0xff,
        pong,
        Kind::Deliver.code(),
        Kind::Hello.code(),
    ] {
        let head = FrameHead {
            version: 1,
            kind_code,
            correlation: 5,
        };
        let mut out = BytesMut::new();
        head.encode(&Done {}, 0, &mut out).unwrap();
        peer.send_bytes(&out).await;
        peer.error(5, ErrorCode::UnknownKind).await;
    }
    let goodbye = Goodbye {
        reason: String::new(),
        last_correlation: 0,
    };
    peer.send(6, &goodbye).await;
    peer.error(6, ErrorCode::UnknownKind).await;
    assert_goes_on(&mut peer).await;
}

#[tokio::test]
async fn another_version_ends_the_connection() {
    let server = server().await;
    for version in [0, 2] {
        let mut peer = server.greet().await;
        peer.send_version(version, 1, &Ping {}).await;
        let error = peer.error(0, ErrorCode::UnsupportedVersion).await;
        assert_eq!(error.numbers, [1, 1]);
        peer.assert_closed().await;
    }
    server.assert_serves().await;
}

#[tokio::test]
async fn a_damaged_frame_ends_the_connection_and_no_other() {
    let server = server().await;
    let mut neighbour = server.greet().await;
    let mut whole = BytesMut::new();
    wire::encode(1, 1, &Ping {}, 0, &mut whole).unwrap();
    for bit in 32..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let mut peer = server.greet().await;
        peer.send_bytes(&damaged).await;
        peer.error(0, ErrorCode::Malformed).await;
        peer.assert_closed().await;
    }
    assert_goes_on(&mut neighbour).await;
}

#[tokio::test]
async fn a_frame_that_breaks_off_ends_its_connection_alone() {
    let server = server().await;
    let mut whole = BytesMut::new();
    let sent = batch("x");
    wire::encode(1, 1, &produce(), sent.len(), &mut whole).unwrap();
    whole.put_slice(&sent);
    for cut in 0..whole.len() {
        let mut peer = server.greet().await;
        peer.send_bytes(&whole[..cut]).await;
        drop(peer);
    }
    let mut peer = server.greet().await;
    peer.send_bytes(&whole).await;
    // None of the pieces was taken for the whole.
    assert_eq!(peer.answer::<Produce>(1).await.base_offset.get(), 0);
}

#[tokio::test]
async fn a_body_that_does_not_decode_concerns_its_request_alone() {
    let server = server().await;
    let mut peer = server.greet().await;
    let kinds = Kind::ALL.iter().filter(|kind| {
        !matches!(
            kind,
            Kind::Hello | Kind::Goodbye | Kind::Deliver | Kind::Error
        )
    });
    for (correlation, kind) in (10..).zip(kinds) {
        let head = FrameHead {
            version: 1,
            kind_code: kind.code(),
            correlation,
        };
        let mut out = BytesMut::new();
        head.encode(&"not a body", 0, &mut out).unwrap();
        peer.send_bytes(&out).await;
        peer.error(correlation, ErrorCode::Malformed).await;
    }
    assert_goes_on(&mut peer).await;
}

#[tokio::test]
async fn batches_follow_a_produce_alone() {
    let server = server().await;
    let mut peer = server.greet().await;
    peer.add(4, &ListTopics {}, b"batches");
    peer.flush().await;
    peer.error(4, ErrorCode::Malformed).await;
    for batches in [&b""[..], b"not a batch", &[batch("x"), batch("y")].concat()] {
        peer.add(5, &produce(), batches);
        peer.flush().await;
        peer.error(5, ErrorCode::InvalidBatch).await;
    }
    assert_goes_on(&mut peer).await;
}

#[tokio::test]
async fn an_invalid_name_is_malformed() {
    let server = server().await;
    let mut peer = server.greet().await;
    let mut out = BytesMut::new();
    let head = FrameHead {
        version: 1,
        kind_code: Kind::DeleteTopic.code(),
        correlation: 8,
    };
    head.encode(&("../etc",), 0, &mut out).unwrap();
    peer.send_bytes(&out).await;
    let error: ErrorBody = peer.error(8, ErrorCode::Malformed).await;
    assert!(error.message.contains("is not a topic name"), "{error:?}");
    assert_goes_on(&mut peer).await;
}

#[tokio::test]
async fn a_panic_ends_one_connection() {
    let (broker, clock) = BrokenClock::broker().await;
    let server = Server::start(broker, NativeLimits::default()).await;
    let mut neighbour = server.greet().await;
    let mut peer = server.greet().await;
    clock
        .broken
        .store(true, std::sync::atomic::Ordering::SeqCst);
    peer.add(1, &produce(), &batch("x"));
    peer.flush().await;
    peer.assert_closed().await;
    clock
        .broken
        .store(false, std::sync::atomic::Ordering::SeqCst);
    assert_goes_on(&mut neighbour).await;
    neighbour.add(2, &produce(), &batch("x"));
    neighbour.flush().await;
    neighbour.answer::<Produce>(2).await;
}
