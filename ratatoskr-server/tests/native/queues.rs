//! Queues, spoken to frame by frame: what is taken, settled, refused, and given back.

use ratatoskr_core::{
    delivery::{ConsumerId, FencingToken},
    limits,
    name::{GroupId, TopicName},
    offset::Offset,
    wire::{
        ConfigEntries, CreateQueue, DescribeQueue, ErrorCode, ListDeadLetterTopics, ListQueues,
        Ping, Produce, QueueAcquire, QueueAcquired, QueueLeave, QueueSettle, SettlementBody,
    },
};
use ratatoskr_server::native::NativeLimits;

use crate::{
    brokers::broker,
    raw::{PARTITION, Peer, Server, batch, produce, topic, within},
};

const ACKNOWLEDGE: u8 = 0;
const REJECT: u8 = 3;

fn group() -> GroupId {
    GroupId::parse("mailers").unwrap()
}

fn acquire(consumer: &str, wait_ms: u32) -> QueueAcquire {
    QueueAcquire {
        group: group(),
        topic: topic(),
        consumer: ConsumerId::parse(consumer).unwrap(),
        records_max: 10,
        bytes_max: 1 << 20,
        wait_ms,
        lease_ms: None,
    }
}

fn settle(consumer: &str, settlements: Vec<SettlementBody>) -> QueueSettle {
    QueueSettle {
        group: group(),
        topic: topic(),
        consumer: ConsumerId::parse(consumer).unwrap(),
        settlements,
    }
}

fn settlement(token: FencingToken, first: u64, last: u64, action: u8) -> SettlementBody {
    SettlementBody {
        partition: PARTITION,
        first: Offset::new(first),
        last: Offset::new(last),
        token,
        action,
        ms: None,
        cause: (action == REJECT).then(|| "unreadable".into()),
    }
}

/// A server whose topic has so many records, and a connection to it.
async fn server_with(count: u64) -> (Server, Peer) {
    let server = Server::start(broker().await, NativeLimits::default()).await;
    let mut peer = server.greet().await;
    for correlation in 1..=count {
        peer.send_batch(correlation, &batch("0123456789")).await;
        peer.answer::<Produce>(correlation).await;
    }
    (server, peer)
}

impl Peer {
    async fn send_batch(&mut self, correlation: u64, batch: &[u8]) {
        self.add(correlation, &produce(), batch);
        self.flush().await;
    }

    async fn acquire(&mut self, correlation: u64, consumer: &str) -> QueueAcquired {
        self.send(correlation, &acquire(consumer, 0)).await;
        self.answer::<QueueAcquire>(correlation).await
    }
}

/// The offsets that were taken, and the token.
fn taken(acquired: &QueueAcquired) -> (Vec<(u64, u64)>, FencingToken) {
    let partition = acquired.partitions.first().expect("records");
    let ranges = partition.ranges.iter();
    let ranges = ranges.map(|range| (range.first.get(), range.last.get()));
    (ranges.collect(), partition.token)
}

#[tokio::test]
async fn what_is_acknowledged_is_done_and_each_settlement_has_its_answer() {
    let (_server, mut peer) = server_with(3).await;
    let acquired = peer.acquire(10, "m1").await;
    let (ranges, token) = taken(&acquired);
    assert_eq!(ranges, [(0, 2)]);
    let others = FencingToken::new(token.get() + 1_000);
    let settlements = vec![
        settlement(token, 0, 0, ACKNOWLEDGE),
        settlement(token, 0, 0, ACKNOWLEDGE),
        settlement(others, 1, 1, ACKNOWLEDGE),
        settlement(token, 1, 1, REJECT),
        settlement(token, 2, 1, ACKNOWLEDGE),
    ];
    peer.send(11, &settle("m1", settlements)).await;
    let answers = peer.answer::<QueueSettle>(11).await;
    let codes = answers.iter().map(|answer| {
        let answer = answer.as_ref()?;
        Some(answer.known_code().expect("a code that is known"))
    });
    assert_eq!(
        codes.collect::<Vec<_>>(),
        [
            None,
            Some(ErrorCode::AlreadySettled),
            Some(ErrorCode::UnknownLease),
            None,
            Some(ErrorCode::InvalidSettlement),
        ]
    );
    peer.send(
        12,
        &settle("m2", vec![settlement(token, 2, 2, ACKNOWLEDGE)]),
    )
    .await;
    let answers = peer.answer::<QueueSettle>(12).await;
    let answer = answers[0].as_ref().expect("a refusal");
    assert_eq!(answer.known_code(), Some(ErrorCode::NotLeaseOwner));

    peer.send(13, &ListQueues {}).await;
    assert_eq!(peer.answer::<ListQueues>(13).await, [group()]);
}

