//! Every frame as an annotated hexdump, and what a receiver makes of frames that are wrong.

mod hexdump;
mod queues;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::*;
use crate::{
    Error,
    batch::BatchError,
    broker::{OffsetSpec, PartitionState},
    config::{Durability, InvalidConfig, TopicConfig},
    delivery::QueueError,
    name::{GroupId, TopicId, TopicName},
    offset::{Bounds, LeaderEpoch, Offset, PartitionIndex},
    producer::{ProducerEpoch, ProducerId, Sequence},
    storage::{IoKind, StorageError},
    time::Timestamp,
};

fn topic() -> TopicName {
    TopicName::parse("orders").unwrap()
}

fn bounds() -> Bounds {
    Bounds::of_log(Offset::new(5), Offset::new(300), Offset::new(300))
}

fn topic_body() -> TopicBody {
    TopicBody {
        id: TopicId::from_bytes([7; 16]).unwrap(),
        name: topic(),
        config: ConfigEntries::of(&TopicConfig::new(Durability::Fsync)),
        partitions: vec![PartitionBody {
            index: PartitionIndex::new(0),
            bounds: bounds(),
            bytes: 4_096,
            segments: 1,
            leader_epoch: LeaderEpoch::new(2),
            state: PartitionState::Offline {
                reason: "disk".into(),
            },
        }],
    }
}

fn error_body() -> ErrorBody {
    ErrorBody::new(ErrorCode::UnknownTopic, "there is no topic named orders").about("orders")
}

fn request<B: Body + PartialEq + std::fmt::Debug>(body: &B, batches: &[u8]) -> String {
    let mut out = BytesMut::new();
    encode(VERSION_MAX, 258, body, batches.len(), &mut out).unwrap();
    out.extend_from_slice(batches);
    let text = hexdump::frame(&out);
    let frame = Frame::decode(&mut out, FRAME_BYTES_MAX).unwrap().unwrap();
    assert_eq!(frame.kind(), Some(B::KIND));
    assert!(!frame.is_response());
    assert_eq!(&frame.decode_body::<B>().unwrap(), body);
    assert_eq!(frame.batches, batches);
    text
}

fn response<R: Request>(body: &R::Response, batches: &[u8]) -> String
where
    R::Response: PartialEq + std::fmt::Debug,
{
    let mut out = BytesMut::new();
    encode_response::<R>(VERSION_MAX, 258, body, batches.len(), &mut out).unwrap();
    out.extend_from_slice(batches);
    let text = hexdump::frame(&out);
    let frame = Frame::decode(&mut out, FRAME_BYTES_MAX).unwrap().unwrap();
    assert_eq!(frame.kind(), Some(R::KIND));
    assert!(frame.is_response());
    assert_eq!(&frame.decode_body::<R::Response>().unwrap(), body);
    text
}

#[test]
fn hello_frames() {
    let mut out = BytesMut::new();
    let hello = Hello {
        version_min: 1,
        version_max: 1,
        client: "ratatoskr-client 0.1.0".into(),
    };
    encode(HELLO_VERSION, 0, &hello, 0, &mut out).unwrap();
    insta::assert_snapshot!("hello", hexdump::frame(&out));
    insta::assert_snapshot!(
        "hello_response",
        response::<Hello>(
            &Welcome {
                version: 1,
                server: "ratatoskr 0.1.0".into(),
                frame_bytes_max: 16 << 20,
                idle_ms: 600_000,
            },
            b""
        )
    );
    insta::assert_snapshot!("ping", request(&Ping {}, b""));
    insta::assert_snapshot!("ping_response", response::<Ping>(&Done {}, b""));
    let goodbye = Goodbye {
        reason: "shutting down".into(),
        last_correlation: 257,
    };
    insta::assert_snapshot!("goodbye", request(&goodbye, b""));
    insta::assert_snapshot!("error", request(&error_body(), b""));
}

