//! Ratatoskr by its own client.

use anyhow::{Context, Result};
use ratatoskr_client::{
    Client, Consumer, Delivery, Durability, Error, NewTopic, Producer, Record, RecordMetadata,
    StartAt, TopicName, bytes::Bytes,
};
use ratatoskr_server::load::{Payloads, Sink};

use super::{NAME, Records, Start, Target};

/// A connection.
pub(crate) struct Ratatoskr {
    client: Client,
    topic: TopicName,
}

/// A producer and what it sends.
pub(crate) struct Sending {
    producer: Producer,
    payloads: Payloads,
}

impl Target for Ratatoskr {
    const WORDS: &'static str =
        "a topic of one partition; the client gathers records that wait into batches";
    type Sink = Sending;
    type Records = Consumer;

    async fn connect(address: &str) -> Result<Self> {
        Ok(Self {
            client: Client::connect(&format!("ratatoskr://{address}")).await?,
            topic: TopicName::parse(NAME)?,
        })
    }

    async fn create(&self, durability: Durability) -> Result<()> {
        let mut new = NewTopic {
            partitions: Some(1),
            ..NewTopic::default()
        };
        new.config.durability = Some(durability);
        self.client.create_topic(&self.topic, new).await?;
        Ok(())
    }

    async fn sink(&self, payloads: Payloads) -> Result<Sending> {
        Ok(Sending {
            producer: self.client.producer(&self.topic).open().await?,
            payloads,
        })
    }

    async fn read(&self, start: Start) -> Result<Consumer> {
        let start = match start {
            Start::Oldest => StartAt::Start,
            Start::Next => StartAt::End,
        };
        Ok(self
            .client
            .consumer(&self.topic)
            .start(start)
            .open()
            .await?)
    }
}

impl Sink for Sending {
    type Acknowledged = RecordMetadata;
    type Error = Error;
    type Receipt = Delivery;

    async fn send(&mut self) -> Result<Delivery, Error> {
        let record = Record::new(self.payloads.next_record());
        self.producer.enqueue(record).await
    }

    fn bytes_per_send(&self) -> u64 {
        self.payloads.record_bytes()
    }
}

impl Records for Consumer {
    async fn next(&mut self) -> Result<Bytes> {
        let record = Self::next(self).await.context("the consumer ended")??;
        record.record.value.context("a record without a value")
    }
}
