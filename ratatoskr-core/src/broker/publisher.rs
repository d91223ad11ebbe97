//! A topic looked up once, for those who send to it often.

use std::{fmt, sync::Arc};

use crate::{
    batch::RecordBatch,
    broker::{Broker, produce::PendingProduce, topic::TopicState},
    error::Error,
    name::TopicName,
    offset::PartitionIndex,
    record::{Record, RecordMetadata},
};

/// A topic to send to. It spares each send the look-up of the topic by its name; clones send to the
/// same topic.
///
/// Changes of the topic's configuration and partitions that are added reach it at once. Once the
/// topic is deleted every send answers [`Error::UnknownTopic`], also when a topic of that name is
/// created anew: that is another topic, to be asked for with [`Broker::publisher`].
///
/// ```
/// # use ratatoskr_core::{Broker, Error, name::TopicName, record::Record};
/// # async fn send(broker: Broker, orders: TopicName) -> Result<(), Error> {
/// let orders = broker.publisher(&orders).await?;
/// for book in ["one", "two", "three"] {
///     orders.publish(Record::new(book)).await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TopicPublisher {
    topic: Arc<TopicState>,
}

impl Broker {
    /// A topic to send to, created first where the broker creates topics by itself.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], [`Error::ShuttingDown`], [`Error::Fenced`], and as
    /// [`create_topic`](Self::create_topic) where it has to be created.
    ///
    /// # Cancel safety
    /// Dropping the future leaves a creation that has begun to run to its end.
    pub async fn publisher(&self, topic: &TopicName) -> Result<TopicPublisher, Error> {
        let topic = self.topic_or_new(topic).await?;
        Ok(TopicPublisher { topic })
    }
}

impl TopicPublisher {
    /// The topic's name.
    pub fn topic(&self) -> &TopicName {
        self.topic.name()
    }

    /// Sends one record, as [`Broker::publish`] does.
    ///
    /// # Errors
    /// As [`publish_many`](Self::publish_many).
    ///
    /// # Cancel safety
    /// Dropping the future may leave the record on its way.
    pub async fn publish(&self, record: Record) -> Result<RecordMetadata, Error> {
        self.topic.context().check_running()?;
        self.topic.publish(&record).await
    }

    /// Sends records, as [`Broker::publish_many`] does.
    ///
    /// # Errors
    /// As [`Broker::publish_many`]; [`Error::UnknownTopic`] once the topic is deleted.
    ///
    /// # Cancel safety
    /// Dropping the future may leave any number of the batches on their way.
    pub async fn publish_many(&self, records: Vec<Record>) -> Result<Vec<RecordMetadata>, Error> {
        self.topic.context().check_running()?;
        self.topic.publish_many(&records).await
    }

    /// Takes a batch that a producer sent, as [`Broker::produce`] does.
    ///
    /// # Errors
    /// As [`Broker::produce`].
    pub fn produce(
        &self,
        partition: PartitionIndex,
        batch: RecordBatch,
    ) -> Result<PendingProduce, Error> {
        self.topic.context().check_running()?;
        self.topic.produce(partition, batch)
    }
}

impl fmt::Debug for TopicPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicPublisher")
            .field("topic", self.topic.name())
            .finish_non_exhaustive()
    }
}
