//! Offsets that groups commit: when they last, who may, and what becomes of them.

use std::{sync::Arc, time::Duration};

use ratatoskr_core::{
    BrokerConfig, Error,
    commit::CommitError,
    groups::{GroupError, OffsetCommit},
    offset::{Offset, PartitionIndex},
    storage::StorageError,
};

use super::{Member, commit, commit_alone, committed, forget, group};
use crate::support::{Bench, P0, TestStorage, settle};

#[tokio::test]
async fn what_is_committed_lasts_a_restart() {
    for bench in [Bench::memory().await, Bench::flushing().await] {
        let topic = bench.topic("t", 2).await;
        bench.send(&topic, &["a", "b"]).await;
        let with_metadata = OffsetCommit {
            metadata: "line 7".into(),
            ..commit(&topic, 0, 2)
        };
        let offsets = [with_metadata, commit(&topic, 1, 0)];
        commit_alone(&bench, "g", &offsets).await.unwrap();

        let bench = bench.reopened().await;
        let all = bench.broker.fetch_offsets(&group("g"), None).await.unwrap();
        assert_eq!(all.len(), 2);
        let first = all[0].committed.as_ref().unwrap();
        assert_eq!((first.offset.get(), first.metadata.as_str()), (2, "line 7"));
        assert_eq!(all[1].committed.as_ref().unwrap().offset, Offset::ZERO);
    }
}

#[tokio::test]
async fn an_offset_is_answered_only_once_it_lasts() {
    let (bench, committer) = Bench::committing(BrokerConfig::default()).await;
    let topic = bench.topic_with("t", 1, &[("durability", "os")]).await;
    bench.send(&topic, &["a", "b"]).await;
    let broker = bench.broker.clone();
    let offsets = [commit(&topic, 0, 1)];
    let committing =
        tokio::spawn(async move { broker.commit_offsets(&group("g"), None, &offsets).await });
    settle().await;
    assert_eq!(committer.queued(), 1);
    assert!(!committing.is_finished());
    let (broker, of_topic) = (bench.broker.clone(), topic.clone());
    let fetching = tokio::spawn(async move {
        let wanted = [(of_topic, P0)];
        broker.fetch_offsets(&group("g"), Some(&wanted)).await
    });
    settle().await;
    assert!(
        !fetching.is_finished(),
        "an offset that may be lost was told"
    );
    committer.commit();
    committing.await.unwrap().unwrap();
    let found = fetching.await.unwrap().unwrap();
    assert_eq!(found[0].committed.as_ref().unwrap().offset, Offset::new(1));
}

#[tokio::test]
async fn a_commit_that_fails_leaves_what_was_there() {
    let (bench, committer) = Bench::committing(BrokerConfig::default()).await;
    let topic = bench.topic_with("t", 1, &[("durability", "os")]).await;
    bench.send(&topic, &["a", "b"]).await;
    let commit_one = |offset| {
        let (broker, offsets) = (bench.broker.clone(), [commit(&topic, 0, offset)]);
        tokio::spawn(async move { broker.commit_offsets(&group("g"), None, &offsets).await })
    };
    let first = commit_one(1);
    settle().await;
    committer.commit();
    first.await.unwrap().unwrap();
    let second = commit_one(2);
    settle().await;
    committer.fail(CommitError::Failed(StorageError::Closed));
    second.await.unwrap().unwrap_err();
    assert_eq!(committed(&bench, "g", &topic).await, Some(1));
}

#[tokio::test]
async fn a_commit_dropped_half_way_is_there_or_not() {
    let (bench, committer) = Bench::committing(BrokerConfig::default()).await;
    let topic = bench.topic_with("t", 1, &[("durability", "os")]).await;
    bench.send(&topic, &["a", "b"]).await;
    let (broker, offsets) = (bench.broker.clone(), [commit(&topic, 0, 1)]);
    let dropped =
        tokio::spawn(async move { broker.commit_offsets(&group("g"), None, &offsets).await });
    settle().await;
    dropped.abort();
    settle().await;
    committer.commit_all();
    assert_eq!(committed(&bench, "g", &topic).await, Some(1));
}

