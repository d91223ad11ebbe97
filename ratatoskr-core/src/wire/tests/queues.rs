//! The frames of queue groups and dead letters.

use std::time::Duration;

use super::{request, response, topic};
use crate::{
    broker::{
        AcquiredRange, BrowsePosition, DeadLetterFilter, DeadLetterTopic, RecordState,
        RedriveOptions, RedriveReport,
    },
    delivery::{ConsumerId, FencingToken, QueueConfig, SettleAction, Settlement},
    name::{GroupId, TopicId, TopicName},
    offset::{Offset, PartitionIndex},
    record::Record,
    time::Timestamp,
    wire::*,
};

const P1: PartitionIndex = PartitionIndex::new(1);
const TOKEN: FencingToken = FencingToken::new((3 << 40) + 258);

fn group() -> GroupId {
    GroupId::parse("mailers").unwrap()
}

fn consumer() -> ConsumerId {
    ConsumerId::parse("m1").unwrap()
}

#[test]
fn acquire_frames() {
    let acquire = QueueAcquire {
        group: group(),
        topic: topic(),
        consumer: consumer(),
        records_max: 100,
        bytes_max: 1 << 20,
        wait_ms: 500,
        lease_ms: Some(30_000),
    };
    insta::assert_snapshot!("queue_acquire", request(&acquire, b""));
    let acquired = QueueAcquired {
        lease_ms: 30_000,
        deadline: Timestamp::new(1_700_000_030_000),
        partitions: vec![QueueAcquiredPartition {
            partition: P1,
            token: TOKEN,
            ranges: vec![AcquiredRange {
                first: Offset::new(7),
                last: Offset::new(300),
                delivery_count: 2,
            }],
            bytes: 16,
        }],
    };
    let text = response::<QueueAcquire>(&acquired, b"<record batches>");
    insta::assert_snapshot!("queue_acquire_response", text);
}

#[test]
fn settle_frames() {
    let actions = [
        SettleAction::Acknowledge,
        SettleAction::Release,
        SettleAction::Retry {
            after: Some(Duration::from_secs(5)),
            cause: Some("busy".into()),
        },
        SettleAction::Reject {
            cause: "unreadable".into(),
        },
        SettleAction::Extend(Duration::from_secs(30)),
    ];
    let settlements = actions.map(|action| Settlement {
        partition: P1,
        first: Offset::new(7),
        last: Offset::new(9),
        token: TOKEN,
        action,
    });
    let bodies: Vec<SettlementBody> = settlements.iter().cloned().map(Into::into).collect();
    for (settlement, body) in settlements.iter().zip(&bodies) {
        assert_eq!(&Settlement::try_from(body.clone()).unwrap(), settlement);
    }
    let settle = QueueSettle {
        group: group(),
        topic: topic(),
        consumer: consumer(),
        settlements: bodies,
    };
    insta::assert_snapshot!("queue_settle", request(&settle, b""));
    let refused = ErrorBody::new(ErrorCode::LeaseExpired, "the lease has expired");
    let answers = vec![None, Some(refused)];
    let text = response::<QueueSettle>(&answers, b"");
    insta::assert_snapshot!("queue_settle_response", text);
    let leave = QueueLeave {
        group: group(),
        consumer: consumer(),
    };
    insta::assert_snapshot!("queue_leave", request(&leave, b""));
    insta::assert_snapshot!("queue_leave_response", response::<QueueLeave>(&300, b""));
}

