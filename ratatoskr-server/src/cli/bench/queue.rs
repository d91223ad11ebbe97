//! `ratatoskr bench queue`: what is in a topic, taken under leases and acknowledged.

use std::{
    collections::BTreeMap,
    io::Write,
    num::{NonZeroU32, NonZeroU64},
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use ratatoskr_client::{
    AcquireOptions, Client, ConsumerId, Error, GroupId, NewQueue, QueueConfigChange, SettleAction,
    Settlement,
};
use ratatoskr_core::{
    broker::{AcquiredPartition, TopicDescription},
    limits,
    name::TopicName,
    offset::{Offset, PartitionIndex},
};
use ratatoskr_server::load::{
    Pace, Plan, Report, Tally, drive,
    work::{BATCHES_AHEAD, OneByOne, Stock, Taken, Worked, Worker, work_off},
};
use tokio::task::JoinSet;

use super::{pacing, verdict};
use crate::cli::{
    connection,
    exit::{Exit, Failure, Outcome},
    output::Style,
    progress::Progress,
};

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr bench produce --records 2000 && ratatoskr bench queue --output json
  $ ratatoskr bench produce --records 2000 && ratatoskr bench queue --consumers 10 --batch 10
  $ ratatoskr bench produce --records 2000 && ratatoskr bench queue --rate 100 --seconds 1 --batch 9";

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
    /// Closed loop: acknowledgements of one consumer that are awaited at once, each of a batch
    #[arg(
        long,
        value_name = "REQUESTS",
        default_value = "4",
        conflicts_with = "rate"
    )]
    depth: NonZeroU32,
    /// Open loop: acknowledgements a second in all, each of one record, whatever the broker does
    #[arg(long, value_name = "RECORDS")]
    rate: Option<NonZeroU64>,
    /// Open loop: acknowledge for this long
    #[arg(
        long,
        value_name = "SECONDS",
        value_parser = pacing::seconds,
        default_value = "10",
        requires = "rate"
    )]
    seconds: Duration,
}

/// Works off everything up to what is the end now, or at a rate for a while, in a group of its own.
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
    let numbers = Numbers::of(&topic);
    let stock = Arc::new(Stock::new(numbers.records));
    if let Some(rate) = options.rate {
        options.suffices(rate, &numbers)?;
    }
    let group = GroupId::parse(&format!("bench-{:016x}", fastrand::u64(..)))
        .map_err(|error| Failure::usage(error.to_string()))?;
    at.ask(client.create_queue(&group, options.new_queue()))
        .await?;
    let consumers = options.connect(&group, numbers, at).await?;
    let mut report = match options.rate {
        None => closed(options, consumers, &stock, at).await?,
        Some(rate) => open(options, rate, consumers, &stock).await?,
    };
    at.ask(client.delete_queue(&group)).await?;
    let good = report.failed == 0 && stock.strays() == 0;
    report = report
        .with("topics", 1)
        .with("partitions", topic.partitions.len())
        .with("durability", topic.config.durability)
        .with("consumers", options.consumers)
        .with("batch", options.batch)
        .verified(good);
    verdict::print(&report, style, out)?;
    if good {
        return Ok(());
    }
    let text = format!(
        "each record was to be taken once and acknowledged: {} were taken twice or are none of \
         the topic's, {} were not acknowledged",
        stock.strays(),
        report.failed
    );
    Err(Failure::new(Exit::Failure, text))
}

impl Options {
    /// The rate has records to acknowledge until its time is over, whoever holds how many ahead.
    fn suffices(&self, rate: NonZeroU64, numbers: &Numbers) -> Outcome {
        let due = u128::from(rate.get()) * self.seconds.as_nanos() / 1_000_000_000;
        let ahead = u64::from(self.consumers.get()) * u64::from(self.batch.get()) * BATCHES_AHEAD;
        let needed = due + u128::from(ahead);
        if needed <= u128::from(numbers.records) {
            return Ok(());
        }
        let text = format!(
            "{needed} records are needed for that rate and time, those that are held ahead \
             included, and the topic has {}",
            numbers.records
        );
        let next = format!("ratatoskr bench produce --records {needed}, to fill it");
        Err(Failure::new(Exit::Failure, text).next(next))
    }

    fn new_queue(&self) -> NewQueue {
        let batches = u64::from(self.depth.get()) + BATCHES_AHEAD;
        let held = u32::try_from(batches * u64::from(self.batch.get())).unwrap_or(u32::MAX);
        NewQueue {
            config: QueueConfigChange {
                in_flight_max: Some(limits::QUEUE_IN_FLIGHT_MAX),
                in_flight_per_consumer_max: Some(held.min(limits::QUEUE_IN_FLIGHT_MAX)),
                ..QueueConfigChange::default()
            },
        }
    }

    async fn connect(
        &self,
        group: &GroupId,
        numbers: Numbers,
        at: &connection::Options,
    ) -> Outcome<Vec<Consumer>> {
        let numbers = Arc::new(numbers);
        let mut consumers = Vec::new();
        for number in 0..self.consumers.get() {
            consumers.push(Consumer {
                client: at.connect().await?,
                topic: self.topic.clone(),
                group: group.clone(),
                name: ConsumerId::parse(&format!("consumer-{number}"))
                    .map_err(|error| Failure::usage(error.to_string()))?,
                numbers: Arc::clone(&numbers),
            });
        }
        Ok(consumers)
    }
}