#[tokio::test]
async fn what_cannot_be_committed_harms_nothing() {
    let bench = Bench::memory().await;
    let topic = bench.topic("t", 2).await;
    bench.send(&topic, &["a", "b"]).await;
    let mut a = Member::join(&bench, "a", &topic).await;
    a.commit(&bench, &[commit(&topic, 0, 1)]).await.unwrap();

    let nowhere = crate::support::topic("nowhere");
    let good = commit(&topic, 0, 2);
    for bad in [
        commit(&nowhere, 0, 0),
        commit(&topic, 2, 0),
        commit(&topic, 0, 3),
    ] {
        let refused = a.commit(&bench, &[good.clone(), bad]).await.unwrap_err();
        let typed = matches!(
            refused,
            Error::UnknownTopic(_)
                | Error::UnknownPartition { .. }
                | Error::OffsetOutOfRange { .. }
        );
        assert!(typed, "{refused}");
    }
    let long = OffsetCommit {
        metadata: "x".repeat(4 * 1024 + 1),
        ..good.clone()
    };
    let refused = a.commit(&bench, &[long]).await.unwrap_err();
    let named = matches!(
        refused,
        Error::LimitReached {
            limit: "offset_metadata_bytes_max",
            ..
        }
    );
    assert!(named, "{refused}");
    let stranger = Member {
        id: ratatoskr_core::groups::MemberId::parse("b").unwrap(),
        ..a.clone()
    };
    let refused = stranger.commit(&bench, std::slice::from_ref(&good)).await;
    let unknown = matches!(refused, Err(Error::Group(GroupError::UnknownMember { .. })));
    assert!(unknown, "{refused:?}");
    let refused = commit_alone(&bench, "g", std::slice::from_ref(&good)).await;
    let live = matches!(refused, Err(Error::Group(GroupError::NotEmpty(_))));
    assert!(live, "{refused:?}");
    assert_eq!(committed(&bench, "g", &topic).await, Some(1));
    a.beat(&bench).await.unwrap();
}

#[tokio::test]
async fn an_offset_may_go_back_when_it_is_committed() {
    let bench = Bench::memory().await;
    let topic = bench.topic("t", 1).await;
    bench.send(&topic, &["a", "b"]).await;
    for offset in [2, 0, 1] {
        let offsets = [commit(&topic, 0, offset)];
        commit_alone(&bench, "g", &offsets).await.unwrap();
    }
    assert_eq!(committed(&bench, "g", &topic).await, Some(1));
}

#[tokio::test]
async fn offsets_are_those_of_one_topic_and_of_none_of_its_name() {
    let bench = Bench::memory().await;
    let topic = bench.topic("t", 1).await;
    bench.send(&topic, &["a", "b"]).await;
    let offsets = [commit(&topic, 0, 2)];
    commit_alone(&bench, "g", &offsets).await.unwrap();
    bench.broker.delete_topic(&topic).await.unwrap();
    bench.topic("t", 1).await;
    assert_eq!(committed(&bench, "g", &topic).await, None);
    let all = bench.broker.fetch_offsets(&group("g"), None).await.unwrap();
    assert!(all.is_empty());
}

#[tokio::test]
async fn offsets_of_records_that_a_log_has_lost_are_set_back() {
    let bench = Bench::flushing().await;
    let topic = bench.topic_with("t", 1, &[("durability", "os")]).await;
    for value in ["a", "b", "c"] {
        bench.send(&topic, &[value]).await;
    }
    for name in ["before", "cut", "behind"] {
        let offset = match name {
            "before" => 1,
            "cut" => 2,
            _ => 3,
        };
        let offsets = [commit(&topic, 0, offset)];
        commit_alone(&bench, name, &offsets).await.unwrap();
    }
    bench.storage.lose(&topic, P0, Offset::new(1));
    let bench = bench.reopened().await;
    // Other records have the offsets by now.
    for value in ["x", "y", "z", "…"] {
        bench.send(&topic, &[value]).await;
    }
    assert_eq!(committed(&bench, "before", &topic).await, Some(1));
    assert_eq!(committed(&bench, "cut", &topic).await, Some(1));
    assert_eq!(committed(&bench, "behind", &topic).await, Some(1));
    assert_eq!(bench.broker.stats().offsets_clamped, 2);
    // For good, and no more than once.
    let offsets = [commit(&topic, 0, 3)];
    commit_alone(&bench, "cut", &offsets).await.unwrap();
    let bench = bench.reopened().await;
    assert_eq!(committed(&bench, "cut", &topic).await, Some(3));
    assert_eq!(committed(&bench, "behind", &topic).await, Some(1));
    assert_eq!(bench.broker.stats().offsets_clamped, 0);
}

