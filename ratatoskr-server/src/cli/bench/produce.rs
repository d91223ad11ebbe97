//! `ratatoskr bench produce`.
//!
//! Closed loop: each producer keeps a number of records in flight and sends the next one when one of
//! them is acknowledged. Open loop (`--rate`): records are due at fixed moments, and the latency of
//! a record counts from when it was due, so a broker that stalls is charged for the records that
//! had to wait (no coordinated omission).

use std::{io::Write, num::NonZeroU64, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use ratatoskr_client::{Error, Producer};
use ratatoskr_core::{
    Error as BrokerError, broker::NewTopic, config::Compression, name::TopicName, record::Record,
};
use tokio::{task::JoinSet, time::Instant};

use super::{
    payload::Payloads,
    report::{Latencies, Report},
};
use crate::cli::{
    connection,
    exit::{Exit, Failure, Outcome},
    output::Style,
    progress::Progress,
};

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr bench produce --records 20000 --size 1024 --producers 2
  $ ratatoskr bench produce --records 1000 --in-flight 1
  $ ratatoskr bench produce --records 5000 --rate 10000 --compression lz4";

/// What to send, and how.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// The topic; it is created where it is not there
    #[arg(long, default_value = "bench")]
    topic: TopicName,
    /// Partitions of a topic that is created
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    partitions: u32,
    /// Records in all
    #[arg(long, value_name = "COUNT", default_value_t = 100_000)]
    records: u64,
    /// Bytes of a record's value, at least 24
    #[arg(long, value_name = "BYTES", default_value_t = 100)]
    size: usize,
    /// Producers, each with a connection of its own
    #[arg(long, value_name = "COUNT", default_value = "1")]
    producers: std::num::NonZeroU32,
    /// Closed loop: records that each producer keeps in flight
    #[arg(
        long,
        value_name = "COUNT",
        default_value = "256",
        conflicts_with = "rate"
    )]
    in_flight: std::num::NonZeroUsize,
    /// Open loop: records a second in all, whatever the broker does
    #[arg(long, value_name = "RECORDS")]
    rate: Option<NonZeroU64>,
    /// Compress batches: none, gzip, snappy, lz4 or zstd
    #[arg(long, value_name = "CODEC", default_value_t = Compression::None)]
    compression: Compression,
}

/// What one producer, or all of them, did.
#[derive(Debug, Default)]
struct Tally {
    acknowledged: u64,
    failed: u64,
    latencies: Latencies,
    first_error: Option<String>,
}

/// # Errors
/// What the broker answers; [`Exit::Partial`] where some records were not acknowledged.
pub(super) async fn run(
    options: &Options,
    at: &connection::Options,
    style: Style,
    out: &mut impl Write,
) -> Outcome {
    create(options, at).await?;
    let run = fastrand::u64(..);
    let producers = options.producers.get();
    let progress = std::sync::Arc::new(Progress::records(Some(options.records)));
    let mut connected = Vec::new();
    for number in 0..producers {
        let client = at.connect().await?;
        let producer = client
            .producer(&options.topic)
            .compression(options.compression);
        connected.push((number, at.ask(producer.open()).await?));
    }
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for (number, producer) in connected {
        let load = Load {
            payloads: Payloads::new(run, number, options.size),
            quota: share(options.records, producers, number),
            in_flight: options.rate.map_or(options.in_flight.get(), |_| usize::MAX),
            // Each producer gets an equal part of the rate, shifted so that they take turns.
            period: options.rate.map(|rate| period(rate, producers)),
            start: start
                + options
                    .rate
                    .map_or(Duration::ZERO, |rate| period(rate, 1) * number),
        };
        let progress = std::sync::Arc::clone(&progress);
        tasks.spawn(async move { load.run(&producer, &progress).await });
    }
    let mut sum = Tally::default();
    while let Some(tally) = tasks.join_next().await {
        sum.add(tally.map_err(|panic| {
            Failure::new(Exit::Failure, "a producer ended early").because(panic)
        })?);
    }
    let took = start.elapsed();
    drop(progress);
    let bytes = sum.acknowledged * options.size.max(super::payload::BYTES_MIN) as u64;
    Report::new(
        workload(options),
        sum.acknowledged,
        bytes,
        took,
        &sum.latencies,
    )
    .failed(sum.failed)
    .print(style, out)?;
    match sum.first_error {
        None => Ok(()),
        Some(error) => {
            let exit = if sum.acknowledged == 0 {
                Exit::Failure
            } else {
                Exit::Partial
            };
            Err(Failure::new(
                exit,
                format!("{} records were not acknowledged", sum.failed),
            )
            .because(error))
        }
    }
}

