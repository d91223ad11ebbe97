//! A door, and a peer that sends whatever it likes.

use std::{sync::Arc, time::Duration};

use kafka_protocol::{
    messages::{ApiKey, RequestHeader, ResponseHeader},
    protocol::{Decodable, Encodable, StrBytes},
};
use ratatoskr_core::{
    Broker, BrokerConfig,
    batch::{BatchBuilder, RecordBatch},
    broker::NewTopic,
    bytes::{Buf, BufMut, Bytes, BytesMut},
    config::Compression,
    door::{Drain, DrainSwitch},
    name::TopicName,
    offset::PartitionIndex,
    record::Record,
    time::Timestamp,
};
use ratatoskr_kafka::{Door, KafkaLimits, Node};
use ratatoskr_storage::{MemoryStorage, SystemClock};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    task::JoinHandle,
};

/// A test that does not end within this time has hung.
const HANG: Duration = Duration::from_secs(30);
/// What fits into the pipe between peer and door.
const PIPE_BYTES: usize = 1 << 20;

pub(crate) const P0: PartitionIndex = PartitionIndex::new(0);

pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANG, work)
        .await
        .expect("the test hangs")
}

/// A broker in memory that creates topics by itself.
pub(crate) async fn broker() -> Broker {
    let config = BrokerConfig {
        auto_create_topics: true,
        group_initial_rebalance_delay: Duration::ZERO,
        ..BrokerConfig::default()
    };
    let storage = Arc::new(MemoryStorage::new());
    let broker = Broker::builder(storage, Arc::new(SystemClock::new())).config(config);
    broker.open().await.unwrap()
}

pub(crate) fn name(name: &str) -> TopicName {
    name.parse().unwrap()
}

pub(crate) struct Server {
    pub(crate) broker: Broker,
    door: Arc<Door>,
    pub(crate) switch: DrainSwitch,
    drain: Drain,
}

impl Server {
    pub(crate) async fn new() -> Self {
        Self::with(KafkaLimits::default()).await
    }

    pub(crate) async fn with(limits: KafkaLimits) -> Self {
        let broker = broker().await;
        let (switch, drain) = Drain::new();
        Self {
            door: Arc::new(Door::new(broker.clone(), Node::new("cluster"), limits)),
            broker,
            switch,
            drain,
        }
    }

    /// A server with a topic of this configuration.
    pub(crate) async fn with_topic(topic: &str, config: &[(&str, &str)]) -> Self {
        let server = Self::new().await;
        server.topic(topic, config).await;
        server
    }

    pub(crate) async fn topic(&self, topic: &str, config: &[(&str, &str)]) {
        let mut new = NewTopic::default();
        for (key, value) in config {
            new.config.set(key, value).unwrap();
        }
        self.broker.create_topic(&name(topic), new).await.unwrap();
    }

    pub(crate) fn connect(&self) -> Peer {
        let (stream, served) = tokio::io::duplex(PIPE_BYTES);
        let here = "127.0.0.1:9092".parse().unwrap();
        let door = Arc::clone(&self.door);
        let task = tokio::spawn(ratatoskr_kafka::serve(
            served,
            here,
            "127.0.0.1:50000".parse().unwrap(),
            door,
            self.drain.clone(),
        ));
        Peer {
            stream,
            inbox: BytesMut::new(),
            task,
        }
    }
}

pub(crate) struct Peer {
    pub(crate) stream: DuplexStream,
    inbox: BytesMut,
    task: JoinHandle<std::io::Result<()>>,
}

/// A whole frame: length, header, body.
pub(crate) fn frame(key: ApiKey, version: i16, correlation: i32, body: &[u8]) -> BytesMut {
    let mut request = BytesMut::new();
    let header = RequestHeader::default()
        .with_request_api_key(key as i16)
        .with_request_api_version(version)
        .with_correlation_id(correlation)
        .with_client_id(Some(StrBytes::from_static_str("a test")));
    header
        .encode(&mut request, key.request_header_version(version))
        .unwrap();
    request.extend_from_slice(body);
    framed(&request)
}

/// A request with its length before it.
pub(crate) fn framed(request: &[u8]) -> BytesMut {
    let mut frame = BytesMut::new();
    frame.put_i32(i32::try_from(request.len()).unwrap());
    frame.extend_from_slice(request);
    frame
}

pub(crate) fn encoded(message: &impl Encodable, version: i16) -> BytesMut {
    let mut body = BytesMut::new();
    message.encode(&mut body, version).unwrap();
    body
}

impl Peer {
    /// Sends bytes, as far as the door takes them.
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        // The door may have closed already.
        let _ = within(self.stream.write_all(bytes)).await;
    }

    pub(crate) async fn send(&mut self, key: ApiKey, version: i16, id: i32, body: &impl Encodable) {
        let frame = frame(key, version, id, &encoded(body, version));
        self.send_bytes(&frame).await;
    }

    /// The next response, header and body; `None` once the door has closed the connection.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        within(async {
            loop {
                if let Some(length) = self.inbox.first_chunk::<4>() {
                    let length = i32::from_be_bytes(*length).try_into().unwrap();
                    if self.inbox.len() - 4 >= length {
                        self.inbox.advance(4);
                        return Some(self.inbox.split_to(length).freeze());
                    }
                }
                if self.stream.read_buf(&mut self.inbox).await.unwrap_or(0) == 0 {
                    return None;
                }
            }
        })
        .await
    }

    /// The next response, which answers this request, read to its last byte.
    pub(crate) async fn answer<R: Decodable>(&mut self, key: ApiKey, version: i16, id: i32) -> R {
        let mut bytes = self.next().await.expect("an answer");
        let header_version = key.response_header_version(version);
        let header = ResponseHeader::decode(&mut bytes, header_version).unwrap();
        assert_eq!(header.correlation_id, id);
        let response = R::decode(&mut bytes, version).unwrap();
        assert!(
            bytes.is_empty(),
            "{key:?} {version}: {} bytes too many",
            bytes.len()
        );
        response
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn ask<R: Decodable>(
        &mut self,
        key: ApiKey,
        version: i16,
        body: &impl Encodable,
    ) -> R {
        self.send(key, version, 7, body).await;
        self.answer(key, version, 7).await
    }

    pub(crate) async fn assert_closed(&mut self) {
        assert_eq!(self.next().await, None);
    }

    /// Goes away, and waits for the door to notice: it must not have panicked.
    pub(crate) async fn leave(self) {
        drop(self.stream);
        let ended = within(self.task).await;
        // What the stream said is no matter.
        let _ = ended.expect("the connection did not panic");
    }
}

pub(crate) fn batch(values: &[&str]) -> RecordBatch {
    compressed(values, Compression::None)
}

pub(crate) fn compressed(values: &[&str], codec: Compression) -> RecordBatch {
    let mut builder = BatchBuilder::new(codec);
    for (at, value) in (1_000..).zip(values) {
        // Long enough for every codec to make it shorter.
        let record = Record::new(value.repeat(20)).with_key("k");
        builder.push(&record, Timestamp::new(at)).unwrap();
    }
    builder.build().unwrap()
}