#[test]
fn topic_frames() {
    let config = ConfigEntries(vec![("retention_ms".into(), "7d".into())]);
    insta::assert_snapshot!(
        "create_topic",
        request(
            &CreateTopic {
                topic: topic(),
                partitions: Some(3),
                config: config.clone(),
            },
            b""
        )
    );
    insta::assert_snapshot!(
        "create_topic_response",
        response::<CreateTopic>(&topic_body(), b"")
    );
    insta::assert_snapshot!(
        "delete_topic",
        request(&DeleteTopic { topic: topic() }, b"")
    );
    insta::assert_snapshot!("list_topics", request(&ListTopics {}, b""));
    insta::assert_snapshot!(
        "describe_topic",
        request(
            &DescribeTopic {
                topic: topic(),
                create: false
            },
            b""
        )
    );
    let topic = topic();
    let alter = AlterTopic {
        topic: topic.clone(),
        config,
    };
    insta::assert_snapshot!("alter_topic", request(&alter, b""));
    let add = AddPartitions {
        topic: topic.clone(),
        total: 12,
    };
    insta::assert_snapshot!("add_partitions", request(&add, b""));
    let trim = Trim {
        topic,
        partition: PartitionIndex::new(2),
        to: Offset::new(128),
    };
    insta::assert_snapshot!("trim", request(&trim, b""));
    insta::assert_snapshot!("trim_response", response::<Trim>(&bounds(), b""));
}

#[test]
fn produce_frames() {
    let produce = Produce {
        topic: topic(),
        partition: PartitionIndex::new(1),
        acknowledge: true,
    };
    insta::assert_snapshot!("produce", request(&produce, b"<record batch>"));
    insta::assert_snapshot!(
        "produce_response",
        response::<Produce>(
            &Produced {
                base_offset: Offset::new(70_000),
                log_append_time: None,
                durability: WireDurability(Durability::Fsync),
                duplicate: false,
            },
            b""
        )
    );
    insta::assert_snapshot!("new_producer", request(&NewProducer {}, b""));
    insta::assert_snapshot!(
        "new_producer_response",
        response::<NewProducer>(
            &ProducerBody {
                id: ProducerId::new(0x0123_4567_89ab_cdef),
                epoch: ProducerEpoch::new(0),
            },
            b""
        )
    );
}

#[test]
fn reading_frames() {
    let fetch = Fetch {
        partitions: vec![FetchPartition {
            topic: topic(),
            partition: PartitionIndex::new(1),
            from: Offset::new(42),
            bytes_max: 1 << 20,
        }],
        bytes_min: 1,
        bytes_max: 4 << 20,
        wait_ms: 500,
        committed: false,
    };
    insta::assert_snapshot!("fetch", request(&fetch, b""));
    let fetched = Fetched {
        partitions: vec![
            FetchedPartition {
                error: None,
                bounds: bounds(),
                bytes: 16,
            },
            FetchedPartition {
                error: Some(error_body()),
                bounds: Bounds::default(),
                bytes: 0,
            },
        ],
    };
    insta::assert_snapshot!(
        "fetch_response",
        response::<Fetch>(&fetched, b"<record batches>")
    );
    for (name, at) in [
        ("find_offset_start", OffsetSpec::Start),
        ("find_offset_end", OffsetSpec::End),
        (
            "find_offset_timestamp",
            OffsetSpec::Timestamp(Timestamp::new(1_700_000_000_000)),
        ),
        ("find_offset_offset", OffsetSpec::Offset(Offset::new(9))),
    ] {
        let find = FindOffset {
            topic: topic(),
            partition: PartitionIndex::new(0),
            at,
        };
        insta::assert_snapshot!(name, request(&find, b""));
    }
    let found = FoundOffset {
        offset: Some(Offset::new(9)),
        bounds: bounds(),
    };
    insta::assert_snapshot!("find_offset_response", response::<FindOffset>(&found, b""));
}

#[test]
fn subscription_frames() {
    let credit = Credit {
        records: 10_000,
        bytes: 4 << 20,
    };
    let subscribe = Subscribe {
        topic: topic(),
        partitions: vec![(PartitionIndex::new(0), Offset::new(42))],
        committed: false,
        credit,
    };
    insta::assert_snapshot!("subscribe", request(&subscribe, b""));
    insta::assert_snapshot!("subscribe_response", response::<Subscribe>(&Done {}, b""));
    insta::assert_snapshot!("credit", request(&credit, b""));
    let deliver = Deliver {
        partition: PartitionIndex::new(0),
        bounds: bounds(),
        error: None,
    };
    insta::assert_snapshot!("deliver", request(&deliver, b"<record batches>"));
    insta::assert_snapshot!("unsubscribe", request(&Unsubscribe {}, b""));
    insta::assert_snapshot!("stats", request(&Stats {}, b""));
    insta::assert_snapshot!(
        "stats_response",
        response::<Stats>(
            &StatsBody {
                counters: vec![("records_in".into(), 7)],
                problems: vec![ProblemBody {
                    subject: "orders/0".into(),
                    reason: "disk on fire".into(),
                }],
            },
            b""
        )
    );
}

