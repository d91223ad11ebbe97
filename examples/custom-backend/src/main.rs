//! The whole broker over a backend of one's own, in process.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use custom_backend::VecStorage;
use ratatoskr_core::{
    Broker, Error,
    broker::{NewTopic, StreamOptions},
    name::TopicName,
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
    let words = ["an insult for the eagle", "a reply for the dragon"];
    for word in words {
        let record = Record::new(word).with_key("squirrel");
        let sent = broker.publish(&tree, record).await?;
        println!("sent as offset {}", sent.offset);
    }
    let mut records = broker.stream(&tree, StreamOptions::default()).await?;
    for _ in words {
        if let Some(read) = records.next().await.transpose()? {
            let value = read.record.value.unwrap_or_default();
            let text = String::from_utf8_lossy(&value);
            println!("read offset {}: {text}", read.offset);
        }
    }
    broker.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}
