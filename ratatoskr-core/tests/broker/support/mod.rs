//! What the tests share: a backend that fails on demand, a committer that commits on demand, and a
//! broker over them.

mod backend;
mod committer;

use std::{sync::Arc, time::Duration};

use ratatoskr_core::{
    Broker, BrokerConfig, Error,
    batch::{BatchBuilder, RecordBatch, RecordLimits, batches},
    broker::{FetchPartition, FetchRequest, Fetched, NewTopic},
    config::{Compression, TopicConfigChange},
    name::TopicName,
    offset::{Offset, PartitionIndex},
    producer::{ProducerEpoch, ProducerId, ProducerStamp, Sequence},
    record::Record,
    storage::BatchSlices,
    time::{ManualClock, Timestamp},
};

pub(crate) use backend::{Fault, Operation, TestStorage};
pub(crate) use committer::ManualCommitter;

/// When every test begins.
pub(crate) const START: Timestamp = Timestamp::new(1_700_000_000_000);
pub(crate) const P0: PartitionIndex = PartitionIndex::new(0);
pub(crate) const P1: PartitionIndex = PartitionIndex::new(1);

/// A broker and the things under it that a test turns.
pub(crate) struct Bench {
    pub(crate) broker: Broker,
    pub(crate) storage: Arc<TestStorage>,
    pub(crate) clock: Arc<ManualClock>,
}

impl Bench {
    /// Over a backend that keeps records in the heap.
    pub(crate) async fn memory() -> Self {
        Self::over(TestStorage::memory(), BrokerConfig::default()).await
    }

    /// Over a backend that can flush, and without a committer.
    pub(crate) async fn flushing() -> Self {
        Self::over(TestStorage::flushing(), BrokerConfig::default()).await
    }

    pub(crate) async fn over(storage: Arc<TestStorage>, config: BrokerConfig) -> Self {
        let clock = Arc::new(ManualClock::at(START));
        let broker = Broker::builder(storage.clone(), clock.clone())
            .config(config)
            .open()
            .await
            .unwrap();
        Self {
            broker,
            storage,
            clock,
        }
    }

    /// Over a backend that can flush, with a committer that waits for its orders.
    pub(crate) async fn committing(config: BrokerConfig) -> (Self, Arc<ManualCommitter>) {
        let storage = TestStorage::flushing();
        let committer = Arc::new(ManualCommitter::default());
        let clock = Arc::new(ManualClock::at(START));
        let broker = Broker::builder(storage.clone(), clock.clone())
            .committer(committer.clone())
            .config(config)
            .open()
            .await
            .unwrap();
        let bench = Self {
            broker,
            storage,
            clock,
        };
        (bench, committer)
    }

    /// A new broker over the same storage, as after a restart.
    pub(crate) async fn reopened(&self) -> Self {
        Self::over(self.storage.clone(), BrokerConfig::default()).await
    }

    /// Creates a topic of so many partitions with the defaults.
    pub(crate) async fn topic(&self, name: &str, partitions: u32) -> TopicName {
        self.topic_with(name, partitions, &[]).await
    }

    /// Creates a topic with these configuration values.
    pub(crate) async fn topic_with(
        &self,
        name: &str,
        partitions: u32,
        config: &[(&str, &str)],
    ) -> TopicName {
        let name = topic(name);
        let new = NewTopic {
            partitions: Some(partitions),
            config: change(config),
        };
        self.broker.create_topic(&name, new).await.unwrap();
        name
    }

    /// Sends one batch of these values and waits; answers its base offset.
    pub(crate) async fn send(&self, topic: &TopicName, values: &[&str]) -> Offset {
        let pending = self.broker.produce(topic, P0, batch(values)).unwrap();
        pending.wait().await.unwrap().base_offset
    }

    /// Values of all records that readers see of partition 0.
    pub(crate) async fn values(&self, topic: &TopicName) -> Vec<String> {
        self.values_of(topic, P0).await
    }

    /// Values of all records that readers see of a partition.
    pub(crate) async fn values_of(
        &self,
        topic: &TopicName,
        partition: PartitionIndex,
    ) -> Vec<String> {
        let bounds = self.broker.bounds(topic, partition).unwrap();
        let request = fetch_from(topic, partition, bounds.log_start);
        let fetched = self.fetch_one(&request).await.unwrap();
        values(&fetched.batches)
    }

    /// Fetches from the one partition that the request names.
    pub(crate) async fn fetch_one(&self, request: &FetchRequest) -> Result<Fetched, Error> {
        let response = self.broker.fetch(request).await?;
        response.partitions.into_iter().next().unwrap().result
    }
}

pub(crate) fn topic(name: &str) -> TopicName {
    TopicName::parse(name).unwrap()
}

pub(crate) fn change(config: &[(&str, &str)]) -> TopicConfigChange {
    let mut change = TopicConfigChange::default();
    for (key, value) in config {
        change.set(key, value).unwrap();
    }
    change
}

/// A batch of records with these values, as a producer that is not idempotent sends it.
pub(crate) fn batch(values: &[&str]) -> RecordBatch {
    build(BatchBuilder::new(Compression::None), values)
}

/// The same from an idempotent producer.
pub(crate) fn batch_of(id: i64, epoch: i16, sequence: i32, values: &[&str]) -> RecordBatch {
    let stamp = ProducerStamp {
        id: ProducerId::new(id),
        epoch: ProducerEpoch::new(epoch),
        base_sequence: Sequence::new(sequence),
    };
    build(
        BatchBuilder::new(Compression::None).with_producer(stamp),
        values,
    )
}

fn build(mut builder: BatchBuilder, values: &[&str]) -> RecordBatch {
    for value in values {
        let record = Record::new((*value).to_owned());
        builder.push(&record, START).unwrap();
    }
    builder.build().unwrap()
}

/// Values of all records in the slices.
pub(crate) fn values(slices: &BatchSlices) -> Vec<String> {
    let mut values = Vec::new();
    for slice in slices.slices() {
        for batch in batches(slice.clone()) {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            for record in batch.records(&RecordLimits::default()).unwrap() {
                let value = record.unwrap().value.unwrap();
                values.push(String::from_utf8(value.to_vec()).unwrap());
            }
        }
    }
    values
}

/// Reads one partition from this offset, at once.
pub(crate) fn fetch_from(
    topic: &TopicName,
    partition: PartitionIndex,
    from: Offset,
) -> FetchRequest {
    FetchRequest {
        partitions: vec![FetchPartition {
            topic: topic.clone(),
            partition,
            from,
            bytes_max: 1 << 20,
        }],
        ..FetchRequest::default()
    }
}

/// The same, waiting for up to a minute.
pub(crate) fn poll_from(
    topic: &TopicName,
    partition: PartitionIndex,
    from: Offset,
) -> FetchRequest {
    FetchRequest {
        wait_max: Duration::from_mins(1),
        ..fetch_from(topic, partition, from)
    }
}

/// Lets every task that can run do so, without letting time pass.
pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