#[test]
fn the_tables_of_kinds_and_errors() {
    let kinds = Kind::ALL
        .iter()
        .map(|kind| format!("{:#04x} {}\n", kind.code(), kind.name()));
    insta::assert_snapshot!("kinds", kinds.collect::<String>());
    let codes = ErrorCode::ALL.iter().map(|&code| {
        let retry = if code.is_retryable() { "retryable" } else { "" };
        format!("{:>3} {:<24} {retry}", code as u16, code.name())
            .trim_end()
            .to_owned()
            + "\n"
    });
    insta::assert_snapshot!("error_codes", codes.collect::<String>());
    for &kind in Kind::ALL {
        assert_eq!(Kind::from_code(kind.code()), Some(kind));
        assert!(kind.code() & kind::RESPONSE == 0);
    }
    for &code in ErrorCode::ALL {
        assert_eq!(ErrorCode::from_number(code as u16), Some(code));
    }
}

/// Each error of the broker that a caller branches on, as it comes out at the other end.
#[test]
fn the_brokers_errors_survive_the_journey() {
    let producer = ProducerId::new(7);
    let errors = [
        Error::UnknownTopic(topic()),
        Error::TopicExists(topic()),
        Error::InternalTopic(topic()),
        Error::UnknownPartition {
            topic: topic(),
            partition: PartitionIndex::new(9),
        },
        Error::OffsetOutOfRange {
            requested: Offset::new(3),
            bounds: bounds(),
        },
        Error::CorruptRecords {
            from: Offset::new(1),
            until: Offset::new(2),
            detail: "CRC".into(),
        },
        Error::BatchTooLarge {
            bytes: 9_000,
            bytes_max: 1_024,
        },
        Error::InvalidConfig(InvalidConfig::new("retention_ms", "-1", "a duration")),
        Error::Unsupported("compaction".into()),
        Error::Overloaded { bytes_max: 1 << 20 },
        Error::OutOfOrderSequence {
            producer,
            expected: Sequence::new(4),
            found: Sequence::new(6),
        },
        Error::ProducerFenced {
            producer,
            current: ProducerEpoch::new(2),
            found: ProducerEpoch::new(1),
        },
        Error::PartitionOffline {
            topic: topic(),
            partition: PartitionIndex::new(1),
            reason: "disk".into(),
        },
        Error::OutcomeUnknown {
            reason: "sync".into(),
        },
        Error::Fenced {
            reason: "sync".into(),
        },
        Error::ShuttingDown,
        QueueError::UnknownGroup(GroupId::parse("billing").unwrap()).into(),
        QueueError::GroupExists(GroupId::parse("billing").unwrap()).into(),
        QueueError::UnknownLease.into(),
        QueueError::LeaseExpired.into(),
        QueueError::NotLeaseOwner.into(),
        QueueError::AlreadySettled.into(),
        QueueError::DeadLetterLoop(topic()).into(),
        QueueError::NotDeadLetters(topic()).into(),
        QueueError::InvalidSettlement("no range".into()).into(),
    ];
    for error in errors {
        let body = ErrorBody::from(&error);
        assert_eq!(body.retryable, error.is_retryable(), "{error}");
        let back = body.into_error().unwrap();
        assert_eq!(format!("{back:?}"), format!("{error:?}"));
    }
    for kind in [IoKind::Full, IoKind::Unavailable, IoKind::Other] {
        let error = Error::Storage(StorageError::Io {
            kind,
            operation: "append".into(),
            source: std::sync::Arc::new(std::io::Error::other("disk")),
        });
        let back = ErrorBody::from(&error).into_error().unwrap();
        assert_eq!(back.is_retryable(), error.is_retryable());
        assert!(back.to_string().contains("append: disk"), "{back}");
    }
    let unreadable = ErrorBody::from(&Error::InvalidBatch(BatchError::Empty));
    let back = unreadable.into_error().unwrap_err();
    assert_eq!(back.code, Some(ErrorCode::InvalidBatch));
    assert!(back.message.contains("batch has no records"), "{back}");
}

