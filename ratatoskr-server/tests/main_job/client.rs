//! The main job through the client: in process, and over TCP.

use std::time::Duration;

use ratatoskr_client::{Client, Delivery};
use ratatoskr_core::{
    Broker,
    config::Compression,
    name::TopicName,
    record::{ConsumedRecord, Record},
};
use ratatoskr_server::native::{self, NativeLimits};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use crate::{
    backend::{Backend, End},
    check::{check, check_restarted},
    door::{Door, Place, Restart, new_topic},
    kept,
};

/// Batches are this small, so that lines without a key reach every partition.
const BATCH_BYTES: usize = 16 << 10;
/// Long enough for batches to fill, so that there is something to compress.
const LINGER: Duration = Duration::from_millis(5);

/// A client, and its broker in this process.
struct ThroughClient {
    client: Client,
    listener: Option<Listener>,
    broker: Broker,
    backend: Backend,
}

/// The native door of the broker.
struct Listener {
    close: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl ThroughClient {
    /// No network in between.
    async fn in_process(backend: Backend) -> Self {
        let broker = backend.broker().await;
        Self {
            client: Client::in_process(broker.clone()),
            listener: None,
            broker,
            backend,
        }
    }

    /// Over TCP.
    async fn over_tcp(backend: Backend) -> Self {
        let broker = backend.broker().await;
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = socket.local_addr().expect("an address");
        let (close, closed) = oneshot::channel();
        let limits = NativeLimits::default();
        let task = tokio::spawn(native::serve(socket, broker.clone(), limits, async {
            let _ = closed.await;
        }));
        let client = Client::connect(&format!("ratatoskr://{address}")).await;
        Self {
            client: client.expect("a connection"),
            listener: Some(Listener { close, task }),
            broker,
            backend,
        }
    }
}

impl Door for ThroughClient {
    async fn send(
        &mut self,
        topic: &TopicName,
        compression: Compression,
        records: &[Record],
    ) -> Option<Vec<Place>> {
        // What the producer is told counts, not what the topic says.
        let created = self
            .client
            .create_topic(topic, new_topic(Compression::None));
        created.await.expect("the topic is created");
        let builder = self.client.producer(topic).compression(compression);
        let opened = builder.batch_bytes(BATCH_BYTES).linger(LINGER).open().await;
        let producer = opened.expect("a producer");
        let mut deliveries: Vec<Delivery> = Vec::with_capacity(records.len());
        for record in records {
            deliveries.push(producer.enqueue(record.clone()).await.expect("room"));
        }
        let mut places = Vec::with_capacity(records.len());
        for delivery in deliveries {
            let metadata = delivery.await.expect("an acknowledgement");
            places.push((metadata.partition, metadata.offset.expect("an offset")));
        }
        producer.close().await.expect("nothing is left");
        Some(places)
    }

    async fn read(&mut self, topic: &TopicName, count: usize) -> Vec<ConsumedRecord> {
        let mut consumer = self
            .client
            .consumer(topic)
            .open()
            .await
            .expect("a consumer");
        let mut read = Vec::with_capacity(count);
        while read.len() < count {
            let record = consumer.next().await.expect("a stream goes on");
            read.push(record.expect("a record"));
        }
        read
    }

    async fn codecs(&mut self, topic: &TopicName) -> Option<Vec<Compression>> {
        Some(kept::codecs(&self.broker, topic).await)
    }
}

impl Restart for ThroughClient {
    async fn restart(self, end: End) -> Self {
        drop(self.client);
        let Some(Listener { close, task }) = self.listener else {
            return Self::in_process(self.backend.end(self.broker, end).await).await;
        };
        drop(close);
        task.await.expect("the door closes");
        Self::over_tcp(self.backend.end(self.broker, end).await).await
    }
}

#[tokio::test]
async fn client_in_process_over_memory() {
    check(ThroughClient::in_process(Backend::memory()).await).await;
}

#[tokio::test]
async fn client_in_process_on_disk_after_a_restart() {
    let door = ThroughClient::in_process(Backend::disk().await).await;
    check_restarted(door, End::InOrder).await;
}

#[tokio::test]
async fn client_over_tcp_over_memory() {
    check(ThroughClient::over_tcp(Backend::memory()).await).await;
}

#[tokio::test]
async fn client_over_tcp_on_disk() {
    check(ThroughClient::over_tcp(Backend::disk().await).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn client_over_tcp_on_disk_after_a_restart() {
    let door = ThroughClient::over_tcp(Backend::disk().await).await;
    check_restarted(door, End::InOrder).await;
}

#[tokio::test]
async fn client_over_tcp_on_disk_after_an_end_without_notice() {
    let door = ThroughClient::over_tcp(Backend::disk().await).await;
    check_restarted(door, End::WithoutNotice).await;
}