#[test]
fn administration_frames() {
    let config = ConfigEntries(vec![("lease_ms".into(), "5s".into())]);
    let create = CreateQueue {
        group: group(),
        config: config.clone(),
    };
    insta::assert_snapshot!("create_queue", request(&create, b""));
    let alter = AlterQueue {
        group: group(),
        config,
    };
    insta::assert_snapshot!("alter_queue", request(&alter, b""));
    insta::assert_snapshot!(
        "delete_queue",
        request(&DeleteQueue { group: group() }, b"")
    );
    let describe = DescribeQueue { group: group() };
    insta::assert_snapshot!("describe_queue", request(&describe, b""));
    let queue = QueueBody {
        group: group(),
        config: ConfigEntries::texts(QueueConfig::default().entries()),
        topics: vec![QueueTopicBody {
            topic: topic(),
            id: TopicId::from_bytes([7; 16]).unwrap(),
            dead_letter_topic: Some(TopicName::parse("orders.dlq").unwrap()),
            partitions: vec![QueuePartitionBody {
                partition: P1,
                start: Offset::new(7),
                next: Offset::new(300),
                available: 3,
                counters: crate::delivery::QueueCounters::default(),
            }],
        }],
        consumers: vec![(consumer(), 290)],
    };
    insta::assert_snapshot!(
        "describe_queue_response",
        response::<DescribeQueue>(&queue, b"")
    );
    insta::assert_snapshot!("list_queues", request(&ListQueues {}, b""));
    let peek = PeekQueue {
        group: group(),
        topic: topic(),
        records_max: 10,
    };
    insta::assert_snapshot!("peek_queue", request(&peek, b""));
    let peeked = PeekedBody {
        partition: P1,
        offset: Offset::new(7),
        delivery_count: 1,
        state: RecordState::InFlight(consumer()),
        record: Record::new("v").with_key("k").with_header("h", "x"),
    };
    insta::assert_snapshot!(
        "peek_queue_response",
        response::<PeekQueue>(&vec![peeked], b"")
    );
}

#[test]
fn dead_letter_frames() {
    let dead = TopicName::parse("orders.dlq").unwrap();
    insta::assert_snapshot!(
        "list_dead_letter_topics",
        request(&ListDeadLetterTopics {}, b"")
    );
    let listed = DeadLetterTopic {
        topic: dead.clone(),
        letters: 3,
        groups: vec![group()],
    };
    insta::assert_snapshot!(
        "list_dead_letter_topics_response",
        response::<ListDeadLetterTopics>(&vec![listed], b"")
    );
    let filter = DeadLetterFilter {
        cause_contains: Some("busy".into()),
        key: Some(b"k".to_vec()),
        ..DeadLetterFilter::default()
    };
    let browse = BrowseDeadLetters {
        topic: dead.clone(),
        from: BrowsePosition::default(),
        letters_max: 10,
        filter: filter.clone(),
    };
    insta::assert_snapshot!("browse_dead_letters", request(&browse, b""));
    let letters = DeadLetters {
        letters: vec![DeadLetterBody {
            partition: PartitionIndex::new(0),
            offset: Offset::new(4),
            origin_topic: topic(),
            origin_partition: P1,
            origin_offset: Offset::new(7),
            group: group(),
            cause: "busy".into(),
            attempts: 5,
            first_failure: Timestamp::new(1_700_000_000_000),
            last_failure: Timestamp::new(1_700_000_060_000),
            record: Record::new("v"),
        }],
        next: Some(BrowsePosition {
            partition: PartitionIndex::new(0),
            offset: Offset::new(5),
        }),
    };
    insta::assert_snapshot!(
        "browse_dead_letters_response",
        response::<BrowseDeadLetters>(&letters, b"")
    );
    let redrive = RedriveDeadLetters {
        topic: dead.clone(),
        options: RedriveOptions {
            filter: filter.clone(),
            rate: Some(100),
            limit: Some(1_000),
            dry_run: true,
        },
    };
    insta::assert_snapshot!("redrive_dead_letters", request(&redrive, b""));
    let report = RedriveReport {
        examined: 9,
        matched: 3,
        redriven: 2,
        failed: 1,
    };
    insta::assert_snapshot!(
        "redrive_dead_letters_response",
        response::<RedriveDeadLetters>(&report, b"")
    );
    let discard = DiscardDeadLetters {
        topic: dead,
        filter,
        limit: None,
        dry_run: false,
    };
    insta::assert_snapshot!("discard_dead_letters", request(&discard, b""));
}

#[test]
fn a_settlement_that_says_what_its_kind_has_not_is_refused() {
    let body = SettlementBody {
        partition: P1,
        first: Offset::ZERO,
        last: Offset::ZERO,
        token: TOKEN,
        action: 0,
        ms: None,
        cause: None,
    };
    let wrong = [
        (5, None, None),
        (0, Some(1), None),
        (1, None, Some("x")),
        (3, None, None),
        (4, None, None),
        (4, Some(1), Some("x")),
    ];
    for (action, ms, cause) in wrong {
        let wrong = SettlementBody {
            action,
            ms,
            cause: cause.map(str::to_owned),
            ..body.clone()
        };
        assert!(Settlement::try_from(wrong.clone()).is_err(), "{wrong:?}");
    }
}
