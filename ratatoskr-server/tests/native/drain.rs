//! Shutting down: what was taken is finished, the rest is told, all in bounded time.

use std::time::Duration;

use ratatoskr_core::{
    offset::Offset,
    wire::{ErrorCode, Fetch, FetchPartition, Goodbye, Kind, Ping, Produce},
};
use ratatoskr_server::native::NativeLimits;

use crate::{
    brokers::{HeldCommits, broker},
    raw::{PARTITION, Peer, Server, batch, produce, topic, within},
};

async fn goodbye(peer: &mut Peer) -> Goodbye {
    let frame = peer.next().await.unwrap();
    assert_eq!((frame.kind(), frame.correlation), (Some(Kind::Goodbye), 0));
    frame.decode_body().unwrap()
}

#[tokio::test]
async fn idle_connections_hear_goodbye() {
    let mut server = Server::start(broker().await, NativeLimits::default()).await;
    let mut peers = Vec::new();
    for _ in 0..10 {
        peers.push(server.greet().await);
    }
    // One that has not even said hello.
    let _ungreeted = server.connect().await;
    server.begin_stop();
    for mut peer in peers {
        assert_eq!(goodbye(&mut peer).await.last_correlation, 0);
        peer.assert_closed().await;
    }
    server.stopped().await;
}

#[tokio::test]
async fn what_was_taken_is_finished() {
    let (broker, held) = HeldCommits::broker().await;
    let mut server = Server::start(broker, NativeLimits::default()).await;
    let mut peer = server.greet().await;
    let fetch = Fetch {
        partitions: vec![FetchPartition {
            topic: topic(),
            partition: PARTITION,
            from: Offset::ZERO,
            bytes_max: 1,
        }],
        bytes_min: 1,
        bytes_max: 1,
        wait_ms: 60_000,
        committed: false,
    };
    peer.add(1, &produce(), &batch("x"));
    peer.add(2, &fetch, b"");
    peer.add(3, &Ping {}, b"");
    peer.flush().await;
    peer.answer::<Ping>(3).await;
    server.begin_stop();
    assert_eq!(goodbye(&mut peer).await.last_correlation, 3);
    peer.error(2, ErrorCode::ShuttingDown).await;
    assert_eq!(held.commit(), 1);
    peer.answer::<Produce>(1).await;
    peer.assert_closed().await;
    server.stopped().await;
}

#[tokio::test]
async fn what_does_not_finish_is_cut() {
    let limits = NativeLimits {
        drain_deadline: Duration::from_millis(10),
        ..NativeLimits::default()
    };
    let (broker, held) = HeldCommits::broker().await;
    let mut server = Server::start(broker, limits).await;
    let mut peer = server.greet().await;
    peer.add(1, &produce(), &batch("x"));
    peer.add(2, &Ping {}, b"");
    peer.flush().await;
    peer.answer::<Ping>(2).await;
    server.begin_stop();
    goodbye(&mut peer).await;
    peer.assert_closed().await;
    server.stopped().await;
    assert_eq!(held.waiting(), 1);
}

#[tokio::test]
async fn nobody_gets_in_any_more() {
    let mut server = Server::start(broker().await, NativeLimits::default()).await;
    let address = server.address;
    server.begin_stop();
    server.stopped().await;
    let refused = within(tokio::net::TcpStream::connect(address)).await;
    assert!(refused.is_err());
}
