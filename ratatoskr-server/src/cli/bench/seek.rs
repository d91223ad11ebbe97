//! `ratatoskr bench seek`: fetches from anywhere in a log, by offset and by time.
//!
//! Each fetch is of another batch, so that in a log that is not in the page cache each is cold.

use std::{
    io::Write,
    num::NonZeroU32,
    time::{Duration, Instant},
};

use ratatoskr_client::{Client, FetchPartition, FetchRequest};
use ratatoskr_core::{
    batch,
    broker::OffsetSpec,
    name::TopicName,
    offset::{Bounds, Offset, PartitionIndex},
    time::Timestamp,
};
use ratatoskr_server::load::{Latencies, Report};

use super::verdict;
use crate::cli::{
    connection,
    exit::{Exit, Failure, Outcome},
    output::Style,
};

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr bench produce --records 2000 && ratatoskr bench seek --fetches 10";

/// Places in the log, in percent of its records.
const PLACES: [u64; 5] = [0, 25, 50, 75, 100];
/// Around a place, fetches are spread over one part of this many of the log.
const SPREAD: u64 = 20;
/// How long a fetch waits for what is there.
const FETCH_WAIT: Duration = Duration::from_secs(1);

/// Where to look.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// The topic, of which partition 0 is read
    #[arg(long, default_value = "bench")]
    topic: TopicName,
    /// Fetches by offset, and as many by time, at each of the places 0, 25, 50, 75 and 100 %
    #[arg(long, value_name = "COUNT", default_value = "100")]
    fetches: NonZeroU32,
}

/// # Errors
/// What the broker answers; a fetch that finds something else than it should.
pub(super) async fn run(
    options: &Options,
    at: &connection::Options,
    style: Style,
    out: &mut impl Write,
) -> Outcome {
    let client = at.connect().await?;
    let log = Log {
        bounds: at
            .ask(client.bounds(&options.topic, PartitionIndex::new(0)))
            .await?,
        topic: &options.topic,
        client: &client,
        at,
    };
    let records = log.bounds.records();
    if records == 0 {
        return Err(Failure::new(Exit::NotFound, "the topic is empty")
            .next("ratatoskr bench produce, to fill it"));
    }
    let mut places: Vec<_> = PLACES.map(|place| (place, Place::default())).into();
    let (mut fetched, mut bytes) = (0, 0);
    let start = Instant::now();
    for number in 0..options.fetches.get() {
        for (place, seen) in &mut places {
            let (by_offset, by_time) = log.offsets_at(*place, number, options.fetches.get());
            let start = Instant::now();
            let found = log.fetch(by_offset).await?;
            seen.by_offset.record(start.elapsed());
            // When the other one was sent is looked up beforehand, in the index and the log.
            let time = log.fetch(by_time).await?.timestamp;
            let start = Instant::now();
            let by_time = log.fetch_at(time).await?;
            seen.by_time.record(start.elapsed());
            fetched += 3;
            bytes += found.bytes + by_time.bytes;
        }
    }
    let mut report = Report::new("seek", fetched, bytes, start.elapsed())
        .with("records", records)
        .with("fetches", options.fetches)
        .verified(true);
    let (mut by_offset, mut by_time) = (Latencies::default(), Latencies::default());
    for (place, seen) in &places {
        for (how, latencies) in [("offset", &seen.by_offset), ("time", &seen.by_time)] {
            if let Some(found) = latencies.percentiles() {
                report = report.with_figure(&format!("{how}_at_{place}_percent_p50_us"), found.p50);
            }
        }
        by_offset.add(&seen.by_offset);
        by_time.add(&seen.by_time);
    }
    for (how, latencies) in [("offset", by_offset), ("time", by_time)] {
        if let Some(found) = latencies.percentiles() {
            report = report
                .with_figure(&format!("{how}_p50_us"), found.p50)
                .with_figure(&format!("{how}_p99_us"), found.p99);
        }
    }
    verdict::print(&report, style, out)
}

/// How long fetches at one place took.
#[derive(Debug, Default)]
struct Place {
    by_offset: Latencies,
    by_time: Latencies,
}

/// The log that is read.
struct Log<'a> {
    client: &'a Client,
    at: &'a connection::Options,
    topic: &'a TopicName,
    bounds: Bounds,
}

/// The first batch of an answer.
struct Found {
    timestamp: Timestamp,
    bytes: u64,
}

impl Log<'_> {
    /// Two offsets at a place for the fetch of this number of so many, far from those of the others.
    fn offsets_at(&self, place: u64, number: u32, count: u32) -> (Offset, Offset) {
        let records = self.bounds.records();
        let part = records / SPREAD;
        // Every part lies within the log: that of 0 % begins there, that of 100 % ends there.
        let start = (records - part) / 100 * place;
        let step = |half: u64| part * (2 * u64::from(number) + half) / (2 * u64::from(count));
        let offset = |half| self.bounds.log_start.plus(start + step(half));
        (offset(0), offset(1))
    }

    /// Fetches the batch that holds `offset`.
    async fn fetch(&self, offset: Offset) -> Outcome<Found> {
        let request = FetchRequest {
            partitions: vec![FetchPartition {
                topic: self.topic.clone(),
                partition: PartitionIndex::new(0),
                from: offset,
                bytes_max: 1,
            }],
            wait_max: FETCH_WAIT,
            ..FetchRequest::default()
        };
        let answer = self.at.ask(self.client.fetch(&request)).await?;
        for part in answer.partitions {
            let fetched = part.result.map_err(|error| Failure::of(&error))?;
            let first = fetched.batches.into_slices().into_iter();
            let first = first.flat_map(batch::batches).next();
            let first = first.transpose().map_err(|error| not(offset, &error))?;
            if let Some(batch) = first {
                batch.verify_crc().map_err(|error| not(offset, &error))?;
                let header = batch.header();
                if header.base_offset <= offset && offset < header.end_offset() {
                    return Ok(Found {
                        timestamp: header.max_timestamp,
                        bytes: batch.total_bytes() as u64,
                    });
                }
            }
        }
        Err(not(offset, &"another batch came"))
    }

    /// Fetches the first batch with a record of this time or later.
    async fn fetch_at(&self, time: Timestamp) -> Outcome<Found> {
        let partition = PartitionIndex::new(0);
        let spec = OffsetSpec::Timestamp(time);
        let asked = self.client.offset_at(self.topic, partition, spec);
        let offset = self.at.ask(asked).await?;
        let found = self.fetch(offset.unwrap_or(self.bounds.log_end)).await?;
        if found.timestamp < time {
            let offset = offset.unwrap_or(self.bounds.log_end);
            return Err(not(offset, &"its records are older than asked for"));
        }
        Ok(found)
    }
}

fn not(offset: Offset, why: &dyn std::fmt::Display) -> Failure {
    let what = format!("the batch of offset {offset} is not what was sent");
    Failure::new(Exit::Failure, what).because(why)
}
