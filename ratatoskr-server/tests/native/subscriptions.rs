//! Batches pushed under credit.

use ratatoskr_core::{
    batch::{BatchHeader, batches},
    offset::{Offset, PartitionIndex},
    wire::{Credit, DeleteTopic, Deliver, ErrorCode, Kind, Ping, Produce, Subscribe, Unsubscribe},
};
use ratatoskr_server::native::NativeLimits;

use crate::{
    brokers::broker,
    raw::{PARTITION, Peer, Server, batch, produce, topic},
};

async fn server_with(count: u64) -> (Server, Peer) {
    let server = Server::start(broker().await, NativeLimits::default()).await;
    let mut peer = server.greet().await;
    fill(&mut peer, count).await;
    (server, peer)
}

async fn fill(peer: &mut Peer, count: u64) {
    for correlation in 1..=count {
        peer.add(correlation, &produce(), &batch("0123456789"));
    }
    peer.flush().await;
    for correlation in 1..=count {
        peer.answer::<Produce>(correlation).await;
    }
}

fn subscribe(from: u64, records: u32, bytes: u32) -> Subscribe {
    Subscribe {
        topic: topic(),
        partitions: vec![(PARTITION, Offset::new(from))],
        committed: false,
        credit: Credit { records, bytes },
    }
}

/// Takes deliveries of subscription 1 until a ping sent after them is answered; their headers.
async fn delivered(peer: &mut Peer) -> Vec<BatchHeader> {
    // Two rounds: what was read before the first ping may be pushed after its answer.
    let mut headers = Vec::new();
    for ping in [1_000, 1_001] {
        peer.send(ping, &Ping {}).await;
        loop {
            let frame = peer.next().await.unwrap();
            if frame.kind() == Some(Kind::Ping) {
                break;
            }
            assert_eq!((frame.kind(), frame.correlation), (Some(Kind::Deliver), 1));
            let deliver: Deliver = frame.decode_body().unwrap();
            assert_eq!(deliver.partition, PARTITION);
            assert!(deliver.error.is_none(), "{deliver:?}");
            headers.extend(batches(frame.batches).map(|batch| *batch.unwrap().header()));
        }
    }
    headers
}

#[tokio::test]
async fn no_more_is_pushed_than_was_granted() {
    let (_server, mut peer) = server_with(10).await;
    peer.send(1, &subscribe(2, 3, u32::MAX)).await;
    peer.answer::<Subscribe>(1).await;
    let offsets = |headers: Vec<BatchHeader>| -> Vec<u64> {
        headers
            .iter()
            .map(|header| header.base_offset.get())
            .collect()
    };
    assert_eq!(offsets(delivered(&mut peer).await), [2, 3, 4]);
    let more = Credit {
        records: 2,
        bytes: 0,
    };
    peer.send(1, &more).await;
    assert_eq!(offsets(delivered(&mut peer).await), [5, 6]);
    peer.send(1, &more).await;
    peer.send(1, &more).await;
    assert_eq!(offsets(delivered(&mut peer).await), [7, 8, 9]);
}

#[tokio::test]
async fn byte_credit_is_passed_by_at_most_one_batch() {
    let (_server, mut peer) = server_with(10).await;
    let one = u32::try_from(batch("0123456789").len()).unwrap();
    peer.send(1, &subscribe(0, u32::MAX, 2 * one + 1)).await;
    peer.answer::<Subscribe>(1).await;
    assert_eq!(delivered(&mut peer).await.len(), 3);
    let bytes = |bytes| Credit { records: 0, bytes };
    // It is below zero by this much.
    peer.send(1, &bytes(one - 1)).await;
    assert_eq!(delivered(&mut peer).await.len(), 0);
    peer.send(1, &bytes(1)).await;
    assert_eq!(delivered(&mut peer).await.len(), 1);
}

#[tokio::test]
async fn one_subscriber_without_credit_stops_only_itself() {
    let (server, mut stalled) = server_with(1).await;
    stalled.send(1, &subscribe(0, 0, 0)).await;
    stalled.answer::<Subscribe>(1).await;
    let mut healthy = server.greet().await;
    healthy.send(1, &subscribe(0, 1_000, 1 << 20)).await;
    healthy.answer::<Subscribe>(1).await;
    fill(&mut stalled, 5).await;
    let mut seen = 0;
    while seen < 6 {
        let frame = healthy.next().await.unwrap();
        seen += batches(frame.batches).count();
    }
}

