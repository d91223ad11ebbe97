//! Pipelined requests: what is answered in order, and what does not wait.

use ratatoskr_core::{
    offset::Offset,
    wire::{ErrorCode, Fetch, FetchPartition, Kind, NewProducer, Ping, Produce},
};
use ratatoskr_server::native::NativeLimits;

use crate::{
    brokers::{HeldCommits, broker},
    raw::{PARTITION, Server, batch, produce, topic, within},
};

fn fetch(from: u64, wait_ms: u32) -> Fetch {
    Fetch {
        partitions: vec![FetchPartition {
            topic: topic(),
            partition: PARTITION,
            from: Offset::new(from),
            bytes_max: 1 << 20,
        }],
        bytes_min: 1,
        bytes_max: 1 << 20,
        wait_ms,
        committed: false,
    }
}

#[tokio::test]
async fn produce_is_answered_in_order_whatever_becomes_of_each() {
    let server = Server::start(broker().await, NativeLimits::default()).await;
    let mut peer = server.greet().await;
    for correlation in 1..=1_000 {
        let good = batch(format!("{correlation}"));
        let sent = if correlation % 10 == 0 {
            &b"bad"[..]
        } else {
            &good
        };
        peer.add(correlation, &produce(), sent);
    }
    peer.flush().await;
    let mut offset = 0;
    for correlation in 1..=1_000 {
        if correlation % 10 == 0 {
            peer.error(correlation, ErrorCode::InvalidBatch).await;
        } else {
            let produced = peer.answer::<Produce>(correlation).await;
            assert_eq!(produced.base_offset.get(), offset);
            offset += 1;
        }
    }
}

#[tokio::test]
async fn a_commit_that_takes_long_delays_no_other_request() {
    let (broker, held) = HeldCommits::broker().await;
    let server = Server::start(broker, NativeLimits::default()).await;
    let mut peer = server.greet().await;
    peer.add(1, &produce(), &batch("x"));
    peer.add(2, &Ping {}, b"");
    peer.add(3, &produce(), b"bad");
    peer.add(4, &NewProducer {}, b"");
    peer.flush().await;
    peer.answer::<Ping>(2).await;
    peer.answer::<NewProducer>(4).await;
    assert_eq!(held.commit(), 1);
    // The refusal had to wait for the answer before it.
    peer.answer::<Produce>(1).await;
    peer.error(3, ErrorCode::InvalidBatch).await;
}

#[tokio::test]
async fn a_fetch_that_waits_delays_no_other_request() {
    let server = Server::start(broker().await, NativeLimits::default()).await;
    let mut peer = server.greet().await;
    peer.add(1, &fetch(0, 60_000), b"");
    peer.add(2, &Ping {}, b"");
    peer.flush().await;
    peer.answer::<Ping>(2).await;
    let sent = batch("x");
    peer.add(3, &produce(), &sent);
    peer.flush().await;
    let mut answers = Vec::new();
    for _ in 0..2 {
        let frame = peer.next().await.unwrap();
        if frame.kind() == Some(Kind::Fetch) {
            assert_eq!(frame.batches.len(), sent.len());
        }
        answers.push(frame.correlation);
    }
    answers.sort_unstable();
    assert_eq!(answers, [1, 3]);
}

#[tokio::test]
async fn an_unacknowledged_produce_has_no_answer() {
    let server = Server::start(broker().await, NativeLimits::default()).await;
    let mut peer = server.greet().await;
    let mut silent = produce();
    silent.acknowledge = false;
    peer.add(1, &silent, &batch("x"));
    peer.add(2, &silent, b"bad");
    peer.add(3, &produce(), &batch("y"));
    peer.flush().await;
    assert_eq!(peer.answer::<Produce>(3).await.base_offset.get(), 1);
}

#[tokio::test]
async fn a_peer_that_sends_no_more_still_gets_its_acknowledgements() {
    use tokio::io::AsyncWriteExt;
    let (broker, held) = HeldCommits::broker().await;
    let server = Server::start(broker, NativeLimits::default()).await;
    let mut peer = server.greet().await;
    peer.add(1, &produce(), &batch("x"));
    peer.flush().await;
    peer.stream.shutdown().await.unwrap();
    within(async {
        while held.commit() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    peer.answer::<Produce>(1).await;
    peer.assert_closed().await;
}
