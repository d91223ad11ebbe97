//! `ratatoskr bench queue`: everything that is in a topic, taken under leases and acknowledged.

use std::{
    io::Write,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use ratatoskr_client::{
    AcquireOptions, Acquired, Client, ConsumerId, Error, GroupId, NewQueue, QueueConfigChange,
    SettleAction, Settlement,
};
use ratatoskr_core::{limits, name::TopicName};
use ratatoskr_server::load::{Latencies, Report};
use tokio::task::JoinSet;

use super::verdict;
use crate::cli::{
    connection,
    exit::{Exit, Failure, Outcome},
    output::Style,
    progress::Progress,
};

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr bench produce --records 2000 && ratatoskr bench queue --output json
  $ ratatoskr bench produce --records 2000 && ratatoskr bench queue --consumers 10 --batch 10";

/// Longest wait for records that others hold at the end.
const WAIT: Duration = Duration::from_millis(100);

/// What to take.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// The topic
    #[arg(long, default_value = "bench")]
    topic: TopicName,
    /// Consumers that share the topic, each with a connection of its own
    #[arg(long, value_name = "COUNT", default_value = "1")]
    consumers: NonZeroU32,
    /// Records taken at a time at most
    #[arg(long, value_name = "RECORDS", default_value = "1000")]
    batch: NonZeroU32,
    /// Acknowledgements of one consumer that are awaited at once
    #[arg(long, value_name = "REQUESTS", default_value = "4")]
    depth: NonZeroU32,
}

/// What one consumer, or all of them, did.
#[derive(Debug, Default)]
struct Worked {
    taken: u64,
    bytes: u64,
    acknowledged: u64,
    latencies: Latencies,
}

/// Works off everything up to what is the end now, in a group of its own.
///
/// # Errors
/// What the broker answers, or a record that was taken twice.
pub(super) async fn run(
    options: &Options,
    at: &connection::Options,
    style: Style,
    out: &mut impl Write,
) -> Outcome {
    let client = at.connect().await?;
    let topic = at.ask(client.describe_topic(&options.topic)).await?;
    let all: u64 = topic.partitions.iter().map(|p| p.bounds.records()).sum();
    let group = GroupId::parse(&format!("bench-{:016x}", fastrand::u64(..)))
        .map_err(|error| Failure::usage(error.to_string()))?;
    let in_flight = options.batch.get().saturating_mul(options.depth.get() + 1);
    let config = QueueConfigChange {
        in_flight_max: Some(limits::QUEUE_IN_FLIGHT_MAX),
        in_flight_per_consumer_max: Some(in_flight.min(limits::QUEUE_IN_FLIGHT_MAX)),
        ..QueueConfigChange::default()
    };
    at.ask(client.create_queue(&group, NewQueue { config }))
        .await?;
    let progress = Arc::new(Progress::records(Some(all)));
    let left = Arc::new(AtomicU64::new(all));
    let mut consumers = Vec::new();
    for number in 0..options.consumers.get() {
        consumers.push(Consumer {
            client: at.connect().await?,
            at: at.clone(),
            topic: options.topic.clone(),
            group: group.clone(),
            name: ConsumerId::parse(&format!("consumer-{number}"))
                .map_err(|error| Failure::usage(error.to_string()))?,
            batch: options.batch.get(),
            depth: options.depth.get() as usize,
            left: Arc::clone(&left),
            progress: Arc::clone(&progress),
        });
    }
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for consumer in consumers {
        tasks.spawn(consumer.work());
    }
    let mut sum = Worked::default();
    while let Some(worked) = tasks.join_next().await {
        let worked = worked.map_err(verdict::ended_early)??;
        sum.taken += worked.taken;
        sum.bytes += worked.bytes;
        sum.acknowledged += worked.acknowledged;
        sum.latencies.add(&worked.latencies);
    }
    let took = start.elapsed();
    drop(progress);
    at.ask(client.delete_queue(&group)).await?;
    let mut report = Report::new("queue", sum.acknowledged, sum.bytes, took)
        .with("topics", 1)
        .with("partitions", topic.partitions.len())
        .with("durability", topic.config.durability)
        .with("consumers", options.consumers)
        .with("batch", options.batch)
        .with("depth", options.depth)
        .verified(sum.taken == all && sum.acknowledged == all);
    report.latency_us = sum.latencies.percentiles();
    verdict::print(&report, style, out)?;
    if sum.taken == all && sum.acknowledged == all {
        return Ok(());
    }
    let text = format!(
        "{all} records were to be taken once each: {} were taken, {} acknowledged",
        sum.taken, sum.acknowledged
    );
    Err(Failure::new(Exit::Failure, text))
}

