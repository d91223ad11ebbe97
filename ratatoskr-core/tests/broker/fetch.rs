//! Reading: what comes back, how much of it, and how long it is waited for.

use std::time::Duration;

use ratatoskr_core::{
    Error,
    broker::{FetchPartition, FetchRequest},
    name::TopicName,
    offset::{Offset, PartitionIndex},
};
use tokio::time::Instant;

use crate::support::{Bench, P0, P1, batch, fetch_from, poll_from, settle, topic, values};

fn partition(topic: &TopicName, partition: PartitionIndex, bytes_max: usize) -> FetchPartition {
    FetchPartition {
        topic: topic.clone(),
        partition,
        from: Offset::ZERO,
        bytes_max,
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiting_fetch_is_woken_by_a_send() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    let request = poll_from(&topic, P0, Offset::ZERO);
    let began = Instant::now();
    let (fetched, _) = tokio::join!(bench.fetch_one(&request), async {
        settle().await;
        bench.send(&topic, &["a"]).await
    });
    assert_eq!(values(&fetched.unwrap().batches), ["a"]);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_answers_with_nothing_when_its_time_is_up_and_not_before() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    let began = Instant::now();
    let fetched = bench.fetch_one(&fetch_from(&topic, P0, Offset::ZERO)).await;
    assert!(fetched.unwrap().batches.is_empty());
    assert_eq!(began.elapsed(), Duration::ZERO);
    let fetched = bench.fetch_one(&poll_from(&topic, P0, Offset::ZERO)).await;
    assert!(fetched.unwrap().batches.is_empty());
    let waited = began.elapsed().as_secs_f64();
    assert!((60.0..60.01).contains(&waited), "{waited}");
}

#[tokio::test(start_paused = true)]
async fn a_fetch_waits_for_as_many_bytes_as_it_asked_for() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 2).await;
    let bytes = batch(&["a"]).total_bytes();
    let request = FetchRequest {
        partitions: vec![
            partition(&topic, P0, 1 << 20),
            partition(&topic, P1, 1 << 20),
        ],
        bytes_min: 3 * bytes,
        wait_max: Duration::from_mins(1),
        ..FetchRequest::default()
    };
    let broker = bench.broker.clone();
    let fetching = tokio::spawn(async move { broker.fetch(&request).await.unwrap() });
    for index in [P0, P1] {
        let pending = bench.broker.produce(&topic, index, batch(&["a"])).unwrap();
        pending.wait().await.unwrap();
        settle().await;
        assert!(!fetching.is_finished());
    }
    bench.send(&topic, &["b"]).await;
    let response = fetching.await.unwrap();
    let read: Vec<_> = response
        .partitions
        .into_iter()
        .map(|partition| values(&partition.result.unwrap().batches))
        .collect();
    assert_eq!(read, [vec!["a", "b"], vec!["a"]]);
}

#[tokio::test(start_paused = true)]
async fn more_bytes_than_the_answer_has_room_for_are_not_waited_for() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    bench.send(&topic, &["a"]).await;
    let began = Instant::now();
    for (bytes_max, of_partition) in [(50, 1 << 20), (1 << 20, 50)] {
        let request = FetchRequest {
            partitions: vec![partition(&topic, P0, of_partition)],
            bytes_min: 1 << 20,
            bytes_max,
            wait_max: Duration::from_mins(1),
            ..FetchRequest::default()
        };
        assert_eq!(
            values(&bench.fetch_one(&request).await.unwrap().batches),
            ["a"]
        );
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn an_answer_keeps_to_its_size_but_for_the_first_batch() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 2).await;
    let bytes = batch(&["a"]).total_bytes();
    for value in ["a", "b", "c"] {
        bench.send(&topic, &[value]).await;
        let pending = bench.broker.produce(&topic, P1, batch(&[value])).unwrap();
        pending.wait().await.unwrap();
    }
    for (bytes_max, of_partition, expected) in [
        (1, 1 << 20, ["a", ""]),
        (2 * bytes, 1 << 20, ["ab", ""]),
        (2 * bytes, bytes, ["a", "a"]),
        (5 * bytes, 1 << 20, ["abc", "ab"]),
        (4 * bytes - 1, 1 << 20, ["abc", ""]),
        (1 << 20, 1, ["a", "a"]),
    ] {
        let request = FetchRequest {
            partitions: vec![
                partition(&topic, P0, of_partition),
                partition(&topic, P1, of_partition),
            ],
            bytes_max,
            ..FetchRequest::default()
        };
        let response = bench.broker.fetch(&request).await.unwrap();
        let read: Vec<_> = response
            .partitions
            .into_iter()
            .map(|partition| values(&partition.result.unwrap().batches).concat())
            .collect();
        assert_eq!(read, expected, "{bytes_max} {of_partition}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_of_one_partition_is_told_at_once_beside_the_others() {
    let bench = Bench::memory().await;
    let orders = bench.topic("orders", 1).await;
    bench.send(&orders, &["a"]).await;
    let request = FetchRequest {
        partitions: vec![
            partition(&orders, P0, 1 << 20),
            partition(&orders, P1, 1 << 20),
            partition(&topic("other"), P0, 1 << 20),
        ],
        bytes_min: 1 << 20,
        wait_max: Duration::from_mins(1),
        ..FetchRequest::default()
    };
    let began = Instant::now();
    let response = bench.broker.fetch(&request).await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO);
    let [first, second, third] = &response.partitions[..] else {
        panic!("one answer each");
    };
    assert_eq!(values(&first.result.as_ref().unwrap().batches), ["a"]);
    assert!(matches!(second.result, Err(Error::UnknownPartition { .. })));
    assert!(matches!(third.result, Err(Error::UnknownTopic(_))));
}