#[test]
fn an_error_of_a_newer_or_careless_peer_keeps_its_sentence() {
    let mut body = ErrorBody::new(ErrorCode::OffsetOutOfRange, "too far");
    let back = body.clone().into_error().unwrap_err();
    assert_eq!(back.message, "too far");
    body.code = 60_000;
    body.retryable = true;
    let back = body.into_error().unwrap_err();
    assert_eq!((back.code, back.retryable), (None, true));
}

fn ping_frame() -> BytesMut {
    let mut out = BytesMut::new();
    encode(1, 1, &Ping {}, 0, &mut out).unwrap();
    out
}

#[test]
fn a_frame_is_taken_at_the_limit_and_refused_one_past_it() {
    let mut out = BytesMut::new();
    let bytes_max = 1_024;
    let batches = bytes_max - ping_frame().len();
    encode(1, 1, &Ping {}, batches, &mut out).unwrap();
    out.resize(bytes_max, 0);
    let mut one_more = BytesMut::new();
    encode(1, 1, &Ping {}, batches + 1, &mut one_more).unwrap();

    let frame = Frame::decode(&mut out, bytes_max).unwrap().unwrap();
    assert_eq!(frame.batches.len(), batches);
    // Refused as soon as its length is there, before room is made for it.
    one_more.truncate(4);
    assert_eq!(
        Frame::decode(&mut one_more, bytes_max),
        Err(FrameError::TooLarge {
            length: bytes_max as u64 + 1,
            max: bytes_max
        })
    );
    assert!(one_more.capacity() < bytes_max);
}

#[test]
fn a_frame_comes_whole_or_not_at_all() {
    let whole = ping_frame();
    for cut in 0..whole.len() {
        let mut part = BytesMut::from(&whole[..cut]);
        assert_eq!(Frame::decode(&mut part, FRAME_BYTES_MAX), Ok(None));
        assert_eq!(part, whole[..cut]);
    }
    let mut two = whole.clone();
    two.extend_from_slice(&whole);
    assert!(Frame::decode(&mut two, FRAME_BYTES_MAX).unwrap().is_some());
    assert!(Frame::decode(&mut two, FRAME_BYTES_MAX).unwrap().is_some());
    assert_eq!(Frame::decode(&mut two, FRAME_BYTES_MAX), Ok(None));
}

#[test]
fn every_flipped_bit_before_the_batches_is_found() {
    let whole = ping_frame();
    for bit in 4 * 8..whole.len() * 8 {
        let mut bad = whole.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let outcome = Frame::decode(&mut bad, FRAME_BYTES_MAX);
        assert!(outcome.is_err(), "bit {bit}: {outcome:?}");
    }
}

#[test]
fn flags_and_nesting_are_bounded() {
    let mut flagged = ping_frame();
    flagged[11] = 1;
    let crc = crc32fast::hash(&flagged[8..]);
    flagged[4..8].copy_from_slice(&crc.to_be_bytes());
    assert_eq!(
        Frame::decode(&mut flagged, FRAME_BYTES_MAX),
        Err(FrameError::UnknownFlags(1))
    );
    let deep = Frame {
        version: 1,
        kind_code: Kind::Ping.code(),
        correlation: 1,
        body: Bytes::from(vec![0x91; 100_000]),
        batches: Bytes::new(),
    };
    assert!(matches!(
        deep.decode_body::<Ping>(),
        Err(FrameError::Body(_))
    ));
}

#[test]
fn a_long_message_is_cut_between_characters() {
    let body = ErrorBody::new(
        ErrorCode::Internal,
        "é".repeat(ErrorBody::MESSAGE_BYTES_MAX),
    );
    assert_eq!(body.message.len(), ErrorBody::MESSAGE_BYTES_MAX);
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut buffer = BytesMut::from(&bytes[..]);
        let _ = Frame::decode(&mut buffer, FRAME_BYTES_MAX);
    }

    #[test]
    fn a_garbage_body_never_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let frame = Frame { version: 1, kind_code: 0, correlation: 0, body: body.into(), batches: Bytes::new() };
        let _ = frame.decode_body::<Hello>();
        let _ = frame.decode_body::<CreateTopic>();
        let _ = frame.decode_body::<Produce>();
        let _ = frame.decode_body::<Fetch>();
        let _ = frame.decode_body::<FindOffset>();
        let _ = frame.decode_body::<Subscribe>();
        let _ = frame.decode_body::<ErrorBody>();
    }
}
