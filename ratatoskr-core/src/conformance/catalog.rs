//! Cases on creating, opening, updating, listing and deleting topics.

use super::{
    BatchSpec, Model, Subject,
    log::{FIRST, Log, descriptor},
    model::request,
};
use crate::{
    limits,
    name::TopicId,
    offset::{Bounds, Offset, PartitionIndex},
    storage::{Storage, StorageError, TopicDescriptor},
    time::Timestamp,
};

async fn listed(storage: &dyn Storage) -> Vec<TopicDescriptor> {
    let mut topics = storage.list_topics().await.unwrap();
    topics.sort_by_key(|topic| topic.id);
    topics
}

/// What a backend can do is "the same answer for its whole life", and its default durability is
/// "among the supported".
pub async fn capabilities_stay_the_same_and_support_the_default(subject: &Subject) {
    let storage = subject.open().await;
    let capabilities = storage.capabilities();
    assert!(
        capabilities.supports(capabilities.durability_default),
        "{capabilities:?}"
    );
    let topic = descriptor(&*storage, "topic", 1);
    storage.create_topic(&topic).await.unwrap();
    assert_eq!(storage.capabilities(), capabilities);
    drop(storage);
    assert_eq!(subject.open().await.capabilities(), capabilities);
}

/// "Creates a topic and opens it"; a partition "need not have been written to before".
pub async fn a_created_topic_is_there_and_empty(subject: &Subject) {
    let storage = subject.open().await;
    assert_eq!(listed(&*storage).await, []);
    let expected = descriptor(&*storage, "topic", 3);
    let topic = storage.create_topic(&expected).await.unwrap();

    assert_eq!(topic.id(), expected.id);
    assert_eq!(*topic.name(), expected.name);
    assert_eq!(topic.config(), expected.config);
    assert_eq!(listed(&*storage).await, std::slice::from_ref(&expected));
    for index in 0..expected.partitions {
        let partition = topic.partition(PartitionIndex::new(index)).unwrap();
        assert_eq!(partition.bounds(), Bounds::default());
        Model::default().compare(&*partition).await.unwrap();
    }
}

/// "A topic that is there under the same id and name is opened as it is."
pub async fn creating_twice_opens_what_is_there(subject: &Subject) {
    let log = Log::with(subject, &[BatchSpec::of(3)]).await;
    let before = listed(&*log.storage).await;
    let mut again = before.first().unwrap().clone();
    again.partitions = 5;
    again.config.retention_bytes = Some(1);

    let topic = log.storage.create_topic(&again).await.unwrap();
    assert_eq!(listed(&*log.storage).await, before);
    let partition = topic.partition(FIRST).unwrap();
    log.model.compare(&*partition).await.unwrap();
}

/// `TopicExists` "where another id has the name".
pub async fn a_taken_name_is_refused(subject: &Subject) {
    let log = Log::with(subject, &[BatchSpec::of(3)]).await;
    let before = listed(&*log.storage).await;
    let same_name = descriptor(&*log.storage, log.topic.name().as_str(), 1);

    let error = log.storage.create_topic(&same_name).await.unwrap_err();
    assert!(
        matches!(&error, StorageError::TopicExists(name) if name == log.topic.name()),
        "{error:?}"
    );
    assert_eq!(listed(&*log.storage).await, before);
    log.check().await;
}

/// A name is unique "among the topics there are": that of a deleted topic is free, and the new
/// topic has none of the old one's records.
pub async fn a_deleted_name_may_be_taken_again(subject: &Subject) {
    let log = Log::with(subject, &[BatchSpec::of(3)]).await;
    log.storage.delete_topic(log.topic.id()).await.unwrap();
    let next = descriptor(&*log.storage, log.topic.name().as_str(), 1);

    let topic = log.storage.create_topic(&next).await.unwrap();
    let partition = topic.partition(FIRST).unwrap();
    Model::default().compare(&*partition).await.unwrap();
    assert_eq!(listed(&*log.storage).await, [next]);
}

