use super::*;
use crate::{
    groups::{
        Assignor, CommittedOffset, GroupDescription, GroupError, GroupKind, GroupOffset,
        GroupState, GroupSummary, InstanceId, MemberDescription, MemberEpoch, MemberId,
        OffsetCommit, OffsetReset, PartitionLag, TopicPartitions, TopicPattern,
    },
    name::GroupId,
};

fn group() -> GroupId {
    GroupId::parse("billing").unwrap()
}

fn member() -> MemberId {
    MemberId::parse("m-1").unwrap()
}

fn partitions() -> Vec<TopicPartitions> {
    vec![TopicPartitions {
        topic: topic(),
        id: TopicId::from_bytes([7; 16]).unwrap(),
        partitions: vec![PartitionIndex::new(0), PartitionIndex::new(300)],
    }]
}

fn pattern() -> TopicPattern {
    TopicPattern::parse("orders-.*").unwrap()
}

#[test]
fn heartbeat_frames() {
    let join = GroupHeartbeat {
        group: group(),
        member: member(),
        epoch: MemberEpoch::JOIN,
        instance: Some(InstanceId::parse("rack-1").unwrap()),
        client: "worker 1.0".into(),
        topics: Some(vec![topic()]),
        assignor: Some(Assignor::Uniform),
        rebalance_ms: 300_000,
        owned: None,
        pattern: None,
    };
    insta::assert_snapshot!("group_join", request(&join, b""));
    let by_pattern = GroupHeartbeat {
        topics: Some(Vec::new()),
        pattern: Some(pattern()),
        ..join.clone()
    };
    insta::assert_snapshot!("group_join_by_pattern", request(&by_pattern, b""));
    let stay = GroupHeartbeat {
        epoch: MemberEpoch::new(5),
        instance: None,
        client: String::new(),
        topics: None,
        assignor: None,
        rebalance_ms: 0,
        owned: Some(partitions()),
        ..join
    };
    insta::assert_snapshot!("group_heartbeat", request(&stay, b""));
    let told = GroupHeartbeatBody {
        epoch: MemberEpoch::new(6),
        heartbeat_ms: 5_000,
        session_ms: 45_000,
        assignment: Some(partitions()),
    };
    insta::assert_snapshot!(
        "group_heartbeat_response",
        response::<GroupHeartbeat>(&told, b"")
    );
}

#[test]
fn offset_frames() {
    let commit = CommitOffsets {
        group: group(),
        member: Some((member(), MemberEpoch::new(6))),
        offsets: vec![OffsetCommit {
            topic: topic(),
            partition: PartitionIndex::new(1),
            offset: Offset::new(70_000),
            metadata: "file 3".into(),
        }],
    };
    insta::assert_snapshot!("commit_offsets", request(&commit, b""));
    let places = vec![(topic(), PartitionIndex::new(1))];
    let fetch = FetchOffsets {
        group: group(),
        partitions: Some(places.clone()),
    };
    insta::assert_snapshot!("fetch_offsets", request(&fetch, b""));
    let found = vec![GroupOffset {
        topic: topic(),
        partition: PartitionIndex::new(1),
        committed: Some(CommittedOffset {
            offset: Offset::new(70_000),
            leader_epoch: LeaderEpoch::new(2),
            metadata: "file 3".into(),
            at: Timestamp::new(1_700_000_000_000),
        }),
    }];
    insta::assert_snapshot!(
        "fetch_offsets_response",
        response::<FetchOffsets>(&found, b"")
    );
    let delete = DeleteOffsets {
        group: group(),
        partitions: places,
    };
    insta::assert_snapshot!("delete_offsets", request(&delete, b""));
    let reset = ResetOffsets {
        group: group(),
        topics: vec![topic()],
        to: OffsetSpec::Timestamp(Timestamp::new(1_700_000_000_000)),
        dry_run: true,
    };
    insta::assert_snapshot!("reset_offsets", request(&reset, b""));
    let plan = vec![OffsetReset {
        topic: topic(),
        partition: PartitionIndex::new(1),
        from: None,
        to: Offset::new(9),
    }];
    insta::assert_snapshot!(
        "reset_offsets_response",
        response::<ResetOffsets>(&plan, b"")
    );
}

