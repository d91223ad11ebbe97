//! `ratatoskr bench compact`: how fast a log is compacted, in how much memory, and what producers
//! notice of it.
//!
//! The broker is in this process. A log is filled whose records have keys, in turn, and is made a
//! compacted one only then, so that one pass over all of it can be timed.

use std::{
    collections::BTreeMap,
    io::Write,
    num::{NonZeroU32, NonZeroU64, NonZeroUsize},
    time::{Duration, Instant},
};

use ratatoskr_client::Durability;
use ratatoskr_core::{
    BrokerConfig, Error as BrokerError,
    broker::PartitionDescription,
    config::{CleanupPolicy, TopicConfigChange},
    limits,
    name::TopicName,
};
use ratatoskr_server::load::{Pace, Payloads, Plan, Report, Tally, Verifier, drive};

use super::{
    embedded::Embedded,
    memory::{Resident, resident_bytes},
    pacing,
    sinks::{Making, Records},
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
  $ ratatoskr bench compact --records 20000 --keys 1000 --segment-bytes 64KiB
  $ ratatoskr bench compact --records 20000 --keys 1000 --segment-bytes 64KiB --rate 500";

/// Records on their way while the log is filled.
const FILL: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();
/// How often the broker looks for logs to compact.
const COMPACTS_EVERY: Duration = Duration::from_millis(10);
/// How often it is looked what memory there is, and whether the pass is over.
const LOOKS_EVERY: Duration = Duration::from_millis(2);
/// The producer beside sends for this long, and again if the pass is not over.
const BESIDE: Duration = Duration::from_millis(500);
/// Memory of the key map, a key: more than it takes, so that one pass has room for all.
const KEY_MAP_BYTES_PER_KEY: usize = 128;

/// What is compacted, and beside what.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// Records of the log
    #[arg(long, value_name = "COUNT", default_value = "1000000")]
    records: NonZeroU64,
    /// Keys of the records, in turn
    #[arg(long, value_name = "COUNT", default_value = "100000")]
    keys: NonZeroU32,
    /// Bytes of a record's value, at least 24
    #[arg(long, value_name = "BYTES", default_value_t = 100)]
    size: usize,
    /// Bytes after which a segment is sealed; only sealed ones are compacted
    #[arg(long, value_name = "BYTES", default_value = "16MiB", value_parser = pacing::bytes)]
    segment_bytes: u64,
    /// Read and write at most so many bytes a second [default: as fast as it goes]
    #[arg(long, value_name = "BYTES", value_parser = pacing::bytes)]
    bytes_per_second: Option<u64>,
    /// Send so many records a second to another topic, alone for a while and then beside it
    #[arg(long, value_name = "RECORDS")]
    rate: Option<NonZeroU64>,
}

/// # Errors
/// What the broker answers; a log that is not what compaction should have made of it.
pub(super) async fn run(
    options: &Options,
    at: &connection::Options,
    style: Style,
    out: &mut impl Write,
) -> Outcome {
    if u64::from(options.keys.get()) > options.records.get() / 2 {
        return Err(Failure::usage(
            "--keys: at most half as many as --records, so that some are superseded",
        ));
    }
    let embedded = Embedded::on_disk_with(options.config()).await?;
    let bench = Bench {
        embedded: &embedded,
        options,
        at,
        compacted: topic("bench"),
        beside: topic("beside"),
    };
    bench.fill().await?;
    let alone = bench.producer_alone().await?;
    let before = bench.log().await?;
    let (pass, beside) = bench.compact().await?;
    let kept = bench.read_back().await?;
    let cleaned = options.cleaned(&before, pass.removed);
    let keys = f64::from(options.keys.get());
    let good = options.is_kept(&kept, pass.removed);
    let mut report = Report::new("compact", pass.removed, cleaned, pass.took)
        .with("keys", options.keys)
        .with("size", options.size)
        .with("segment_bytes", options.segment_bytes)
        .with_figure("memory_bytes", pass.memory_bytes)
        .with_figure("memory_bytes_per_key", pass.memory_bytes / keys)
        .verified(good);
    if let Some(limit) = options.bytes_per_second {
        report = report.with("bytes_per_second", limit);
    }
    if let (Some(rate), Some(alone), Some(beside)) = (options.rate, alone, beside) {
        let percentiles = |tally: &Tally| tally.latencies.percentiles();
        report.latency_us = percentiles(&beside);
        report = report.with("rate", rate);
        if let Some((alone, beside)) = percentiles(&alone).zip(report.latency_us) {
            report = report
                .with_figure("alone_p99_us", alone.p99)
                .with_figure("p99_ratio", beside.p99 / alone.p99);
        }
    }
    verdict::print(&report, style, out)?;
    embedded.close().await?;
    if good {
        return Ok(());
    }
    let what = "the compacted log does not hold the latest record of each key";
    Err(Failure::new(Exit::Failure, what).because(format!(
        "{} records are there and {} were removed, of {}",
        kept.records, pass.removed, options.records
    )))
}

