//! Works off jobs as a queue: some are done, one fails twice before it is, one is a dead letter that is
//! sent back once the bug is fixed.
//!
//! `cargo run -p ratatoskr-client --features json --example work_queue` does so with a broker inside
//! the program; with an address behind it (`-- ratatoskr://127.0.0.1:7660`), with a server.

use std::{
    env,
    error::Error,
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use ratatoskr_client::{
    BrowsePosition, Client, DeadLetterFilter, GroupId, Nack, NewQueue, Payload, QueueConfigChange,
    Record, RedriveOptions, Stopper, TopicName, Work,
};
use ratatoskr_core::{Broker, BrokerConfig};
use ratatoskr_storage::{MemoryStorage, SystemClock};
use serde::{Deserialize, Serialize};

const JOBS: u32 = 20;
/// Its first two attempts fail.
const FLAKY: u32 = 7;
/// Nobody knows what to do with it, at first.
const UNKNOWN: u32 = 13;

#[derive(Debug, Serialize, Deserialize)]
struct Job {
    number: u32,
}

/// What the workers share.
#[derive(Debug, Default)]
struct Workshop {
    /// Whether the bug is fixed.
    knows_all: AtomicBool,
    done: AtomicU32,
}

impl Workshop {
    /// Does a job; the one that makes it `last` ends the work of all.
    fn work(&self, work: &Work, workers: &[Stopper], last: u32) -> Result<(), Nack> {
        // A record that is no job never will be one: not worth another attempt.
        let job: Job = work.record.record.json().map_err(Nack::reject)?;
        if job.number == UNKNOWN && !self.knows_all.load(Ordering::Relaxed) {
            return Err(Nack::reject("nobody knows how to do this"));
        }
        if job.number == FLAKY && work.delivery_count < 3 {
            return Err(Nack::retry("the printer is out of paper"));
        }
        println!(
            "did job {:2} at attempt {}, fencing token {}",
            job.number, work.delivery_count, work.token
        );
        if self.done.fetch_add(1, Ordering::Relaxed) + 1 == last {
            workers.iter().for_each(Stopper::stop);
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let client = match env::args().nth(1) {
        Some(address) => Client::connect(&address).await?,
        None => Client::in_process(broker_in_memory().await?),
    };
    let topic = TopicName::parse("jobs")?;
    let group = GroupId::parse("workshop")?;
    let config = QueueConfigChange {
        backoff_min: Some(Duration::from_millis(50)),
        ..QueueConfigChange::default()
    };
    client.create_queue(&group, NewQueue { config }).await?;

    let producer = client.producer(&topic).open().await?;
    for number in 0..JOBS {
        let record = Record::from_json(&Job { number })?;
        drop(producer.enqueue(record).await?);
    }
    producer.close().await?;

    // All but the one that nobody knows.
    let workshop = Arc::new(Workshop::default());
    work_off(&client, &topic, &group, &workshop, JOBS - 1).await?;

    let letters = TopicName::parse("jobs.dlq")?;
    let letter = loop {
        let all = DeadLetterFilter::default();
        let from = BrowsePosition::default();
        match client.browse_dead_letters(&letters, from, 1, &all).await {
            Ok(page) if !page.letters.is_empty() => break page.letters,
            // It is on its way.
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    for letter in letter {
        println!(
            "dead: {}/{}:{}, {}",
            letter.origin_topic, letter.origin_partition, letter.origin_offset, letter.cause
        );
    }

    workshop.knows_all.store(true, Ordering::Relaxed);
    let all = RedriveOptions::default();
    let report = client.redrive_dead_letters(&letters, &all).await?;
    println!("{} went back", report.redriven);
    work_off(&client, &topic, &group, &workshop, JOBS).await
}

/// Two workers, four jobs each at a time, until so many are done in all.
async fn work_off(
    client: &Client,
    topic: &TopicName,
    group: &GroupId,
    workshop: &Arc<Workshop>,
    last: u32,
) -> Result<(), Box<dyn Error>> {
    let one = client.queue(topic, group).open().await?;
    let other = client.queue(topic, group).open().await?;
    let stoppers = [one.stopper(), other.stopper()];
    let mut workers = Vec::new();
    for queue in [one, other] {
        let workshop = Arc::clone(workshop);
        let stoppers = stoppers.clone();
        let handler = move |work| ready(workshop.work(&work, &stoppers, last));
        workers.push(tokio::spawn(queue.for_each_concurrent(4, handler)));
    }
    for worker in workers {
        worker.await??;
    }
    Ok(())
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