/// As fast as it goes, until all is done.
async fn closed(
    options: &Options,
    consumers: Vec<Consumer>,
    stock: &Arc<Stock>,
    at: &connection::Options,
) -> Outcome<Report> {
    let progress = Arc::new(Progress::records(Some(stock.records())));
    let (batch, depth) = (options.batch.get(), options.depth.get() as usize);
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for consumer in consumers {
        let (stock, progress) = (Arc::clone(stock), Arc::clone(&progress));
        tasks.spawn(async move {
            let progress = |records| progress.advance(records);
            work_off(&consumer, &stock, batch, depth, progress).await
        });
    }
    let mut sum = Worked::default();
    while let Some(worked) = tasks.join_next().await {
        let worked = worked.map_err(verdict::ended_early)?;
        sum.add(&worked.map_err(|error| at.failed(&error))?);
    }
    let took = sum.took(start);
    Ok(Report {
        latency_us: sum.latencies.percentiles(),
        failed: stock.records().saturating_sub(sum.acknowledged),
        ..Report::new("queue", sum.acknowledged, sum.bytes, took)
    }
    .with("depth", options.depth))
}

/// Each record by itself, when it is due.
async fn open(
    options: &Options,
    rate: NonZeroU64,
    consumers: Vec<Consumer>,
    stock: &Arc<Stock>,
) -> Outcome<Report> {
    let mut plan = Plan::new(Pace::Open { rate }, 0);
    plan.lasts = Some(options.seconds);
    plan.sends = None;
    let progress = Arc::new(Progress::records(None));
    let mut tasks = JoinSet::new();
    for (number, consumer) in (0..).zip(consumers) {
        let plan = plan.for_sender(number, options.consumers);
        let mut sink = OneByOne::new(consumer, Arc::clone(stock), options.batch.get());
        let progress = Arc::clone(&progress);
        tasks.spawn(async move {
            let tally = drive(&plan, &mut sink, |done| progress.advance(done)).await;
            (tally, sink)
        });
    }
    let mut sum = Tally::new(plan.measured_from());
    let mut done = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        let (tally, sink) = ended.map_err(verdict::ended_early)?;
        sum.add(
            tally
                .map_err(|error| Failure::new(Exit::Failure, "cannot keep time").because(error))?,
        );
        // What it holds ahead would come to the others, who have it twice then.
        done.push(sink);
    }
    for mut sink in done {
        // Who still takes makes a group anew that is deleted.
        sink.stop().await;
    }
    verdict::all_acknowledged(&sum)?;
    Ok(sum.report("queue").with("rate", rate))
}

/// Where the records of a topic stand among all of them.
#[derive(Debug)]
struct Numbers {
    /// The first offset of each partition, and the number of its record.
    first: BTreeMap<PartitionIndex, (Offset, u64)>,
    records: u64,
}

impl Numbers {
    fn of(topic: &TopicDescription) -> Self {
        let mut records = 0;
        let mut first = BTreeMap::new();
        for partition in &topic.partitions {
            first.insert(partition.index, (partition.bounds.log_start, records));
            records += partition.bounds.records();
        }
        Self { first, records }
    }

    /// The numbers of what was acquired; what is none of the topic's has one beyond the last.
    fn acquired(&self, partition: &AcquiredPartition) -> impl Iterator<Item = Range<u64>> {
        let first = self.first.get(&partition.partition).copied();
        partition.ranges.iter().map(move |range| {
            let start = first
                .and_then(|(log_start, number)| {
                    let after = range.first.get().checked_sub(log_start.get())?;
                    Some(number + after)
                })
                .unwrap_or(self.records);
            start..start + range.record_count()
        })
    }
}

/// A consumer with a connection of its own.
struct Consumer {
    client: Client,
    topic: TopicName,
    group: GroupId,
    name: ConsumerId,
    numbers: Arc<Numbers>,
}

impl Worker for Consumer {
    type Handles = Vec<Settlement>;
    type Error = Error;

    async fn take(&self, records_max: u32) -> Result<Taken<Vec<Settlement>>, Error> {
        let options = AcquireOptions {
            records_max,
            bytes_max: limits::BATCH_BYTES_MAX as usize,
            wait: WAIT,
            lease: None,
        };
        let acquired = self
            .client
            .queue_acquire(&self.group, &self.topic, &self.name, &options)
            .await?;
        let mut taken = Taken {
            numbers: Vec::new(),
            bytes: 0,
            handles: Vec::new(),
        };
        for partition in &acquired.partitions {
            taken.numbers.extend(self.numbers.acquired(partition));
            taken.bytes += partition.batches.len() as u64;
            taken
                .handles
                .extend(partition.ranges.iter().map(|range| Settlement {
                    partition: partition.partition,
                    first: range.first,
                    last: range.last,
                    token: partition.token,
                    action: SettleAction::Acknowledge,
                }));
        }
        Ok(taken)
    }

    fn acknowledge(
        &self,
        settlements: Vec<Settlement>,
    ) -> impl Future<Output = Result<(), Error>> + Send + 'static {
        let (client, group) = (self.client.clone(), self.group.clone());
        let (topic, name) = (self.topic.clone(), self.name.clone());
        async move {
            let settled = client
                .queue_settle(&group, &topic, &name, settlements)
                .await?;
            settled.into_iter().collect()
        }
    }

    fn one_by_one(settlements: Vec<Settlement>) -> Vec<Vec<Settlement>> {
        let records = settlements.into_iter().flat_map(|range| {
            let offsets = range.first.get()..=range.last.get();
            offsets.map(move |offset| {
                let offset = Offset::new(offset);
                vec![Settlement {
                    first: offset,
                    last: offset,
                    ..range.clone()
                }]
            })
        });
        records.collect()
    }
}
