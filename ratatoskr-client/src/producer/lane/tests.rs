//! A lane, told step by step what becomes of its batches.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use ratatoskr_core::{
    config::Durability,
    offset::Offset,
    producer::{ProducerEpoch, ProducerId},
    storage::{IoKind, StorageError},
};

use super::{round::ROUND_MIN, *};

const COST: usize = 10;
const TIMEOUT: Duration = Duration::from_mins(1);

/// Each record is a batch of its own, unless it is gathered.
struct Bench {
    lane: Lane,
    now: Instant,
    deliveries: Vec<Delivery>,
}

impl Bench {
    fn new(idempotent: bool) -> Self {
        Self::with(idempotent.then_some(identity(1)), Acks::All)
    }

    fn with(identity: Option<ProducerIdentity>, acks: Acks) -> Self {
        let options = ProducerOptions {
            acks,
            delivery_timeout: TIMEOUT,
            ..ProducerOptions::DEFAULT
        };
        Self {
            lane: Lane::new(PartitionIndex::new(0), identity, &options, true),
            now: Instant::now(),
            deliveries: Vec::new(),
        }
    }

    fn push(&mut self, count: usize) {
        for _ in 0..count {
            let record = Record::new("x");
            let (delivery, _) = self.lane.push(&record, COST, 1, Timestamp::new(0)).unwrap();
            self.deliveries.push(delivery);
        }
    }

    /// Adds records to one batch.
    fn gather(&mut self, count: usize) {
        for _ in 0..count {
            let record = Record::new("x");
            let pushed = self.lane.push(&record, COST, 1 << 20, Timestamp::new(0));
            self.deliveries.push(pushed.unwrap().0);
        }
    }

    /// Sends what was gathered.
    fn send_open(&mut self) -> Vec<(u64, i64, i32)> {
        self.now = Instant::now();
        assert!(self.lane.seal_if_due(self.now, Duration::ZERO));
        self.send()
    }

    /// Sends all that may be sent: ids, and producers with sequences.
    fn send(&mut self) -> Vec<(u64, i64, i32)> {
        let mut sent = Vec::new();
        while let Some((id, batch)) = self.lane.next_to_send(self.now) {
            batch.verify_crc().unwrap();
            let header = batch.header();
            sent.push((id, header.producer_id.get(), header.base_sequence.get()));
        }
        sent
    }

    fn ok(&mut self, id: u64, offset: u64) -> usize {
        let produced = Produced {
            partition: PartitionIndex::new(0),
            base_offset: Offset::new(offset),
            log_append_time: None,
            durability: Durability::Memory,
            duplicate: false,
        };
        self.lane.answered(id, Ok(produced), self.now)
    }

    fn fail(&mut self, id: u64, error: Error) -> usize {
        self.lane.answered(id, Err(error), self.now)
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// The end of a record, if it has one.
    fn end(&mut self, record: usize) -> Option<Result<u64, Error>> {
        let mut cx = Context::from_waker(Waker::noop());
        match pin!(&mut self.deliveries[record]).poll(&mut cx) {
            Poll::Ready(end) => Some(end.map(|metadata| metadata.offset.unwrap().get())),
            Poll::Pending => None,
        }
    }

    /// The first batch is acknowledged, so that more than one may be under way.
    fn prove(&mut self) {
        self.push(1);
        let sent = self.send();
        assert_eq!(self.ok(sent[0].0, 0), COST);
    }
}

fn identity(id: i64) -> ProducerIdentity {
    ProducerIdentity {
        id: ProducerId::new(id),
        epoch: ProducerEpoch::new(0),
    }
}

fn lost(outcome: Outcome) -> Error {
    Error::ConnectionLost {
        address: "here".into(),
        reason: "cut".into(),
        outcome,
    }
}

fn out_of_order(expected: i32, found: i32) -> Error {
    Error::Broker(BrokerError::OutOfOrderSequence {
        producer: ProducerId::new(1),
        expected: Sequence::new(expected),
        found: Sequence::new(found),
    })
}

fn too_large() -> Error {
    Error::Broker(BrokerError::BatchTooLarge {
        bytes: 2,
        bytes_max: 1,
    })
}

fn full() -> Error {
    let error = std::io::Error::from(std::io::ErrorKind::StorageFull);
    let error = StorageError::io("append", error);
    assert!(matches!(
        error,
        StorageError::Io {
            kind: IoKind::Full,
            ..
        }
    ));
    Error::Broker(BrokerError::Storage(error))
}

#[test]
fn the_first_batch_goes_alone_then_as_many_as_a_broker_remembers() {
    let mut bench = Bench::new(true);
    bench.push(20);
    assert_eq!(bench.send(), [(1, 1, 0)]);
    bench.ok(1, 0);
    let sent = bench.send();
    assert_eq!(sent.len(), UNDER_WAY_MAX);
    assert_eq!(sent[0], (2, 1, 1));
    bench.ok(2, 1);
    assert_eq!(bench.send(), [(7, 1, 6)]);
    assert_eq!(bench.end(0).unwrap().unwrap(), 0);
    assert_eq!(bench.end(1).unwrap().unwrap(), 1);
    assert!(bench.end(2).is_none());
}

#[test]
fn a_lost_connection_sends_all_again_in_order_with_the_same_sequences() {
    let mut bench = Bench::new(true);
    bench.prove();
    bench.push(3);
    assert_eq!(bench.send(), [(2, 1, 1), (3, 1, 2), (4, 1, 3)]);
    // The first of them was acknowledged before the cut.
    bench.ok(2, 1);
    bench.fail(3, lost(Outcome::Unknown));
    assert_eq!(bench.send(), [], "not before all are answered");
    bench.fail(4, lost(Outcome::Unknown));
    assert_eq!(bench.send(), [], "not before some time has passed");
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.send(), [(5, 1, 2)], "one alone");
    bench.ok(5, 2);
    assert_eq!(bench.send(), [(6, 1, 3)]);
    bench.ok(6, 3);
    for record in 0..4 {
        assert_eq!(bench.end(record).unwrap().unwrap(), record as u64);
    }
    assert!(bench.lane.is_empty());
}

