//! A broker inside a program: no server, no socket, records that survive a crash.
//!
//! Run with `cargo run -p ratatoskr-storage --example embedded [DIRECTORY]`; without a directory it
//! works in a temporary one. Run it twice on the same directory to see the records of the first run.

use std::{env, error::Error, sync::Arc, time::Duration};

use ratatoskr_core::{
    broker::{NewTopic, StreamOptions},
    name::TopicName,
    record::Record,
};
use ratatoskr_storage::{MmapOptions, MmapStorage};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let temporary = tempfile::tempdir()?;
    let directory = env::args_os()
        .nth(1)
        .map_or_else(|| temporary.path().to_owned(), Into::into);

    let storage = Arc::new(MmapStorage::open(&directory, MmapOptions::default()).await?);
    let broker = storage.broker().open().await?;
    let topic: TopicName = "greetings".parse()?;
    if broker.describe_topic(&topic).is_err() {
        broker.create_topic(&topic, NewTopic::default()).await?;
    }

    let record = Record::new("hello").with_key("anna");
    let sent = broker.publish(&topic, record).await?;
    println!(
        "appended at offset {}, durability {}",
        sent.offset, sent.durability
    );

    let mut records = broker.stream(&topic, StreamOptions::default()).await?;
    let written = broker.bounds(&topic, sent.partition)?.records();
    for _ in 0..written {
        let Some(read) = records.next().await.transpose()? else {
            break;
        };
        println!("{} {:?}", read.offset, read.record.value);
    }

    broker.shutdown(Duration::from_secs(5)).await?;
    storage.close().await?;
    Ok(())
}
