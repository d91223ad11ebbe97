//! The whole broker over a backend of one's own, in process.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use custom_backend::VecStorage;
use ratatoskr_core::{
    Error,
    broker::{Broker, FetchPartition, FetchRequest, NewTopic},
    name::TopicName,
    offset::{Offset, PartitionIndex},
    record::Record,
    time::{Clock, Timestamp},
};

/// The core reads no clock: whoever embeds it says what time it is.
#[derive(Debug)]
struct WallClock(Instant);

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Timestamp::new(0).plus(since.unwrap_or_default())
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let storage = Arc::new(VecStorage::default());
    let clock = Arc::new(WallClock(Instant::now()));
    let broker = Broker::builder(storage, clock).open().await?;
    let tree = TopicName::parse("yggdrasil").expect("letters are legal");
    broker.create_topic(&tree, NewTopic::default()).await?;
    for word in ["an insult for the eagle", "a reply for the dragon"] {
        let record = Record::new(word).with_key("squirrel");
        let sent = broker.publish(&tree, record).await?;
        println!("sent to offset {} at {}", sent.offset, sent.timestamp);
    }
    let request = FetchRequest {
        partitions: vec![FetchPartition {
            topic: tree.clone(),
            partition: PartitionIndex::new(0),
            from: Offset::ZERO,
            bytes_max: 1 << 20,
        }],
        ..FetchRequest::default()
    };
    for read in broker.fetch(&request).await?.partitions {
        let found = read.result?;
        println!(
            "read {} bytes of {} up to offset {}",
            found.batches.len(),
            read.topic,
            found.bounds.log_end
        );
    }
    broker.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}
