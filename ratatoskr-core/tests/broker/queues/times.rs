//! Delays and times to live.

use std::time::Duration;

use ratatoskr_core::{broker::RecordState, delivery::SettleAction, record::Record};

use super::{Queue, retry_after, values};
use crate::support::{Bench, START, change};

#[tokio::test(start_paused = true)]
async fn a_delayed_record_is_held_back_until_its_time_also_over_a_restart() {
    let queue = Queue::new(&[]).await;
    let now = Record::new("now");
    queue
        .publish(Record::new("later").with_delay(Duration::from_mins(10)))
        .await;
    queue
        .publish(Record::new("at").deliver_at(START.plus(Duration::from_mins(5))))
        .await;
    queue.publish(now).await;
    let acquired = queue.acquire("a", 9).await;
    assert_eq!(values(&acquired), ["now"]);
    queue
        .settle("a", &acquired, SettleAction::Acknowledge)
        .await;
    let peeked = queue
        .bench
        .broker
        .queue_peek(&queue.group, &queue.topic, 9)
        .await
        .unwrap();
    let states: Vec<_> = peeked.iter().map(|peeked| peeked.state.clone()).collect();
    assert_eq!(
        states,
        [
            RecordState::Delayed(START.plus(Duration::from_mins(10))),
            RecordState::Delayed(START.plus(Duration::from_mins(5))),
        ]
    );

    let queue = queue.reopened().await;
    assert!(queue.acquire("a", 9).await.is_empty());
    queue.bench.clock.advance(Duration::from_mins(5));
    let acquired = queue.wait_for("a", 9, Duration::from_secs(1)).await;
    assert_eq!(values(&acquired), ["at"]);
    queue
        .settle("a", &acquired, SettleAction::Acknowledge)
        .await;
    let waiting = queue.wait_for("a", 9, Duration::from_hours(1));
    let (acquired, ()) = tokio::join!(waiting, async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        queue.bench.clock.advance(Duration::from_mins(5));
    });
    assert_eq!(values(&acquired), ["later"]);
}

#[tokio::test(start_paused = true)]
async fn a_consumer_may_see_a_record_again_later_also_over_a_restart() {
    let queue = Queue::new(&[]).await;
    queue.fill(2).await;
    let acquired = queue.acquire("a", 1).await;
    queue.settle("a", &acquired, retry_after(60)).await;
    assert_eq!(queue.values("a", 9).await, ["1"]);
    let queue = queue.reopened().await;
    let first_of = async |queue: &Queue| {
        let peeked = queue.bench.broker.queue_peek(&queue.group, &queue.topic, 9);
        let first = peeked.await.unwrap().remove(0);
        (first.delivery_count, first.state)
    };
    let due = START.plus(Duration::from_mins(1));
    assert_eq!(first_of(&queue).await, (1, RecordState::Delayed(due)));
    assert_eq!(queue.values("b", 9).await, ["1"]);
    assert_eq!(first_of(&queue).await, (1, RecordState::Delayed(due)));
    queue.pass(Duration::from_mins(1)).await;
    let acquired = queue.acquire("b", 9).await;
    assert_eq!(values(&acquired)[0], "0");
    assert_eq!(acquired.deliveries().unwrap()[0].delivery_count, 2);
}

#[tokio::test(start_paused = true)]
async fn records_whose_time_to_live_has_passed_are_not_delivered() {
    let queue = Queue::new(&[]).await;
    queue
        .publish(Record::new("short").with_ttl(Duration::from_secs(10)))
        .await;
    queue
        .publish(Record::new("long").with_ttl(Duration::from_hours(1)))
        .await;
    queue.publish(Record::new("ever")).await;
    // Delivered in time, and given back too late.
    let acquired = queue.acquire("a", 1).await;
    assert_eq!(values(&acquired), ["short"]);
    queue.pass(Duration::from_secs(10)).await;
    queue.settle("a", &acquired, SettleAction::Release).await;
    assert_eq!(queue.values("b", 9).await, ["long", "ever"]);
    let counters = queue.bench.broker.queue_counters()[0].1;
    assert_eq!((counters.expired, counters.in_flight), (1, 2));

    queue
        .publish(Record::new("unseen").with_ttl(Duration::from_secs(1)))
        .await;
    queue.pass(Duration::from_secs(1)).await;
    queue.publish(Record::new("new")).await;
    assert_eq!(queue.values("c", 9).await, ["new"]);
    assert_eq!(queue.bench.broker.queue_counters()[0].1.expired, 2);
}

#[tokio::test(start_paused = true)]
async fn a_topic_may_have_a_time_to_live_that_records_overrule() {
    let queue = Queue::new(&[]).await;
    let ttl = change(&[("ttl_ms", "1m")]);
    queue
        .bench
        .broker
        .alter_topic(&queue.topic, &ttl)
        .await
        .unwrap();
    queue.publish(Record::new("default")).await;
    queue
        .publish(Record::new("own").with_ttl(Duration::from_hours(1)))
        .await;
    queue.pass(Duration::from_mins(1)).await;
    assert_eq!(queue.values("a", 9).await, ["own"]);
}

#[tokio::test(start_paused = true)]
async fn expired_records_are_dead_letters_where_the_group_wants_them() {
    let queue = Queue::new(&[("dead_letter_expired", "true")]).await;
    queue
        .publish(Record::new("short").with_ttl(Duration::from_secs(1)))
        .await;
    queue.pass(Duration::from_secs(1)).await;
    assert!(queue.acquire("a", 9).await.is_empty());
    queue.pass(Duration::ZERO).await;
    let letters = crate::support::topic("orders.dlq");
    assert_eq!(queue.bench.values(&letters).await, ["short"]);
}

#[tokio::test(start_paused = true)]
async fn headers_that_are_no_times_say_nothing() {
    let queue = Queue::over(Bench::memory().await, &[]).await;
    for header in ["_rt.ttl_ms", "_rt.delay_ms", "_rt.deliver_at"] {
        for value in ["", "soon", "-5", "99999999999999999999"] {
            queue
                .publish(Record::new("x").with_header(header, value))
                .await;
        }
    }
    assert_eq!(queue.acquire("a", 100).await.record_count(), 12);
}
