//! One load for several brokers: the common client with which `cargo xtask bench` compares them.
//!
//! ```text
//! main       options, one JSON object on stdout
//! ├ produce   records in flight, or due at a rate; until acknowledged
//! ├ consume   what was sent before, read from the start and verified
//! ├ fan_out   one publisher, many subscribers with a connection each
//! ├ queue     what was sent before, taken by consumers that share it, and acknowledged
//! └ targets   Ratatoskr, NATS, Redis: what a load needs of a broker
//! ```
//! Records, paces and latencies are those of `ratatoskr bench`: `ratatoskr_server::load`. A server
//! must run already; it is expected to be empty, and started with the durability that is asked for.

mod consume;
mod fan_out;
mod produce;
mod queue;
mod targets;

use std::{
    io::{Write as _, stdout},
    num::{NonZeroU32, NonZeroU64, NonZeroUsize},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};
use ratatoskr_client::Durability;
use ratatoskr_server::load::{Pace, Plan, Report, Tally};

use targets::{Kind, Nats, Ratatoskr, Redis, Target};

const EXAMPLES: &str = "\
Examples:
  $ peer nats produce --address 127.0.0.1:4222 --depth 256 --seconds 3
  $ peer redis fan-out --address 127.0.0.1:6379 --subscribers 100 --rate 20 --seconds 3
  $ peer nats queue --address 127.0.0.1:4222 --consumers 10 --batch 1000 --depth 4 --records 100000";

/// One load for several brokers.
#[derive(Parser)]
#[command(name = "peer", after_help = EXAMPLES)]
struct Options {
    /// What is measured
    target: Name,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Copy, ValueEnum)]
enum Name {
    Ratatoskr,
    Nats,
    Redis,
}

#[derive(Subcommand)]
enum Verb {
    /// Send records, and measure until they are acknowledged
    Produce(Load),
    /// Send records untimed, then read all of them from the start, verified
    Consume(Load),
    /// Send records to many subscribers, and measure until each has them
    FanOut(Load),
    /// Send records untimed, then let consumers share them as a queue's and acknowledge each
    Queue(Load),
}

/// What is sent, and how.
#[derive(Args, Clone, Debug)]
pub(crate) struct Load {
    /// Where the broker listens
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) address: String,
    /// How lasting an acknowledged record is: memory, os or fsync
    #[arg(long, default_value = "os")]
    pub(crate) durability: Durability,
    /// Bytes of a record, at least 24
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(24..=1 << 20))]
    pub(crate) size: u32,
    /// Closed loop: records in flight; of a queue, acknowledgements of a consumer, each of a batch
    #[arg(long, default_value = "256")]
    pub(crate) depth: NonZeroUsize,
    /// Open loop: records a second, whatever the broker does; of a queue, acknowledgements of one each
    #[arg(long)]
    pub(crate) rate: Option<NonZeroU64>,
    /// How long records are sent
    #[arg(long, default_value_t = 3)]
    pub(crate) seconds: u32,
    /// How many records are sent before they are read
    #[arg(long, default_value_t = 100_000)]
    pub(crate) records: u64,
    /// Connections that read
    #[arg(long, default_value_t = 1)]
    pub(crate) subscribers: u32,
    /// Consumers that share a queue, each with a connection of its own
    #[arg(long, default_value = "1")]
    pub(crate) consumers: NonZeroU32,
    /// Records that a consumer of a queue takes at a time at most
    #[arg(long, default_value = "100")]
    pub(crate) batch: NonZeroU32,
}

impl Load {
    /// What is sent from now on.
    pub(crate) fn plan(&self) -> Plan {
        let pace = match self.rate {
            Some(rate) => Pace::Open { rate },
            None => Pace::Closed {
                in_flight: self.depth,
            },
        };
        Plan {
            lasts: Some(Duration::from_secs(self.seconds.into())),
            sends: None,
            ..Plan::new(pace, 0)
        }
    }

    /// The report with the conditions that all loads have.
    pub(crate) fn describe<T: Target>(&self, report: Report) -> Report {
        let report = report
            .with("durability", self.durability)
            .with("size", self.size)
            .with("target", T::WORDS);
        match self.rate {
            Some(rate) => report.with("rate", rate),
            None => report.with("in flight", self.depth),
        }
    }
}

/// A load that was refused in part has no figure.
///
/// # Errors
/// Why the first record was not acknowledged.
pub(crate) fn all_acknowledged(tally: &Tally) -> Result<()> {
    let reason = tally.first_error.as_deref().unwrap_or_default();
    ensure!(
        tally.failed == 0,
        "{} records were not acknowledged: {reason}",
        tally.failed
    );
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let report = match options.target {
        Name::Ratatoskr => run::<Ratatoskr>(&options.verb).await,
        Name::Nats => run::<Nats>(&options.verb).await,
        Name::Redis => run::<Redis>(&options.verb).await,
    };
    let printed = report.and_then(|report| {
        let line = serde_json::to_string(&report)?;
        Ok(writeln!(stdout(), "{line}")?)
    });
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peer: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run<T: Target>(verb: &Verb) -> Result<Report> {
    let (Verb::Produce(load) | Verb::Consume(load) | Verb::FanOut(load) | Verb::Queue(load)) = verb;
    let target = T::connect(&load.address)
        .await
        .with_context(|| format!("nobody answers at {}", load.address))?;
    let kind = match verb {
        Verb::Queue(_) => Kind::Queue,
        _ => Kind::Stream,
    };
    let created = target.create(load.durability, kind).await;
    created.context("a stream")?;
    match verb {
        Verb::Produce(load) => produce::run(&target, load).await,
        Verb::Consume(load) => consume::run(&target, load).await,
        Verb::FanOut(load) => fan_out::run(&target, load).await,
        Verb::Queue(load) => queue::run(&target, load).await,
    }
}
