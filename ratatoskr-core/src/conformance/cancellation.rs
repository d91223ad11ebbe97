//! Cases on futures that are dropped: "the effect of the call is then there or not there, never in
//! between".

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};

use super::{
    BatchSpec, Model, Subject,
    log::{FIRST, Log, descriptor},
    model::request,
};
use crate::{
    offset::{Offset, PartitionIndex},
    storage::{Storage, TopicDescriptor},
    time::Timestamp,
};

/// Polls a future this many times, or until it is ready, and drops it.
async fn poll_and_drop<T>(future: impl Future<Output = T>, polls: u32) {
    let mut future = pin!(future);
    for _ in 0..polls {
        let poll = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
        if poll.is_ready() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

async fn find(storage: &dyn Storage, topic: &TopicDescriptor) -> Option<TopicDescriptor> {
    let topics = storage.list_topics().await.unwrap();
    topics.into_iter().find(|there| there.id == topic.id)
}

/// Creating, updating and deleting, abandoned at any point; each can be done again after it.
pub async fn dropped_changes_of_a_topic_are_there_or_not(subject: &Subject) {
    let storage = subject.open().await;
    for polls in 0..4 {
        let topic = descriptor(&*storage, &format!("topic-{polls}"), 2);
        poll_and_drop(storage.create_topic(&topic), polls).await;
        let found = find(&*storage, &topic).await;
        assert!(found.is_none_or(|found| found == topic));
        let handle = storage.create_topic(&topic).await.unwrap();

        let mut changed = topic.clone();
        changed.partitions = 3;
        changed.config.retention_bytes = Some(1);
        poll_and_drop(storage.update_topic(&changed), polls).await;
        let found = find(&*storage, &topic).await.unwrap();
        assert!(found == topic || found == changed, "{found:?}");
        let config = handle.config();
        assert!(config == topic.config || config == changed.config);
        storage.update_topic(&changed).await.unwrap();
        let added = handle.partition(PartitionIndex::new(2)).unwrap();
        Model::default().compare(&*added).await.unwrap();

        poll_and_drop(storage.delete_topic(topic.id), polls).await;
        let opened = storage.open_topic(topic.id).await.is_ok();
        let listed = find(&*storage, &topic).await.is_some();
        assert!(
            opened || !listed,
            "the topic is listed, and cannot be opened"
        );
        storage.delete_topic(topic.id).await.unwrap();
        assert_eq!(find(&*storage, &topic).await, None);
        assert!(handle.partition(FIRST).is_err());
    }
}

/// "Dropping the future reads nothing", and changes nothing.
pub async fn dropped_reads_change_nothing(subject: &Subject) {
    let mut log = Log::varied(subject).await;
    let all = request(Offset::ZERO, Offset::MAX, usize::MAX);
    for polls in 0..4 {
        poll_and_drop(log.partition.read(&all), polls).await;
        let time = Timestamp::new(115);
        poll_and_drop(log.partition.offset_for_timestamp(time), polls).await;
        log.check().await;
        log.append(&[BatchSpec::of(2)]);
    }
    log.check().await;
}

/// A dropped trim has moved the log start to where it was told, or not at all; a dropped flush
/// leaves every record where it is.
pub async fn dropped_trims_and_flushes_leave_a_whole_log(subject: &Subject) {
    let mut log = Log::varied(subject).await;
    for polls in 0..4 {
        let to = log.model.log_start().plus(6);
        poll_and_drop(log.partition.advance_log_start(to), polls).await;
        let start = log.partition.bounds().log_start;
        assert!(start == to || start == log.model.log_start(), "{start}");
        log.trim(to).await;
        log.check().await;

        poll_and_drop(log.partition.flush(), polls).await;
        log.append(&[BatchSpec::of(3)]);
        log.check().await;
        let durable_end = log.partition.flush().await.unwrap();
        assert_eq!(durable_end, log.model.log_end());
    }
    log.check().await;
}
