//! Reading a topic record by record, as a stream that goes on through lost connections.

mod group;
mod plan;
mod remote;
mod start;

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_core::Stream;
use ratatoskr_core::{
    broker::{RecordStream, StartAt, StreamOptions},
    name::{GroupId, TopicName},
    offset::{IsolationLevel, PartitionIndex},
    record::ConsumedRecord,
};

use crate::{
    Error,
    client::{Client, Transport},
    options::{FOREVER, PARTITIONS_REFRESH},
};
pub use group::{GroupConsumer, GroupConsumerBuilder};
use remote::RemoteReader;

/// Bytes that a consumer holds at most, unless told otherwise.
const BUFFER_BYTES_DEFAULT: u32 = 8 << 20;
/// Records that a consumer holds at most, unless told otherwise.
const BUFFER_RECORDS_DEFAULT: u32 = 100_000;

/// A consumer to be configured and opened.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is opened"]
pub struct ConsumerBuilder {
    client: Client,
    topic: TopicName,
    options: ConsumerOptions,
}

/// What a consumer reads.
#[derive(Clone, Debug)]
pub(crate) struct ConsumerOptions {
    start: StartAt,
    partitions: Option<Vec<PartitionIndex>>,
    isolation: IsolationLevel,
    buffer_records: u32,
    buffer_bytes: u32,
    partitions_refresh: Duration,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        Self {
            start: StartAt::Start,
            partitions: None,
            isolation: IsolationLevel::ReadUncommitted,
            buffer_records: BUFFER_RECORDS_DEFAULT,
            buffer_bytes: BUFFER_BYTES_DEFAULT,
            partitions_refresh: PARTITIONS_REFRESH,
        }
    }
}

impl ConsumerOptions {
    fn buffer(&mut self, records: u32, bytes: u32) {
        self.buffer_records = records.max(1);
        self.buffer_bytes = bytes.max(1);
    }
}

impl ConsumerBuilder {
    pub(crate) fn new(client: Client, topic: TopicName) -> Self {
        Self {
            client,
            topic,
            options: ConsumerOptions::default(),
        }
    }

    /// Where reading begins; at the oldest record unless told otherwise.
    pub fn start(mut self, start: StartAt) -> Self {
        self.options.start = start;
        self
    }

    /// Which partitions are read; all unless told otherwise, those that are added later as well.
    pub fn partitions(mut self, partitions: impl Into<Vec<PartitionIndex>>) -> Self {
        self.options.partitions = Some(partitions.into());
        self
    }

    /// Whether records of open transactions are left out; they are read unless told otherwise.
    pub const fn isolation(mut self, isolation: IsolationLevel) -> Self {
        self.options.isolation = isolation;
        self
    }

    /// How much the server may send ahead of what is taken: records (100,000 unless told otherwise)
    /// and bytes (8 MiB), at least 1 each; one batch may go beyond it.
    pub fn buffer(mut self, records: u32, bytes: u32) -> Self {
        self.options.buffer(records, bytes);
        self
    }

    /// How often a server is asked for partitions that were added, where all are read; every 30 s
    /// unless told otherwise. In process they are there at once.
    pub fn partitions_refresh(mut self, every: Duration) -> Self {
        self.options.partitions_refresh = every.min(FOREVER);
        self
    }

    /// Reads as a member of a consumer group, which shares the partitions of the topic among its
    /// members and remembers how far it has come. Where it [starts](Self::start) matters only where
    /// the group has committed nothing; what the [`buffer`](Self::buffer) holds is counted for each
    /// partition.
    pub fn group(self, group: GroupId) -> GroupConsumerBuilder {
        GroupConsumerBuilder::new(self.client, group, self.options).topic(&self.topic)
    }

    /// Opens the consumer. Where it begins is settled when this returns: from [`StartAt::End`],
    /// every record published later is in it.
    ///
    /// # Errors
    /// As [`Broker::stream`](ratatoskr_core::Broker::stream), and those of the connection.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn open(self) -> Result<Consumer, Error> {
        let state = match &self.client.transport {
            Transport::InProcess(broker) => {
                let options = StreamOptions {
                    start: self.options.start,
                    partitions: self.options.partitions,
                    bytes_max: self.options.buffer_bytes as usize,
                    isolation: self.options.isolation,
                };
                State::InProcess(broker.stream(&self.topic, options).await?)
            }
            Transport::Remote(_) => {
                let reader = RemoteReader::open(self.client, self.topic, self.options).await?;
                State::Remote(Box::new(reader))
            }
        };
        Ok(Consumer { state })
    }
}

/// The records of a topic, those of each partition in the order of their offsets. It waits for
/// records yet to come.
///
/// A lost connection is made again, and reading goes on at the next record. Nothing is left out
/// without an error item that says so: after [`OffsetOutOfRange`](ratatoskr_core::Error) it goes on
/// at the nearest offset there is, after records that are corrupt behind them. It ends after an
/// error that no record can follow: the topic is gone, the client or the broker in this process is
/// closed.
#[must_use = "a consumer reads nothing until it is polled"]
pub struct Consumer {
    state: State,
}

enum State {
    InProcess(RecordStream),
    Remote(Box<RemoteReader>),
    Ended,
}

impl Consumer {
    /// The next item; `None` after the last.
    ///
    /// # Errors
    /// See [`Consumer`].
    ///
    /// # Cancel safety
    /// Dropping the future loses no record.
    pub async fn next(&mut self) -> Option<Result<ConsumedRecord, Error>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for Consumer {
    type Item = Result<ConsumedRecord, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match &mut self.state {
                State::Ended => return Poll::Ready(None),
                State::InProcess(stream) => {
                    let item = ready!(Pin::new(stream).poll_next(context));
                    return Poll::Ready(item.map(|item| item.map_err(Error::from)));
                }
                State::Remote(reader) => {
                    if let Some(item) = reader.next_ready() {
                        return Poll::Ready(Some(item));
                    }
                    if let Err(error) = ready!(reader.poll_fill(context)) {
                        self.state = State::Ended;
                        return Poll::Ready(Some(Err(error)));
                    }
                }
            }
        }
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").finish_non_exhaustive()
    }
}