async fn create(options: &Options, at: &connection::Options) -> Outcome {
    let client = at.connect().await?;
    let new = NewTopic {
        partitions: Some(options.partitions),
        ..NewTopic::default()
    };
    match client.create_topic(&options.topic, new).await {
        Ok(_) | Err(Error::Broker(BrokerError::TopicExists(_))) => Ok(()),
        Err(error) => Err(at.failed(&error)),
    }
}

/// How many of `records` the producer of this number sends.
fn share(records: u64, producers: u32, number: u32) -> u64 {
    let producers = u64::from(producers);
    records / producers + u64::from(u64::from(number) < records % producers)
}

/// The time between two records of one of `producers` producers.
fn period(rate: NonZeroU64, producers: u32) -> Duration {
    let ns = 1_000_000_000_u64.saturating_mul(producers.into()) / rate;
    Duration::from_nanos(ns)
}

fn workload(options: &Options) -> String {
    let Options {
        records,
        size,
        producers,
        compression,
        ..
    } = options;
    let pace = match options.rate {
        Some(rate) => format!("at {rate}/s"),
        None => format!("{} in flight each", options.in_flight),
    };
    format!(
        "produce {records} x {size} B, {producers} producers, {pace}, compression {compression}"
    )
}

/// The work of one producer.
struct Load {
    payloads: Payloads,
    quota: u64,
    in_flight: usize,
    period: Option<Duration>,
    start: Instant,
}

impl Load {
    async fn run(mut self, producer: &Producer, progress: &Progress) -> Tally {
        let mut tally = Tally::default();
        let mut outstanding = FuturesUnordered::new();
        let mut sent = 0;
        while sent < self.quota || !outstanding.is_empty() {
            let due = self.due(sent);
            let wait = async {
                if self.period.is_some() {
                    tokio::time::sleep_until(due).await;
                }
            };
            tokio::select! {
                biased;
                Some((latency, outcome)) = outstanding.next(), if !outstanding.is_empty() => {
                    tally.take(latency, outcome);
                    progress.advance(1);
                }
                () = wait, if sent < self.quota && outstanding.len() < self.in_flight => {
                    let since = if self.period.is_some() { due } else { Instant::now() };
                    let record = Record::new(self.payloads.next());
                    sent += 1;
                    match producer.enqueue(record).await {
                        Ok(delivery) => outstanding.push(async move {
                            let outcome = delivery.await;
                            (since.elapsed(), outcome.map(drop))
                        }),
                        Err(error) => tally.take(since.elapsed(), Err(error)),
                    }
                }
            }
        }
        tally
    }

    /// When the record of this number is due.
    fn due(&self, number: u64) -> Instant {
        let period = self.period.unwrap_or_default();
        let ns = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        self.start + Duration::from_nanos(ns.saturating_mul(number))
    }
}

impl Tally {
    fn take(&mut self, latency: Duration, outcome: Result<(), Error>) {
        match outcome {
            Ok(()) => {
                self.acknowledged += 1;
                self.latencies.record(latency);
            }
            Err(error) => {
                self.failed += 1;
                self.first_error.get_or_insert(error.to_string());
            }
        }
    }

    fn add(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.failed += other.failed;
        self.latencies.add(&other.latencies);
        self.first_error = self.first_error.take().or(other.first_error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn producers_share_the_records_and_the_rate() {
        let shares = |records| (0..3).map(|n| share(records, 3, n)).collect::<Vec<_>>();
        assert_eq!(shares(8), [3, 3, 2]);
        assert_eq!(shares(2), [1, 1, 0]);
        let rate = NonZeroU64::new(1_000).unwrap();
        assert_eq!(period(rate, 2), Duration::from_millis(2));
    }
}
