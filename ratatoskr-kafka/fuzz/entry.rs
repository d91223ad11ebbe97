//! What is done with one input, be it libFuzzer's or that of the runner for stable compilers
//! (`tests/fuzz`): it is sent as a request to a broker that nobody else uses, so that an input does the
//! same each time.

use std::{sync::Arc, time::Duration};

use ratatoskr_core::{
    Broker, BrokerConfig, batch::BatchBuilder, broker::NewTopic, config::Compression, door::Drain,
    name::TopicName, offset::PartitionIndex, record::Record, time::Timestamp,
};
use ratatoskr_kafka::{Door, KafkaLimits, Node};
use ratatoskr_storage::{MemoryStorage, SystemClock};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    runtime::Builder,
    time::timeout,
};

/// The topic that the corpus is about.
const TOPIC: &str = "orders";
/// What the corpus has in place of the topic's id, which differs each time.
const TOPIC_ID: [u8; 16] = [1; 16];
/// How long a request may go unanswered before its peer goes: longer than any fetch waits. The clock
/// stands still while anybody has something to do, so this costs nothing.
const PATIENCE: Duration = Duration::from_mins(2);
/// What fits into the pipe between peer and door: more than a request here has.
const PIPE_BYTES: usize = 1 << 20;
/// Metadata, in its first version, of all topics.
const NEIGHBOUR: &[u8] = b"\0\x03\0\0\0\0\0\x07\xff\xff\0\0\0\0";

/// Sends a request, its length left out, waits for what comes of it, and asks as a neighbour whether
/// the broker is well.
///
/// # Panics
/// The door panics, hangs, or does not serve the neighbour.
pub(crate) fn request(bytes: &[u8]) {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let server = Server::new().await;
        server.exchange(&server.about_its_topic(bytes)).await;
        let answer = server.exchange(NEIGHBOUR).await;
        let answer = answer.expect("a neighbour is answered");
        assert_eq!(answer.first_chunk(), Some(&[0, 0, 0, 7]));
    });
}

struct Server {
    door: Arc<Door>,
    topic_id: [u8; 16],
}

impl Server {
    /// A broker with a record.
    async fn new() -> Self {
        let config = BrokerConfig {
            auto_create_topics: true,
            group_initial_rebalance_delay: Duration::ZERO,
            ..BrokerConfig::default()
        };
        let clock = Arc::new(SystemClock::new());
        let builder = Broker::builder(Arc::new(MemoryStorage::new()), clock);
        let broker = builder.config(config).open().await.expect("a broker");
        let topic: TopicName = TOPIC.parse().expect("a legal name");
        let created = broker.create_topic(&topic, NewTopic::default()).await;
        created.expect("a topic");
        let mut batch = BatchBuilder::new(Compression::None);
        let record = Record::new("a value").with_key("a key");
        batch.push(&record, Timestamp::new(0)).expect("a record");
        let batch = batch.build().expect("a batch");
        let produced = broker.produce(&topic, PartitionIndex::new(0), batch);
        produced.expect("taken").wait().await.expect("appended");
        let id = broker.topic_descriptor(&topic).expect("a topic").id;
        let node = Node::new("cluster");
        Self {
            door: Arc::new(Door::new(broker, node, KafkaLimits::default())),
            topic_id: *id.as_bytes(),
        }
    }

    fn about_its_topic(&self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        while let Some(at) = bytes.windows(16).position(|found| found == TOPIC_ID) {
            bytes[at..at + 16].copy_from_slice(&self.topic_id);
        }
        bytes
    }

    /// The answer to a request, if there is one before the door closes or the peer goes.
    async fn exchange(&self, request: &[u8]) -> Option<Vec<u8>> {
        let (mut stream, served) = tokio::io::duplex(PIPE_BYTES);
        let here = "127.0.0.1:9092".parse().expect("an address");
        let peer = "127.0.0.1:50000".parse().expect("an address");
        let (_switch, drain) = Drain::new();
        let serving = ratatoskr_kafka::serve(served, here, peer, Arc::clone(&self.door), drain);
        let asking = async move {
            let length = u32::try_from(request.len()).ok()?;
            stream.write_u32(length).await.ok()?;
            stream.write_all(request).await.ok()?;
            let reading = async {
                let length = stream.read_u32().await.ok()?;
                let mut answer = vec![0; usize::try_from(length).ok()?];
                stream.read_exact(&mut answer).await.ok()?;
                Some(answer)
            };
            timeout(PATIENCE, reading).await.ok()?
        };
        // What the stream said is no matter.
        let (answer, _) = tokio::join!(asking, serving);
        answer
    }
}
