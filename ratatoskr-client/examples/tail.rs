//! Prints what is published to a topic, from now on, and what becomes of the connection.
//!
//! `cargo run -p ratatoskr-client --example tail -- ratatoskr://127.0.0.1:7660 TOPIC`

use std::{env, error::Error};

use ratatoskr_client::{Client, StartAt, TopicName};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(address), Some(topic)) = (arguments.next(), arguments.next()) else {
        println!("usage: tail ADDRESS TOPIC, with a server at ADDRESS");
        return Ok(());
    };
    let client = Client::connect(&address).await?;
    if let Some(mut events) = client.events() {
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                eprintln!("{event:?}");
            }
        });
    }

    let topic = TopicName::parse(&topic)?;
    let mut consumer = client.consumer(&topic).start(StartAt::End).open().await?;
    // A lost connection is made again meanwhile; the loop notices nothing but the wait.
    while let Some(read) = consumer.next().await {
        match read {
            Ok(read) => {
                let value = read.record.value.unwrap_or_default();
                println!(
                    "{}/{}: {}",
                    read.partition,
                    read.offset,
                    value.escape_ascii()
                );
            }
            Err(error) => eprintln!("{error}"),
        }
    }
    Ok(())
}
