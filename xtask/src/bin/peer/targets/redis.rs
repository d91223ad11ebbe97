//! Redis with its streams, by the client of the Rust community.

use std::{collections::VecDeque, future::Future, time::Duration};

use ::redis::{
    AsyncConnectionConfig, Client, RedisError, Value,
    aio::MultiplexedConnection,
    cmd,
    streams::{StreamId, StreamRangeReply, StreamReadReply},
};
use anyhow::{Context, Result, bail, ensure};
use ratatoskr_client::{Durability, bytes::Bytes};

use ratatoskr_server::load::{
    Begun, Payloads, Sink, begun,
    work::{Taken, Worker},
};
use tokio::time::sleep;

use super::{GROUP, Kind, NAME, Records, Start, Takings, Target, one_by_one};

/// The field that holds a record.
const FIELD: &str = "v";
/// Requests that one write takes.
const PIPELINE: usize = 1_024;
/// Records that one read asks for.
const READ_RECORDS: usize = 1_000;
/// How soon a queue that had nothing is asked again: a connection that waits could acknowledge nothing.
const TAKE_AGAIN: Duration = Duration::from_millis(1);
/// The id before all others.
const FIRST: &str = "0";

/// A connection.
pub(crate) struct Redis {
    connection: MultiplexedConnection,
}

/// A connection and what is sent over it.
pub(crate) struct Sending {
    connection: MultiplexedConnection,
    payloads: Payloads,
}

/// A stream that is read, on a connection of its own while it waits.
pub(crate) struct Reader {
    connection: MultiplexedConnection,
    /// The id of the last record.
    last: String,
    records: VecDeque<Bytes>,
}

/// A consumer of the group.
pub(crate) struct Taking {
    connection: MultiplexedConnection,
    name: String,
}

impl Target for Redis {
    const WORDS: &'static str = "XADD, each record by itself, pipelined on one connection; XREAD of up \
                                 to 1,000; of a queue, XREADGROUP and XACK of a batch each";
    type Sink = Sending;
    type Records = Reader;
    type Worker = Taking;

    async fn connect(address: &str) -> Result<Self> {
        let client = Client::open(format!("redis://{address}/"))?;
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_pipeline_buffer_size(PIPELINE);
        let connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        Ok(Self { connection })
    }

    async fn create(&self, _durability: Durability, kind: Kind) -> Result<()> {
        // The first record creates a stream, and durability is the server's.
        if kind == Kind::Queue {
            let mut create = cmd("XGROUP");
            create.arg("CREATE").arg(NAME).arg(GROUP).arg(FIRST);
            create.arg("MKSTREAM");
            let mut connection = self.connection.clone();
            create.query_async::<()>(&mut connection).await?;
        }
        Ok(())
    }

    async fn sink(&self, payloads: Payloads) -> Result<Sending> {
        Ok(Sending {
            connection: self.connection.clone(),
            payloads,
        })
    }

    async fn read(&self, start: Start) -> Result<Reader> {
        let mut connection = self.connection.clone();
        let last = match start {
            Start::Oldest => FIRST.to_owned(),
            Start::Next => {
                let mut newest = cmd("XREVRANGE");
                newest.arg(NAME).arg("+").arg("-").arg("COUNT").arg(1);
                let newest: StreamRangeReply = newest.query_async(&mut connection).await?;
                let newest = newest.ids.into_iter().next();
                newest.map_or_else(|| FIRST.to_owned(), |record| record.id)
            }
        };
        Ok(Reader {
            connection,
            last,
            records: VecDeque::new(),
        })
    }

    async fn worker(&self, number: u32, _batch: u32) -> Result<Taking> {
        Ok(Taking {
            connection: self.connection.clone(),
            name: format!("consumer-{number}"),
        })
    }
}

impl Worker for Taking {
    /// Ids of records.
    type Handles = Vec<String>;
    type Error = anyhow::Error;

    async fn take(&self, records_max: u32) -> Result<Taken<Vec<String>>> {
        let mut read = cmd("XREADGROUP");
        read.arg("GROUP").arg(GROUP).arg(&self.name);
        read.arg("COUNT").arg(records_max);
        read.arg("STREAMS").arg(NAME).arg(">");
        let mut connection = self.connection.clone();
        let reply: Option<StreamReadReply> = read.query_async(&mut connection).await?;
        let mut takings = Takings::new();
        let streams = reply.into_iter().flat_map(|reply| reply.keys);
        for mut record in streams.flat_map(|stream| stream.ids) {
            let value = value(&mut record)?;
            takings.add(&value, record.id)?;
        }
        if takings.records() == 0 {
            sleep(TAKE_AGAIN).await;
        }
        Ok(takings.taken())
    }

    fn acknowledge(&self, ids: Vec<String>) -> impl Future<Output = Result<()>> + Send + 'static {
        let mut connection = self.connection.clone();
        async move {
            let mut acknowledge = cmd("XACK");
            acknowledge.arg(NAME).arg(GROUP).arg(&ids);
            let acknowledged: usize = acknowledge.query_async(&mut connection).await?;
            ensure!(
                acknowledged == ids.len(),
                "{acknowledged} of {} records were acknowledged",
                ids.len()
            );
            Ok(())
        }
    }

    fn one_by_one(ids: Vec<String>) -> Vec<Vec<String>> {
        one_by_one(ids)
    }
}

/// What a record holds.
fn value(record: &mut StreamId) -> Result<Bytes> {
    let value = record.map.remove(FIELD);
    let Value::BulkString(bytes) = value.context("a record without a value")? else {
        bail!("a value that is not a string");
    };
    Ok(bytes.into())
}

impl Sink for Sending {
    type Acknowledged = Value;
    type Error = RedisError;
    type Receipt = Begun<Result<Value, RedisError>>;

    async fn send(&mut self) -> Result<Self::Receipt, RedisError> {
        let mut add = cmd("XADD");
        add.arg(NAME).arg("*").arg(FIELD);
        add.arg(&self.payloads.next_record()[..]);
        let mut connection = self.connection.clone();
        Ok(begun(async move { add.query_async(&mut connection).await }).await)
    }

    fn bytes_per_send(&self) -> u64 {
        self.payloads.record_bytes()
    }
}

impl Records for Reader {
    async fn next(&mut self) -> Result<Bytes> {
        loop {
            if let Some(record) = self.records.pop_front() {
                return Ok(record);
            }
            let mut read = cmd("XREAD");
            read.arg("COUNT").arg(READ_RECORDS).arg("BLOCK").arg(0);
            read.arg("STREAMS").arg(NAME).arg(&self.last);
            let reply: StreamReadReply = read.query_async(&mut self.connection).await?;
            for mut record in reply.keys.into_iter().flat_map(|key| key.ids) {
                self.records.push_back(value(&mut record)?);
                self.last = record.id;
            }
        }
    }
}