#[tokio::test]
async fn an_offset_beyond_the_end_of_a_log_that_was_cut_is_set_back_to_it() {
    let bench = Bench::flushing().await;
    let topic = bench.topic_with("t", 1, &[("durability", "os")]).await;
    bench.send(&topic, &["a", "b"]).await;
    bench.send(&topic, &["c"]).await;
    let offsets = [commit(&topic, 0, 3)];
    commit_alone(&bench, "g", &offsets).await.unwrap();
    bench.storage.lose(&topic, P0, Offset::new(2));
    let bench = bench.reopened().await;
    assert_eq!(committed(&bench, "g", &topic).await, Some(2));
}

#[tokio::test]
async fn offsets_can_be_forgotten_one_by_one() {
    let bench = Bench::memory().await;
    let topic = bench.topic("t", 2).await;
    let offsets = [commit(&topic, 0, 0), commit(&topic, 1, 0)];
    commit_alone(&bench, "g", &offsets).await.unwrap();
    let second = [(topic.clone(), PartitionIndex::new(1))];
    forget(&bench, &second).await.unwrap();
    let all = bench.broker.fetch_offsets(&group("g"), None).await.unwrap();
    assert_eq!(all.len(), 1);
    let a = Member::join(&bench, "a", &topic).await;
    let first = [(topic.clone(), P0)];
    let refused = forget(&bench, &first).await;
    let live = matches!(refused, Err(Error::Group(GroupError::NotEmpty(_))));
    assert!(live, "{refused:?}");
    a.leave(&bench).await;
    forget(&bench, &first).await.unwrap();
    assert_eq!(committed(&bench, "g", &topic).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_nobody_needs_goes_in_time() {
    let config = BrokerConfig {
        offsets_retention: Duration::from_mins(30),
        ..BrokerConfig::default()
    };
    let bench = Bench::over(TestStorage::memory(), config).await;
    let topic = bench.topic("t", 1).await;
    let offsets = [commit(&topic, 0, 0)];
    commit_alone(&bench, "g", &offsets).await.unwrap();
    let pass = async |time: Duration| {
        bench.clock.advance(time);
        tokio::time::sleep(Duration::from_secs(40)).await;
        settle().await;
    };
    pass(Duration::from_mins(30)).await;
    assert_eq!(committed(&bench, "g", &topic).await, Some(0));
    pass(Duration::from_mins(1)).await;
    assert!(bench.broker.list_groups().await.unwrap().is_empty());
    assert_eq!(committed(&bench, "g", &topic).await, None);
    // A clock that jumps ahead is no reason to forget.
    commit_alone(&bench, "g", &offsets).await.unwrap();
    let clock = Arc::clone(&bench.clock);
    let year = Duration::from_hours(24 * 365);
    clock.jump(ratatoskr_core::time::Clock::now(&*clock).plus(year));
    pass(Duration::from_mins(1)).await;
    assert_eq!(committed(&bench, "g", &topic).await, Some(0));
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_offsets_are_let_go_in_time_though_nobody_asks() {
    let bench = Bench::memory().await;
    let topic = bench.topic("t", 1).await;
    let offsets = [commit(&topic, 0, 0)];
    commit_alone(&bench, "g", &offsets).await.unwrap();

    let config = BrokerConfig {
        offsets_retention: Duration::from_mins(30),
        ..BrokerConfig::default()
    };
    let bench = Bench::over(bench.storage.clone(), config).await;
    bench.clock.advance(Duration::from_mins(31));
    tokio::time::sleep(Duration::from_secs(40)).await;
    settle().await;
    // With the built-in retention of a week whoever asks now would still find it.
    let bench = bench.reopened().await;
    assert!(bench.broker.list_groups().await.unwrap().is_empty());
}
