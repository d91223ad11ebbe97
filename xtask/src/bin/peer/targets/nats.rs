//! NATS with `JetStream`, by its own client.

use std::{
    future::{Future, IntoFuture as _},
    pin::Pin,
};

use anyhow::{Context as _, Result, bail};
use async_nats::{
    Client, Subscriber,
    jetstream::{
        self, Context,
        consumer::{
            AckPolicy,
            pull::{Config as Pull, Stream as Pulled},
        },
        context::PublishError,
        publish::PublishAck,
        stream::{Config, StorageType},
    },
};
use futures_util::StreamExt as _;
use ratatoskr_client::{Durability, bytes::Bytes};

use ratatoskr_server::load::{Payloads, Sink};

use super::{NAME, Records, Start, Target};

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

impl Target for Nats {
    const WORDS: &'static str = "JetStream, each record published and acknowledged by itself; a pull \
                                 consumer reads, subscribers of a fan-out are those of NATS core";
    type Sink = Sending;
    type Records = Reader;

    async fn connect(address: &str) -> Result<Self> {
        let client = async_nats::connect(address).await?;
        Ok(Self {
            stream: jetstream::new(client.clone()),
            client,
        })
    }

    async fn create(&self, durability: Durability) -> Result<()> {
        let storage = match durability {
            Durability::Memory => StorageType::Memory,
            Durability::Os | Durability::Fsync => StorageType::File,
            Durability::Interval(_) => bail!("not measured with {durability}"),
        };
        let config = Config {
            name: NAME.to_owned(),
            subjects: vec![NAME.into()],
            storage,
            ..Config::default()
        };
        self.stream.create_stream(config).await?;
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
