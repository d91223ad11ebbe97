//! Queues: what is settled how, and what a failure does to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ratatoskr_client::{
    BrowsePosition, Client, DeadLetter, DeadLetterFilter, Error, GroupId, LeasedRecord, Nack,
    NewQueue, Queue, QueueConfigChange, QueueCounters, Record, Stopper, TopicName, Work,
};
use tokio::sync::{Mutex, Notify};

use crate::{
    fixture::{Server, broker, connect, create, name, text, within},
    proxy::Proxy,
};

crate::fixture::shared_tests! {
    what_is_acknowledged_is_done_for_good,
    a_retry_comes_again_and_says_so,
    a_rejected_record_is_a_dead_letter_with_its_cause,
    the_last_attempt_that_fails_makes_a_dead_letter,
    an_extended_lease_lasts_longer,
    what_is_held_when_a_consumer_closes_goes_to_another,
    a_handler_that_panics_has_asked_for_a_retry,
    two_workers_do_each_record_exactly_once,
    stopping_lets_what_is_begun_come_to_its_end,
    a_topic_that_is_not_there_is_told_at_once,
}

fn group() -> GroupId {
    GroupId::parse("work").unwrap()
}

/// A topic with these values, and a group whose retries come soon.
async fn prepare(client: &Client, values: &[&str], change: QueueConfigChange) -> TopicName {
    let topic = create(client, "jobs", 1).await;
    let producer = client.producer(&topic).open().await.unwrap();
    for value in values {
        producer.send(Record::new(value.to_string())).await.unwrap();
    }
    let config = QueueConfigChange {
        backoff_min: change.backoff_min.or(Some(Duration::from_millis(1))),
        ..change
    };
    let new = NewQueue { config };
    client.create_queue(&group(), new).await.unwrap();
    topic
}

async fn open(client: &Client, topic: &TopicName) -> Queue {
    let queue = client.queue(topic, &group()).prefetch(1, 1 << 20);
    queue.open().await.unwrap()
}

async fn next(queue: &mut Queue) -> LeasedRecord {
    queue.next().await.unwrap().unwrap()
}

/// What a group has seen happen, of all partitions.
async fn counters(client: &Client) -> QueueCounters {
    let described = client.describe_queue(&group()).await.unwrap();
    let mut sum = QueueCounters::default();
    for partition in described.topics.iter().flat_map(|topic| &topic.partitions) {
        sum += partition.counters;
    }
    sum
}

/// Asks until it is so; a test that waits in vain has hung.
async fn until(client: &Client, is_so: impl Fn(&QueueCounters) -> bool) {
    while !is_so(&counters(client).await) {
        tokio::task::yield_now().await;
    }
}

/// Dead letters are moved in the background.
async fn letters(client: &Client, count: usize) -> Vec<DeadLetter> {
    let topic = name("jobs.dlq");
    let all = DeadLetterFilter::default();
    loop {
        let from = BrowsePosition::default();
        match client.browse_dead_letters(&topic, from, 10, &all).await {
            Ok(page) if page.letters.len() >= count => return page.letters,
            Ok(_) | Err(Error::Broker(ratatoskr_core::Error::UnknownTopic(_))) => {}
            Err(error) => panic!("{error}"),
        }
        tokio::task::yield_now().await;
    }
}

async fn what_is_acknowledged_is_done_for_good(client: Client) {
    let topic = prepare(&client, &["a", "b"], QueueConfigChange::default()).await;
    let mut queue = open(&client, &topic).await;
    for expected in ["a", "b"] {
        let leased = next(&mut queue).await;
        assert_eq!(text(&leased.record.record), expected);
        assert_eq!(leased.delivery_count, 1);
        leased.ack().await.unwrap();
    }
    queue.close().await.unwrap();
    let left = client.peek_queue(&group(), &topic, 10).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(counters(&client).await.acknowledged, 2);
}

async fn a_retry_comes_again_and_says_so(client: Client) {
    let topic = prepare(&client, &["a"], QueueConfigChange::default()).await;
    let mut queue = open(&client, &topic).await;
    let first = next(&mut queue).await;
    let token = first.token;
    first.retry("not yet").await.unwrap();
    let second = next(&mut queue).await;
    assert_eq!(second.delivery_count, 2);
    assert!(second.token > token, "{} after {token}", second.token);
    second
        .nack_after(Duration::from_millis(1), "not yet")
        .await
        .unwrap();
    let third = next(&mut queue).await;
    assert_eq!(third.delivery_count, 3);
    third.release().await.unwrap();
    let fourth = next(&mut queue).await;
    assert_eq!(fourth.delivery_count, 4);
    fourth.ack().await.unwrap();
}

