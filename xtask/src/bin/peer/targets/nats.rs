//! NATS with `JetStream`, by its own client.

use std::{
    future::{Future, IntoFuture as _},
    pin::Pin,
};

use anyhow::{Context as _, Result, anyhow, bail};
use async_nats::{
    Client, Subject, Subscriber,
    jetstream::{
        self, Context,
        consumer::{
            AckPolicy, PullConsumer,
            pull::{Config as Pull, Stream as Pulled},
        },
        context::PublishError,
        publish::PublishAck,
        stream::{Config, RetentionPolicy, StorageType},
    },
};
use futures_util::{FutureExt as _, StreamExt as _};
use ratatoskr_client::{Durability, bytes::Bytes};

use ratatoskr_server::load::{
    Payloads, Sink,
    work::{Taken, Worker},
};
use tokio::{sync::Mutex, time::timeout};

use super::{GROUP, Kind, NAME, Records, Start, TAKE_WAIT, Takings, Target, one_by_one};

/// Records that one pull asks for.
const PULL_RECORDS: usize = 5_000;

/// A connection.
pub(crate) struct Nats {
    client: Client,
    stream: Context,
}

/// The stream and what is sent to it.
pub(crate) struct Sending {
    stream: Context,
    payloads: Payloads,
}

/// A subscription.
pub(crate) enum Reader {
    /// To the subject, which is what NATS itself fans out.
    Core(Subscriber),
    /// To the stream.
    Pull(Box<Pulled>),
}

/// A consumer of the work queue.
pub(crate) struct Taking {
    client: Client,
    records: Mutex<Pulled>,
}

impl Target for Nats {
    const WORDS: &'static str = "JetStream, each record published and acknowledged by itself; a pull \
                                 consumer reads, subscribers of a fan-out are those of NATS core; a \
                                 queue is a stream with work-queue retention, each record of which is \
                                 acknowledged by itself, the last of a batch with an answer";
    type Sink = Sending;
    type Records = Reader;
    type Worker = Taking;

    async fn connect(address: &str) -> Result<Self> {
        let client = async_nats::connect(address).await?;
        Ok(Self {
            stream: jetstream::new(client.clone()),
            client,
        })
    }

    async fn create(&self, durability: Durability, kind: Kind) -> Result<()> {
        let storage = match durability {
            Durability::Memory => StorageType::Memory,
            Durability::Os | Durability::Fsync => StorageType::File,
            Durability::Interval(_) => bail!("not measured with {durability}"),
        };
        let config = Config {
            name: NAME.to_owned(),
            subjects: vec![NAME.into()],
            storage,
            retention: match kind {
                Kind::Stream => RetentionPolicy::Limits,
                Kind::Queue => RetentionPolicy::WorkQueue,
            },
            ..Config::default()
        };
        self.stream.create_stream(config).await?;
        if kind == Kind::Queue {
            let config = Pull {
                durable_name: Some(GROUP.to_owned()),
                ack_policy: AckPolicy::Explicit,
                // As many as the consumers ask for.
                max_ack_pending: -1,
                ..Pull::default()
            };
            self.stream.create_consumer_on_stream(config, NAME).await?;
        }
        Ok(())
    }

    async fn sink(&self, payloads: Payloads) -> Result<Sending> {
        Ok(Sending {
            stream: self.stream.clone(),
            payloads,
        })
    }

    async fn read(&self, start: Start) -> Result<Reader> {
        match start {
            Start::Oldest => {
                let config = Pull {
                    ack_policy: AckPolicy::None,
                    ..Pull::default()
                };
                let consumer = self.stream.create_consumer_on_stream(config, NAME).await?;
                let records = consumer
                    .stream()
                    .max_messages_per_batch(PULL_RECORDS)
                    .messages()
                    .await?;
                Ok(Reader::Pull(Box::new(records)))
            }
            Start::Next => {
                let subscriber = self.client.subscribe(NAME).await?;
                // The server knows of it once this has come back.
                self.client.flush().await?;
                Ok(Reader::Core(subscriber))
            }
        }
    }

    async fn worker(&self, _number: u32, batch: u32) -> Result<Taking> {
        let consumer = self.stream.get_consumer_from_stream(GROUP, NAME).await;
        let consumer: PullConsumer = consumer.map_err(|error| anyhow!("{error}"))?;
        let records = consumer
            .stream()
            .max_messages_per_batch(batch as usize)
            .messages()
            .await?;
        Ok(Taking {
            client: self.client.clone(),
            records: Mutex::new(records),
        })
    }
}

impl Worker for Taking {
    /// Where each record is acknowledged.
    type Handles = Vec<Subject>;
    type Error = anyhow::Error;

    /// The first to come, and those that have come by then.
    async fn take(&self, records_max: u32) -> Result<Taken<Vec<Subject>>> {
        let mut records = self.records.lock().await;
        let mut takings = Takings::new();
        let mut next = timeout(TAKE_WAIT, records.next()).await.ok();
        while let Some(record) = next {
            let record = record.context("the consumer ended")??;
            let subject = record.reply.clone();
            let subject = subject.context("a record that cannot be acknowledged")?;
            takings.add(&record.payload, subject)?;
            if takings.records() == records_max as usize {
                break;
            }
            next = records.next().now_or_never();
        }
        Ok(takings.taken())
    }

    fn acknowledge(
        &self,
        mut subjects: Vec<Subject>,
    ) -> impl Future<Output = Result<()>> + Send + 'static {
        let client = self.client.clone();
        async move {
            let last = subjects.pop();
            for subject in subjects {
                client.publish(subject, Bytes::new()).await?;
            }
            if let Some(last) = last {
                // A connection is served in order: what was said before is known as well.
                client.request(last, Bytes::new()).await?;
            }
            Ok(())
        }
    }

    fn one_by_one(subjects: Vec<Subject>) -> Vec<Vec<Subject>> {
        one_by_one(subjects)
    }
}

impl Sink for Sending {
    type Acknowledged = PublishAck;
    type Error = PublishError;
    type Receipt = Pin<Box<dyn Future<Output = Result<PublishAck, PublishError>> + Send>>;

    async fn send(&mut self) -> Result<Self::Receipt, PublishError> {
        let record = self.payloads.next_record();
        Ok(self.stream.publish(NAME, record).await?.into_future())
    }

    fn bytes_per_send(&self) -> u64 {
        self.payloads.record_bytes()
    }
}

impl Records for Reader {
    async fn next(&mut self) -> Result<Bytes> {
        match self {
            Self::Core(records) => {
                let record = records.next().await.context("the subscription ended")?;
                Ok(record.payload)
            }
            Self::Pull(records) => {
                let record = records.next().await.context("the consumer ended")??;
                Ok(record.message.payload)
            }
        }
    }
}
