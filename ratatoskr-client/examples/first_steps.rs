//! Sends ten records and reads them back.
//!
//! `cargo run -p ratatoskr-client --example first_steps` does so with a broker inside the program;
//! with an address behind it (`-- ratatoskr://127.0.0.1:7660`), with a server.

use std::{env, error::Error, sync::Arc};

use ratatoskr_client::{Client, Record, TopicName};
use ratatoskr_core::{Broker, BrokerConfig};
use ratatoskr_storage::{MemoryStorage, SystemClock};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let client = match env::args().nth(1) {
        Some(address) => Client::connect(&address).await?,
        None => Client::in_process(broker_in_memory().await?),
    };

    let topic = TopicName::parse("first-steps")?;
    let producer = client.producer(&topic).open().await?;
    let mut deliveries = Vec::new();
    for number in 0..10 {
        let record =
            Record::new(format!("record {number}")).with_key(format!("key {}", number % 3));
        // On its way; many may be at once.
        deliveries.push(producer.enqueue(record).await?);
    }
    for delivery in deliveries {
        let sent = delivery.await?;
        // A producer that asks for no acknowledgement would learn no offset.
        if let Some(offset) = sent.offset {
            println!("sent to partition {}, offset {offset}", sent.partition);
        }
    }

    let mut consumer = client.consumer(&topic).open().await?;
    for _ in 0..10 {
        let Some(read) = consumer.next().await else {
            break;
        };
        let read = read?;
        let value = read.record.value.unwrap_or_default();
        println!(
            "{}/{}: {}",
            read.partition,
            read.offset,
            value.escape_ascii()
        );
    }
    Ok(producer.close().await?)
}

async fn broker_in_memory() -> Result<Broker, ratatoskr_core::Error> {
    let config = BrokerConfig {
        auto_create_topics: true,
        ..BrokerConfig::default()
    };
    Broker::builder(Arc::new(MemoryStorage::new()), Arc::new(SystemClock::new()))
        .config(config)
        .open()
        .await
}