async fn a_rejected_record_is_a_dead_letter_with_its_cause(client: Client) {
    let topic = prepare(&client, &["a"], QueueConfigChange::default()).await;
    let mut queue = open(&client, &topic).await;
    let leased = next(&mut queue).await;
    leased.reject("no such customer").await.unwrap();
    let letters = letters(&client, 1).await;
    let [letter] = &letters[..] else {
        panic!("{letters:?}");
    };
    assert_eq!(letter.cause, "no such customer");
    assert_eq!(text(&letter.record.record), "a");
    assert_eq!((&letter.origin_topic, letter.attempts), (&topic, 1));
    assert_eq!(letter.group, group());
    until(&client, |counters| counters.dead_lettered == 1).await;
}

async fn the_last_attempt_that_fails_makes_a_dead_letter(client: Client) {
    let config = QueueConfigChange {
        attempts_max: Some(2),
        ..QueueConfigChange::default()
    };
    let topic = prepare(&client, &["a"], config).await;
    let mut queue = open(&client, &topic).await;
    next(&mut queue).await.retry("first").await.unwrap();
    next(&mut queue).await.retry("second").await.unwrap();
    let letters = letters(&client, 1).await;
    assert_eq!((letters[0].attempts, &*letters[0].cause), (2, "second"));
}

async fn an_extended_lease_lasts_longer(client: Client) {
    let config = QueueConfigChange {
        lease: Some(Duration::from_millis(100)),
        ..QueueConfigChange::default()
    };
    let topic = prepare(&client, &["extended", "left alone"], config).await;
    let mut queue = open(&client, &topic).await;
    let mut extended = next(&mut queue).await;
    let before = extended.lease_ends();
    extended.extend(Duration::from_hours(1)).await.unwrap();
    assert!(extended.lease_ends() > before + Duration::from_mins(50));
    let left_alone = next(&mut queue).await;
    until(&client, |counters| counters.leases_expired > 0).await;
    let late = left_alone.ack().await.unwrap_err();
    assert!(
        matches!(late, Error::Broker(ratatoskr_core::Error::Queue(_))),
        "{late:?}"
    );
    extended.ack().await.unwrap();
}

async fn what_is_held_when_a_consumer_closes_goes_to_another(client: Client) {
    let topic = prepare(&client, &["a"], QueueConfigChange::default()).await;
    let mut one = open(&client, &topic).await;
    let held = next(&mut one).await;
    let mut other = open(&client, &topic).await;
    one.close().await.unwrap();
    let again = next(&mut other).await;
    // Giving back does not count as an attempt.
    assert_eq!(again.delivery_count, 1);
    assert!(held.ack().await.is_err());
    again.ack().await.unwrap();
}

async fn a_handler_that_panics_has_asked_for_a_retry(client: Client) {
    let topic = prepare(&client, &["a", "b"], QueueConfigChange::default()).await;
    let queue = open(&client, &topic).await;
    let stopper = queue.stopper();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let handler = {
        let seen = Arc::clone(&seen);
        move |work: Work| {
            let (seen, stopper) = (Arc::clone(&seen), stopper.clone());
            async move {
                let value = text(&work.record.record).to_owned();
                assert!(value != "a" || work.delivery_count > 1, "on purpose");
                let mut seen = seen.lock().await;
                seen.push((value, work.delivery_count));
                if seen.len() == 2 {
                    stopper.stop();
                }
                Ok(())
            }
        }
    };
    queue.for_each_concurrent(1, handler).await.unwrap();
    let mut seen = seen.lock().await.clone();
    seen.sort();
    assert_eq!(seen, [("a".to_owned(), 2), ("b".to_owned(), 1)]);
    assert_eq!(counters(&client).await.acknowledged, 2);
}

/// How often each value was handled.
type Handled = Arc<Mutex<BTreeMap<String, u32>>>;

/// A handler that takes note, and stops all workers once so many values are known.
fn noting(
    handled: &Handled,
    stoppers: &[Stopper],
    values: usize,
) -> impl Fn(Work) -> std::pin::Pin<Box<dyn Future<Output = Result<(), Nack>> + Send>>
+ Send
+ Sync
+ 'static {
    let handled = Arc::clone(handled);
    let stoppers = stoppers.to_vec();
    move |work| {
        let (handled, stoppers) = (Arc::clone(&handled), stoppers.clone());
        Box::pin(async move {
            let mut handled = handled.lock().await;
            *handled
                .entry(text(&work.record.record).to_owned())
                .or_default() += 1;
            if handled.len() == values {
                stoppers.iter().for_each(Stopper::stop);
            }
            Ok(())
        })
    }
}

