//! Before a version is agreed on.

use ratatoskr_core::wire::{ErrorCode, FRAME_HEADER_BYTES, HELLO_FRAME_BYTES_MAX, Hello, Ping};
use ratatoskr_server::native::NativeLimits;
use tokio::io::AsyncWriteExt;

use crate::{
    brokers::broker,
    raw::{Server, hello},
};

async fn server() -> Server {
    Server::start(broker().await, NativeLimits::default()).await
}

#[tokio::test]
async fn the_server_picks_a_version_and_names_its_limits() {
    let server = server().await;
    let mut peer = server.connect().await;
    peer.send_version(0, 0, &hello(0, 200)).await;
    let welcome = peer.welcome().await;
    assert_eq!(welcome.version, 1);
    assert_eq!(welcome.frame_bytes_max, 16 << 20);
    assert_eq!(welcome.idle_ms, 600_000);
    assert!(welcome.server.starts_with("ratatoskr "));
}

#[tokio::test]
async fn versions_that_are_not_spoken_are_answered_with_those_that_are() {
    let server = server().await;
    for (version, offer) in [(0, hello(2, 9)), (0, hello(0, 0)), (1, hello(1, 1))] {
        let mut peer = server.connect().await;
        peer.send_version(version, 7, &offer).await;
        let error = peer.error(7, ErrorCode::UnsupportedVersion).await;
        assert_eq!(error.numbers, [1, 1]);
        peer.assert_closed().await;
    }
    server.assert_serves().await;
}

#[tokio::test]
async fn nothing_else_comes_first() {
    let server = server().await;
    let mut peer = server.connect().await;
    peer.send_version(0, 3, &Ping {}).await;
    peer.error(3, ErrorCode::Malformed).await;
    peer.assert_closed().await;
    server.assert_serves().await;
}

#[tokio::test]
async fn a_hello_is_taken_at_its_limit_and_refused_one_past_it() {
    let server = server().await;
    // Array of 3, two small numbers, a string with 3 bytes before it.
    let overhead = FRAME_HEADER_BYTES + 3 + 3;
    for (extra, taken) in [(0, true), (1, false)] {
        let client = "x".repeat(HELLO_FRAME_BYTES_MAX - overhead + extra);
        let mut peer = server.connect().await;
        peer.send_version(
            0,
            0,
            &Hello {
                client,
                ..hello(1, 1)
            },
        )
        .await;
        if taken {
            peer.welcome().await;
        } else {
            let error = peer.error(0, ErrorCode::FrameTooLarge).await;
            let max = i64::try_from(HELLO_FRAME_BYTES_MAX).unwrap();
            assert_eq!(error.numbers, [max + 1, max]);
            peer.assert_closed().await;
        }
    }
}

#[tokio::test]
async fn other_protocols_are_answered_and_closed() {
    let server = server().await;
    let tls_client_hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &tls_client_hello,
        &[0xff; 100],
    ] {
        let mut peer = server.connect().await;
        peer.send_bytes(garbage).await;
        peer.error(0, ErrorCode::FrameTooLarge).await;
        peer.assert_closed().await;
    }
    let mut peer = server.connect().await;
    peer.send_bytes(&[0; 100]).await;
    peer.error(0, ErrorCode::Malformed).await;
    peer.assert_closed().await;
    server.assert_serves().await;
}

#[tokio::test]
async fn a_peer_that_goes_away_is_forgotten() {
    let server = server().await;
    let mut peer = server.connect().await;
    peer.send_bytes(&[0, 0, 0, 40, 1, 2, 3]).await;
    peer.stream.shutdown().await.unwrap();
    peer.assert_closed().await;
    drop(server.connect().await);
    server.assert_serves().await;
}
