//! Redis with its streams, by the client of the Rust community.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn, ready},
    pin::Pin,
    task::Poll,
};

use ::redis::{
    AsyncConnectionConfig, Client, RedisError, Value,
    aio::MultiplexedConnection,
    cmd,
    streams::{StreamRangeReply, StreamReadReply},
};
use anyhow::{Context, Result};
use ratatoskr_client::{Durability, bytes::Bytes};

use ratatoskr_server::load::{Payloads, Sink};
use tokio::task::unconstrained;

use super::{NAME, Records, Start, Target};

/// The field that holds a record.
const FIELD: &str = "v";
/// Requests that one write takes.
const PIPELINE: usize = 1_024;
/// Records that one read asks for.
const READ_RECORDS: usize = 1_000;
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

impl Target for Redis {
    const WORDS: &'static str =
        "XADD, each record by itself, pipelined on one connection; XREAD of up to 1,000";
    type Sink = Sending;
    type Records = Reader;

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

    async fn create(&self, _durability: Durability) -> Result<()> {
        // The first record creates a stream, and durability is the server's.
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
}

impl Sink for Sending {
    type Acknowledged = Value;
    type Error = RedisError;
    type Receipt = Pin<Box<dyn Future<Output = Result<Value, RedisError>> + Send>>;

    async fn send(&mut self) -> Result<Self::Receipt, RedisError> {
        let mut add = cmd("XADD");
        add.arg(NAME).arg("*").arg(FIELD);
        add.arg(&self.payloads.next_record()[..]);
        let mut connection = self.connection.clone();
        // A request is on its way once it was polled; a runtime that wants its turn must not keep
        // one back while later ones go.
        let answer = async move { add.query_async(&mut connection).await };
        let mut answer: Self::Receipt = Box::pin(unconstrained(answer));
        let polled = poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx)));
        Ok(match polled.await {
            Poll::Ready(answer) => Box::pin(ready(answer)),
            Poll::Pending => answer,
        })
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
                let value = record
                    .map
                    .remove(FIELD)
                    .context("a record without a value")?;
                let Value::BulkString(bytes) = value else {
                    anyhow::bail!("a value that is not a string");
                };
                self.records.push_back(bytes.into());
                self.last = record.id;
            }
        }
    }
}
