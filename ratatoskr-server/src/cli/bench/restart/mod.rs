//! `ratatoskr bench restart`: how soon a broker that was killed is back.
//!
//! Everything happens on a broker of the benchmark's own: a child process is filled, killed, and
//! started again on the same data directory once the page cache is empty.

mod child;
mod fill;

use std::{
    io::Write,
    path::PathBuf,
    time::{Duration, Instant},
};

use ratatoskr_core::config::Durability;
use ratatoskr_server::load::Report;

use super::{embedded, pacing, target, verdict};
use crate::cli::{
    connection,
    exit::{Exit, Failure, Outcome},
    output::Style,
};
use child::Child;
use fill::Filled;

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr bench restart --bytes 8MB
  $ ratatoskr bench restart --bytes 4MiB --partitions 20 --durability os --output json
  $ ratatoskr bench restart --bytes 8MB --full-scan";

/// What is filled, and what is done to it.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// Fill it with this much: bytes, or a number with KB, MB, GB, KiB, MiB or GiB
    #[arg(long, value_name = "BYTES", default_value = "1GB", value_parser = pacing::bytes)]
    bytes: u64,
    /// Partitions of the topic that is filled
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    partitions: u32,
    /// Bytes of a record's value, at least 24
    #[arg(long, value_name = "BYTES", default_value_t = 1_024)]
    size: usize,
    /// Start again with all logs read and verified, as after the loss of the last checkpoint
    #[arg(long)]
    full_scan: bool,
    #[command(flatten)]
    durability: target::DurabilityOption,
    /// Fill a directory in here [default: where the system keeps temporary files]
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

/// # Errors
/// The broker does not come up again; what was acknowledged before the kill is not there.
pub(super) async fn run(
    options: &Options,
    at: &connection::Options,
    style: Style,
    out: &mut impl Write,
) -> Outcome {
    let directory = embedded::directory(options.directory.as_deref())?;
    let data = directory.path().join("data");
    let durability = options.durability.durability.unwrap_or(Durability::Fsync);
    let broker = Child::start(&data, "tail").await?;
    let client = broker.connect(at).await?;
    let filled = Filled::fill(options, durability, &client, at).await?;
    client.close();
    broker.kill().await?;
    let cold = child::drop_page_cache();
    let start = Instant::now();
    let verify = if options.full_scan { "all" } else { "tail" };
    let broker = Child::start(&data, verify).await?;
    let ready = start.elapsed();
    let client = broker.connect(at).await?;
    let first_fetch = timed(start, filled.fetch_first(&client, at)).await?;
    let first_acknowledgement = timed(start, filled.produce_one(&client, at)).await?;
    let usage = broker.usage()?;
    let kept = filled.is_kept(&client, at).await?;
    broker.kill().await?;
    let report = Report::new("restart", filled.records, filled.bytes, filled.took)
        .with("durability", durability)
        .with("partitions", options.partitions)
        .with("size", options.size)
        .with("verify", verify)
        .with("page_cache", if cold { "dropped" } else { "kept" })
        .with_figure("ready_ms", ms(ready))
        .with_figure("first_fetch_ms", ms(first_fetch))
        .with_figure("first_acknowledgement_ms", ms(first_acknowledgement))
        .with_figure("resident_bytes", usage.resident_bytes)
        .with_figure("open_descriptors", usage.open_descriptors)
        .verified(kept.is_ok());
    let report = if options.full_scan {
        let scan = Report::new("full scan", filled.records, filled.bytes, ready);
        report.with_figure("verified_bytes_per_second", scan.bytes_per_second)
    } else {
        report
    };
    verdict::print(&report, style, out)?;
    kept.map_err(|why| {
        Failure::new(
            Exit::Failure,
            "what was acknowledged is not there after the restart",
        )
        .because(why)
        .next("ratatoskr bench restart --directory DIR, on another disk")
    })
}

/// When, counted from `start`, `work` was done.
async fn timed(start: Instant, work: impl Future<Output = Outcome>) -> Outcome<Duration> {
    work.await?;
    Ok(start.elapsed())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