#[test]
fn group_frames() {
    insta::assert_snapshot!("list_groups", request(&ListGroups {}, b""));
    let listed = vec![GroupSummary {
        group: group(),
        kind: GroupKind::Consumer,
        state: GroupState::Stable,
        members: 1,
        protocol_type: "consumer".into(),
    }];
    insta::assert_snapshot!("list_groups_response", response::<ListGroups>(&listed, b""));
    insta::assert_snapshot!(
        "describe_group",
        request(&DescribeGroup { group: group() }, b"")
    );
    let described = GroupDescription {
        group: group(),
        kind: GroupKind::Consumer,
        state: GroupState::Reconciling,
        epoch: MemberEpoch::new(6),
        assignor: Assignor::Sticky,
        members: vec![MemberDescription {
            member: member(),
            instance: None,
            client: "worker 1.0".into(),
            epoch: MemberEpoch::new(5),
            topics: vec![topic()],
            assigned: partitions(),
            revoking: Vec::new(),
            target: partitions(),
            pattern: Some(pattern()),
        }],
        protocol: String::new(),
    };
    insta::assert_snapshot!(
        "describe_group_response",
        response::<DescribeGroup>(&described, b"")
    );
    insta::assert_snapshot!(
        "delete_group",
        request(&DeleteGroup { group: group() }, b"")
    );
    insta::assert_snapshot!("group_lag", request(&GroupLag { group: group() }, b""));
    let lag = vec![PartitionLag {
        topic: topic(),
        partition: PartitionIndex::new(1),
        member: Some(member()),
        committed: Some(Offset::new(5)),
        log_start: Offset::new(0),
        end: Offset::new(12),
        records: Some(7),
        lag_ms: Some(1_500),
        committed_at: Some(Timestamp::new(1_700_000_000_000)),
    }];
    insta::assert_snapshot!("group_lag_response", response::<GroupLag>(&lag, b""));
}

#[test]
fn the_errors_of_groups_survive_the_journey() {
    let errors = [
        GroupError::UnknownGroup(group()),
        GroupError::UnknownMember {
            group: group(),
            member: member(),
        },
        GroupError::FencedMember {
            group: group(),
            member: member(),
            current: MemberEpoch::new(7),
            found: MemberEpoch::new(5),
        },
        GroupError::InstanceInUse {
            group: group(),
            instance: InstanceId::parse("rack-1").unwrap(),
        },
        GroupError::NotAssigned {
            group: group(),
            topic: topic(),
            partition: PartitionIndex::new(3),
        },
        GroupError::NotEmpty(group()),
        GroupError::RebalanceInProgress(group()),
        GroupError::FencedInstance {
            group: group(),
            instance: InstanceId::parse("rack-1").unwrap(),
        },
        GroupError::InconsistentProtocol(group()),
        GroupError::InvalidSessionTimeout {
            min: std::time::Duration::from_secs(6),
            max: std::time::Duration::from_mins(30),
        },
        GroupError::InvalidRequest("no member has epoch -3".into()),
    ];
    for error in errors {
        let body = ErrorBody::from(&Error::from(error.clone()));
        assert_eq!(body.retryable, error.is_retryable());
        match body.into_error() {
            Ok(Error::Group(back)) => assert_eq!(back, error),
            other => panic!("{error} came back as {other:?}"),
        }
    }
}

proptest! {
    #[test]
    fn a_garbage_body_about_groups_never_panics(
        body in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let frame = Frame {
            version: 1,
            kind_code: 0,
            correlation: 0,
            body: body.into(),
            batches: Bytes::new(),
        };
        let _ = frame.decode_body::<GroupHeartbeat>();
        let _ = frame.decode_body::<CommitOffsets>();
        let _ = frame.decode_body::<FetchOffsets>();
        let _ = frame.decode_body::<ResetOffsets>();
    }
}
