//! Records that are given up, and what becomes of them.

use std::time::Duration;

use ratatoskr_core::{
    Error,
    broker::{
        BrowsePosition, DeadLetterFilter, NewTopic, PartitionState, RedriveOptions, RedriveReport,
    },
    delivery::{QueueError, SettleAction},
    name::TopicName,
    offset::Offset,
    record::Record,
};

use super::{Queue, consumer, group, reject, settlement, values};
use crate::support::{Fault, Operation, P0, START, settle, topic};

fn letters() -> TopicName {
    topic("orders.dlq")
}

/// Of five records with keys, those given up for each cause.
async fn given_up(causes: &[&str]) -> Queue {
    let queue = Queue::new(&[]).await;
    for n in 0..causes.len() {
        let record = Record::new(n.to_string())
            .with_key(format!("k{n}"))
            .with_header("trace", "t");
        queue.publish(record).await;
    }
    let acquired = queue.acquire("a", 100).await;
    let token = acquired.partitions[0].token;
    let settlements = (0..)
        .zip(causes)
        .map(|(offset, cause)| settlement(offset, token, reject(cause)));
    queue.settle_all("a", settlements.collect()).await.unwrap();
    settle().await;
    queue
}

async fn browse(queue: &Queue, filter: &DeadLetterFilter) -> Vec<String> {
    let broker = &queue.bench.broker;
    let page = broker
        .dead_letters_browse(&letters(), BrowsePosition::default(), 100, filter)
        .await
        .unwrap();
    assert_eq!(page.next, None);
    let values = page
        .letters
        .iter()
        .map(|letter| letter.record.record.value.clone().unwrap());
    values
        .map(|value| String::from_utf8(value.to_vec()).unwrap())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_rejected_record_goes_to_a_topic_made_for_it_and_says_where_it_was_and_why() {
    let queue = Queue::new(&[]).await;
    queue.fill(2).await;
    let first = queue.acquire("a", 2).await;
    queue.bench.clock.advance(Duration::from_secs(7));
    queue.settle("a", &first, SettleAction::Release).await;
    let second = queue.acquire("a", 1).await;
    queue.bench.clock.advance(Duration::from_secs(7));
    queue.settle("a", &second, reject("no such customer")).await;
    settle().await;
    let broker = &queue.bench.broker;
    let page = broker
        .dead_letters_browse(
            &letters(),
            BrowsePosition::default(),
            10,
            &DeadLetterFilter::default(),
        )
        .await
        .unwrap();
    let letter = &page.letters[0];
    assert_eq!(page.letters.len(), 1);
    assert_eq!(letter.record.record.value.as_deref(), Some(&b"0"[..]));
    assert_eq!(
        (&letter.origin_topic, letter.origin_offset),
        (&queue.topic, Offset::new(0))
    );
    assert_eq!(
        (&letter.group, &*letter.cause, letter.attempts),
        (&queue.group, "no such customer", 2)
    );
    assert_eq!(letter.first_failure, START.plus(Duration::from_secs(7)));
    assert_eq!(letter.last_failure, START.plus(Duration::from_secs(14)));
    let topics = broker.dead_letter_topics().await.unwrap();
    assert_eq!((&topics[0].topic, topics[0].letters), (&letters(), 1));
    assert_eq!(topics[0].groups, std::slice::from_ref(&queue.group));
    // The other record is not touched, and the group is done with the first.
    assert_eq!(queue.values("b", 9).await, ["1"]);
    let description = broker.queue_describe(&queue.group).await.unwrap();
    assert_eq!(description.topics[0].partitions[0].start, Offset::new(1));
    assert_eq!(description.topics[0].dead_letter_topic, Some(letters()));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_kills_its_consumers_is_given_up_though_nobody_asks() {
    let queue = Queue::new(&[("attempts_max", "2"), ("lease_ms", "1s")]).await;
    queue.fill(1).await;
    for _ in 0..2 {
        assert_eq!(queue.acquire("a", 1).await.record_count(), 1);
        queue.pass(Duration::from_secs(1)).await;
    }
    assert_eq!(queue.bench.values(&letters()).await, ["0"]);
    assert!(queue.acquire("a", 1).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn letters_go_back_by_filter_limit_and_rate_and_a_dry_run_only_looks() {
    let queue = given_up(&["bad", "bad", "worse", "bad", "bad"]).await;
    let broker = &queue.bench.broker;
    let bad = DeadLetterFilter {
        cause_contains: Some("ba".to_owned()),
        ..DeadLetterFilter::default()
    };
    let mut options = RedriveOptions {
        filter: bad.clone(),
        limit: Some(3),
        rate: Some(1),
        dry_run: true,
    };
    let report = broker
        .dead_letters_redrive(&letters(), &options)
        .await
        .unwrap();
    assert_eq!((report.matched, report.redriven), (3, 0));
    assert_eq!(browse(&queue, &DeadLetterFilter::default()).await.len(), 5);

    options.dry_run = false;
    let begun = tokio::time::Instant::now();
    let report = broker
        .dead_letters_redrive(&letters(), &options)
        .await
        .unwrap();
    assert_eq!((report.matched, report.redriven, report.failed), (3, 3, 0));
    assert_eq!(begun.elapsed().as_secs(), 3);
    assert_eq!(
        browse(&queue, &DeadLetterFilter::default()).await,
        ["2", "4"]
    );
    let acquired = queue.acquire("b", 9).await;
    assert_eq!(values(&acquired), ["0", "1", "3"]);
    let record = &acquired.deliveries().unwrap()[0].record.record;
    let headers: Vec<_> = record.headers.iter().map(|header| &*header.key).collect();
    assert_eq!(headers, ["trace"]);

    let queue = queue.reopened().await;
    let broker = &queue.bench.broker;
    let report = broker
        .dead_letters_discard(&letters(), &bad, None, true)
        .await
        .unwrap();
    assert_eq!((report.examined, report.discarded), (2, 1));
    broker
        .dead_letters_discard(&letters(), &bad, None, false)
        .await
        .unwrap();
    assert_eq!(browse(&queue, &DeadLetterFilter::default()).await, ["2"]);
    let report = broker
        .dead_letters_redrive(&letters(), &RedriveOptions::default())
        .await
        .unwrap();
    assert_eq!(report.redriven, 1);
    let again = broker
        .dead_letters_redrive(&letters(), &RedriveOptions::default())
        .await
        .unwrap();
    assert_eq!(again, RedriveReport::default());
}

#[tokio::test(start_paused = true)]
async fn letters_are_found_by_all_that_they_say() {
    let queue = given_up(&["bad", "worse"]).await;
    let filter = |change: fn(&mut DeadLetterFilter)| {
        let mut filter = DeadLetterFilter::default();
        change(&mut filter);
        filter
    };
    for (expected, filter) in [
        (&["0"][..], filter(|f| f.key = Some(b"k0".to_vec()))),
        (&["1"], filter(|f| f.place = Some((P0, Offset::new(1))))),
        (&["0", "1"], filter(|f| f.group = Some(group("billing")))),
        (&[], filter(|f| f.group = Some(group("other")))),
        (
            &["0", "1"],
            filter(|f| f.origin_topic = Some(topic("orders"))),
        ),
        (&[], filter(|f| f.origin_topic = Some(topic("other")))),
        (&["0", "1"], filter(|f| f.since = Some(START))),
        (&[], filter(|f| f.until = Some(START))),
    ] {
        assert_eq!(browse(&queue, &filter).await, expected, "{filter:?}");
    }
    let broker = &queue.bench.broker;
    let page = broker
        .dead_letters_browse(
            &letters(),
            BrowsePosition::default(),
            1,
            &DeadLetterFilter::default(),
        )
        .await
        .unwrap();
    let rest = broker
        .dead_letters_browse(
            &letters(),
            page.next.unwrap(),
            9,
            &DeadLetterFilter::default(),
        )
        .await
        .unwrap();
    assert_eq!((page.letters.len(), rest.letters.len()), (1, 1));
    assert_eq!(rest.letters[0].cause, "worse");
}

#[tokio::test(start_paused = true)]
async fn letters_wait_while_their_topic_takes_none_also_over_a_restart() {
    let queue = given_up(&["bad"]).await;
    queue.publish(Record::new("5").with_key("k5")).await;
    let storage = &queue.bench.storage;
    for _ in 0..3 {
        storage.fail(Operation::Append, &letters(), P0, Fault::full());
    }
    let acquired = queue.acquire("a", 1).await;
    queue.settle("a", &acquired, reject("bad")).await;
    settle().await;
    assert_eq!(
        queue
            .bench
            .broker
            .queue_counters()
            .iter()
            .map(|(_, c)| c.dying)
            .sum::<u64>(),
        1
    );
    let queue = queue.reopened().await;
    queue.pass(Duration::from_secs(30)).await;
    assert_eq!(queue.bench.values(&letters()).await, ["0", "5"]);
    let counters = queue.bench.broker.queue_counters();
    assert_eq!(
        counters
            .iter()
            .map(|(_, counters)| counters.dying)
            .sum::<u64>(),
        0
    );
    let state = queue
        .bench
        .broker
        .describe_topic(&letters())
        .unwrap()
        .partitions[0]
        .state
        .clone();
    assert_eq!(state, PartitionState::Online);
}

#[tokio::test(start_paused = true)]
async fn dead_letters_have_no_dead_letters() {
    let queue = given_up(&["bad"]).await;
    let broker = &queue.bench.broker;
    let options = ratatoskr_core::broker::AcquireOptions::default();
    let (readers, who) = (group("readers"), consumer("a"));
    let acquired = broker
        .queue_acquire(&readers, &letters(), &who, &options)
        .await
        .unwrap();
    let token = acquired.partitions[0].token;
    let settle = |action| async {
        let settlements = vec![settlement(0, token, action)];
        let pending = broker
            .queue_settle(&readers, &letters(), &who, settlements)
            .await
            .unwrap();
        pending.wait().await.unwrap().remove(0)
    };
    assert_eq!(
        settle(reject("again")).await,
        Err(QueueError::DeadLetterLoop(letters()))
    );
    assert_eq!(settle(SettleAction::Acknowledge).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn letters_whose_topic_is_gone_stay() {
    let queue = given_up(&["bad"]).await;
    let broker = &queue.bench.broker;
    broker.delete_topic(&queue.topic).await.unwrap();
    let report = broker
        .dead_letters_redrive(&letters(), &RedriveOptions::default())
        .await
        .unwrap();
    assert_eq!((report.redriven, report.failed), (0, 1));
    assert_eq!(browse(&queue, &DeadLetterFilter::default()).await, ["0"]);
}

#[tokio::test(start_paused = true)]
async fn a_topic_without_dead_letters_is_refused() {
    let queue = Queue::new(&[]).await;
    let answer = queue
        .bench
        .broker
        .dead_letters_redrive(&queue.topic, &RedriveOptions::default())
        .await;
    let error = answer.unwrap_err();
    assert!(
        matches!(&error, Error::Queue(QueueError::NotDeadLetters(topic)) if *topic == queue.topic),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn records_on_their_way_to_the_dead_letters_are_in_flight_and_acknowledging_others_frees() {
    let queue = Queue::new(&[("in_flight_max", "2")]).await;
    queue.fill(3).await;
    let broker = &queue.bench.broker;
    broker
        .create_topic(&letters(), NewTopic::default())
        .await
        .unwrap();
    for _ in 0..100 {
        queue
            .bench
            .storage
            .fail(Operation::Append, &letters(), P0, Fault::full());
    }
    let acquired = queue.acquire("a", 9).await;
    assert_eq!(values(&acquired), ["0", "1"]);
    let token = acquired.partitions[0].token;
    let rejected = vec![settlement(0, token, reject("bad"))];
    queue.settle_all("a", rejected).await.unwrap();
    let waiting = queue.wait_for("b", 9, Duration::from_hours(1));
    let begun = tokio::time::Instant::now();
    let (acquired, ()) = tokio::join!(waiting, async {
        settle().await;
        let done = vec![settlement(1, token, SettleAction::Acknowledge)];
        queue.settle_all("a", done).await.unwrap();
    });
    assert_eq!(values(&acquired), ["2"]);
    assert!(begun.elapsed() < Duration::from_millis(50));
    queue.bench.storage.clear_faults();
    queue.pass(Duration::from_mins(1)).await;
    assert_eq!(queue.bench.values(&letters()).await, ["0"]);
}