impl Peer {
    /// The code that one settlement is answered with; `None` where it was kept.
    async fn settle_one(&mut self, correlation: u64, request: &QueueSettle) -> Option<ErrorCode> {
        self.send(correlation, request).await;
        let answers = self.answer::<QueueSettle>(correlation).await;
        let refusal = answers.into_iter().next().expect("an answer")?;
        Some(refusal.known_code().expect("a code that is known"))
    }
}

#[tokio::test]
async fn who_comes_after_the_end_of_its_lease_settles_nothing() {
    let (server, mut late) = server_with(1).await;
    let short = QueueAcquire {
        lease_ms: Some(100),
        ..acquire("m1", 0)
    };
    late.send(10, &short).await;
    let (_, old) = taken(&late.answer::<QueueAcquire>(10).await);
    // Another one has the record as soon as the lease is over.
    let mut other = server.greet().await;
    other.send(1, &acquire("m2", 30_000)).await;
    let acquired = other.answer::<QueueAcquire>(1).await;
    let (ranges, new) = taken(&acquired);
    assert_eq!(
        (ranges, acquired.partitions[0].ranges[0].delivery_count),
        (vec![(0, 0)], 2)
    );
    assert!(new > old);
    for (correlation, action) in [(11, ACKNOWLEDGE), (12, REJECT), (13, 1), (14, 2)] {
        let request = settle("m1", vec![settlement(old, 0, 0, action)]);
        let refusal = late.settle_one(correlation, &request).await;
        assert_eq!(refusal, Some(ErrorCode::LeaseExpired), "action {action}");
    }
    let request = settle("m2", vec![settlement(new, 0, 0, ACKNOWLEDGE)]);
    assert_eq!(other.settle_one(2, &request).await, None);
    // What is done is done, whoever says so again.
    assert_eq!(
        other.settle_one(3, &request).await,
        Some(ErrorCode::AlreadySettled)
    );
}

#[tokio::test]
async fn dead_letters_have_no_dead_letters() {
    let (_server, mut peer) = server_with(1).await;
    let (_, token) = taken(&peer.acquire(10, "m1").await);
    let request = settle("m1", vec![settlement(token, 0, 0, REJECT)]);
    assert_eq!(peer.settle_one(11, &request).await, None);
    // The letter is written in the background; whoever waits for it is told.
    let letters = TopicName::parse("orders.dlq").unwrap();
    within(async {
        for correlation in 100.. {
            peer.send(correlation, &ListDeadLetterTopics {}).await;
            let topics = peer.answer::<ListDeadLetterTopics>(correlation).await;
            if topics.iter().any(|found| found.letters == 1) {
                break;
            }
        }
    })
    .await;
    let of_letters = QueueAcquire {
        group: GroupId::parse("readers").unwrap(),
        topic: letters.clone(),
        ..acquire("m1", 0)
    };
    peer.send(12, &of_letters).await;
    let (ranges, token) = taken(&peer.answer::<QueueAcquire>(12).await);
    assert_eq!(ranges, [(0, 0)]);
    let again = |action| QueueSettle {
        group: of_letters.group.clone(),
        topic: letters.clone(),
        ..settle("m1", vec![settlement(token, 0, 0, action)])
    };
    let refusal = peer.settle_one(13, &again(REJECT)).await;
    assert_eq!(refusal, Some(ErrorCode::DeadLetterLoop));
    assert_eq!(peer.settle_one(14, &again(ACKNOWLEDGE)).await, None);
}

#[tokio::test]
async fn a_wait_ends_with_the_first_record_and_keeps_nobody_waiting() {
    let (server, mut peer) = server_with(0).await;
    peer.send(1, &acquire("m1", 60_000)).await;
    peer.send(2, &Ping {}).await;
    peer.answer::<Ping>(2).await;
    let mut producer = server.greet().await;
    producer.send_batch(1, &batch("x")).await;
    let acquired = peer.answer::<QueueAcquire>(1).await;
    assert_eq!(taken(&acquired).0, [(0, 0)]);
}

