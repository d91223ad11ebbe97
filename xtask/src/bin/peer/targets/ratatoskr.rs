//! Ratatoskr by its own client.

use std::future::Future;

use anyhow::{Context, Result};
use ratatoskr_client::{
    AcquireOptions, Client, Consumer, ConsumerId, Delivery, Durability, Error, GroupId, NewQueue,
    NewTopic, Producer, QueueConfigChange, Record, RecordMetadata, SettleAction, Settlement,
    StartAt, TopicName, bytes::Bytes,
};
use ratatoskr_core::limits;
use ratatoskr_server::load::{
    Payloads, Sink,
    work::{Taken, Worker},
};

use super::{GROUP, Kind, NAME, Records, Start, TAKE_WAIT, Takings, Target, one_by_one};

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

/// A consumer of the queue.
pub(crate) struct Taking {
    client: Client,
    topic: TopicName,
    group: GroupId,
    name: ConsumerId,
}

impl Target for Ratatoskr {
    const WORDS: &'static str = "a topic of one partition; the client gathers records that wait into \
                                 batches; of a queue, a batch is taken and acknowledged in a request \
                                 each";
    type Sink = Sending;
    type Records = Consumer;
    type Worker = Taking;

    async fn connect(address: &str) -> Result<Self> {
        Ok(Self {
            client: Client::connect(&format!("ratatoskr://{address}")).await?,
            topic: TopicName::parse(NAME)?,
        })
    }

    async fn create(&self, durability: Durability, kind: Kind) -> Result<()> {
        let mut new = NewTopic {
            partitions: Some(1),
            ..NewTopic::default()
        };
        new.config.durability = Some(durability);
        self.client.create_topic(&self.topic, new).await?;
        if kind == Kind::Queue {
            let config = QueueConfigChange {
                in_flight_max: Some(limits::QUEUE_IN_FLIGHT_MAX),
                in_flight_per_consumer_max: Some(limits::QUEUE_IN_FLIGHT_MAX),
                ..QueueConfigChange::default()
            };
            let group = GroupId::parse(GROUP)?;
            self.client
                .create_queue(&group, NewQueue { config })
                .await?;
        }
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

    async fn worker(&self, number: u32, _batch: u32) -> Result<Taking> {
        Ok(Taking {
            client: self.client.clone(),
            topic: self.topic.clone(),
            group: GroupId::parse(GROUP)?,
            name: ConsumerId::parse(&format!("consumer-{number}"))?,
        })
    }
}

impl Worker for Taking {
    type Handles = Vec<Settlement>;
    type Error = anyhow::Error;

    async fn take(&self, records_max: u32) -> Result<Taken<Vec<Settlement>>> {
        let options = AcquireOptions {
            records_max,
            bytes_max: limits::BATCH_BYTES_MAX as usize,
            wait: TAKE_WAIT,
            lease: None,
        };
        let acquired = self
            .client
            .queue_acquire(&self.group, &self.topic, &self.name, &options)
            .await?;
        let mut takings = Takings::new();
        for delivery in acquired.deliveries()? {
            let record = delivery.record;
            let value = record.record.value.context("a record without a value")?;
            let settlement = Settlement {
                partition: record.partition,
                first: record.offset,
                last: record.offset,
                token: delivery.token,
                action: SettleAction::Acknowledge,
            };
            takings.add(&value, settlement)?;
        }
        Ok(takings.taken())
    }

    fn acknowledge(
        &self,
        settlements: Vec<Settlement>,
    ) -> impl Future<Output = Result<()>> + Send + 'static {
        let (client, group) = (self.client.clone(), self.group.clone());
        let (topic, name) = (self.topic.clone(), self.name.clone());
        async move {
            let settled = client
                .queue_settle(&group, &topic, &name, in_ranges(settlements))
                .await?;
            for settled in settled {
                settled?;
            }
            Ok(())
        }
    }

    fn one_by_one(settlements: Vec<Settlement>) -> Vec<Vec<Settlement>> {
        one_by_one(settlements)
    }
}

/// The same said of ranges of records that were taken together.
fn in_ranges(settlements: Vec<Settlement>) -> Vec<Settlement> {
    let mut ranges: Vec<Settlement> = Vec::new();
    for settlement in settlements {
        match ranges.last_mut() {
            Some(range)
                if range.token == settlement.token && range.last.plus(1) == settlement.first =>
            {
                range.last = settlement.last;
            }
            _ => ranges.push(settlement),
        }
    }
    ranges
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
