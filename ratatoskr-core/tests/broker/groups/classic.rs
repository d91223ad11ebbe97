//! Groups whose members assign partitions among themselves: they wait for one another, over restarts
//! and over calls that are given up.

use std::time::Duration;

use ratatoskr_core::{
    Broker, Error,
    bytes::Bytes,
    groups::{
        Committer, GroupError, GroupKind, GroupState, JoinAnswer, JoinGroup, JoinedGroup, MemberId,
        SyncGroup,
    },
};

use super::{commit, committed, group};
use crate::support::{Bench, settle};

const SECOND: Duration = Duration::from_secs(1);

fn request(client: &str, member: Option<&MemberId>) -> JoinGroup {
    JoinGroup {
        group: group("g"),
        member: member.cloned(),
        instance: None,
        client: client.to_owned(),
        host: "/127.0.0.1".to_owned(),
        session_timeout: Duration::from_secs(10),
        rebalance_timeout: Duration::from_secs(30),
        protocol_type: "test".to_owned(),
        protocols: vec![("range".to_owned(), Bytes::from_static(b"wants"))],
        needs_id: false,
        may_skip_assignment: true,
    }
}

async fn join(broker: Broker, client: &str, member: Option<MemberId>) -> JoinedGroup {
    let request = request(client, member.as_ref());
    match broker.join_group(&request).await.unwrap() {
        JoinAnswer::Joined(joined) => joined,
        JoinAnswer::MemberIdRequired(id) => panic!("{id} is required"),
    }
}

fn sync(joined: &JoinedGroup, assignments: &[(&MemberId, &'static str)]) -> SyncGroup {
    SyncGroup {
        group: group("g"),
        member: joined.member.clone(),
        instance: None,
        generation: joined.generation,
        protocol_type: None,
        protocol: None,
        assignments: (assignments.iter())
            .map(|&(id, what)| (id.clone(), Bytes::from_static(what.as_bytes())))
            .collect(),
    }
}

/// Lets time pass for the broker and for its timers, a second at a time.
async fn wait(bench: &Bench, seconds: u32) {
    for _ in 0..seconds {
        bench.clock.advance(SECOND);
        tokio::time::sleep(SECOND).await;
        settle().await;
    }
}

/// A group of two, of which the first leads.
async fn two(bench: &Bench) -> (JoinedGroup, JoinedGroup) {
    let a = tokio::spawn(join(bench.broker.clone(), "a", None));
    settle().await;
    let b = tokio::spawn(join(bench.broker.clone(), "b", None));
    settle().await;
    wait(bench, 6).await;
    let (a, b) = (a.await.unwrap(), b.await.unwrap());
    let of_b = tokio::spawn({
        let (broker, request) = (bench.broker.clone(), sync(&b, &[]));
        async move { broker.sync_group(&request).await.unwrap().assignment }
    });
    settle().await;
    let assignments = [(&a.member, "one"), (&b.member, "other")];
    let of_a = bench.broker.sync_group(&sync(&a, &assignments)).await;
    assert_eq!(&of_a.unwrap().assignment[..], b"one");
    assert_eq!(&of_b.await.unwrap()[..], b"other");
    (a, b)
}

#[tokio::test(start_paused = true)]
async fn members_wait_for_one_another_and_for_the_leader() {
    let bench = Bench::memory().await;
    let (a, b) = two(&bench).await;
    assert_eq!((a.generation, &a.leader), (b.generation, &b.leader));
    assert_eq!(a.members.len(), 2);
    let listed = bench.broker.list_groups().await.unwrap();
    assert_eq!(
        (listed[0].kind, listed[0].state, listed[0].members),
        (GroupKind::Classic, GroupState::Stable, 2)
    );
    assert_eq!(listed[0].protocol_type, "test");
    // Silence of one ends the generation; the other is told and goes on alone.
    wait(&bench, 6).await;
    let beat = |joined: &JoinedGroup| {
        let (broker, joined) = (bench.broker.clone(), joined.clone());
        async move {
            let (id, generation) = (&joined.member, joined.generation);
            broker
                .classic_heartbeat(&group("g"), id, None, generation)
                .await
        }
    };
    beat(&a).await.unwrap();
    wait(&bench, 5).await;
    assert!(matches!(
        beat(&a).await,
        Err(Error::Group(GroupError::RebalanceInProgress(_)))
    ));
    let again = join(bench.broker.clone(), "a", Some(a.member.clone())).await;
    assert_eq!((again.generation.get(), again.members.len()), (2, 1));
    assert!(matches!(
        beat(&b).await,
        Err(Error::Group(GroupError::UnknownMember { .. }))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_restart_keeps_generation_members_and_offsets() {
    for bench in [Bench::memory().await, Bench::flushing().await] {
        let topic = bench.topic("t", 1).await;
        let (a, b) = two(&bench).await;
        let committer = |joined: &JoinedGroup| Committer {
            member: Some(joined.member.clone()),
            instance: None,
            generation: joined.generation,
        };
        let broker = &bench.broker;
        let offsets = [commit(&topic, 0, 0)];
        broker
            .commit_offsets_as(&group("g"), &committer(&a), &offsets)
            .await
            .unwrap();

        let bench = bench.reopened().await;
        let broker = &bench.broker;
        let found = broker.sync_group(&sync(&b, &[])).await.unwrap();
        assert_eq!(&found.assignment[..], b"other");
        broker
            .classic_heartbeat(&group("g"), &a.member, None, a.generation)
            .await
            .unwrap();
        assert_eq!(committed(&bench, "g", &topic).await, Some(0));
        // Members that are not heard of since then are gone in the end, and the group is empty.
        wait(&bench, 12).await;
        let described = broker.describe_group(&group("g")).await.unwrap();
        assert_eq!(described.state, GroupState::Empty);
        let refused = broker
            .commit_offsets_as(&group("g"), &committer(&a), &offsets)
            .await;
        assert!(matches!(
            refused,
            Err(Error::Group(GroupError::UnknownMember { .. }))
        ));
        broker
            .commit_offsets(&group("g"), None, &offsets)
            .await
            .unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_waiting_holds_nobody_up() {
    let bench = Bench::memory().await;
    let given_up = tokio::spawn(join(bench.broker.clone(), "a", None));
    settle().await;
    given_up.abort();
    let b = tokio::spawn(join(bench.broker.clone(), "b", None));
    settle().await;
    // It counts as a member until its session is over, and another leads then.
    wait(&bench, 6).await;
    let b = b.await.unwrap();
    assert_eq!(b.members.len(), 0);
    wait(&bench, 10).await;
    let again = join(bench.broker.clone(), "b", None);
    let again = tokio::spawn(again);
    settle().await;
    wait(&bench, 31).await;
    let again = again.await.unwrap();
    assert_eq!((again.members.len(), &again.leader), (1, &again.member));
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_shuts_down_lets_go_of_who_waits() {
    let bench = Bench::memory().await;
    let broker = bench.broker.clone();
    let waits = tokio::spawn(async move { broker.join_group(&request("a", None)).await });
    settle().await;
    bench.broker.shutdown(SECOND).await.unwrap();
    assert!(matches!(waits.await.unwrap(), Err(Error::ShuttingDown)));
}
