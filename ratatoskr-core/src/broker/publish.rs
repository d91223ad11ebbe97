//! Sending records in process: routed, put into batches, appended.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    batch::{BatchBuilder, BatchError},
    broker::{
        Broker,
        admin::NewTopic,
        produce::{PendingProduce, Produced},
        topic::TopicState,
    },
    config::TopicConfig,
    error::Error,
    name::TopicName,
    offset::PartitionIndex,
    record::{Record, RecordMetadata},
    time::Timestamp,
};

/// The batches that a list of records is put into.
struct Batches {
    sent: Vec<Option<PendingProduce>>,
    /// Those that are being filled, by partition.
    filling: BTreeMap<PartitionIndex, Filling>,
    /// Where each record went: the number of its batch, its place in it, its time.
    places: Vec<Place>,
}

struct Filling {
    /// Its place among those sent.
    batch: usize,
    builder: BatchBuilder,
}

#[derive(Clone, Copy)]
struct Place {
    batch: usize,
    delta: u32,
    timestamp: Timestamp,
}

impl Broker {
    /// Sends one record and waits until it can be read and is as durable as its topic promises.
    ///
    /// A key decides the partition, by Kafka's hash; records without one go to each partition in
    /// turn. Who sends often to one topic looks it up once, with [`publisher`](Self::publisher).
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
        self.topic_or_new(topic).await?.publish(&record).await
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
        self.topic_or_new(topic).await?.publish_many(&records).await
    }

    /// The topic, created first if the broker is configured to.
    pub(super) async fn topic_or_new(&self, name: &TopicName) -> Result<Arc<TopicState>, Error> {
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

impl TopicState {
    /// See [`Broker::publish`].
    pub(super) async fn publish(&self, record: &Record) -> Result<RecordMetadata, Error> {
        let (pending, timestamp) = self.send_one(record)?;
        // Most topics have answered by now, and nothing has to be waited for.
        let produced = match pending.ready() {
            Some(produced) => produced,
            None => pending.wait().await?,
        };
        Ok(metadata(&produced, 0, timestamp))
    }

    fn send_one(&self, record: &Record) -> Result<(PendingProduce, Timestamp), Error> {
        check_keys(&self.shared().config(), std::slice::from_ref(record))?;
        let now = self.context().clock.now();
        let partition = self.route(record.key.as_deref());
        self.next_batch();
        let mut builder = BatchBuilder::new(self.shared().config().compression);
        builder.push(record, now)?;
        let pending = self.submit(partition, builder.build()?)?;
        Ok((pending, record.timestamp.unwrap_or(now)))
    }

    /// See [`Broker::publish_many`].
    pub(super) async fn publish_many(
        &self,
        records: &[Record],
    ) -> Result<Vec<RecordMetadata>, Error> {
        let Batches { sent, places, .. } = self.send(records)?;
        let mut produced = Vec::with_capacity(sent.len());
        let mut failed = None;
        for pending in sent.into_iter().flatten() {
            match pending.wait().await {
                Ok(answer) => produced.push(answer),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        let of = |place: &Place| {
            let produced = produced.get(place.batch)?;
            Some(metadata(produced, place.delta, place.timestamp))
        };
        Ok(places.iter().filter_map(of).collect())
    }

    /// Puts the records into batches and submits each as it is full, without waiting.
    fn send(&self, records: &[Record]) -> Result<Batches, Error> {
        let config = self.shared().config();
        check_keys(&config, records)?;
        let now = self.context().clock.now();
        let mut batches = Batches {
            sent: Vec::with_capacity(1),
            filling: BTreeMap::new(),
            places: Vec::with_capacity(records.len()),
        };
        for (at, record) in records.iter().enumerate() {
            // A record without a key moves on with the batch that it did not fit into.
            let partition = loop {
                let partition = self.route(record.key.as_deref());
                let full = batches.filling.get(&partition).is_some_and(|filling| {
                    filling.builder.total_bytes_with(record) > config.batch_bytes_max as usize
                });
                if !full {
                    break partition;
                }
                if let Some(filled) = batches.filling.remove(&partition) {
                    self.submit_filled(&mut batches.sent, partition, filled)?;
                }
                self.next_batch();
            };
            let next = batches.sent.len();
            let filling = batches.filling.entry(partition).or_insert_with(|| {
                batches.sent.push(None);
                Filling::new(next, &config, &records[at..])
            });
            batches.places.push(Place {
                batch: filling.batch,
                delta: filling.builder.record_count(),
                timestamp: record.timestamp.unwrap_or(now),
            });
            filling.builder.push(record, now)?;
        }
        for (partition, filled) in std::mem::take(&mut batches.filling) {
            self.submit_filled(&mut batches.sent, partition, filled)?;
        }
        self.next_batch();
        Ok(batches)
    }

    fn submit_filled(
        &self,
        sent: &mut [Option<PendingProduce>],
        partition: PartitionIndex,
        filled: Filling,
    ) -> Result<(), Error> {
        sent[filled.batch] = Some(self.submit(partition, filled.builder.build()?)?);
        Ok(())
    }
}

impl Filling {
    /// An empty batch with room for as many of `records` as it may hold, if they have no keys: those
    /// that have spread over the partitions.
    fn new(batch: usize, config: &TopicConfig, records: &[Record]) -> Self {
        let bytes_max = config.batch_bytes_max as usize;
        let mut bytes = 0;
        for record in records.iter().take_while(|record| record.key.is_none()) {
            bytes += BatchBuilder::bytes_max_of(record);
            if bytes >= bytes_max {
                break;
            }
        }
        Self {
            batch,
            builder: BatchBuilder::new(config.compression).with_capacity(bytes.min(bytes_max)),
        }
    }
}

/// Whether the records have what compaction goes by, where their topic is compacted.
fn check_keys(config: &TopicConfig, records: &[Record]) -> Result<(), BatchError> {
    if !config.cleanup_policy.compacts() {
        return Ok(());
    }
    let keyless = (0..).zip(records).find(|(_, record)| record.key.is_none());
    keyless.map_or(Ok(()), |(index, _)| Err(BatchError::KeyMissing { index }))
}

fn metadata(produced: &Produced, delta: u32, timestamp: Timestamp) -> RecordMetadata {
    RecordMetadata {
        partition: produced.partition,
        offset: produced.base_offset.plus(delta.into()),
        timestamp: produced.log_append_time.unwrap_or(timestamp),
        durability: produced.durability,
    }
}