/// "Opening it twice gives handles to the same topic."
pub async fn opening_twice_gives_the_same_topic(subject: &Subject) {
    let mut log = Log::with(subject, &[BatchSpec::of(3)]).await;
    let other = log.storage.open_topic(log.topic.id()).await.unwrap();
    assert_eq!(other.id(), log.topic.id());
    assert_eq!(other.name(), log.topic.name());
    assert_eq!(other.config(), log.topic.config());
    log.append(&[BatchSpec::of(2)]);
    let partition = other.partition(FIRST).unwrap();
    log.model.compare(&*partition).await.unwrap();
}

/// Opening a topic that is not there is `UnknownTopic`.
pub async fn opening_an_unknown_topic_is_refused(subject: &Subject) {
    let storage = subject.open().await;
    let id = TopicId::random();
    let error = storage.open_topic(id).await.unwrap_err();
    assert!(
        matches!(error, StorageError::UnknownTopic(unknown) if unknown == id),
        "{error:?}"
    );
}

/// "Replaces configuration and number of partitions … Handles that are open see it."
pub async fn an_update_shows_in_open_handles(subject: &Subject) {
    let log = Log::with(subject, &[BatchSpec::of(3)]).await;
    let mut changed = listed(&*log.storage).await.remove(0);
    changed.partitions = 4;
    changed.config.retention_bytes = Some(12_345);

    log.storage.update_topic(&changed).await.unwrap();
    assert_eq!(log.topic.config(), changed.config);
    let added = log.topic.partition(PartitionIndex::new(3)).unwrap();
    Model::default().compare(&*added).await.unwrap();
    assert_eq!(listed(&*log.storage).await, [changed]);
    log.check().await;
}

/// An update is idempotent.
pub async fn updating_twice_is_as_once(subject: &Subject) {
    let log = Log::with(subject, &[BatchSpec::of(3)]).await;
    let mut changed = listed(&*log.storage).await.remove(0);
    changed.partitions = 2;
    for _ in 0..2 {
        log.storage.update_topic(&changed).await.unwrap();
        assert_eq!(listed(&*log.storage).await, std::slice::from_ref(&changed));
    }
    log.check().await;
}

/// Updating a topic that is not there is `UnknownTopic`, and does not create it.
pub async fn updating_an_unknown_topic_is_refused(subject: &Subject) {
    let storage = subject.open().await;
    let topic = descriptor(&*storage, "topic", 1);
    let error = storage.update_topic(&topic).await.unwrap_err();
    assert!(
        matches!(error, StorageError::UnknownTopic(id) if id == topic.id),
        "{error:?}"
    );
    assert_eq!(listed(&*storage).await, []);
}

/// `Unsupported` "where partitions would shrink"; nothing of such an update is done.
pub async fn partitions_never_shrink(subject: &Subject) {
    let storage = subject.open().await;
    let topic = descriptor(&*storage, "topic", 3);
    let handle = storage.create_topic(&topic).await.unwrap();
    let mut smaller = topic.clone();
    smaller.partitions = 2;
    smaller.config.retention_bytes = Some(1);

    let error = storage.update_topic(&smaller).await.unwrap_err();
    assert!(matches!(error, StorageError::Unsupported(_)), "{error:?}");
    assert_eq!(handle.config(), topic.config);
    assert!(handle.partition(PartitionIndex::new(2)).is_ok());
    assert_eq!(listed(&*storage).await, [topic]);
}

/// `UnknownPartition` "beyond the topic's number of partitions".
pub async fn a_partition_beyond_the_count_is_unknown(subject: &Subject) {
    let storage = subject.open().await;
    let topic = descriptor(&*storage, "topic", 2);
    let topic = storage.create_topic(&topic).await.unwrap();
    for beyond in [2, u32::MAX] {
        let beyond = PartitionIndex::new(beyond);
        let error = topic.partition(beyond).unwrap_err();
        assert!(
            matches!(error, StorageError::UnknownPartition(index) if index == beyond),
            "{error:?}"
        );
    }
}

/// "A topic that is not there is deleted."
pub async fn deleting_twice_is_as_once(subject: &Subject) {
    let storage = subject.open().await;
    let kept = descriptor(&*storage, "kept", 1);
    storage.create_topic(&kept).await.unwrap();
    let deleted = descriptor(&*storage, "deleted", 2);
    storage.create_topic(&deleted).await.unwrap();

    for _ in 0..2 {
        storage.delete_topic(deleted.id).await.unwrap();
        assert_eq!(listed(&*storage).await, std::slice::from_ref(&kept));
    }
    storage.delete_topic(TopicId::random()).await.unwrap();
    assert!(storage.open_topic(deleted.id).await.is_err());
}

