//! `ratatoskr bench queue-memory`: what records cost a queue group that are in flight or delayed.
//!
//! The broker is in this process, which does nothing else, so that what the process grows by can be
//! laid beside what the engine counts. The records themselves lie in files.

use std::{
    collections::VecDeque,
    io::Write,
    num::NonZeroU32,
    time::{Duration, Instant},
};

use ratatoskr_client::{
    AcquireOptions, Acquired, ConsumerId, Durability, GroupId, NewQueue, QueueConfigChange,
    QueueCounters, Record, SettleAction, Settlement,
};
use ratatoskr_core::{
    batch::BatchBuilder,
    config::Compression,
    limits,
    name::TopicName,
    offset::{Offset, PartitionIndex},
    time::Timestamp,
};
use ratatoskr_server::load::{BYTES_MIN, Payloads, Report};

use super::{
    embedded::Embedded,
    memory::{Resident, resident_bytes},
    sinks::BatchReceipt,
    target, verdict,
};
use crate::cli::{
    connection,
    exit::{Exit, Failure, Outcome},
    output::Style,
    progress::Progress,
};

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr bench queue-memory --records 20000
  $ ratatoskr bench queue-memory --records 20000 --batch 1 --output json
  $ ratatoskr bench queue-memory --records 20000 --state delayed";

/// Records of a batch that is sent.
const BATCH_RECORDS: u64 = 1_000;
/// Batches on their way.
const IN_FLIGHT: usize = 16;
/// Nothing that is held back comes again while it is measured.
const DELAY_MIN: Duration = Duration::from_hours(24);
/// Within this time after that, records are due at moments of their own, in no order.
const DELAY_SPREAD_MS: u64 = 24 * 60 * 60 * 1_000;

/// Which records, and how they are held.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// Records that are held
    #[arg(long, value_name = "COUNT", default_value = "1000000")]
    records: NonZeroU32,
    /// How they are held
    #[arg(long, value_enum, value_name = "STATE", default_value = "in-flight")]
    state: State,
    /// Records taken at a time at most, under one lease; 1 costs most
    #[arg(long, value_name = "RECORDS", default_value = "1000")]
    batch: NonZeroU32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum State {
    /// Taken by a consumer
    InFlight,
    /// Sent with a delay, each with one of its own
    Delayed,
    /// Taken and to be tried again, each after a time of its own
    Retried,
}

/// # Errors
/// What the broker answers, or a record that is not in the state that is measured.
pub(super) async fn run(
    options: &Options,
    at: &connection::Options,
    style: Style,
    out: &mut impl Write,
) -> Outcome {
    let embedded = Embedded::on_disk().await?;
    let held = Held {
        embedded: &embedded,
        options,
        at,
        topic: TopicName::parse("bench").unwrap_or_else(|_| unreachable!("a legal name")),
        group: GroupId::parse("bench").unwrap_or_else(|_| unreachable!("a legal name")),
        consumer: ConsumerId::parse("bench").unwrap_or_else(|_| unreachable!("a legal name")),
    };
    held.prepare().await?;
    let before = resident_bytes("self", Resident::Anonymous)?;
    let start = Instant::now();
    held.hold().await?;
    let took = start.elapsed();
    let after = resident_bytes("self", Resident::Anonymous)?;
    let counters = held.counters();
    let counted = embedded.broker().queue_bytes(&held.group);
    let is_held = options.is_reached(&counters);
    let records = options.records();
    let a_record = |bytes: f64| bytes / f64::from(options.records.get());
    let counted = counted.and_then(|bytes| u32::try_from(bytes).ok());
    let counted = counted.map_or(0.0, f64::from);
    let report = Report::new("queue-memory", records, 0, took)
        .with("state", options.state.name())
        .with("batch", options.batch)
        .with_figure("counted_bytes_per_record", a_record(counted))
        .with_figure("resident_bytes_per_record", a_record(after - before))
        .verified(is_held);
    verdict::print(&report, style, out)?;
    embedded.close().await?;
    if is_held {
        return Ok(());
    }
    let what = format!("not all of {records} records are {}", options.state.name());
    Err(Failure::new(Exit::Failure, what).because(format!("{counters:?}")))
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::InFlight => "in flight",
            Self::Delayed => "delayed",
            Self::Retried => "retried",
        }
    }
}

impl Options {
    fn records(&self) -> u64 {
        self.records.get().into()
    }

    /// Whether every record is held as it is to be.
    fn is_reached(&self, counters: &QueueCounters) -> bool {
        let records = self.records();
        match self.state {
            State::InFlight => counters.in_flight == records && counters.delivered == records,
            State::Delayed => counters.delayed == records && counters.delivered == 0,
            State::Retried => counters.delayed == records && counters.delivered == records,
        }
    }
}

