//! Members of consumer groups: who reads what, over restarts, silence and changes of topics.

use std::time::Duration;

use ratatoskr_core::{
    BrokerConfig, Error,
    groups::{GroupError, GroupHeartbeat, GroupState, MemberEpoch, MemberId},
    offset::PartitionIndex,
};

use super::{Member, commit, commit_alone, committed, group, pattern};
use crate::support::{Bench, Fault, Operation, TestStorage, settle, topic};

/// Lets time pass for the broker and for its timers, a second at a time.
async fn wait(bench: &Bench, time: Duration) {
    for _ in 0..time.as_secs() {
        bench.clock.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_secs(1)).await;
        settle().await;
    }
}

#[tokio::test]
async fn members_share_what_they_want() {
    let bench = Bench::memory().await;
    let topic = bench.topic("t", 4).await;
    let mut a = Member::join(&bench, "a", &topic).await;
    assert_eq!(a.partitions(), [0, 1, 2, 3]);
    let mut b = Member::join(&bench, "b", &topic).await;
    assert_eq!(b.partitions(), []);
    // The first heartbeat tells a to give up, the second says that it has.
    a.beat(&bench).await.unwrap();
    b.beat(&bench).await.unwrap();
    assert_eq!((a.partitions(), b.partitions()), (vec![0, 1], vec![]));
    a.beat(&bench).await.unwrap();
    b.beat(&bench).await.unwrap();
    assert_eq!((a.partitions(), b.partitions()), (vec![0, 1], vec![2, 3]));
}