#[test]
fn batches_behind_one_that_failed_for_now_follow_it() {
    let mut bench = Bench::new(true);
    bench.prove();
    bench.push(3);
    bench.send();
    bench.fail(2, full());
    bench.fail(3, out_of_order(1, 2));
    bench.fail(4, out_of_order(1, 3));
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.send(), [(5, 1, 1)]);
    bench.ok(5, 1);
    assert_eq!(bench.send(), [(6, 1, 2), (7, 1, 3)]);
}

#[test]
fn batches_behind_one_that_failed_for_good_go_on_under_another_identity() {
    let mut bench = Bench::new(true);
    bench.prove();
    bench.push(3);
    bench.send();
    assert_eq!(bench.fail(2, too_large()), 0);
    bench.fail(3, out_of_order(1, 2));
    assert_eq!(bench.fail(4, out_of_order(1, 3)), COST);
    let error = bench.end(1).unwrap().unwrap_err();
    assert!(matches!(
        error,
        Error::Broker(BrokerError::BatchTooLarge { .. })
    ));
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.send(), [], "not without an identity");
    assert!(bench.lane.needs_identity());
    assert!(bench.lane.wake_at(Duration::ZERO).unwrap() > bench.now);
    bench.lane.begin_anew(identity(2));
    assert_eq!(bench.send(), [(5, 2, 0)]);
    bench.ok(5, 1);
    bench.push(1);
    assert_eq!(bench.send(), [(6, 2, 1), (7, 2, 2)]);
}

#[test]
fn a_broker_that_lost_records_gets_the_next_under_another_identity() {
    let mut bench = Bench::new(true);
    bench.prove();
    bench.push(1);
    bench.send();
    bench.fail(2, out_of_order(0, 1));
    assert!(bench.lane.needs_identity());
    bench.lane.begin_anew(identity(2));
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.send(), [(3, 2, 0)]);
}

#[test]
fn a_broker_that_forgot_where_a_batch_is_leaves_its_end_unknown() {
    let mut bench = Bench::new(true);
    bench.prove();
    bench.push(1);
    bench.send();
    bench.fail(2, out_of_order(9, 1));
    let error = bench.end(1).unwrap().unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown);
}

#[test]
fn without_idempotence_only_what_surely_failed_is_sent_again() {
    let mut bench = Bench::new(false);
    bench.push(2);
    assert_eq!(bench.send(), [(1, -1, -1)], "one at a time");
    bench.fail(1, full());
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.send(), [(2, -1, -1)]);
    assert_eq!(bench.fail(2, lost(Outcome::Unknown)), COST);
    let error = bench.end(0).unwrap().unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert_eq!(bench.send(), [(3, -1, -1)]);
    bench.fail(3, lost(Outcome::Failed));
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.send(), [(4, -1, -1)]);
    bench.ok(4, 0);
    assert_eq!(bench.end(1).unwrap().unwrap(), 0);
}

#[test]
fn what_takes_too_long_is_told_so_and_whether_it_may_be_there() {
    let mut bench = Bench::new(true);
    bench.prove();
    bench.push(2);
    bench.send();
    bench.fail(2, lost(Outcome::Unknown));
    bench.fail(3, lost(Outcome::Failed));
    bench.push(1);
    bench.pass(Duration::from_secs(59));
    assert_eq!(bench.lane.expire(bench.now), 0);
    bench.pass(Duration::from_secs(2));
    assert_eq!(bench.lane.expire(bench.now), 3 * COST);
    let outcomes: Vec<_> = (1..4)
        .map(|record| bench.end(record).unwrap().unwrap_err().outcome())
        .collect();
    assert_eq!(
        outcomes,
        [Outcome::Unknown, Outcome::Failed, Outcome::Failed]
    );
    assert!(bench.lane.needs_identity());
}

