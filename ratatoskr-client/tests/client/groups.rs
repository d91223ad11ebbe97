//! Members of consumer groups: each record is processed, partitions move, nothing that was not
//! processed is committed. In process and over TCP alike.

use std::{collections::BTreeSet, time::Duration};

use ratatoskr_client::{
    Client, Error, GroupConsumer, GroupError, GroupId, GroupState, InstanceId, Offset,
    OffsetCommit, OffsetSpec, PartitionIndex, Record, StartAt, TopicName, TopicPattern,
};
use ratatoskr_core::{
    Broker, Error as BrokerError,
    groups::{GroupHeartbeat, MemberEpoch},
};

use crate::fixture::{Server, broker, create, shared_tests, text, within};

shared_tests! {
    a_group_goes_on_where_it_left_off,
    what_is_in_hand_when_a_member_is_closed_comes_again,
    an_explicit_commit_counts_what_is_in_hand,
    what_was_processed_is_committed_in_the_background,
    a_dropped_member_leaves,
    members_share_partitions_and_each_record_is_processed,
    a_partition_moves_once_its_record_is_processed,
    who_keeps_a_partition_reads_on,
    a_static_member_comes_back_to_what_it_had,
    a_group_that_begins_at_the_end_loses_nothing_from_then_on,
    many_topics_are_read_together,
    topics_are_read_by_a_pattern,
    a_member_does_not_choose_partitions,
    offsets_are_kept_for_who_is_no_member,
    a_group_is_set_back,
}

fn group() -> GroupId {
    GroupId::parse("g").unwrap()
}

async fn member(client: &Client, topic: &TopicName) -> GroupConsumer {
    client.consumer(topic).group(group()).open().await.unwrap()
}

/// Sends numbers from `from` on, each to partition number modulo `partitions`.
async fn send(client: &Client, topic: &TopicName, partitions: u32, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let mut builder =
            ratatoskr_core::batch::BatchBuilder::new(ratatoskr_core::config::Compression::None);
        let record = Record::new(number.to_string());
        let now = ratatoskr_core::time::Timestamp::new(1_700_000_000_000);
        builder.push(&record, now).unwrap();
        let batch = builder.build().unwrap();
        let partition = PartitionIndex::new(number % partitions);
        let sent = client.produce_batch(topic, partition, &batch).unwrap();
        sent.wait().await.unwrap();
    }
}

async fn next(member: &mut GroupConsumer) -> String {
    let record = member.next().await.unwrap().unwrap();
    text(&record.record).to_owned()
}

async fn take(member: &mut GroupConsumer, count: usize) -> Vec<String> {
    let mut values = Vec::new();
    while values.len() < count {
        values.push(next(member).await);
    }
    values
}