async fn thousand(client: &Client, partitions: u32) -> TopicName {
    let topic = create(client, "jobs", partitions).await;
    let producer = client.producer(&topic).open().await.unwrap();
    for number in 0..1_000 {
        let record = Record::new(number.to_string());
        drop(producer.enqueue(record).await.unwrap());
    }
    producer.close().await.unwrap();
    topic
}

async fn two_workers_do_each_record_exactly_once(client: Client) {
    let topic = thousand(&client, 3).await;
    let queue = || client.queue(&topic, &group()).prefetch(50, 1 << 20).open();
    let queues = [queue().await.unwrap(), queue().await.unwrap()];
    let stoppers: Vec<_> = queues.iter().map(Queue::stopper).collect();
    let times = Handled::default();
    let [one, other] = queues.map(|queue| {
        let handler = noting(&times, &stoppers, 1_000);
        tokio::spawn(queue.for_each_concurrent(8, handler))
    });
    one.await.unwrap().unwrap();
    other.await.unwrap().unwrap();
    let times = times.lock().await;
    let numbers: BTreeSet<String> = (0..1_000).map(|number: u32| number.to_string()).collect();
    assert!(times.keys().eq(&numbers), "{} values", times.len());
    assert!(times.values().all(|&count| count == 1));
    let counters = counters(&client).await;
    assert_eq!((counters.acknowledged, counters.in_flight), (1_000, 0));
}

async fn stopping_lets_what_is_begun_come_to_its_end(client: Client) {
    let values = ["a", "b", "c", "d", "e", "f"];
    let topic = prepare(&client, &values, QueueConfigChange::default()).await;
    let queue = client.queue(&topic, &group()).open().await.unwrap();
    let stopper = queue.stopper();
    let begun = Arc::new(AtomicUsize::new(0));
    let (both, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let handler = {
        let (begun, both, go_on) = (Arc::clone(&begun), Arc::clone(&both), Arc::clone(&go_on));
        move |_: Work| {
            let (begun, both, go_on) = (Arc::clone(&begun), Arc::clone(&both), Arc::clone(&go_on));
            async move {
                let waiting = go_on.notified();
                if begun.fetch_add(1, Ordering::SeqCst) + 1 == 2 {
                    both.notify_one();
                }
                waiting.await;
                Ok(())
            }
        }
    };
    let working = tokio::spawn(queue.for_each_concurrent(2, handler));
    both.notified().await;
    stopper.stop();
    // One at a time, so that neither misses it.
    while !working.is_finished() {
        go_on.notify_waiters();
        tokio::task::yield_now().await;
    }
    working.await.unwrap().unwrap();
    assert_eq!(begun.load(Ordering::SeqCst), 2);
    let left = client.peek_queue(&group(), &topic, 10).await.unwrap();
    assert_eq!(left.len(), 4, "{left:?}");
    // What had been taken ahead was given back, which is no attempt.
    assert!(
        left.iter().all(|peeked| peeked.delivery_count == 0),
        "{left:?}"
    );
}

async fn a_topic_that_is_not_there_is_told_at_once(client: Client) {
    let error = client.queue(&name("nowhere"), &group()).open().await;
    assert!(
        matches!(
            error,
            Err(Error::Broker(ratatoskr_core::Error::UnknownTopic(_)))
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn connections_cut_in_the_middle_lose_nothing() {
    for seed in 0..3 {
        let broker = broker().await;
        let server = Server::start(broker.clone()).await;
        let direct = Client::in_process(broker);
        let topic = thousand(&direct, 3).await;
        let proxy = Proxy::cutting(server.address, 2_000..30_000, seed).await;
        let client = connect(proxy.address).await;
        let work = async {
            // What a cut connection held comes again to whoever is there.
            let queue = loop {
                let queue = client.queue(&topic, &group()).prefetch(50, 4_000);
                match queue.open().await {
                    Ok(queue) => break queue,
                    Err(error) => assert!(!matches!(error, Error::Closed), "{error:?}"),
                }
            };
            let times = Handled::default();
            let handler = noting(&times, &[queue.stopper()], 1_000);
            // Whether the last word came through a connection that was cut is not what this asks.
            let _ = queue.for_each_concurrent(8, handler).await;
            assert_eq!(times.lock().await.len(), 1_000, "seed {seed}");
        };
        within(work).await;
    }
}
