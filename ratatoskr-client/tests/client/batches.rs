//! The low level: batches as they are, offsets, long poll.

use std::time::Duration;

use ratatoskr_client::{
    Client, Error, FetchPartition, FetchRequest, Offset, OffsetSpec, Outcome, PartitionIndex,
    Record, Timestamp, TopicName,
};
use ratatoskr_core::{
    Error as BrokerError,
    batch::{BatchBuilder, RecordBatch, batches},
    producer::{ProducerEpoch, ProducerId, ProducerStamp, Sequence},
};

use crate::fixture::{create, shared_tests};

shared_tests! {
    a_batch_goes_in_and_comes_out,
    a_fetch_waits_for_records,
    a_fetch_tells_each_partitions_error,
    offsets_are_found,
    a_batch_sent_twice_is_appended_once,
    a_missing_batch_is_told_of,
    a_damaged_batch_is_refused,
}

const PARTITION: PartitionIndex = PartitionIndex::new(0);

fn batch(values: &[&str]) -> RecordBatch {
    let mut builder = BatchBuilder::default();
    for value in values {
        let record = Record::new(value.as_bytes().to_vec());
        builder.push(&record, Timestamp::new(1_000)).unwrap();
    }
    builder.build().unwrap()
}

fn stamped(mut batch: RecordBatch, id: ProducerId, base_sequence: i32) -> RecordBatch {
    batch.set_producer(ProducerStamp {
        id,
        epoch: ProducerEpoch::new(0),
        base_sequence: Sequence::new(base_sequence),
    });
    batch
}

fn fetch(topic: &TopicName, from: u64, wait_max: Duration) -> FetchRequest {
    FetchRequest {
        partitions: vec![FetchPartition {
            topic: topic.clone(),
            partition: PARTITION,
            from: Offset::new(from),
            bytes_max: 1 << 20,
        }],
        wait_max,
        ..FetchRequest::default()
    }
}

async fn a_batch_goes_in_and_comes_out(client: Client) {
    let topic = create(&client, "batches", 1).await;
    for round in 0..3 {
        let sent = batch(&["a", "b", "c"]);
        let pending = client.produce_batch(&topic, PARTITION, &sent).unwrap();
        let produced = pending.wait().await.unwrap();
        assert_eq!(produced.base_offset, Offset::new(round * 3));
        assert!(!produced.duplicate);
    }
    let response = client
        .fetch(&fetch(&topic, 4, Duration::ZERO))
        .await
        .unwrap();
    let fetched = response
        .partitions
        .into_iter()
        .next()
        .unwrap()
        .result
        .unwrap();
    assert_eq!(fetched.bounds.high_watermark, Offset::new(9));
    let read: Vec<_> = fetched
        .batches
        .into_slices()
        .into_iter()
        .flat_map(batches)
        .map(Result::unwrap)
        .collect();
    assert_eq!(read.len(), 2);
    assert_eq!(read[0].header().base_offset, Offset::new(3));
    read[0].verify_crc().unwrap();
    assert_eq!(
        read[0].records_bytes(),
        batch(&["a", "b", "c"]).records_bytes()
    );
}

async fn a_fetch_waits_for_records(client: Client) {
    let topic = create(&client, "wait", 1).await;
    let request = fetch(&topic, 0, Duration::from_secs(20));
    let (response, produced) = tokio::join!(client.fetch(&request), async {
        // Other requests go on beside the one that waits.
        client.bounds(&topic, PARTITION).await.unwrap();
        client
            .produce_batch(&topic, PARTITION, &batch(&["a"]))
            .unwrap()
            .wait()
            .await
    });
    produced.unwrap();
    let response = response.unwrap();
    assert!(
        !response.partitions[0]
            .result
            .as_ref()
            .unwrap()
            .batches
            .is_empty()
    );
    let request = fetch(&topic, 1, Duration::from_millis(5));
    let response = client.fetch(&request).await.unwrap();
    assert!(
        response.partitions[0]
            .result
            .as_ref()
            .unwrap()
            .batches
            .is_empty()
    );
}

