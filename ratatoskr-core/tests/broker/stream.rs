//! Streams: where they begin, what ends them, and what they tell when records are gone.

use std::time::Duration;

use ratatoskr_core::{
    Error,
    broker::{RecordStream, StartAt, StreamOptions},
    name::TopicName,
    offset::Offset,
    record::{ConsumedRecord, Record},
    time::Timestamp,
};

use crate::support::{Bench, Fault, Operation, P0, P1, START, batch, settle};

async fn stream_from(bench: &Bench, topic: &TopicName, start: StartAt) -> RecordStream {
    let options = StreamOptions {
        start,
        ..StreamOptions::default()
    };
    bench.broker.stream(topic, options).await.unwrap()
}

fn value(record: ConsumedRecord) -> String {
    String::from_utf8(record.record.value.unwrap().to_vec()).unwrap()
}

async fn take(stream: &mut RecordStream, count: usize) -> Vec<String> {
    let mut taken = Vec::new();
    for _ in 0..count {
        taken.push(value(stream.next().await.unwrap().unwrap()));
    }
    taken
}

#[tokio::test]
async fn a_stream_begins_where_it_is_told() {
    let at = |seconds| StartAt::Timestamp(START.plus(Duration::from_secs(seconds)));
    for (start, expected) in [
        (StartAt::Start, "abcde"),
        (StartAt::Offset(Offset::new(2)), "cde"),
        (StartAt::Offsets(vec![(P0, Offset::new(3))]), "de"),
        (at(1), "bcde"),
        (at(100), "e"),
        (StartAt::End, "e"),
    ] {
        let bench = Bench::memory().await;
        let topic = bench.topic("orders", 1).await;
        for (n, value) in (0..).zip(["a", "b", "c", "d"]) {
            let at = START.plus(Duration::from_secs(n));
            let record = Record::new(value).with_timestamp(at);
            bench.broker.publish(&topic, record).await.unwrap();
        }
        let mut stream = stream_from(&bench, &topic, start.clone()).await;
        bench.send(&topic, &["e"]).await;
        let taken = take(&mut stream, expected.len()).await;
        assert_eq!(taken.concat(), expected, "{start:?}");
    }
}

#[tokio::test]
async fn a_batch_is_entered_in_its_middle() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    bench.send(&topic, &["a", "b", "c"]).await;
    let mut stream = stream_from(&bench, &topic, StartAt::Offset(Offset::new(1))).await;
    assert_eq!(take(&mut stream, 2).await, ["b", "c"]);
}

#[tokio::test]
async fn many_streams_read_the_same_records() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 2).await;
    let mut streams = Vec::new();
    for _ in 0..100 {
        streams.push(stream_from(&bench, &topic, StartAt::End).await);
    }
    for n in 0..10 {
        let partition = if n % 2 == 0 { P0 } else { P1 };
        let pending = bench
            .broker
            .produce(&topic, partition, batch(&[&n.to_string()]));
        pending.unwrap().wait().await.unwrap();
    }
    for mut stream in streams {
        let mut taken = take(&mut stream, 10).await;
        taken.sort();
        assert_eq!(taken.concat(), "0123456789");
    }
}

#[tokio::test]
async fn a_partition_that_is_added_is_read_from_its_first_record() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    let mut stream = stream_from(&bench, &topic, StartAt::End).await;
    let reading = tokio::spawn(async move { take(&mut stream, 1).await });
    settle().await;
    bench.broker.add_partitions(&topic, 2).await.unwrap();
    let pending = bench.broker.produce(&topic, P1, batch(&["new"])).unwrap();
    pending.wait().await.unwrap();
    assert_eq!(reading.await.unwrap(), ["new"]);
}

#[tokio::test]
async fn records_that_are_gone_are_told_and_reading_goes_on() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    let mut stream = stream_from(&bench, &topic, StartAt::Start).await;
    bench.send(&topic, &["a"]).await;
    bench.send(&topic, &["b"]).await;
    bench.broker.trim(&topic, P0, Offset::new(1)).await.unwrap();
    assert!(matches!(
        stream.next().await,
        Some(Err(Error::OffsetOutOfRange { requested, bounds }))
            if requested == Offset::ZERO && bounds.log_start == Offset::new(1)
    ));
    assert_eq!(take(&mut stream, 1).await, ["b"]);
}

#[tokio::test]
async fn an_offset_beyond_the_end_is_told() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    let mut stream = stream_from(&bench, &topic, StartAt::Offset(Offset::new(1))).await;
    let Some(Err(Error::OffsetOutOfRange { requested, .. })) = stream.next().await else {
        panic!("nobody was told");
    };
    assert_eq!(requested, Offset::new(1));
    bench.send(&topic, &["a"]).await;
    assert_eq!(take(&mut stream, 1).await, ["a"]);
}

#[tokio::test]
async fn deletion_ends_a_stream() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    let mut stream = stream_from(&bench, &topic, StartAt::Start).await;
    let reading = tokio::spawn(async move {
        let last = stream.next().await;
        (last, stream.next().await)
    });
    settle().await;
    bench.broker.delete_topic(&topic).await.unwrap();
    let (last, after) = reading.await.unwrap();
    assert!(matches!(last, Some(Err(Error::UnknownTopic(name))) if name == topic));
    assert!(after.is_none());
}

#[tokio::test]
async fn shutting_down_ends_a_stream() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    let mut stream = stream_from(&bench, &topic, StartAt::Start).await;
    let reading = tokio::spawn(async move { stream.next().await });
    settle().await;
    bench.broker.shutdown(Duration::from_secs(1)).await.unwrap();
    let last = reading.await.unwrap();
    assert!(matches!(last, Some(Err(Error::ShuttingDown))));
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_is_down_is_waited_for_while_others_are_read() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 2).await;
    bench.send(&topic, &["down"]).await;
    bench.broker.bounds(&topic, P1).unwrap();
    bench
        .storage
        .fail(Operation::Read, &topic, P0, Fault::broken());
    let mut stream = stream_from(&bench, &topic, StartAt::Start).await;
    let pending = bench.broker.produce(&topic, P1, batch(&["up"])).unwrap();
    pending.wait().await.unwrap();
    assert_eq!(take(&mut stream, 2).await, ["up", "down"]);
}

#[tokio::test]
async fn dropping_the_wait_for_a_record_loses_none() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    let mut stream = stream_from(&bench, &topic, StartAt::Start).await;
    for n in 0..20 {
        for _ in 0..3 {
            let waited = tokio::time::timeout(Duration::ZERO, stream.next()).await;
            assert!(waited.is_err(), "a record came out of nothing");
        }
        bench.send(&topic, &[&n.to_string()]).await;
        assert_eq!(take(&mut stream, 1).await, [n.to_string()]);
    }
}

#[tokio::test]
async fn a_time_finds_the_record_inside_its_batch() {
    let bench = Bench::memory().await;
    let topic = bench.topic("orders", 1).await;
    let records = (0..10).map(|n| {
        let at = Timestamp::new(START.get() + n * 10);
        Record::new(n.to_string()).with_timestamp(at)
    });
    bench
        .broker
        .publish_many(&topic, records.collect())
        .await
        .unwrap();
    let start = StartAt::Timestamp(Timestamp::new(START.get() + 41));
    let mut stream = stream_from(&bench, &topic, start).await;
    assert_eq!(take(&mut stream, 5).await.concat(), "56789");
}