/// When the record of this number comes, or comes again.
fn delay(number: u64) -> Duration {
    // Neighbours are far from each other, and none is due with another one.
    DELAY_MIN + Duration::from_millis(number.wrapping_mul(7_919_111) % DELAY_SPREAD_MS)
}

/// A group that holds records.
struct Held<'a> {
    embedded: &'a Embedded,
    options: &'a Options,
    at: &'a connection::Options,
    topic: TopicName,
    group: GroupId,
    consumer: ConsumerId,
}

impl Held<'_> {
    /// Fills the topic, and opens the group.
    async fn prepare(&self) -> Outcome {
        let client = &self.embedded.client;
        let new = target::new_topic(1, Some(Durability::Os));
        self.at.ask(client.create_topic(&self.topic, new)).await?;
        let config = QueueConfigChange {
            lease: Some(limits::QUEUE_LEASE_MAX),
            in_flight_max: Some(limits::QUEUE_IN_FLIGHT_MAX),
            in_flight_per_consumer_max: Some(limits::QUEUE_IN_FLIGHT_MAX),
            ..QueueConfigChange::default()
        };
        let created = client.create_queue(&self.group, NewQueue { config });
        self.at.ask(created).await?;
        self.fill().await
    }

    async fn fill(&self) -> Outcome {
        let client = &self.embedded.client;
        let mut payloads = Payloads::new(fastrand::u64(..), 0, BYTES_MIN);
        let mut on_their_way = VecDeque::new();
        let all = self.options.records();
        let mut next = 0;
        while next < all {
            let now = Timestamp::new(jiff::Timestamp::now().as_millisecond());
            let mut batch = BatchBuilder::new(Compression::None);
            for number in next..all.min(next + BATCH_RECORDS) {
                let mut record = Record::new(payloads.next_record());
                if self.options.state == State::Delayed {
                    record = record.with_delay(delay(number));
                }
                let pushed = batch.push(&record, now);
                pushed.map_err(|error| Failure::new(Exit::Failure, error.to_string()))?;
            }
            next = all.min(next + BATCH_RECORDS);
            let batch = batch.build();
            let batch = batch.map_err(|error| Failure::new(Exit::Failure, error.to_string()))?;
            let pending = client.produce_batch(&self.topic, PartitionIndex::new(0), &batch);
            let pending = pending.map_err(|error| self.at.failed(&error))?;
            on_their_way.push_back(BatchReceipt::of(pending));
            if on_their_way.len() >= IN_FLIGHT
                && let Some(first) = on_their_way.pop_front()
            {
                self.at.ask(first).await?;
            }
        }
        for receipt in on_their_way {
            self.at.ask(receipt).await?;
        }
        Ok(())
    }

    /// Brings all records into the state that is measured.
    async fn hold(&self) -> Outcome {
        let progress = Progress::records(Some(self.options.records()));
        let mut held = 0;
        let mut since = Instant::now();
        while held < self.options.records() {
            let acquired = self.acquire().await?;
            if self.options.state == State::Retried {
                self.retry(&acquired).await?;
            }
            let counters = self.counters();
            let now_held = counters.in_flight + counters.delayed;
            if now_held > held {
                progress.advance(now_held - held);
                (held, since) = (now_held, Instant::now());
            } else if since.elapsed() > self.at.timeout() {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn acquire(&self) -> Outcome<Acquired> {
        let options = AcquireOptions {
            records_max: self.options.batch.get(),
            bytes_max: limits::BATCH_BYTES_MAX as usize,
            wait: Duration::ZERO,
            lease: None,
        };
        let client = &self.embedded.client;
        let acquired = client.queue_acquire(&self.group, &self.topic, &self.consumer, &options);
        self.at.ask(acquired).await
    }

    async fn retry(&self, acquired: &Acquired) -> Outcome {
        let mut settlements = Vec::new();
        for partition in &acquired.partitions {
            for range in &partition.ranges {
                for offset in range.first.get()..=range.last.get() {
                    settlements.push(Settlement {
                        partition: partition.partition,
                        first: Offset::new(offset),
                        last: Offset::new(offset),
                        token: partition.token,
                        action: SettleAction::Retry {
                            after: Some(delay(offset)),
                            cause: None,
                        },
                    });
                }
            }
        }
        for some in settlements.chunks(limits::QUEUE_SETTLEMENTS_MAX) {
            let settled = self.embedded.client.queue_settle(
                &self.group,
                &self.topic,
                &self.consumer,
                some.to_vec(),
            );
            for settled in self.at.ask(settled).await? {
                settled.map_err(|error| self.at.failed(&error))?;
            }
        }
        Ok(())
    }

    fn counters(&self) -> QueueCounters {
        let counters = self.embedded.broker().queue_counters();
        let own = counters.into_iter().find(|(name, _)| *name == self.group);
        own.map(|(_, counters)| counters).unwrap_or_default()
    }
}