#[test]
fn a_batch_that_is_never_answered_is_told_so_in_time() {
    let mut bench = Bench::new(true);
    bench.push(1);
    bench.send();
    bench.now = bench.lane.wake_at(Duration::ZERO).unwrap();
    assert_eq!(bench.lane.expire(bench.now), 0, "it may yet be answered");
    let error = bench.end(0).unwrap().unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert_eq!(bench.lane.wake_at(Duration::ZERO), None);
    assert_eq!(bench.ok(1, 0), COST);
}

#[test]
fn a_batch_waits_for_its_linger_and_fills_while_it_cannot_go() {
    let linger = Duration::from_millis(5);
    let mut bench = Bench::new(true);
    bench.now = Instant::now();
    let record = Record::new("x");
    let push = |bench: &mut Bench| {
        let pushed = bench.lane.push(&record, COST, 10_000, Timestamp::new(0));
        bench.deliveries.push(pushed.unwrap().0);
    };
    push(&mut bench);
    assert!(!bench.lane.seal_if_due(bench.now, linger));
    bench.now = bench.lane.wake_at(linger).unwrap();
    assert!(bench.lane.seal_if_due(bench.now, linger));
    assert_eq!(bench.send().len(), 1);
    for _ in 0..3 {
        push(&mut bench);
    }
    bench.pass(linger * 100);
    assert!(
        !bench.lane.seal_if_due(bench.now, linger),
        "it could not go"
    );
    bench.ok(1, 0);
    assert!(bench.lane.seal_if_due(bench.now, linger));
    assert_eq!(bench.send(), [(2, 1, 1)]);
    bench.ok(2, 1);
    assert_eq!(bench.end(3).unwrap().unwrap(), 3);
}

#[test]
fn half_of_what_is_held_at_once_is_sent_while_the_rest_is_gathered() {
    let mut bench = Bench::new(true);
    bench.prove();
    bench.gather(64);
    assert_eq!(bench.send_open(), [(2, 1, 1)]);
    bench.gather(36);
    assert_eq!(bench.send_open(), [(3, 1, 65)]);
    bench.ok(2, 1);
    bench.gather(49);
    assert!(!bench.lane.has_half_a_round(), "49 of 100");
    bench.gather(1);
    assert!(bench.lane.has_half_a_round());
    bench.push(UNDER_WAY_MAX);
    bench.send();
    bench.gather(50);
    assert!(!bench.lane.has_half_a_round(), "it could not go");
}

#[test]
fn what_was_held_long_ago_does_not_count_and_few_records_are_not_halved() {
    let mut bench = Bench::new(true);
    bench.prove();
    bench.gather(1_000);
    bench.send_open();
    bench.ok(2, 1);
    for id in 3..50 {
        bench.gather(1);
        assert!(!bench.lane.has_half_a_round());
        bench.send_open();
        bench.ok(id, 1_000);
    }
    bench.gather(ROUND_MIN as usize - 1);
    bench.send_open();
    bench.ok(50, 2_000);
    bench.gather(ROUND_MIN as usize - 1);
    assert!(!bench.lane.has_half_a_round(), "it takes turns");
    bench.gather(1);
    bench.send_open();
    bench.ok(51, 3_000);
    bench.gather(ROUND_MIN as usize / 2);
    assert!(bench.lane.has_half_a_round());
}

#[test]
fn what_is_not_acknowledged_is_held_until_it_was_taken() {
    let mut bench = Bench::with(None, Acks::None);
    bench.gather(100);
    assert_eq!(bench.send_open(), [(1, -1, -1)]);
    assert_eq!(bench.lane.gone(1, Ok(())), 100 * COST);
    bench.gather(49);
    assert!(!bench.lane.has_half_a_round());
    bench.gather(1);
    assert!(bench.lane.has_half_a_round());
}

#[test]
fn an_abort_tells_everything() {
    let mut bench = Bench::new(true);
    bench.push(3);
    bench.send();
    assert_eq!(bench.lane.abort(&Error::Closed), 3 * COST);
    let outcomes: Vec<_> = (0..3)
        .map(|record| bench.end(record).unwrap().unwrap_err().outcome())
        .collect();
    assert_eq!(
        outcomes,
        [Outcome::Unknown, Outcome::Failed, Outcome::Failed]
    );
    assert!(bench.lane.is_empty());
}

#[test]
fn a_broker_that_will_not_come_back_is_not_asked_again() {
    for (comes_back, settled) in [(true, false), (false, true)] {
        let mut bench = Bench::new(true);
        bench.lane.broker_comes_back = comes_back;
        bench.push(1);
        let [(id, ..)] = bench.send()[..] else {
            panic!("one is sent");
        };
        let over = Error::Broker(BrokerError::ShuttingDown);
        let freed = bench.lane.answered(id, Err(over), bench.now);
        assert_eq!(freed > 0, settled);
    }
}