#[tokio::test]
async fn a_restart_leaves_members_with_what_they_have() {
    for bench in [Bench::memory().await, Bench::flushing().await] {
        let topic = bench.topic("t", 2).await;
        let mut a = Member::join(&bench, "a", &topic).await;
        let mut b = Member::join(&bench, "b", &topic).await;
        a.beat(&bench).await.unwrap();
        a.beat(&bench).await.unwrap();
        b.beat(&bench).await.unwrap();
        let (of_a, of_b) = (a.clone(), b.clone());

        let bench = bench.reopened().await;
        a.beat(&bench).await.unwrap();
        b.beat(&bench).await.unwrap();
        assert_eq!((a.epoch, &a.reads), (of_a.epoch, &of_a.reads));
        assert_eq!((b.epoch, &b.reads), (of_b.epoch, &of_b.reads));
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_member_loses_what_it_had() {
    let bench = Bench::memory().await;
    let topic = bench.topic("t", 1).await;
    let mut a = Member::join(&bench, "a", &topic).await;
    let mut b = Member::join(&bench, "b", &topic).await;
    wait(&bench, Duration::from_secs(40)).await;
    b.beat(&bench).await.unwrap();
    assert_eq!(b.partitions(), []);
    wait(&bench, Duration::from_secs(6)).await;
    b.beat(&bench).await.unwrap();
    assert_eq!(b.partitions(), [0]);
    let error = a.beat(&bench).await.unwrap_err();
    let gone = matches!(error, Error::Group(GroupError::UnknownMember { .. }));
    assert!(gone, "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_member_that_was_not_heard_of_since_a_restart_has_its_session_from_then_on() {
    let bench = Bench::memory().await;
    let topic = bench.topic("t", 1).await;
    Member::join(&bench, "a", &topic).await;
    let bench = bench.reopened().await;
    let mut b = Member::join(&bench, "b", &topic).await;
    wait(&bench, Duration::from_secs(40)).await;
    b.beat(&bench).await.unwrap();
    assert_eq!(b.partitions(), []);
    wait(&bench, Duration::from_secs(8)).await;
    b.beat(&bench).await.unwrap();
    assert_eq!(b.partitions(), [0]);
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_a_silent_member_goes_though_nobody_asks() {
    let bench = Bench::memory().await;
    let topic = bench.topic("t", 1).await;
    Member::join(&bench, "a", &topic).await;

    let bench = bench.reopened().await;
    wait(&bench, Duration::from_secs(44)).await;
    let described = bench.broker.describe_group(&group("g")).await.unwrap();
    assert_eq!(described.members.len(), 1);

    let bench = bench.reopened().await;
    wait(&bench, Duration::from_secs(50)).await;
    let described = bench.broker.describe_group(&group("g")).await.unwrap();
    assert_eq!(described.members, []);
    assert_eq!(described.state, GroupState::Empty);
}

#[tokio::test(start_paused = true)]
async fn state_that_cannot_be_read_at_the_start_is_read_later() {
    let bench = Bench::memory().await;
    let topic = bench.topic("t", 1).await;
    Member::join(&bench, "a", &topic).await;
    let own = crate::support::topic("_rt.groups");
    for partition in 0..16 {
        let partition = PartitionIndex::new(partition);
        for _ in 0..3 {
            let broken = Fault::broken();
            bench.storage.fail(Operation::Read, &own, partition, broken);
        }
    }
    let bench = bench.reopened().await;
    wait(&bench, Duration::from_mins(2)).await;
    let described = bench.broker.describe_group(&group("g")).await.unwrap();
    assert_eq!(described.members, []);
}

#[tokio::test(start_paused = true)]
async fn a_broker_without_groups_makes_no_place_for_them() {
    let bench = Bench::memory().await;
    bench.topic("t", 1).await;
    for bench in [bench.reopened().await, bench] {
        wait(&bench, Duration::from_mins(1)).await;
        assert_eq!(bench.broker.list_topics().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_added_to_a_topic_is_given_out() {
    let bench = Bench::memory().await;
    let topic = bench.topic("t", 1).await;
    let mut a = Member::join(&bench, "a", &topic).await;
    bench.broker.add_partitions(&topic, 3).await.unwrap();
    a.beat(&bench).await.unwrap();
    assert_eq!(a.partitions(), [0, 1, 2]);

    bench.broker.delete_topic(&topic).await.unwrap();
    a.beat(&bench).await.unwrap();
    assert_eq!(a.partitions(), []);
    bench.topic("t", 2).await;
    a.beat(&bench).await.unwrap();
    assert_eq!(a.partitions(), [0, 1]);
}

#[tokio::test]
async fn a_group_is_shown_with_its_members() {
    let bench = Bench::memory().await;
    let topic = bench.topic("t", 2).await;
    let a = Member::join(&bench, "a", &topic).await;
    Member::join(&bench, "b", &topic).await;
    let described = bench.broker.describe_group(&group("g")).await.unwrap();
    assert_eq!(described.state, GroupState::Reconciling);
    assert_eq!(described.epoch, MemberEpoch::new(2));
    let of_a = &described.members[0];
    assert_eq!((&of_a.member, of_a.client.as_str()), (&a.id, "test"));
    assert_eq!(of_a.assigned, a.reads);
    assert_eq!(of_a.target[0].partitions.len(), 1);

    let listed = bench.broker.list_groups().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0].group, listed[0].members), (&group("g"), 2));
    let error = bench.broker.describe_group(&group("x")).await.unwrap_err();
    let unknown = matches!(error, Error::Group(GroupError::UnknownGroup(_)));
    assert!(unknown, "{error}");
}

#[tokio::test]
async fn who_asks_for_nothing_makes_nothing() {
    let bench = Bench::memory().await;
    let topic = bench.topic("t", 1).await;
    assert!(bench.broker.list_groups().await.unwrap().is_empty());
    assert_eq!(committed(&bench, "g", &topic).await, None);
    let stranger = Member {
        epoch: MemberEpoch::new(3),
        ..Member::join(&bench, "a", &topic).await
    };
    let error = bench
        .broker
        .group_heartbeat(&GroupHeartbeat {
            group: group("other"),
            ..stranger.request()
        })
        .await
        .unwrap_err();
    let unknown = matches!(error, Error::Group(GroupError::UnknownMember { .. }));
    assert!(unknown, "{error}");
    assert_eq!(bench.broker.list_groups().await.unwrap().len(), 1);
}

/// What was found before is kept, and changed by what came and went, or looked for anew after much has.
#[tokio::test]
async fn what_a_pattern_matches_is_brought_up_to_date() {
    let bench = Bench::memory().await;
    bench.topic("orders-1", 1).await;
    let mut member = Member::matching(&bench, "orders-.*").await;
    for (many, name) in [(1, "orders-2"), (1_100, "orders-3")] {
        for n in 0..many {
            let other = bench.topic(&format!("other-{n}"), 1).await;
            bench.broker.delete_topic(&other).await.unwrap();
        }
        // Gone, and there again: it is another topic now.
        bench.broker.delete_topic(&topic("orders-1")).await.unwrap();
        bench.topic("orders-1", 1).await;
        let made = bench.topic(name, 1).await;
        // It gives up what is gone, and takes what is new.
        member.beat(&bench).await.unwrap();
        member.beat(&bench).await.unwrap();
        member.beat(&bench).await.unwrap();
        let reads: Vec<_> = member.reads.iter().map(|reads| &reads.topic).collect();
        assert!(
            reads.contains(&&made) && reads.contains(&&topic("orders-1")),
            "{reads:?}"
        );
        assert_eq!(member.partitions().len(), reads.len());
    }
}

#[tokio::test]
async fn who_is_a_member_is_known_of_groups_that_the_broker_manages() {
    let bench = Bench::memory().await;
    let topic = bench.topic("t", 1).await;
    let (mut a, b) = (
        Member::join(&bench, "a", &topic).await,
        MemberId::parse("b").unwrap(),
    );
    Member::join(&bench, "c", &topic).await;
    a.beat(&bench).await.unwrap();
    let check = |name: &str, id: &MemberId, epoch: i32| {
        let (name, id) = (group(name), id.clone());
        let broker = bench.broker.clone();
        async move {
            broker
                .check_is_member(&name, &id, MemberEpoch::new(epoch))
                .await
        }
    };
    let epoch = a.epoch.get();
    assert!(epoch > 1);
    check("g", &a.id, epoch).await.unwrap();
    // The answer that told of the later epoch may be on its way.
    check("g", &a.id, epoch - 1).await.unwrap();
    let fenced = check("g", &a.id, epoch + 1).await.unwrap_err();
    assert!(matches!(
        fenced,
        Error::Group(GroupError::FencedMember { .. })
    ));
    let unknown = check("g", &b, epoch).await.unwrap_err();
    assert!(matches!(
        unknown,
        Error::Group(GroupError::UnknownMember { .. })
    ));
    // Nobody knows of a group that is not there, or has no members.
    check("nowhere", &b, 1).await.unwrap();
    commit_alone(&bench, "simple", &[commit(&topic, 0, 0)])
        .await
        .unwrap();
    check("simple", &b, 1).await.unwrap();
}

#[tokio::test]
async fn a_pattern_follows_the_topics_there_are() {
    let bench = Bench::memory().await;
    let first = bench.topic("orders-eu", 1).await;
    bench.topic("other", 1).await;
    let mut member = Member::matching(&bench, "orders-.*").await;
    let topics = |member: &Member| -> Vec<String> {
        let reads = member.reads.iter();
        reads.map(|reads| reads.topic.to_string()).collect()
    };
    assert_eq!(topics(&member), ["orders-eu"]);
    member.beat(&bench).await.unwrap();
    bench.topic("orders-us", 1).await;
    member.beat(&bench).await.unwrap();
    assert_eq!(topics(&member), ["orders-eu", "orders-us"]);
    member.beat(&bench).await.unwrap();
    bench.broker.delete_topic(&first).await.unwrap();
    member.beat(&bench).await.unwrap();
    assert_eq!(topics(&member), ["orders-us"]);
    let described = bench.broker.describe_group(&group("g")).await.unwrap();
    let described = &described.members[0];
    assert_eq!(described.pattern, Some(pattern("orders-.*")));
    assert!(described.topics.is_empty());
}

#[tokio::test]
async fn groups_and_members_have_limits() {
    let config = BrokerConfig {
        groups_max: 2,
        group_members_max: 2,
        group_member_topics_max: 1,
        ..BrokerConfig::default()
    };
    let bench = Bench::over(TestStorage::memory(), config).await;
    let topic = bench.topic("t", 1).await;
    let limit = |result: Result<Member, Error>| match result {
        Err(Error::LimitReached { limit, .. }) => limit,
        other => panic!("{other:?}"),
    };
    Member::try_join(&bench, "one", "a", &topic).await.unwrap();
    Member::try_join(&bench, "one", "b", &topic).await.unwrap();
    let third = Member::try_join(&bench, "one", "c", &topic).await;
    assert_eq!(limit(third), "group_members_max");

    Member::try_join(&bench, "two", "a", &topic).await.unwrap();
    let third = Member::try_join(&bench, "three", "a", &topic).await;
    assert_eq!(limit(third), "groups_max");
    Member::try_join(&bench, "two", "b", &topic).await.unwrap();

    let mut greedy = Member::join_request(&topic);
    greedy.topics = Some(vec![topic.clone(), bench.topic("u", 1).await]);
    let error = bench.broker.group_heartbeat(&greedy).await.unwrap_err();
    let named = matches!(
        error,
        Error::LimitReached {
            limit: "group_member_topics_max",
            ..
        }
    );
    assert!(named, "{error}");
}