impl Options {
    fn config(&self) -> BrokerConfig {
        let key_map = KEY_MAP_BYTES_PER_KEY * self.keys.get() as usize;
        BrokerConfig {
            compaction_interval: COMPACTS_EVERY,
            compaction_bytes_per_second: self.bytes_per_second.unwrap_or(u64::MAX),
            compaction_key_map_bytes_max: key_map.max(limits::COMPACTION_KEY_MAP_BYTES_MAX),
            ..BrokerConfig::default()
        }
    }

    /// Bytes of the log that the pass went through: all records that were removed and, since keys
    /// take turns, the last one of each key behind them.
    fn cleaned(&self, before: &PartitionDescription, removed: u64) -> u64 {
        let records = u128::from(removed + u64::from(self.keys.get()));
        let bytes = u128::from(before.bytes) * records / u128::from(self.records.get());
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// Whether the log has the latest record of each key, and nothing was lost but what was removed.
    fn is_kept(&self, kept: &Kept, removed: u64) -> bool {
        let all = self.records.get();
        let keys = u64::from(self.keys.get()).min(all);
        let latest = |key: u64| all - keys + (key + keys - all % keys) % keys;
        let has_latest = (0..keys).all(|key| kept.latest.get(&key) == Some(&latest(key)));
        kept.verifier.is_satisfied() && has_latest && kept.records == all.saturating_sub(removed)
    }
}

/// A log that is compacted, and what is beside it.
struct Bench<'a> {
    embedded: &'a Embedded,
    options: &'a Options,
    at: &'a connection::Options,
    compacted: TopicName,
    beside: TopicName,
}

/// What a pass was like.
struct Pass {
    took: Duration,
    /// Records that it removed.
    removed: u64,
    /// What the process had more of at some time than before.
    memory_bytes: f64,
}

/// What is in a log.
#[derive(Default)]
struct Kept {
    records: u64,
    /// Of each key, the number of its last record.
    latest: BTreeMap<u64, u64>,
    verifier: Verifier,
}

