//! How far groups are behind, setting them back, deleting them.

use std::time::Duration;

use ratatoskr_core::{
    Error,
    broker::OffsetSpec,
    groups::GroupError,
    name::TopicName,
    offset::{Offset, PartitionIndex},
    record::Record,
    time::Timestamp,
};

use super::{Member, commit, commit_alone, committed, group, reset};
use crate::support::{Bench, START, topic};

/// A topic of two partitions; the first has ten records, one a second.
async fn filled(bench: &Bench) -> TopicName {
    let topic = bench.topic("t", 2).await;
    for number in 0..10 {
        let at = START.plus(Duration::from_secs(number));
        let batch = {
            let mut builder =
                ratatoskr_core::batch::BatchBuilder::new(ratatoskr_core::config::Compression::None);
            builder
                .push(&Record::new("x").with_timestamp(at), at)
                .unwrap();
            builder.build().unwrap()
        };
        let pending = bench.broker.produce(&topic, PartitionIndex::new(0), batch);
        pending.unwrap().wait().await.unwrap();
    }
    topic
}

async fn commit_at(bench: &Bench, topic: &TopicName, offset: u64) {
    let offsets = [commit(topic, 0, offset)];
    commit_alone(bench, "g", &offsets).await.unwrap();
}

#[tokio::test]
async fn lag_is_told_in_records_and_in_time() {
    let bench = Bench::memory().await;
    let topic = filled(&bench).await;
    bench.clock.advance(Duration::from_secs(20));
    for (offset, records, lag_ms) in [(0, 10, 20_000), (4, 6, 16_000), (10, 0, 0)] {
        commit_at(&bench, &topic, offset).await;
        let lag = bench.broker.group_lag(&group("g")).await.unwrap();
        assert_eq!(lag.len(), 1);
        assert_eq!(
            (lag[0].records, lag[0].lag_ms),
            (Some(records), Some(lag_ms))
        );
        assert_eq!(lag[0].end, Offset::new(10));
    }
    // What a member reads is part of it, whether anything was committed or not.
    let member = Member::join(&bench, "a", &topic).await;
    let lag = bench.broker.group_lag(&group("g")).await.unwrap();
    assert_eq!(lag.len(), 2);
    assert_eq!(
        (lag[1].committed, lag[1].records, lag[1].lag_ms),
        (None, None, None)
    );
    assert_eq!(lag[1].member, Some(member.id));
    let unknown = bench.broker.group_lag(&group("x")).await;
    let unknown = matches!(unknown, Err(Error::Group(GroupError::UnknownGroup(_))));
    assert!(unknown);
}

#[tokio::test]
async fn records_that_were_removed_are_no_lag() {
    let bench = Bench::memory().await;
    let topic = filled(&bench).await;
    commit_at(&bench, &topic, 2).await;
    let trimmed = bench
        .broker
        .trim(&topic, PartitionIndex::new(0), Offset::new(7));
    trimmed.await.unwrap();
    let lag = bench.broker.group_lag(&group("g")).await.unwrap();
    assert_eq!(
        (lag[0].committed, lag[0].records),
        (Some(Offset::new(2)), Some(3))
    );
}

#[tokio::test]
async fn a_group_is_set_to_each_place() {
    let bench = Bench::memory().await;
    let topic = filled(&bench).await;
    commit_at(&bench, &topic, 5).await;
    let at = |ms| OffsetSpec::Timestamp(Timestamp::new(START.get() + ms));
    for (to, expected) in [
        (OffsetSpec::Start, 0),
        (OffsetSpec::End, 10),
        (OffsetSpec::Offset(Offset::new(3)), 3),
        (OffsetSpec::Offset(Offset::new(99)), 10),
        (at(2_500), 3),
        (at(99_000), 10),
    ] {
        let before = committed(&bench, "g", &topic).await;
        let plan = reset(&bench, &[], to, true).await.unwrap();
        assert_eq!(plan.len(), 1);
        assert_eq!(plan[0].from.map(Offset::get), before);
        assert_eq!(plan[0].to.get(), expected, "{to:?}");
        assert_eq!(committed(&bench, "g", &topic).await, before, "a dry run");
        assert_eq!(reset(&bench, &[], to, false).await.unwrap(), plan);
        assert_eq!(committed(&bench, "g", &topic).await, Some(expected));
    }
    // A topic that is named is set in all its partitions.
    let whole = [topic.clone()];
    let plan = reset(&bench, &whole, OffsetSpec::End, false).await.unwrap();
    assert_eq!(plan.len(), 2);
    assert_eq!((plan[1].from, plan[1].to), (None, Offset::ZERO));
}

#[tokio::test]
async fn a_live_group_is_neither_set_nor_deleted() {
    let bench = Bench::memory().await;
    let topic = filled(&bench).await;
    commit_at(&bench, &topic, 5).await;
    let mut member = Member::join(&bench, "a", &topic).await;
    for dry_run in [true, false] {
        let refused = reset(&bench, &[], OffsetSpec::Start, dry_run).await;
        let live = matches!(refused, Err(Error::Group(GroupError::NotEmpty(_))));
        assert!(live, "{refused:?}");
    }
    let refused = bench.broker.delete_group(&group("g")).await;
    let live = matches!(refused, Err(Error::Group(GroupError::NotEmpty(_))));
    assert!(live, "{refused:?}");
    assert_eq!(committed(&bench, "g", &topic).await, Some(5));
    member.beat(&bench).await.unwrap();

    member.leave(&bench).await;
    let start = OffsetSpec::Start;
    reset(&bench, &[], start, false).await.unwrap();
    bench.broker.delete_group(&group("g")).await.unwrap();
    assert_eq!(committed(&bench, "g", &topic).await, None);
    let bench = bench.reopened().await;
    assert!(bench.broker.list_groups().await.unwrap().is_empty());
    let gone = bench.broker.delete_group(&group("g")).await;
    let unknown = matches!(gone, Err(Error::Group(GroupError::UnknownGroup(_))));
    assert!(unknown, "{gone:?}");
}

#[tokio::test]
async fn a_reset_that_cannot_be_changes_nothing() {
    let bench = Bench::memory().await;
    filled(&bench).await;
    let start = OffsetSpec::Start;
    let nothing = reset(&bench, &[], start, false).await;
    let unknown = matches!(nothing, Err(Error::Group(GroupError::UnknownGroup(_))));
    assert!(unknown);
    let topics = [topic("t"), topic("nowhere")];
    let nowhere = reset(&bench, &topics, start, false).await;
    assert!(matches!(nowhere, Err(Error::UnknownTopic(_))));
    assert!(bench.broker.list_groups().await.unwrap().is_empty());
}