/// Waits until something that is asked for again and again is so.
async fn until<T: Future<Output = bool>>(mut holds: impl FnMut() -> T) {
    while !holds().await {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn committed(client: &Client, topic: &TopicName) -> u64 {
    let all = client.fetch_offsets(&group(), None).await.unwrap();
    let of_topic = all.iter().filter(|offset| offset.topic == *topic);
    of_topic
        .filter_map(|offset| Some(offset.committed.as_ref()?.offset.get()))
        .sum()
}

async fn a_group_goes_on_where_it_left_off(client: Client) {
    let topic = create(&client, "t", 1).await;
    send(&client, &topic, 1, 0..10).await;
    let mut first = member(&client, &topic).await;
    assert_eq!(take(&mut first, 4).await, ["0", "1", "2", "3"]);
    first.commit().await.unwrap();
    first.close().await.unwrap();
    let mut second = member(&client, &topic).await;
    assert_eq!(next(&mut second).await, "4");
}

async fn what_is_in_hand_when_a_member_is_closed_comes_again(client: Client) {
    let topic = create(&client, "t", 1).await;
    send(&client, &topic, 1, 0..10).await;
    let mut first = member(&client, &topic).await;
    take(&mut first, 4).await;
    first.close().await.unwrap();
    assert_eq!(committed(&client, &topic).await, 3);
    let mut second = member(&client, &topic).await;
    assert_eq!(next(&mut second).await, "3");
}

async fn an_explicit_commit_counts_what_is_in_hand(client: Client) {
    let topic = create(&client, "t", 1).await;
    send(&client, &topic, 1, 0..10).await;
    let builder = client.consumer(&topic).group(group()).commit_manually();
    let mut member = builder.open().await.unwrap();
    take(&mut member, 3).await;
    assert_eq!(committed(&client, &topic).await, 0);
    member.commit().await.unwrap();
    assert_eq!(committed(&client, &topic).await, 3);
}

async fn what_was_processed_is_committed_in_the_background(client: Client) {
    let topic = create(&client, "t", 1).await;
    send(&client, &topic, 1, 0..10).await;
    let builder = client.consumer(&topic).group(group());
    let builder = builder.commit_every(Duration::from_millis(10));
    let mut member = builder.open().await.unwrap();
    take(&mut member, 5).await;
    // The fifth is still in hand.
    until(async || committed(&client, &topic).await == 4).await;
}

async fn a_dropped_member_leaves(client: Client) {
    let topic = create(&client, "t", 1).await;
    send(&client, &topic, 1, 0..3).await;
    let mut first = member(&client, &topic).await;
    take(&mut first, 2).await;
    drop(first);
    until(async || {
        let groups = client.list_groups().await.unwrap();
        groups[0].state == GroupState::Empty
    })
    .await;
    assert_eq!(committed(&client, &topic).await, 1);
}

async fn members_share_partitions_and_each_record_is_processed(client: Client) {
    let topic = create(&client, "t", 6).await;
    send(&client, &topic, 6, 0..60).await;
    let (values, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let mut readers = Vec::new();
    for _ in 0..3 {
        let (client, topic, values) = (client.clone(), topic.clone(), values.clone());
        readers.push(tokio::spawn(async move {
            let mut member = member(&client, &topic).await;
            while let Some(record) = member.next().await {
                let record = record.unwrap();
                values.send(text(&record.record).to_owned()).unwrap();
            }
        }));
    }
    until(async || {
        let described = client.describe_group(&group()).await;
        described.is_ok_and(|described| {
            described.members.len() == 3 && described.state == GroupState::Stable
        })
    })
    .await;
    send(&client, &topic, 6, 60..120).await;
    let mut all = BTreeSet::new();
    while all.len() < 120 {
        all.insert(seen.recv().await.unwrap());
    }
    let described = client.describe_group(&group()).await.unwrap();
    for member in &described.members {
        assert_eq!(member.assigned[0].partitions.len(), 2);
    }
    for reader in readers {
        reader.abort();
    }
}

async fn a_partition_moves_once_its_record_is_processed(client: Client) {
    let topic = create(&client, "t", 2).await;
    send(&client, &topic, 2, 0..4).await;
    let mut first = member(&client, &topic).await;
    let mut had = Vec::new();
    // Its hands are full with a record of the partition that will move.
    let in_hand = loop {
        let record = first.next().await.unwrap().unwrap();
        had.push(text(&record.record).to_owned());
        if record.partition == PartitionIndex::new(1) {
            break record;
        }
    };
    let mut second = member(&client, &topic).await;
    until(async || {
        let described = client.describe_group(&group()).await.unwrap();
        described
            .members
            .iter()
            .any(|member| !member.revoking.is_empty())
    })
    .await;
    assert!(
        second.assignment().is_empty(),
        "it moved with a record in hand"
    );
    // Asking for the next record says that the one before is processed.
    let moved = tokio::select! {
        () = async {
            loop {
                first.next().await.unwrap().unwrap();
            }
        } => unreachable!("it reads for ever"),
        moved = second.next() => moved.unwrap().unwrap(),
    };
    assert_eq!(moved.partition, PartitionIndex::new(1));
    assert_eq!(moved.offset, in_hand.offset.plus(1));
}

async fn who_keeps_a_partition_reads_on(client: Client) {
    let topic = create(&client, "t", 2).await;
    let mut first = member(&client, &topic).await;
    until(async || first.assignment().len() == 2).await;
    let second = member(&client, &topic).await;
    // Its hands are empty, so it gives up without being asked for a record.
    until(async || first.assignment().len() == 1 && second.assignment().len() == 1).await;
    let (_, kept) = first.assignment().pop().unwrap();
    send(&client, &topic, 2, kept.get()..kept.get() + 1).await;
    assert_eq!(next(&mut first).await, kept.get().to_string());
}

async fn a_static_member_comes_back_to_what_it_had(client: Client) {
    let topic = create(&client, "t", 4).await;
    let open = async |name: &str| {
        let builder = client.consumer(&topic).group(group());
        builder
            .instance(InstanceId::parse(name).unwrap())
            .open()
            .await
    };
    let first = open("one").await.unwrap();
    let second = open("two").await.unwrap();
    until(async || first.assignment().len() == 2 && second.assignment().len() == 2).await;
    let epoch = client.describe_group(&group()).await.unwrap().epoch;
    let had = first.assignment();
    first.close().await.unwrap();
    let again = open("one").await.unwrap();
    until(async || again.assignment() == had).await;
    assert_eq!(client.describe_group(&group()).await.unwrap().epoch, epoch);
    let third = open("one").await.unwrap_err();
    let in_use = matches!(
        &third,
        Error::Broker(BrokerError::Group(GroupError::InstanceInUse { .. }))
    );
    assert!(in_use && third.is_retryable(), "{third}");
}

/// The broker takes a member for gone, as if it had not heard of it for too long.
async fn says_so_and_joins_anew(broker: Broker, client: Client) {
    let topic = create(&client, "t", 1).await;
    send(&client, &topic, 1, 0..3).await;
    let mut first = member(&client, &topic).await;
    assert_eq!(next(&mut first).await, "0");
    let leave = GroupHeartbeat {
        group: group(),
        member: first.member().clone(),
        epoch: MemberEpoch::LEAVE,
        instance: None,
        client: String::new(),
        topics: None,
        assignor: None,
        rebalance_timeout: Duration::ZERO,
        owned: None,
        pattern: None,
    };
    broker.group_heartbeat(&leave).await.unwrap();
    let error = loop {
        match first.next().await.unwrap() {
            Ok(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(error) => break error,
        }
    };
    let expelled = matches!(
        error,
        Error::Broker(BrokerError::Group(GroupError::UnknownMember { .. }))
    );
    assert!(expelled, "{error}");
    // Nothing was committed, so it reads everything again.
    assert_eq!(take(&mut first, 3).await, ["0", "1", "2"]);
}

#[tokio::test]
async fn an_expelled_member_says_so_and_joins_anew_in_process() {
    let broker = broker().await;
    let client = Client::in_process(broker.clone());
    within(says_so_and_joins_anew(broker, client)).await;
}

#[tokio::test]
async fn an_expelled_member_says_so_and_joins_anew_over_tcp() {
    let broker = broker().await;
    let server = Server::start(broker.clone()).await;
    let client = server.client().await;
    within(says_so_and_joins_anew(broker, client)).await;
    server.stop().await;
}

async fn a_group_that_begins_at_the_end_loses_nothing_from_then_on(client: Client) {
    let topic = create(&client, "t", 1).await;
    send(&client, &topic, 1, 0..3).await;
    let builder = client.consumer(&topic).start(StartAt::End);
    let first = builder.group(group()).open().await.unwrap();
    until(async || first.assignment().len() == 1).await;
    first.close().await.unwrap();
    send(&client, &topic, 1, 3..5).await;
    let builder = client.consumer(&topic).start(StartAt::End);
    let mut second = builder.group(group()).open().await.unwrap();
    assert_eq!(take(&mut second, 2).await, ["3", "4"]);
}

async fn many_topics_are_read_together(client: Client) {
    let one = create(&client, "one", 1).await;
    let two = crate::fixture::name("two");
    let builder = client.consumer(&one).group(group()).topic(&two);
    let mut member = builder.open().await.unwrap();
    // It need not be there when the member joins.
    create(&client, "two", 1).await;
    send(&client, &one, 1, 0..2).await;
    send(&client, &two, 1, 2..4).await;
    let all: BTreeSet<_> = take(&mut member, 4).await.into_iter().collect();
    assert_eq!(all.len(), 4);
}

async fn topics_are_read_by_a_pattern(client: Client) {
    let eu = create(&client, "orders-eu", 1).await;
    let other = create(&client, "other", 1).await;
    let pattern = TopicPattern::parse("orders-.*").unwrap();
    let builder = client.group_consumer(group()).matching(pattern);
    let mut member = builder.open().await.unwrap();
    // One that comes later is taken in.
    let us = create(&client, "orders-us", 1).await;
    send(&client, &other, 1, 0..1).await;
    send(&client, &eu, 1, 1..2).await;
    send(&client, &us, 1, 2..3).await;
    let all: BTreeSet<_> = take(&mut member, 2).await.into_iter().collect();
    assert_eq!(all, BTreeSet::from(["1".to_owned(), "2".to_owned()]));
    member.close().await.unwrap();

    let error = client.group_consumer(group()).open().await.unwrap_err();
    let typed = matches!(
        error,
        Error::Broker(BrokerError::Group(GroupError::InvalidRequest(_)))
    );
    assert!(typed, "{error}");
}

async fn a_member_does_not_choose_partitions(client: Client) {
    let topic = create(&client, "t", 1).await;
    let builder = client.consumer(&topic).partitions([PartitionIndex::new(0)]);
    let error = builder.group(group()).open().await.unwrap_err();
    let typed = matches!(
        error,
        Error::Broker(BrokerError::Group(GroupError::InvalidRequest(_)))
    );
    assert!(typed, "{error}");
}

async fn offsets_are_kept_for_who_is_no_member(client: Client) {
    let topic = create(&client, "t", 2).await;
    send(&client, &topic, 2, 0..4).await;
    let place = |partition| (topic.clone(), PartitionIndex::new(partition));
    let commits = [(0, 1), (1, 2)].map(|(partition, offset)| OffsetCommit {
        topic: topic.clone(),
        partition: PartitionIndex::new(partition),
        offset: Offset::new(offset),
        metadata: format!("p{partition}"),
    });
    let of = group();
    let committing = client.commit_offsets(&of, None, commits.to_vec());
    committing.await.unwrap();
    let wanted = vec![place(1), place(0)];
    let found = client.fetch_offsets(&group(), Some(wanted)).await.unwrap();
    let found: Vec<_> = found
        .into_iter()
        .map(|found| found.committed.map(|at| (at.offset.get(), at.metadata)))
        .collect();
    assert_eq!(found, [Some((2, "p1".into())), Some((1, "p0".into()))]);
    client
        .delete_offsets(&group(), vec![place(0)])
        .await
        .unwrap();
    let lag = client.group_lag(&group()).await.unwrap();
    assert_eq!(lag.len(), 1);
    assert_eq!(
        (lag[0].partition, lag[0].records),
        (PartitionIndex::new(1), Some(0))
    );
}

async fn a_group_is_set_back(client: Client) {
    let topic = create(&client, "t", 1).await;
    send(&client, &topic, 1, 0..5).await;
    let mut first = member(&client, &topic).await;
    take(&mut first, 5).await;
    first.commit().await.unwrap();
    let to = OffsetSpec::Offset(Offset::new(2));
    let live = client.reset_offsets(&group(), &[], to, false).await;
    let live = matches!(
        live,
        Err(Error::Broker(BrokerError::Group(GroupError::NotEmpty(_))))
    );
    assert!(live);
    first.close().await.unwrap();
    let plan = client
        .reset_offsets(&group(), &[], to, false)
        .await
        .unwrap();
    assert_eq!(
        (plan[0].from, plan[0].to),
        (Some(Offset::new(5)), Offset::new(2))
    );
    let mut second = member(&client, &topic).await;
    assert_eq!(next(&mut second).await, "2");
    drop(second);
    until(async || client.delete_group(&group()).await.is_ok()).await;
    assert!(client.list_groups().await.unwrap().is_empty());
}

/// The one that only makes sense over a network.
#[tokio::test]
async fn a_member_outlives_a_lost_connection_and_a_restart_of_the_server() {
    let broker = broker().await;
    let server = Server::start(broker.clone()).await;
    let address = server.address;
    let client = server.client().await;
    let topic = create(&client, "t", 1).await;
    send(&client, &topic, 1, 0..5).await;
    let mut first = member(&client, &topic).await;
    assert_eq!(take(&mut first, 2).await, ["0", "1"]);
    server.kill().await;
    let server = Server::start_at(address, broker).await;
    within(async {
        assert_eq!(take(&mut first, 3).await, ["2", "3", "4"]);
        first.commit().await.unwrap();
    })
    .await;
    assert_eq!(committed(&client, &topic).await, 5);
    let described = client.describe_group(&group()).await.unwrap();
    assert_eq!(described.members.len(), 1);
    server.stop().await;
}
