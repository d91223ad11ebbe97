//! Retention: what is too old or too much goes by itself, and a clock that jumps takes nothing.

use std::time::Duration;

use ratatoskr_core::{name::TopicName, offset::Offset, time::Timestamp};

use crate::support::{Bench, P0, START, batch};

const DAY: Duration = Duration::from_hours(24);

/// Lets time pass, for the clock as for the runtime's timers.
async fn pass(bench: &Bench, by: Duration) {
    bench.clock.advance(by);
    // Once to let a round begin, once to let it end.
    tokio::time::sleep(Duration::from_secs(31)).await;
    tokio::time::sleep(Duration::from_secs(31)).await;
}

fn log_start(bench: &Bench, topic: &TopicName) -> Offset {
    bench.broker.bounds(topic, P0).unwrap().log_start
}

#[tokio::test(start_paused = true)]
async fn old_records_go_and_young_ones_stay() {
    let bench = Bench::memory().await;
    let topic = bench
        .topic_with("orders", 1, &[("retention_ms", "2d")])
        .await;
    bench.send(&topic, &["old"]).await;
    pass(&bench, DAY).await;
    assert_eq!(bench.values(&topic).await, ["old"]);
    pass(&bench, DAY + Duration::from_millis(1)).await;
    assert!(bench.values(&topic).await.is_empty());
    assert_eq!(bench.send(&topic, &["new"]).await, Offset::new(1));
}

#[tokio::test(start_paused = true)]
async fn a_partition_keeps_as_many_bytes_as_it_is_told_to() {
    let bench = Bench::memory().await;
    let keep = (3 * batch(&["0"]).total_bytes()).to_string();
    let topic = bench
        .topic_with("orders", 1, &[("retention_bytes", &keep)])
        .await;
    for n in 0..10 {
        bench.send(&topic, &[&n.to_string()]).await;
    }
    pass(&bench, Duration::ZERO).await;
    assert_eq!(bench.values(&topic).await.concat(), "789");
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_jumps_ahead_removes_nothing() {
    let bench = Bench::memory().await;
    let topic = bench
        .topic_with("orders", 1, &[("retention_ms", "2d")])
        .await;
    bench.send(&topic, &["a"]).await;
    bench.clock.jump(START.plus(365 * DAY));
    pass(&bench, Duration::ZERO).await;
    assert_eq!(log_start(&bench, &topic), Offset::ZERO);
    bench.clock.jump(Timestamp::new(0));
    pass(&bench, Duration::ZERO).await;
    bench.clock.jump(START);
    pass(&bench, Duration::from_hours(2)).await;
    assert_eq!(log_start(&bench, &topic), Offset::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_nobody_uses_is_looked_after_without_reading_its_log() {
    let bench = Bench::memory().await;
    let topic = bench
        .topic_with("orders", 1, &[("retention_ms", "2d")])
        .await;
    bench.send(&topic, &["a"]).await;
    bench.send(&topic, &["b"]).await;
    bench.clock.advance(3 * DAY);
    let reopened = Bench {
        broker: ratatoskr_core::Broker::builder(bench.storage.clone(), bench.clock.clone())
            .open()
            .await
            .unwrap(),
        storage: bench.storage.clone(),
        clock: bench.clock.clone(),
    };
    bench.broker.shutdown(Duration::ZERO).await.unwrap();
    pass(&reopened, Duration::ZERO).await;
    let described = reopened.broker.describe_topic(&topic).unwrap();
    assert_eq!(described.partitions[0].bounds.log_start, Offset::new(2));
}