#[tokio::test]
async fn an_offset_that_is_not_there_is_told_with_those_that_are() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    for value in ["a", "b"] {
        bench.send(&topic, &[value]).await;
    }
    bench.broker.trim(&topic, P0, Offset::new(1)).await.unwrap();
    for from in [0, 3] {
        let from = Offset::new(from);
        let read = bench.fetch_one(&fetch_from(&topic, P0, from)).await;
        let Err(Error::OffsetOutOfRange { requested, bounds }) = read else {
            panic!("{read:?}");
        };
        assert_eq!(requested, from);
        assert_eq!((bounds.log_start.get(), bounds.log_end.get()), (1, 2));
    }
    let at_the_end = bench
        .fetch_one(&fetch_from(&topic, P0, Offset::new(2)))
        .await;
    assert!(at_the_end.unwrap().batches.is_empty());
}

#[tokio::test(start_paused = true)]
async fn trimming_past_a_waiting_fetch_is_told() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    bench.send(&topic, &["a"]).await;
    let request = FetchRequest {
        bytes_min: 1 << 20,
        ..poll_from(&topic, P0, Offset::ZERO)
    };
    let (fetched, _) = tokio::join!(bench.fetch_one(&request), async {
        settle().await;
        bench.broker.trim(&topic, P0, Offset::new(1)).await
    });
    assert!(matches!(fetched, Err(Error::OffsetOutOfRange { .. })));
}

/// Producers and readers race on as many threads as there are; a lost wake-up would stop the run.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_wake_up_is_lost() {
    const RECORDS: u64 = 2_000;
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (broker, topic) = (bench.broker.clone(), topic.clone());
            tokio::spawn(async move {
                let mut next = Offset::ZERO;
                while next.get() < RECORDS {
                    let request = FetchRequest {
                        wait_max: Duration::from_hours(1),
                        ..poll_from(&topic, P0, next)
                    };
                    let response = broker.fetch(&request).await.unwrap();
                    let fetched = response.partitions[0].result.as_ref().unwrap();
                    next = next.plus(values(&fetched.batches).len() as u64);
                }
            })
        })
        .collect();
    let broker = bench.broker.clone();
    let producer = tokio::spawn(async move {
        for _ in 0..RECORDS {
            let pending = broker.produce(&topic, P0, batch(&["a"])).unwrap();
            pending.wait().await.unwrap();
            tokio::task::yield_now().await;
        }
    });
    let all = async {
        producer.await.unwrap();
        for reader in readers {
            reader.await.unwrap();
        }
    };
    let in_time = tokio::time::timeout(Duration::from_mins(1), all).await;
    assert!(in_time.is_ok(), "a reader sleeps on");
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_waiters_are_woken() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    let waiting: Vec<_> = (0..100_000)
        .map(|_| {
            let (broker, request) = (bench.broker.clone(), poll_from(&topic, P0, Offset::ZERO));
            tokio::spawn(async move { broker.fetch(&request).await })
        })
        .collect();
    settle().await;
    let began = Instant::now();
    bench.send(&topic, &["a"]).await;
    for waiting in waiting {
        let response = waiting.await.unwrap().unwrap();
        assert!(
            !response.partitions[0]
                .result
                .as_ref()
                .unwrap()
                .batches
                .is_empty()
        );
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
}
