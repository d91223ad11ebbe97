//! Shutting down: what is on its way ends, what comes later is refused, and it takes no longer than
//! it may.

use std::time::Duration;

use ratatoskr_core::{BrokerConfig, Error, broker::NewTopic, offset::Offset, record::Record};

use crate::support::{Bench, Fault, Operation, P0, batch, poll_from, settle, topic};

const GRACE: Duration = Duration::from_secs(5);

#[tokio::test(start_paused = true)]
async fn everything_is_refused_afterwards() {
    let bench = Bench::memory().await;
    let orders = bench.topic("orders", 1).await;
    let report = bench.broker.shutdown(GRACE).await.unwrap();
    assert!(report.is_clean());
    let broker = &bench.broker;
    let request = poll_from(&orders, P0, Offset::ZERO);
    let answers = [
        broker.produce(&orders, P0, batch(&["a"])).map(drop),
        broker.publish(&orders, Record::new("a")).await.map(drop),
        broker.fetch(&request).await.map(drop),
        broker
            .create_topic(&topic("x"), NewTopic::default())
            .await
            .map(drop),
        broker.delete_topic(&orders).await,
        broker.trim(&orders, P0, Offset::ZERO).await.map(drop),
        broker.bounds(&orders, P0).map(drop),
    ];
    for answer in answers {
        assert!(matches!(answer, Err(Error::ShuttingDown)), "{answer:?}");
    }
    assert!(broker.shutdown(GRACE).await.unwrap().is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_waiting_fetch_ends() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    let request = poll_from(&topic, P0, Offset::ZERO);
    let began = tokio::time::Instant::now();
    let (fetched, ()) = tokio::join!(bench.fetch_one(&request), async {
        settle().await;
        bench.broker.shutdown(GRACE).await.unwrap();
    });
    assert!(matches!(fetched, Err(Error::ShuttingDown)));
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn what_is_on_its_way_is_waited_for_and_flushed() {
    let (bench, committer) = Bench::committing(BrokerConfig::default()).await;
    let topic = bench.topic("orders", 1).await;
    let pending = bench.broker.produce(&topic, P0, batch(&["a"])).unwrap();
    let broker = bench.broker.clone();
    let shutting_down = tokio::spawn(async move { broker.shutdown(GRACE).await });
    settle().await;
    assert!(!shutting_down.is_finished());
    committer.commit();
    pending.wait().await.unwrap();
    let report = shutting_down.await.unwrap().unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(bench.storage.flushes(), 1);
}

#[tokio::test(start_paused = true)]
async fn it_takes_no_longer_than_it_may_and_counts_what_is_left() {
    let (bench, _committer) = Bench::committing(BrokerConfig::default()).await;
    let topic = bench.topic("orders", 1).await;
    let _pending = bench.broker.produce(&topic, P0, batch(&["a"])).unwrap();
    let began = tokio::time::Instant::now();
    let report = bench.broker.shutdown(GRACE).await.unwrap();
    assert!(report.timed_out && !report.is_clean());
    assert_eq!(report.batches_unsettled, 1);
    assert!(began.elapsed() < GRACE + Duration::from_millis(10));
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_cannot_be_flushed_is_reported() {
    let bench = Bench::flushing().await;
    let topic = bench.topic_with("orders", 1, &[("durability", "os")]).await;
    bench.send(&topic, &["a"]).await;
    bench
        .storage
        .fail(Operation::Flush, &topic, P0, Fault::broken());
    let report = bench.broker.shutdown(GRACE).await.unwrap();
    assert_eq!(report.problems.len(), 1, "{report:?}");
}