async fn a_fetch_tells_each_partitions_error(client: Client) {
    let topic = create(&client, "errors", 1).await;
    client
        .produce_batch(&topic, PARTITION, &batch(&["a"]))
        .unwrap()
        .wait()
        .await
        .unwrap();
    let mut request = fetch(&topic, 0, Duration::ZERO);
    let mut other = request.partitions[0].clone();
    other.partition = PartitionIndex::new(5);
    request.partitions.insert(0, other.clone());
    other.partition = PARTITION;
    other.from = Offset::new(77);
    request.partitions.push(other);
    let response = client.fetch(&request).await.unwrap();
    let results: Vec<_> = response
        .partitions
        .into_iter()
        .map(|part| part.result)
        .collect();
    assert!(matches!(
        results[0],
        Err(BrokerError::UnknownPartition { .. })
    ));
    assert!(!results[1].as_ref().unwrap().batches.is_empty());
    assert!(matches!(
        results[2],
        Err(BrokerError::OffsetOutOfRange { .. })
    ));
}

async fn offsets_are_found(client: Client) {
    let topic = create(&client, "offsets", 1).await;
    client
        .produce_batch(&topic, PARTITION, &batch(&["a", "b"]))
        .unwrap()
        .wait()
        .await
        .unwrap();
    let find = async |spec| client.offset_at(&topic, PARTITION, spec).await;
    assert_eq!(find(OffsetSpec::Start).await.unwrap(), Some(Offset::ZERO));
    assert_eq!(find(OffsetSpec::End).await.unwrap(), Some(Offset::new(2)));
    let at = |ms| OffsetSpec::Timestamp(Timestamp::new(ms));
    assert_eq!(find(at(1_000)).await.unwrap(), Some(Offset::ZERO));
    assert_eq!(find(at(1_001)).await.unwrap(), None);
    let offset = |number| OffsetSpec::Offset(Offset::new(number));
    assert_eq!(find(offset(1)).await.unwrap(), Some(Offset::new(1)));
    let error = find(offset(3)).await.unwrap_err();
    assert!(matches!(
        error,
        Error::Broker(BrokerError::OffsetOutOfRange { .. })
    ));
}

async fn a_batch_sent_twice_is_appended_once(client: Client) {
    let topic = create(&client, "twice", 1).await;
    let id = client.new_producer().await.unwrap().id;
    for duplicate in [false, true, true] {
        let sent = stamped(batch(&["a", "b"]), id, 0);
        let produced = client
            .produce_batch(&topic, PARTITION, &sent)
            .unwrap()
            .wait()
            .await
            .unwrap();
        assert_eq!(produced.duplicate, duplicate);
        assert_eq!(produced.base_offset, Offset::ZERO);
    }
    let bounds = client.bounds(&topic, PARTITION).await.unwrap();
    assert_eq!(bounds.log_end, Offset::new(2));
}

async fn a_missing_batch_is_told_of(client: Client) {
    let topic = create(&client, "gap", 1).await;
    let id = client.new_producer().await.unwrap().id;
    let send = async |sequence| {
        let sent = stamped(batch(&["a"]), id, sequence);
        match client.produce_batch(&topic, PARTITION, &sent) {
            Ok(pending) => pending.wait().await,
            Err(error) => Err(error),
        }
    };
    send(0).await.unwrap();
    let error = send(2).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Failed);
    assert!(matches!(
        error,
        Error::Broker(BrokerError::OutOfOrderSequence { expected, found, .. })
            if (expected.get(), found.get()) == (1, 2)
    ));
    send(1).await.unwrap();
}

async fn a_damaged_batch_is_refused(client: Client) {
    let topic = create(&client, "damaged", 1).await;
    let mut bytes = batch(&["a"]).to_bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let damaged = RecordBatch::view(bytes.into()).unwrap();
    let answer = match client.produce_batch(&topic, PARTITION, &damaged) {
        Ok(pending) => pending.wait().await,
        Err(error) => Err(error),
    };
    let error = answer.unwrap_err();
    assert!(error.to_string().contains("CRC-32C"), "{error}");
    assert_eq!(error.outcome(), Outcome::Failed);
    let bounds = client.bounds(&topic, PARTITION).await.unwrap();
    assert_eq!(bounds.log_end, Offset::ZERO);
}
