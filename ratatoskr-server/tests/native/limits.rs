//! Each limit, at it and one past it.

use std::time::Duration;

use ratatoskr_core::{
    offset::{Offset, PartitionIndex},
    wire::{Credit, ErrorCode, Fetch, FetchPartition, Hello, Ping, Produce, Subscribe},
};
use ratatoskr_server::native::NativeLimits;

use crate::{
    brokers::{HeldCommits, broker},
    raw::{PARTITION, Server, batch, hello, produce, topic, within},
};

fn subscribe(partitions: u32) -> Subscribe {
    Subscribe {
        topic: topic(),
        partitions: (0..partitions)
            .map(|index| (PartitionIndex::new(index), Offset::ZERO))
            .collect(),
        committed: false,
        credit: Credit {
            records: 0,
            bytes: 0,
        },
    }
}

#[tokio::test]
async fn frame_bytes_max() {
    let limits = NativeLimits {
        frame_bytes_max: 1_000,
        ..NativeLimits::default()
    };
    let server = Server::start(broker().await, limits).await;
    let mut peer = server.greet().await;
    let overhead = {
        let mut out = bytes::BytesMut::new();
        ratatoskr_core::wire::encode(1, 1, &produce(), 0, &mut out).unwrap();
        out.len()
    };
    let junk = vec![0; 1_000 - overhead + 1];
    peer.add(1, &produce(), &junk[1..]);
    peer.flush().await;
    peer.error(1, ErrorCode::InvalidBatch).await;
    peer.add(2, &produce(), &junk);
    peer.flush().await;
    let error = peer.error(0, ErrorCode::FrameTooLarge).await;
    assert_eq!(error.numbers, [1_001, 1_000]);
    peer.assert_closed().await;
    server.assert_serves().await;
}

#[tokio::test]
async fn requests_in_flight_max() {
    let limits = NativeLimits {
        requests_in_flight_max: 3,
        ..NativeLimits::default()
    };
    let (broker, held) = HeldCommits::broker().await;
    let server = Server::start(broker, limits).await;
    send_and_commit(&server, &held, 10).await;
    assert_eq!(held.peak().0, 3);
}

#[tokio::test]
async fn in_flight_bytes_max() {
    let one = batch("0123456789").len();
    let limits = NativeLimits {
        // Room is there as long as less than this is held: for a third batch, and no fourth.
        in_flight_bytes_max: 2 * one + 40,
        ..NativeLimits::default()
    };
    let (broker, held) = HeldCommits::broker().await;
    let server = Server::start(broker, limits).await;
    send_and_commit(&server, &held, 10).await;
    assert_eq!(held.peak().1, 3 * one);
}

/// Sends so many batches at once, lets commits go whenever as many wait as may, and hears every
/// acknowledgement.
async fn send_and_commit(server: &Server, held: &HeldCommits, count: u64) {
    let mut peer = server.greet().await;
    for correlation in 1..=count {
        peer.add(correlation, &produce(), &batch("0123456789"));
    }
    peer.flush().await;
    let commit = async {
        let mut committed = 0;
        while committed < count {
            // Long enough for the server to take all that it is going to take.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            committed += held.commit() as u64;
        }
    };
    let hear = async {
        for correlation in 1..=count {
            peer.answer::<Produce>(correlation).await;
        }
    };
    within(async { tokio::join!(commit, hear) }).await;
    assert_eq!(held.waiting(), 0);
}

#[tokio::test]
async fn subscriptions_max() {
    let limits = NativeLimits {
        subscriptions_max: 2,
        ..NativeLimits::default()
    };
    let server = Server::start(broker().await, limits).await;
    let mut peer = server.greet().await;
    for correlation in 1..=2 {
        peer.send(correlation, &subscribe(1)).await;
        peer.answer::<Subscribe>(correlation).await;
    }
    peer.send(3, &subscribe(1)).await;
    let error = peer.error(3, ErrorCode::TooManyRequests).await;
    assert_eq!(error.numbers, [2]);
    peer.send(2, &ratatoskr_core::wire::Unsubscribe {}).await;
    peer.answer::<ratatoskr_core::wire::Unsubscribe>(2).await;
    peer.send(4, &subscribe(1)).await;
    peer.answer::<Subscribe>(4).await;
}

