//! Sending records in process: routed, put into batches, appended.

use std::collections::BTreeMap;

use crate::{
    batch::{BatchBuilder, RecordBatch},
    broker::{Broker, admin::NewTopic, produce::PendingProduce, topic::TopicState},
    config::TopicConfig,
    error::Error,
    name::TopicName,
    offset::PartitionIndex,
    record::{Record, RecordMetadata},
    time::Timestamp,
};

/// A batch that is on its way, and which of the caller's records are in it.
struct Sent {
    pending: PendingProduce,
    /// Place in the caller's list and timestamp, in the order of the batch.
    records: Vec<(usize, Timestamp)>,
}

/// A batch that is being filled.
struct Filling {
    builder: BatchBuilder,
    records: Vec<(usize, Timestamp)>,
}

impl Broker {
    /// Sends one record and waits until it can be read and is as durable as its topic promises.
    ///
    /// A key decides the partition, by Kafka's hash; records without one go to each partition in
    /// turn.
    ///
    /// # Errors
    /// As [`publish_many`](Self::publish_many).
    ///
    /// # Cancel safety
    /// Dropping the future may leave the record on its way.
    pub async fn publish(
        &self,
        topic: &TopicName,
        record: Record,
    ) -> Result<RecordMetadata, Error> {
        let topic = self.topic_or_new(topic).await?;
        let config = topic.shared().config();
        let now = self.shared.context.clock.now();
        let timestamp = record.timestamp.unwrap_or(now);
        let partition = topic.route(record.key.as_deref());
        topic.next_batch();
        let mut builder = BatchBuilder::new(config.compression);
        builder.push(&record, now)?;
        let produced = self
            .submit(&topic, partition, builder.build()?)?
            .wait()
            .await?;
        Ok(RecordMetadata {
            partition,
            offset: produced.base_offset,
            timestamp: produced.log_append_time.unwrap_or(timestamp),
            durability: produced.durability,
        })
    }

    /// Sends records in as few batches as they fit into, and waits for all of them. Answers in the
    /// order of `records`. Records of one key, and records of one partition, keep their order.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`] (unless the broker creates topics by itself),
    /// [`Error::InternalTopic`], [`Error::InvalidBatch`], [`Error::BatchTooLarge`] where a record is
    /// too large by itself, [`Error::Overloaded`], [`Error::PartitionOffline`],
    /// [`Error::OutcomeUnknown`], [`Error::Storage`], [`Error::ShuttingDown`], [`Error::Fenced`].
    /// The error is that of the first batch that failed; other batches may have been appended.
    ///
    /// # Cancel safety
    /// Dropping the future may leave any number of the batches on their way.
    pub async fn publish_many(
        &self,
        topic: &TopicName,
        records: Vec<Record>,
    ) -> Result<Vec<RecordMetadata>, Error> {
        let topic = self.topic_or_new(topic).await?;
        let sent = self.send(&topic, &records)?;
        let mut metadata = vec![None; records.len()];
        let mut failed = None;
        for Sent { pending, records } in sent {
            match pending.wait().await {
                Ok(produced) => {
                    for (delta, (at, timestamp)) in (0..).zip(records) {
                        metadata[at] = Some(RecordMetadata {
                            partition: produced.partition,
                            offset: produced.base_offset.plus(delta),
                            timestamp: produced.log_append_time.unwrap_or(timestamp),
                            durability: produced.durability,
                        });
                    }
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match failed {
            Some(error) => Err(error),
            None => Ok(metadata.into_iter().flatten().collect()),
        }
    }

    /// Puts the records into batches and submits each as it is full, without waiting.
    fn send(&self, topic: &TopicState, records: &[Record]) -> Result<Vec<Sent>, Error> {
        let config = topic.shared().config();
        let now = self.shared.context.clock.now();
        let mut filling: BTreeMap<PartitionIndex, Filling> = BTreeMap::new();
        let mut sent = Vec::new();
        for (at, record) in records.iter().enumerate() {
            // A record without a key moves on with the batch that it did not fit into.
            let partition = loop {
                let partition = topic.route(record.key.as_deref());
                let full = filling.get(&partition).is_some_and(|filling| {
                    filling.builder.total_bytes_with(record) > config.batch_bytes_max as usize
                });
                if !full {
                    break partition;
                }
                if let Some(filled) = filling.remove(&partition) {
                    sent.push(self.send_one(topic, partition, filled)?);
                }
                topic.next_batch();
            };
            let filling = filling
                .entry(partition)
                .or_insert_with(|| Filling::new(&config));
            filling.builder.push(record, now)?;
            filling.records.push((at, record.timestamp.unwrap_or(now)));
        }
        for (partition, filled) in filling {
            sent.push(self.send_one(topic, partition, filled)?);
        }
        topic.next_batch();
        Ok(sent)
    }

    fn send_one(
        &self,
        topic: &TopicState,
        partition: PartitionIndex,
        filled: Filling,
    ) -> Result<Sent, Error> {
        let batch: RecordBatch = filled.builder.build()?;
        Ok(Sent {
            pending: self.submit(topic, partition, batch)?,
            records: filled.records,
        })
    }

    /// The topic, created first if the broker is configured to.
    async fn topic_or_new(&self, name: &TopicName) -> Result<std::sync::Arc<TopicState>, Error> {
        self.shared.context.check_running()?;
        match self.topic(name) {
            Err(Error::UnknownTopic(_)) if self.shared.context.config.auto_create_topics => {
                match self.create_topic(name, NewTopic::default()).await {
                    // Somebody else was first.
                    Ok(_) | Err(Error::TopicExists(_)) => self.topic(name),
                    Err(error) => Err(error),
                }
            }
            found => found,
        }
    }

    /// Makes sure that a topic is there: created with the defaults if it is not and the broker is
    /// configured to ([`BrokerConfig::auto_create_topics`](super::BrokerConfig)).
    ///
    /// # Errors
    /// [`Error::UnknownTopic`] where it is not configured to, and as
    /// [`create_topic`](Self::create_topic).
    ///
    /// # Cancel safety
    /// Dropping the future leaves a creation that has begun to run to its end.
    pub async fn ensure_topic(&self, name: &TopicName) -> Result<(), Error> {
        self.topic_or_new(name).await.map(drop)
    }
}

impl Filling {
    fn new(config: &TopicConfig) -> Self {
        Self {
            builder: BatchBuilder::new(config.compression),
            records: Vec::new(),
        }
    }
}
