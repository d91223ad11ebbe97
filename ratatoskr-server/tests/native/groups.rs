//! Consumer groups, spoken to frame by frame: what members and strangers are refused.

use ratatoskr_core::{
    broker::OffsetSpec,
    groups::{MemberEpoch, MemberId, OffsetCommit},
    name::GroupId,
    offset::Offset,
    wire::{
        CommitOffsets, DeleteGroup, ErrorCode, FetchOffsets, GroupHeartbeat, GroupHeartbeatBody,
        Produce, ResetOffsets,
    },
};
use ratatoskr_server::native::NativeLimits;

use crate::{
    brokers::broker,
    raw::{PARTITION, Peer, Server, batch, produce, topic},
};

fn group() -> GroupId {
    GroupId::parse("billing").unwrap()
}

fn member(name: &str) -> MemberId {
    MemberId::parse(name).unwrap()
}

fn heartbeat(name: &str, epoch: MemberEpoch) -> GroupHeartbeat {
    GroupHeartbeat {
        group: group(),
        member: member(name),
        epoch,
        instance: None,
        client: "a test".into(),
        topics: (epoch == MemberEpoch::JOIN).then(|| vec![topic()]),
        assignor: None,
        rebalance_ms: 60_000,
        owned: None,
        pattern: None,
    }
}

fn commit(member: Option<(MemberId, MemberEpoch)>, offset: u64) -> CommitOffsets {
    CommitOffsets {
        group: group(),
        member,
        offsets: vec![OffsetCommit {
            topic: topic(),
            partition: PARTITION,
            offset: Offset::new(offset),
            metadata: String::new(),
        }],
    }
}

impl Peer {
    async fn beat(
        &mut self,
        correlation: u64,
        name: &str,
        epoch: MemberEpoch,
    ) -> GroupHeartbeatBody {
        self.send(correlation, &heartbeat(name, epoch)).await;
        self.answer::<GroupHeartbeat>(correlation).await
    }

    async fn committed(&mut self, correlation: u64) -> Option<u64> {
        let wanted = FetchOffsets {
            group: group(),
            partitions: None,
        };
        self.send(correlation, &wanted).await;
        let found = self.answer::<FetchOffsets>(correlation).await;
        let committed = found.into_iter().next()?.committed?;
        Some(committed.offset.get())
    }
}

#[tokio::test]
async fn a_commit_of_a_fenced_member_changes_nothing() {
    let server = Server::start(broker().await, NativeLimits::default()).await;
    let mut peer = server.greet().await;
    peer.add(20, &produce(), &batch("a record"));
    peer.flush().await;
    peer.answer::<Produce>(20).await;
    let first = peer.beat(1, "a", MemberEpoch::JOIN).await.epoch;
    let of_a = |epoch| Some((member("a"), epoch));
    peer.send(2, &commit(of_a(first), 0)).await;
    peer.answer::<CommitOffsets>(2).await;
    assert_eq!(peer.committed(3).await, Some(0));

    // Epochs that are not its own, and a member that never was.
    for (correlation, who, code) in [
        (
            4,
            of_a(MemberEpoch::new(first.get() + 7)),
            ErrorCode::FencedMember,
        ),
        (5, of_a(MemberEpoch::JOIN), ErrorCode::FencedMember),
        (6, Some((member("z"), first)), ErrorCode::UnknownMember),
        (7, None, ErrorCode::GroupNotEmpty),
    ] {
        peer.send(correlation, &commit(who, 1)).await;
        peer.error(correlation, code).await;
        assert_eq!(peer.committed(100 + correlation).await, Some(0));
    }
    peer.send(8, &heartbeat("a", MemberEpoch::new(first.get() + 7)))
        .await;
    peer.error(8, ErrorCode::FencedMember).await;

    // Once it has left it is nobody.
    peer.beat(9, "a", MemberEpoch::LEAVE).await;
    peer.send(10, &commit(of_a(first), 1)).await;
    peer.error(10, ErrorCode::UnknownMember).await;
    assert_eq!(peer.committed(11).await, Some(0));
}

#[tokio::test]
async fn a_live_group_is_neither_set_nor_deleted() {
    let server = Server::start(broker().await, NativeLimits::default()).await;
    let mut peer = server.greet().await;
    peer.send(1, &commit(None, 0)).await;
    peer.answer::<CommitOffsets>(1).await;
    peer.beat(2, "a", MemberEpoch::JOIN).await;
    let reset = ResetOffsets {
        group: group(),
        topics: Vec::new(),
        to: OffsetSpec::End,
        dry_run: false,
    };
    peer.send(3, &reset).await;
    peer.error(3, ErrorCode::GroupNotEmpty).await;
    peer.send(4, &DeleteGroup { group: group() }).await;
    peer.error(4, ErrorCode::GroupNotEmpty).await;
    assert_eq!(peer.committed(5).await, Some(0));

    peer.beat(6, "a", MemberEpoch::LEAVE).await;
    peer.send(7, &reset).await;
    peer.answer::<ResetOffsets>(7).await;
    peer.send(8, &DeleteGroup { group: group() }).await;
    peer.answer::<DeleteGroup>(8).await;
}