#[tokio::test]
async fn partitions_per_request_max() {
    let limits = NativeLimits {
        partitions_per_request_max: 3,
        ..NativeLimits::default()
    };
    let server = Server::start(broker().await, limits).await;
    let mut peer = server.greet().await;
    peer.send(1, &subscribe(3)).await;
    peer.answer::<Subscribe>(1).await;
    peer.send(2, &subscribe(4)).await;
    peer.error(2, ErrorCode::InvalidRequest).await;
    peer.send(3, &fetch(3, 0)).await;
    peer.answer::<Fetch>(3).await;
    peer.send(4, &fetch(4, 0)).await;
    peer.error(4, ErrorCode::InvalidRequest).await;
}

fn fetch(partitions: usize, wait_ms: u32) -> Fetch {
    let partition = FetchPartition {
        topic: topic(),
        partition: PARTITION,
        from: Offset::ZERO,
        bytes_max: 1,
    };
    Fetch {
        partitions: vec![partition; partitions],
        bytes_min: 1,
        bytes_max: 1,
        wait_ms,
        committed: false,
    }
}

#[tokio::test]
async fn fetch_wait_max() {
    let limits = NativeLimits {
        fetch_wait_max: Duration::from_millis(5),
        ..NativeLimits::default()
    };
    let server = Server::start(broker().await, limits).await;
    let mut peer = server.greet().await;
    peer.send(1, &fetch(1, u32::MAX)).await;
    peer.answer::<Fetch>(1).await;
}

#[tokio::test]
async fn connections_max() {
    let limits = NativeLimits {
        connections_max: 2,
        ..NativeLimits::default()
    };
    one_connection_too_many(limits).await;
}

#[tokio::test]
async fn connections_per_address_max() {
    let limits = NativeLimits {
        connections_per_address_max: 2,
        ..NativeLimits::default()
    };
    one_connection_too_many(limits).await;
}

/// Where two are allowed.
async fn one_connection_too_many(limits: NativeLimits) {
    let server = Server::start(broker().await, limits).await;
    let mut first = server.greet().await;
    let second = server.greet().await;
    let mut third = server.connect().await;
    let error = third.error(0, ErrorCode::TooManyConnections).await;
    assert_eq!(error.numbers, [2]);
    assert!(error.retryable);
    third.assert_closed().await;
    first.send(1, &Ping {}).await;
    first.answer::<Ping>(1).await;

    drop(second);
    // The server hears of it in its own time.
    within(async {
        loop {
            let mut peer = server.connect().await;
            peer.send_version(0, 0, &hello(1, 1)).await;
            let frame = peer.next().await;
            if frame.is_some_and(|frame| frame.is_response()) {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn handshake_deadline() {
    let limits = NativeLimits {
        handshake_deadline: Duration::from_millis(10),
        ..NativeLimits::default()
    };
    let server = Server::start(broker().await, limits).await;
    let mut silent = server.connect().await;
    let mut slow = server.connect().await;
    slow.send_bytes(&[0, 0, 0, 40]).await;
    silent.error(0, ErrorCode::TimedOut).await;
    silent.assert_closed().await;
    slow.error(0, ErrorCode::TimedOut).await;
    slow.assert_closed().await;
    server.assert_serves().await;
}

#[tokio::test]
async fn frame_deadline() {
    let limits = NativeLimits {
        frame_deadline: Duration::from_millis(10),
        ..NativeLimits::default()
    };
    let server = Server::start(broker().await, limits).await;
    let mut whole = server.greet().await;
    let mut slow = server.greet().await;
    slow.send_bytes(&[0, 0, 0, 40]).await;
    slow.error(0, ErrorCode::TimedOut).await;
    slow.assert_closed().await;
    // Who sends whole frames has all the time there is.
    whole.send(1, &Ping {}).await;
    whole.answer::<Ping>(1).await;
}

#[tokio::test]
async fn idle_deadline() {
    let limits = NativeLimits {
        idle_deadline: Duration::from_millis(10),
        ..NativeLimits::default()
    };
    let server = Server::start(broker().await, limits).await;
    let mut peer = server.connect().await;
    peer.send_version(0, 0, &hello(1, 1)).await;
    assert_eq!(peer.answer::<Hello>(0).await.idle_ms, 10);
    peer.error(0, ErrorCode::TimedOut).await;
    peer.assert_closed().await;
}