struct Consumer {
    client: Client,
    at: connection::Options,
    topic: TopicName,
    group: GroupId,
    name: ConsumerId,
    batch: u32,
    depth: usize,
    /// Records that nobody has acknowledged yet.
    left: Arc<AtomicU64>,
    progress: Arc<Progress>,
}

type Acknowledging = BoxFuture<'static, (u64, Duration, Result<Vec<Result<(), Error>>, Error>)>;

impl Consumer {
    async fn work(self) -> Result<Worked, Failure> {
        let mut worked = Worked::default();
        let mut on_their_way: FuturesUnordered<Acknowledging> = FuturesUnordered::new();
        let options = AcquireOptions {
            records_max: self.batch,
            bytes_max: limits::BATCH_BYTES_MAX as usize,
            wait: WAIT,
            lease: None,
        };
        while self.left.load(Ordering::Acquire) > 0 {
            while on_their_way.len() >= self.depth {
                self.acknowledged(&mut worked, &mut on_their_way).await?;
            }
            let acquire = self
                .client
                .queue_acquire(&self.group, &self.topic, &self.name, &options);
            tokio::pin!(acquire);
            let acquired = loop {
                tokio::select! {
                    acquired = &mut acquire => break self.at.ask(async { acquired }).await?,
                    ended = self.acknowledged(&mut worked, &mut on_their_way),
                        if !on_their_way.is_empty() => ended?,
                }
            };
            if !acquired.is_empty() {
                worked.taken += acquired.record_count();
                worked.bytes += bytes_of(&acquired);
                on_their_way.push(self.acknowledge(&acquired));
            }
        }
        while !on_their_way.is_empty() {
            self.acknowledged(&mut worked, &mut on_their_way).await?;
        }
        Ok(worked)
    }

    fn acknowledge(&self, acquired: &Acquired) -> Acknowledging {
        let settlements = acquired.partitions.iter().flat_map(|partition| {
            partition.ranges.iter().map(|range| Settlement {
                partition: partition.partition,
                first: range.first,
                last: range.last,
                token: partition.token,
                action: SettleAction::Acknowledge,
            })
        });
        let settlements: Vec<_> = settlements.collect();
        let records = acquired.record_count();
        let (client, group) = (self.client.clone(), self.group.clone());
        let (topic, name) = (self.topic.clone(), self.name.clone());
        Box::pin(async move {
            let begun = Instant::now();
            let settled = client
                .queue_settle(&group, &topic, &name, settlements)
                .await;
            (records, begun.elapsed(), settled)
        })
    }

    /// Waits for an acknowledgement.
    async fn acknowledged(
        &self,
        worked: &mut Worked,
        on_their_way: &mut FuturesUnordered<Acknowledging>,
    ) -> Result<(), Failure> {
        let Some((records, took, settled)) = on_their_way.next().await else {
            return Ok(());
        };
        for settled in self.at.ask(async { settled }).await? {
            self.at.ask(async { settled }).await?;
        }
        worked.acknowledged += records;
        worked.latencies.record(took);
        self.left.fetch_sub(records, Ordering::AcqRel);
        self.progress.advance(records);
        Ok(())
    }
}

/// Bytes of the batches that hold what was taken.
fn bytes_of(acquired: &Acquired) -> u64 {
    let partitions = acquired.partitions.iter();
    partitions
        .map(|partition| partition.batches.len() as u64)
        .sum()
}
