//! Brokers, servers and clients for tests, and what tests say often.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use ratatoskr_client::{
    Client, ConnectOptions, ConsumedRecord, Consumer, NewTopic, Producer, Record, TopicName,
};
use ratatoskr_core::{Broker, BrokerConfig};
use ratatoskr_server::native::{self, NativeLimits};
use ratatoskr_storage::{MemoryStorage, SystemClock};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

/// A test that does not end within this time has hung.
const HANG: Duration = Duration::from_secs(30);

/// One that hears of members of groups often, so that tests are quick.
pub(crate) async fn broker() -> Broker {
    let config = BrokerConfig {
        group_heartbeat_interval: Duration::from_millis(20),
        ..BrokerConfig::default()
    };
    broker_with(config).await
}

pub(crate) async fn broker_on(storage: MemoryStorage) -> Broker {
    let builder = Broker::builder(Arc::new(storage), Arc::new(SystemClock::new()));
    builder.open().await.unwrap()
}

pub(crate) async fn broker_with(config: BrokerConfig) -> Broker {
    let storage = Arc::new(MemoryStorage::new());
    let builder = Broker::builder(storage, Arc::new(SystemClock::new())).config(config);
    builder.open().await.unwrap()
}

/// A server on loopback.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(broker: Broker) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), broker).await
    }

    pub(crate) async fn start_at(address: SocketAddr, broker: Broker) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let limits = NativeLimits::default();
        let task = tokio::spawn(native::serve(listener, broker, limits, async {
            let _ = stopped.await;
        }));
        Self {
            address,
            stop,
            task,
        }
    }

    /// Drains it.
    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }

    /// Cuts every connection at once, as a crash would.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    pub(crate) async fn client(&self) -> Client {
        connect(self.address).await
    }
}

pub(crate) async fn connect(address: SocketAddr) -> Client {
    let options = ConnectOptions {
        backoff_min: Duration::from_millis(1),
        backoff_max: Duration::from_millis(20),
        ..ConnectOptions::default()
    };
    let url = format!("ratatoskr://{address}");
    Client::connect_with(&url, options).await.unwrap()
}

/// Runs a test in process.
pub(crate) async fn in_process<T: Future<Output = ()>>(test: impl FnOnce(Client) -> T) {
    let client = Client::in_process(broker().await);
    within(test(client)).await;
}

/// Runs a test over TCP.
pub(crate) async fn over_tcp<T: Future<Output = ()>>(test: impl FnOnce(Client) -> T) {
    let server = Server::start(broker().await).await;
    let client = server.client().await;
    within(test(client)).await;
    within(server.stop()).await;
}

pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANG, work)
        .await
        .expect("the test hangs")
}

/// One test each way for each function named.
macro_rules! shared_tests {
    ($($name:ident),* $(,)?) => {
        mod in_process {
            $(#[tokio::test]
            async fn $name() {
                $crate::fixture::in_process(super::$name).await;
            })*
        }
        mod over_tcp {
            $(#[tokio::test]
            async fn $name() {
                $crate::fixture::over_tcp(super::$name).await;
            })*
        }
    };
}
pub(crate) use shared_tests;

pub(crate) fn name(name: &str) -> TopicName {
    TopicName::parse(name).unwrap()
}

pub(crate) async fn create(client: &Client, topic: &str, partitions: u32) -> TopicName {
    let topic = name(topic);
    let new = NewTopic {
        partitions: Some(partitions),
        ..NewTopic::default()
    };
    client.create_topic(&topic, new).await.unwrap();
    topic
}

pub(crate) async fn next(consumer: &mut Consumer) -> ConsumedRecord {
    consumer.next().await.unwrap().unwrap()
}

pub(crate) async fn take(consumer: &mut Consumer, count: usize) -> Vec<ConsumedRecord> {
    let mut records = Vec::new();
    while records.len() < count {
        records.push(next(consumer).await);
    }
    records
}

/// The value of a record that is text.
pub(crate) fn text(record: &Record) -> &str {
    std::str::from_utf8(record.value.as_deref().unwrap()).unwrap()
}

pub(crate) fn texts(records: &[ConsumedRecord]) -> Vec<&str> {
    records
        .iter()
        .map(|consumed| text(&consumed.record))
        .collect()
}

/// Leaves a record with a producer, without waiting for its end.
pub(crate) async fn post(producer: &Producer, record: Record) {
    drop(producer.enqueue(record).await.unwrap());
}