impl Bench<'_> {
    async fn fill(&self) -> Outcome {
        let client = &self.embedded.client;
        let mut new = target::new_topic(1, Some(Durability::Os));
        new.config.segment_bytes = Some(self.options.segment_bytes);
        let created = client.create_topic(&self.compacted, new);
        self.at.ask(created).await?;
        let new = target::new_topic(1, Some(Durability::Os));
        self.at.ask(client.create_topic(&self.beside, new)).await?;
        let mut sink = self.sink(&self.compacted, Some(self.options.keys)).await?;
        let records = self.options.records.get();
        let progress = Progress::records(Some(records));
        let plan = Plan::new(Pace::Closed { in_flight: FILL }, records);
        let tally = drive(&plan, &mut sink, |sent| progress.advance(sent)).await;
        verdict::all_acknowledged(&tally.map_err(verdict::ended_early)?)
    }

    async fn sink(&self, topic: &TopicName, keys: Option<NonZeroU32>) -> Outcome<Records> {
        let producer = self.embedded.client.producer(topic).open();
        let payloads = Payloads::new(fastrand::u64(..), 0, self.options.size);
        Ok(Records {
            producers: vec![self.at.ask(producer).await?],
            making: Making::new(payloads, keys),
            turn: 0,
        })
    }

    /// The producer with nothing beside it; `None` where there is to be none.
    async fn producer_alone(&self) -> Outcome<Option<Tally>> {
        match self.options.rate {
            Some(rate) => {
                let mut sink = self.sink(&self.beside, None).await?;
                self.produce(rate, &mut sink, 2 * BESIDE).await.map(Some)
            }
            None => Ok(None),
        }
    }

    async fn produce(
        &self,
        rate: NonZeroU64,
        sink: &mut Records,
        lasts: Duration,
    ) -> Outcome<Tally> {
        let mut plan = Plan::new(Pace::Open { rate }, 0);
        plan.sends = None;
        plan.lasts = Some(lasts);
        let tally = drive(&plan, sink, |_| {})
            .await
            .map_err(verdict::ended_early)?;
        verdict::all_acknowledged(&tally)?;
        Ok(tally)
    }

    /// Makes the topic a compacted one and waits for the pass, with the producer beside it.
    async fn compact(&self) -> Outcome<(Pass, Option<Tally>)> {
        let Some(rate) = self.options.rate else {
            return Ok((self.pass().await?, None));
        };
        let mut sink = self.sink(&self.beside, None).await?;
        let over = std::cell::Cell::new(false);
        let pass = async {
            let pass = self.pass().await;
            over.set(true);
            pass
        };
        let producing = async {
            let mut sum = self.produce(rate, &mut sink, BESIDE).await?;
            while !over.get() {
                sum.add(self.produce(rate, &mut sink, BESIDE).await?);
            }
            Ok(sum)
        };
        let (pass, tally) = tokio::try_join!(pass, producing)?;
        Ok((pass, Some(tally)))
    }

    async fn pass(&self) -> Outcome<Pass> {
        let change = TopicConfigChange {
            cleanup_policy: Some(CleanupPolicy::Compact),
            ..TopicConfigChange::default()
        };
        let before = resident_bytes("self", Resident::Anonymous)?;
        let mut most = before;
        let client = &self.embedded.client;
        let start = Instant::now();
        self.at
            .ask(client.alter_topic(&self.compacted, &change))
            .await?;
        let mut removed = self.removed();
        while removed == 0 {
            if start.elapsed() > self.patience() {
                let what = "the log is not compacted";
                return Err(Failure::new(Exit::Failure, what)
                    .because("no record was removed")
                    .next("--segment-bytes, so small that segments are sealed"));
            }
            tokio::time::sleep(LOOKS_EVERY).await;
            most = most.max(resident_bytes("self", Resident::Anonymous)?);
            removed = self.removed();
        }
        Ok(Pass {
            took: start.elapsed(),
            removed,
            memory_bytes: most - before,
        })
    }

    /// How long a pass may take: as long as an answer, and what its limit makes of reading everything
    /// twice and writing it.
    fn patience(&self) -> Duration {
        let value = self.options.size.max(64) as u64;
        let bytes = self.options.records.get().saturating_mul(value);
        let limit = self.options.bytes_per_second.unwrap_or(u64::MAX).max(1);
        self.at.timeout() + Duration::from_secs(bytes.saturating_mul(6) / limit)
    }

    /// Records that compaction has removed.
    fn removed(&self) -> u64 {
        let topics = self.embedded.broker().stats().by_topic.into_iter();
        let mut own = topics.filter(|(name, _)| *name == self.compacted);
        own.next()
            .map_or(0, |(_, through)| through.records_compacted)
    }

    async fn log(&self) -> Outcome<PartitionDescription> {
        let client = &self.embedded.client;
        let topic = self.at.ask(client.describe_topic(&self.compacted)).await?;
        let partition = topic.partitions.into_iter().next();
        partition.ok_or_else(|| Failure::of(&BrokerError::UnknownTopic(self.compacted.clone())))
    }

    /// Reads what is left from the start, as somebody does who builds a state from it.
    async fn read_back(&self) -> Outcome<Kept> {
        let end = self.log().await?.bounds.log_end;
        let client = &self.embedded.client;
        let mut consumer = self.at.ask(client.consumer(&self.compacted).open()).await?;
        let mut kept = Kept::default();
        // The last record is in the active segment, so it is always there.
        while let Some(record) = consumer.next().await {
            let record = record.map_err(|error| self.at.failed(&error))?;
            kept.records += 1;
            let value = record.record.value.unwrap_or_default();
            let label = kept.verifier.take(0, &value);
            let key = record.record.key.unwrap_or_default();
            let key = std::str::from_utf8(&key)
                .ok()
                .and_then(|key| key.parse().ok());
            if let Some((label, key)) = label.zip(key) {
                kept.latest.insert(key, label.sequence);
            }
            if record.offset.plus(1) >= end {
                break;
            }
        }
        Ok(kept)
    }
}

fn topic(name: &str) -> TopicName {
    TopicName::parse(name).unwrap_or_else(|_| unreachable!("a legal name"))
}
