//! Cases for persistent backends: what is there after everything was dropped and opened again.

use super::{
    BatchSpec, Model, Subject,
    log::{FIRST, Log, descriptor},
    model_based,
};
use crate::{
    offset::{Offset, PartitionIndex},
    storage::{Storage, StorageError, TopicDescriptor},
};

async fn listed(storage: &dyn Storage) -> Vec<TopicDescriptor> {
    let mut topics = storage.list_topics().await.unwrap();
    topics.sort_by_key(|topic| topic.id);
    topics
}

/// Flushes and opens again.
async fn flush_and_reopen(log: Log, subject: &Subject) -> Log {
    log.partition.flush().await.unwrap();
    log.reopen(subject).await
}

/// "On return the creation lasts as long as the backend can make it."
pub async fn topics_are_there_after_reopening(subject: &Subject) {
    let storage = subject.open().await;
    let mut expected = Vec::new();
    for number in 1..6 {
        let mut topic = descriptor(&*storage, &format!("topic-{number}"), number);
        topic.config.retention_bytes = Some(u64::from(number) << 40);
        topic.config.segment_age = None;
        storage.create_topic(&topic).await.unwrap();
        expected.push(topic);
    }
    expected.sort_by_key(|topic| topic.id);
    drop(storage);

    let storage = subject.open().await;
    assert_eq!(listed(&*storage).await, expected);
    for topic in &expected {
        let opened = storage.open_topic(topic.id).await.unwrap();
        assert_eq!(opened.config(), topic.config);
        let last = PartitionIndex::new(topic.partitions - 1);
        let partition = opened.partition(last).unwrap();
        Model::default().compare(&*partition).await.unwrap();
        let again = storage.create_topic(topic).await.unwrap();
        assert_eq!(*again.name(), topic.name);
    }
}

/// An update "lasts"; records of the partitions that were there before are untouched by it.
pub async fn updates_are_there_after_reopening(subject: &Subject) {
    let log = Log::with(subject, &[BatchSpec::of(3)]).await;
    let mut changed = listed(&*log.storage).await.remove(0);
    changed.partitions = 3;
    changed.config.retention_bytes = Some(12_345);
    log.storage.update_topic(&changed).await.unwrap();
    let log = flush_and_reopen(log, subject).await;

    assert_eq!(log.topic.config(), changed.config);
    let added = log.topic.partition(PartitionIndex::new(2)).unwrap();
    Model::default().compare(&*added).await.unwrap();
    assert_eq!(listed(&*log.storage).await, [changed]);
    log.check().await;
}

/// A deletion "lasts", and its name is free.
pub async fn deleted_topics_stay_deleted(subject: &Subject) {
    let log = Log::with(subject, &[BatchSpec::of(3)]).await;
    log.partition.flush().await.unwrap();
    let id = log.topic.id();
    let next = descriptor(&*log.storage, log.topic.name().as_str(), 1);
    log.storage.delete_topic(id).await.unwrap();
    drop(log);

    let storage = subject.open().await;
    assert_eq!(listed(&*storage).await, []);
    let error = storage.open_topic(id).await.unwrap_err();
    assert!(matches!(error, StorageError::UnknownTopic(_)), "{error:?}");
    storage.create_topic(&next).await.unwrap();
    drop(storage);

    let storage = subject.open().await;
    assert_eq!(listed(&*storage).await, std::slice::from_ref(&next));
    let topic = storage.open_topic(next.id).await.unwrap();
    let partition = topic.partition(FIRST).unwrap();
    Model::default().compare(&*partition).await.unwrap();
}

/// A flush "makes every record appended before the call as durable as this backend can".
pub async fn flushed_records_are_there_after_reopening(subject: &Subject) {
    let log = Log::varied(subject).await;
    let log = flush_and_reopen(log, subject).await;
    log.check().await;
    let durable_end = log.partition.bounds().durable_end;
    assert_eq!(durable_end, log.model.log_end());
}

/// What was not flushed may be gone from some batch on, but no batch is there in part, and nothing
/// that was flushed is gone.
pub async fn unflushed_records_are_there_whole_or_not(subject: &Subject) {
    let mut log = Log::varied(subject).await;
    log.partition.flush().await.unwrap();
    let flushed = log.model.log_end();
    for size in [0, 600, 5_000] {
        log.append(&[BatchSpec::of(2).with_value_bytes(size), BatchSpec::of(3)]);
    }
    let mut log = log.reopen(subject).await;
    let end = log.partition.bounds().log_end;
    assert!(end >= flushed, "flushed to {flushed}, there to {end}");
    log.model.cut(end).unwrap();
    log.check().await;
    log.append(&[BatchSpec::of(4)]);
    log.check().await;
}

/// "On return the new log start is durable", without a flush and within a batch, too.
pub async fn the_log_start_is_there_after_reopening(subject: &Subject) {
    let mut log = Log::varied(subject).await;
    log.partition.flush().await.unwrap();
    for to in [3, 11, 26, 30] {
        log.trim(Offset::new(to)).await;
        log = log.reopen(subject).await;
        log.check().await;
    }
}

/// A log trimmed to its end goes on at the same offset: an offset is never given twice.
pub async fn an_emptied_log_keeps_its_place(subject: &Subject) {
    let mut log = Log::varied(subject).await;
    log.trim(log.model.log_end()).await;
    let mut log = log.reopen(subject).await;
    log.check().await;
    log.append(&[BatchSpec::of(2)]);
    let log = flush_and_reopen(log, subject).await;
    log.check().await;
}

/// Appends go on where the log ended, round after round.
pub async fn a_log_goes_on_after_reopening(subject: &Subject) {
    let mut log = Log::create(subject).await;
    for round in 1..6 {
        log.append(&[BatchSpec::of(round).with_value_bytes(700), BatchSpec::of(1)]);
        log = flush_and_reopen(log, subject).await;
        log.check().await;
    }
    let below = [BatchSpec::of(1).build(Offset::ZERO)];
    assert!(log.partition.append(&below).is_err());
}

/// Lookups by time find what they found before.
pub async fn times_are_found_after_reopening(subject: &Subject) {
    let mut log = Log::create(subject).await;
    for time in [50, 20, 70, 70, 10, 90, 30] {
        log.append(&[BatchSpec::of(3).with_value_bytes(600).at(time)]);
    }
    let log = flush_and_reopen(log, subject).await;
    for at in 0..=91 {
        let compared = log.model.compare_time(&*log.partition, at.into()).await;
        compared.unwrap();
    }
}

/// Opening changes nothing.
pub async fn reopening_twice_is_as_once(subject: &Subject) {
    let log = Log::varied(subject).await;
    let mut log = flush_and_reopen(log, subject).await;
    let topics = listed(&*log.storage).await;
    for _ in 0..3 {
        log = log.reopen(subject).await;
        assert_eq!(listed(&*log.storage).await, topics);
        log.check().await;
    }
}

/// Any mixture of calls and reopenings leaves the log as the model has it.
pub async fn random_operations_and_reopenings(subject: &Subject) {
    model_based::random_operations_of(subject, model_based::operations_and_reopenings()).await;
}
