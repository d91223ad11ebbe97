//! Client of the Ratatoskr message broker: the same API for a broker in this process and for one
//! over the network.
//!
//! ```text
//! Client ─┬─ administration          create, list, describe, alter, delete topics
//!         ├─ Producer                batches, idempotence, retries, a bounded buffer
//!         ├─ Consumer                a stream of records that goes on through lost connections
//!         ├─ GroupConsumer           the same, shared with others, from where the group left off
//!         ├─ Queue                   records taken under a lease, and settled one by one
//!         └─ fetch, produce_batch    batches as they are
//! ```
//!
//! # Example
//! ```
//! use std::sync::Arc;
//! use ratatoskr_client::{Client, NewTopic, Record, TopicName};
//! use ratatoskr_storage::{MemoryStorage, SystemClock};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let storage = Arc::new(MemoryStorage::new());
//! let broker = ratatoskr_core::Broker::builder(storage, Arc::new(SystemClock::new()))
//!     .open()
//!     .await?;
//! // Or over the network: Client::connect("ratatoskr://127.0.0.1:7660").await?
//! let client = Client::in_process(broker);
//!
//! let greetings = TopicName::parse("greetings")?;
//! client.create_topic(&greetings, NewTopic::default()).await?;
//! let producer = client.producer(&greetings).open().await?;
//! producer.send(Record::new("hello")).await?;
//!
//! let mut consumer = client.consumer(&greetings).open().await?;
//! let first = consumer.next().await.expect("a stream that waits")?;
//! assert_eq!(first.record.value.as_deref(), Some(&b"hello"[..]));
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//! - Nothing is silent: a record's [`Delivery`] says where the record went, or why it did not and
//!   whether it may have; a [`Consumer`] yields an error or goes on.
//! - A lost connection is made again in the background; [`Client::events`] tells of it.
//! - A [`GroupConsumer`] commits only what was processed: each record is processed at least once.
//! - An idempotent producer (the default) neither loses, nor duplicates, nor reorders through it.
//! - Every [`Error`] answers [`is_retryable`](Error::is_retryable) and [`outcome`](Error::outcome).
//! - No global state: two clients share nothing.
//!
//! # Features
//! | feature | default | adds |
//! |---|---|---|
//! | `compression` | yes | gzip, snappy, lz4 and zstd |
//! | `json` | no | values of records from and to types of yours, as JSON: `Payload` |
//! | `msgpack` | no | the same as MessagePack |

mod address;
mod admin;
mod batches;
mod client;
mod consumer;
mod error;
mod events;
mod groups;
mod options;
#[cfg(any(feature = "json", feature = "msgpack"))]
mod payload;
mod producer;
mod queue;
mod remote;

pub use address::{Address, PORT_DEFAULT};
pub use batches::PendingBatch;
pub use client::Client;
pub use consumer::{Consumer, ConsumerBuilder, GroupConsumer, GroupConsumerBuilder};
pub use error::{Error, Result};
pub use events::{ClientEvent, ClientEvents};
pub use options::ConnectOptions;
#[cfg(any(feature = "json", feature = "msgpack"))]
pub use payload::{Payload, PayloadError, PayloadFormat};
pub use producer::{Acks, Delivery, OnFull, Producer, ProducerBuilder, RecordMetadata};

pub use queue::{LeasedRecord, Nack, Queue, QueueBuilder, Stopper, Work};

pub use ratatoskr_core::{
    Outcome,
    broker::{
        AcquireOptions, Acquired, AcquiredPartition, AcquiredRange, BrowsePage, BrowsePosition,
        DeadLetter, DeadLetterFilter, DeadLetterTopic, DiscardReport, FetchPartition, FetchRequest,
        FetchResponse, Fetched, FetchedPartition, NewQueue, NewTopic, OffsetSpec,
        PartitionDescription, PartitionState, PeekedRecord, Produced, ProducerIdentity,
        QueueDescription, QueuePartitionDescription, QueueTopicDescription, RecordState,
        RedriveOptions, RedriveReport, StartAt, TopicDescription,
    },
    bytes,
    config::{Compression, Durability, TopicConfig, TopicConfigChange},
    delivery::{
        Backoff, ConsumerId, DeadLetters, FencingToken, QueueConfig, QueueConfigChange,
        QueueCounters, QueueError, QueueStart, SettleAction, Settlement,
    },
    groups::{
        Assignor, CommittedOffset, GroupDescription, GroupError, GroupKind, GroupOffset,
        GroupState, GroupSummary, InstanceId, InvalidMemberId, InvalidTopicPattern,
        MemberDescription, MemberEpoch, MemberId, OffsetCommit, OffsetReset, PartitionLag,
        TopicPartitions, TopicPattern,
    },
    name::{GroupId, InvalidGroupId, InvalidTopicName, TopicName},
    offset::{Bounds, IsolationLevel, Offset, PartitionIndex},
    record::{ConsumedRecord, Header, Record},
    storage::TopicDescriptor,
    time::Timestamp,
    wire::{ErrorCode, ProblemBody, RemoteError, StatsBody},
};