#[tokio::test]
async fn the_end_of_a_connection_gives_back_what_was_held_over_it() {
    let (server, mut first) = server_with(2).await;
    assert_eq!(taken(&first.acquire(10, "m1").await).0, [(0, 1)]);
    let mut second = server.greet().await;
    assert!(second.acquire(1, "m2").await.partitions.is_empty());
    drop(first);
    second.send(2, &acquire("m2", 30_000)).await;
    let acquired = second.answer::<QueueAcquire>(2).await;
    assert_eq!(taken(&acquired).0, [(0, 1)]);
    let ranges = &acquired.partitions[0].ranges;
    assert_eq!(
        ranges[0].delivery_count, 1,
        "a lost connection is no attempt"
    );
}

#[tokio::test]
async fn a_consumer_that_came_back_over_another_connection_keeps_what_it_holds() {
    let (server, mut old) = server_with(2).await;
    old.acquire(10, "m1").await;
    let mut new = server.greet().await;
    // From here on the consumer is the new connection's.
    assert!(new.acquire(1, "m1").await.partitions.is_empty());
    old.stream.set_zero_linger().unwrap();
    drop(old);
    let mut other = server.greet().await;
    within(async {
        // The server has noticed the loss once it has room for what it counted for the connection;
        // nothing tells of that, so the other asks as often as it can while it notices.
        for correlation in 1..200 {
            assert!(other.acquire(correlation, "m2").await.partitions.is_empty());
        }
    })
    .await;
    new.send(
        2,
        &QueueLeave {
            group: group(),
            consumer: ConsumerId::parse("m1").unwrap(),
        },
    )
    .await;
    assert_eq!(new.answer::<QueueLeave>(2).await, 2);
}

#[tokio::test]
async fn queue_consumers_max() {
    let limits = NativeLimits {
        queue_consumers_max: 2,
        ..NativeLimits::default()
    };
    let server = Server::start(broker().await, limits).await;
    let mut peer = server.greet().await;
    peer.acquire(1, "m1").await;
    peer.acquire(2, "m2").await;
    peer.acquire(3, "m1").await;
    peer.send(4, &acquire("m3", 0)).await;
    let error = peer.error(4, ErrorCode::TooManyRequests).await;
    assert_eq!(error.numbers, [2]);
    peer.send(
        5,
        &QueueLeave {
            group: group(),
            consumer: ConsumerId::parse("m1").unwrap(),
        },
    )
    .await;
    peer.answer::<QueueLeave>(5).await;
    peer.acquire(6, "m3").await;
}

#[tokio::test]
async fn settlements_that_cannot_be_are_refused_and_settle_nothing() {
    let (_server, mut peer) = server_with(1).await;
    let (_, token) = taken(&peer.acquire(10, "m1").await);
    let one = settlement(token, 0, 0, ACKNOWLEDGE);
    let too_many = vec![one.clone(); limits::QUEUE_SETTLEMENTS_MAX + 1];
    peer.send(11, &settle("m1", too_many)).await;
    peer.error(11, ErrorCode::InvalidRequest).await;
    let unknown = SettlementBody {
        action: 9,
        ..one.clone()
    };
    peer.send(12, &settle("m1", vec![one.clone(), unknown]))
        .await;
    peer.error(12, ErrorCode::InvalidRequest).await;
    peer.send(13, &settle("m1", vec![one])).await;
    assert_eq!(peer.answer::<QueueSettle>(13).await, [None]);
}

#[tokio::test]
async fn a_group_is_made_once_described_and_its_wrong_settings_are_refused() {
    let (_server, mut peer) = server_with(0).await;
    let create = |entries: &[(&str, &str)]| CreateQueue {
        group: group(),
        config: ConfigEntries(
            entries
                .iter()
                .map(|&(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
        ),
    };
    peer.send(1, &create(&[("lease_ms", "1")])).await;
    peer.error(1, ErrorCode::InvalidConfig).await;
    peer.send(2, &create(&[("colour", "red")])).await;
    peer.error(2, ErrorCode::InvalidConfig).await;
    peer.send(3, &DescribeQueue { group: group() }).await;
    peer.error(3, ErrorCode::UnknownQueueGroup).await;
    peer.send(4, &create(&[("lease_ms", "5s")])).await;
    peer.answer::<CreateQueue>(4).await;
    peer.send(5, &create(&[])).await;
    peer.error(5, ErrorCode::QueueGroupExists).await;
    peer.send(6, &DescribeQueue { group: group() }).await;
    let described = peer.answer::<DescribeQueue>(6).await;
    let lease = ("lease_ms".to_owned(), "5000".to_owned());
    assert!(described.config.0.contains(&lease), "{described:?}");
    peer.send(7, &ListDeadLetterTopics {}).await;
    assert!(peer.answer::<ListDeadLetterTopics>(7).await.is_empty());
}