/// "Open handles answer `UnknownTopic`."
pub async fn handles_of_a_deleted_topic_find_it_unknown(subject: &Subject) {
    let log = Log::with(subject, &[BatchSpec::of(3), BatchSpec::of(2)]).await;
    let id = log.topic.id();
    log.storage.delete_topic(id).await.unwrap();

    let all = request(Offset::ZERO, Offset::MAX, usize::MAX);
    let batch = BatchSpec::of(1).build(log.model.log_end());
    let partition = &log.partition;
    let trimmed = partition.advance_log_start(Offset::new(1)).await;
    let by_time = partition.offset_for_timestamp(Timestamp::new(0)).await;
    let errors = [
        ("partition", log.topic.partition(FIRST).err()),
        ("append", partition.append(&[batch]).err()),
        ("try_read", partition.try_read(&all).err()),
        ("read", partition.read(&all).await.err()),
        ("offset_for_timestamp", by_time.err()),
        ("advance_log_start", trimmed.err()),
        ("flush", partition.flush().await.err()),
        ("open_topic", log.storage.open_topic(id).await.err()),
    ];
    for (method, error) in errors {
        assert!(
            matches!(error, Some(StorageError::UnknownTopic(unknown)) if unknown == id),
            "{method} answered {error:?}"
        );
    }
}

/// "Slices that readers still hold stay valid."
pub async fn slices_outlive_their_topic(subject: &Subject) {
    let log = Log::varied(subject).await;
    let all = request(Offset::ZERO, Offset::MAX, usize::MAX);
    let held = log.partition.read(&all).await.unwrap();
    let id = log.topic.id();
    log.storage.delete_topic(id).await.unwrap();

    let Log { storage, model, .. } = log;
    let next = descriptor(&*storage, "next", 1);
    let next = storage.create_topic(&next).await.unwrap();
    let other_bytes = [BatchSpec::of(9).with_value_bytes(900).build(Offset::ZERO)];
    next.partition(FIRST).unwrap().append(&other_bytes).unwrap();
    assert_eq!(
        held.slices().concat(),
        super::batches::bytes_of(model.batches())
    );
}

/// "Every topic there is", each once.
pub async fn every_topic_is_listed_once(subject: &Subject) {
    let storage = subject.open().await;
    let mut expected = Vec::new();
    for number in 0..20 {
        let mut topic = descriptor(&*storage, &format!("topic-{number}"), number + 1);
        topic.config.segment_bytes = limits::SEGMENT_BYTES_MIN + u64::from(number);
        storage.create_topic(&topic).await.unwrap();
        expected.push(topic);
    }
    let removed = expected.remove(7);
    storage.delete_topic(removed.id).await.unwrap();
    expected.sort_by_key(|topic| topic.id);
    assert_eq!(listed(&*storage).await, expected);
}

/// Each partition has a log of its own, and deleting a topic leaves the others alone.
pub async fn topics_and_partitions_are_apart(subject: &Subject) {
    let storage = subject.open().await;
    let mut logs = Vec::new();
    let mut ids = Vec::new();
    for name in ["first", "second"] {
        let topic = descriptor(&*storage, name, 3);
        let topic = storage.create_topic(&topic).await.unwrap();
        ids.push(topic.id());
        for index in 0..3 {
            let partition = topic.partition(PartitionIndex::new(index)).unwrap();
            let mut model = Model::default();
            let size = 10 * (logs.len() + 1);
            let specs = [BatchSpec::of(index + 1).with_value_bytes(size)];
            let batches = model.next_batches(&specs);
            model.append(&batches);
            partition.append(&batches).unwrap();
            logs.push((partition, model));
        }
    }
    for (partition, model) in &logs {
        model.compare(&**partition).await.unwrap();
    }
    storage.delete_topic(*ids.first().unwrap()).await.unwrap();
    for (partition, model) in logs.iter().skip(3) {
        model.compare(&**partition).await.unwrap();
    }
}