#[tokio::test]
async fn a_peer_that_does_not_read_stops_only_itself() {
    let (server, mut stalled) = server_with(0).await;
    stalled.send(1, &subscribe(0, u32::MAX, u32::MAX)).await;
    stalled.answer::<Subscribe>(1).await;
    let mut healthy = server.greet().await;
    healthy.send(1, &subscribe(0, u32::MAX, u32::MAX)).await;
    healthy.answer::<Subscribe>(1).await;
    // More than the sockets and the connection's share of memory take.
    let mut sender = server.greet().await;
    let large = batch(vec![7; 1_000_000]);
    for number in 0..40 {
        sender.add(number, &produce(), &large);
        sender.flush().await;
        sender.answer::<Produce>(number).await;
        assert_eq!(healthy.next().await.unwrap().batches.len(), large.len());
    }
    // It gets all there is once it reads again.
    let mut bytes = 0;
    while bytes < 40 * large.len() {
        bytes += stalled.next().await.unwrap().batches.len();
    }
}

#[tokio::test]
async fn nothing_is_pushed_after_the_answer_to_an_unsubscribe() {
    let (_server, mut peer) = server_with(1).await;
    peer.send(1, &subscribe(1, 1_000, 1 << 20)).await;
    peer.answer::<Subscribe>(1).await;
    peer.send(1, &Unsubscribe {}).await;
    peer.answer::<Unsubscribe>(1).await;
    fill(&mut peer, 5).await;
    // Credit that crossed the end on its way is nobody's mistake.
    let credit = Credit {
        records: 1,
        bytes: 1,
    };
    peer.send(1, &credit).await;
    assert_eq!(delivered(&mut peer).await.len(), 0);
    peer.send(1, &Unsubscribe {}).await;
    peer.error(1, ErrorCode::UnknownSubscription).await;
}

#[tokio::test]
async fn a_partition_that_fails_ends_its_part_alone() {
    let (_server, mut peer) = server_with(1).await;
    let body = Subscribe {
        partitions: vec![
            (PartitionIndex::new(9), Offset::ZERO),
            (PARTITION, Offset::ZERO),
        ],
        ..subscribe(0, 1_000, 1 << 20)
    };
    peer.send(1, &body).await;
    peer.answer::<Subscribe>(1).await;
    let mut errors = 0;
    let mut records = 0;
    while records < 1 || errors < 1 {
        let frame = peer.next().await.unwrap();
        let deliver: Deliver = frame.decode_body().unwrap();
        match deliver.error {
            Some(error) => {
                assert_eq!(error.known_code(), Some(ErrorCode::UnknownPartition));
                assert_eq!(deliver.partition, PartitionIndex::new(9));
                errors += 1;
            }
            None => records += batches(frame.batches).count(),
        }
    }
    fill(&mut peer, 0).await;
    assert_eq!(errors, 1);
}

#[tokio::test]
async fn a_subscription_has_a_correlation_of_its_own() {
    let (_server, mut peer) = server_with(0).await;
    peer.send(1, &subscribe(0, 1, 1)).await;
    peer.answer::<Subscribe>(1).await;
    peer.send(1, &subscribe(0, 1, 1)).await;
    peer.error(1, ErrorCode::InvalidRequest).await;
}

#[tokio::test]
async fn each_subscription_of_a_connection_is_woken_for_every_batch() {
    const SUBSCRIPTIONS: u64 = 50;
    let (server, mut sender) = server_with(0).await;
    let mut peer = server.greet().await;
    for correlation in 1..=SUBSCRIPTIONS {
        peer.send(correlation, &subscribe(0, 1_000, 1 << 20)).await;
        peer.answer::<Subscribe>(correlation).await;
    }
    // One ends while it waits, and takes nobody along.
    peer.send(7, &Unsubscribe {}).await;
    peer.answer::<Unsubscribe>(7).await;
    for batch in 0..3 {
        fill(&mut sender, 1).await;
        let mut woken = Vec::new();
        for _ in 1..SUBSCRIPTIONS {
            let frame = peer.next().await.unwrap();
            let headers: Vec<_> = batches(frame.batches)
                .map(|b| *b.unwrap().header())
                .collect();
            assert_eq!(headers.len(), 1);
            assert_eq!(headers[0].base_offset, Offset::new(batch));
            woken.push(frame.correlation);
        }
        woken.sort_unstable();
        let expected: Vec<_> = (1..=SUBSCRIPTIONS).filter(|&at| at != 7).collect();
        assert_eq!(woken, expected);
    }
}

#[tokio::test]
async fn deleting_the_topic_ends_a_subscription_that_waits() {
    let (_server, mut peer) = server_with(1).await;
    peer.send(1, &subscribe(1, 1_000, 1 << 20)).await;
    peer.answer::<Subscribe>(1).await;
    peer.send(2, &DeleteTopic { topic: topic() }).await;
    let mut told = None;
    while told.is_none() {
        let frame = peer.next().await.unwrap();
        if frame.kind() == Some(Kind::Deliver) {
            let deliver: Deliver = frame.decode_body().unwrap();
            told = deliver.error;
        }
    }
    assert_eq!(told.unwrap().known_code(), Some(ErrorCode::UnknownTopic));
}
