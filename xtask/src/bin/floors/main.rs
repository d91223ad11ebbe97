//! Measures the physical floors of the machine it runs on: what its sockets, disk and memory allow
//! a program that does only this one thing. One JSON object a row goes to stdout, the same as text
//! to stderr.
//!
//! A file is unlinked when it is created, one of at most 512 MiB exists at a time, and every loop
//! has a deadline.

#![expect(
    clippy::cast_precision_loss,
    reason = "every figure is reported as a float"
)]

mod acknowledge;
mod disk;
mod fan_out;
mod memory;
mod network;
mod report;
mod scan;

use std::{iter, path::PathBuf, time::Duration};

use anyhow::Result;
use clap::{Parser, Subcommand, builder::RangedU64ValueParser};

use acknowledge::Acknowledge;
use disk::{Append, GroupCommit, Sync, Wal};
use fan_out::FanOut;
use memory::InProcess;
use network::{RoundTrip, Tail};
use report::Report;
use scan::Scan;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// What `all` measures: about 60 s with the default duration and repetitions.
const ALL: &[&str] = &[
    "round-trip --bytes 128",
    "acknowledge --bytes 100 --connections 1 --depth 1",
    "acknowledge --bytes 100 --connections 1 --depth 256",
    "acknowledge --bytes 100 --connections 4 --depth 256",
    "append-acknowledge --bytes 100 --connections 1 --depth 256",
    "append-acknowledge --bytes 100 --connections 4 --depth 256",
    "append-acknowledge --bytes 131072 --connections 1 --depth 16",
    "sync --bytes 4096",
    "sync --bytes 65536",
    "sync --bytes 1048576",
    "group-commit --bytes 1024 --in-flight 1",
    "group-commit --bytes 1024 --in-flight 16",
    "group-commit --bytes 1024 --in-flight 64",
    "group-commit --bytes 1024 --in-flight 256",
    "group-commit --bytes 1024 --in-flight 1024",
    "append --batch 16384",
    "append --batch 131072",
    "append --batch 1048576",
    "scan --window 1048576",
    "tail --chunk 65536",
    "tail --chunk 262144",
    "fan-out --connections 100",
    "fan-out --connections 1000 --rate 20",
    "in-process --topics 1 --tasks 64 --batch 1",
    "in-process --topics 1 --tasks 64 --batch 16",
    "in-process --topics 64 --tasks 64 --batch 16",
];

/// Measures the physical floors of this machine.
#[derive(Parser)]
#[command(name = "cargo xtask floors", after_help = EXAMPLES)]
struct Cli {
    /// Existing directory on the disk to measure; a file in it has no name and vanishes with us
    #[arg(long, global = true, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// Length of one repetition in milliseconds
    #[arg(long, global = true, default_value_t = 800, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    duration_ms: u64,
    /// Repetitions of each row; their median, least and greatest are reported
    #[arg(long, global = true, default_value_t = 3, value_parser = at_most(100))]
    repetitions: usize,
    #[command(subcommand)]
    floor: Floor,
}

const EXAMPLES: &str = "\
Examples:
  $ cargo xtask floors all --dir target > floors.jsonl
  $ cargo xtask floors group-commit --in-flight 64 --duration-ms 2000 --repetitions 10";

#[derive(Subcommand)]
enum Floor {
    RoundTrip(RoundTrip),
    Acknowledge(Acknowledge),
    /// As `acknowledge`, and the server appends each frame first: a mutex, the payload's CRC-32C
    /// and a copy of it into one resident ring of 64 MiB
    AppendAcknowledge(Acknowledge),
    Sync(Sync),
    GroupCommit(GroupCommit),
    Append(Append),
    Scan(Scan),
    Tail(Tail),
    FanOut(FanOut),
    InProcess(InProcess),
    /// A fixed quick set of the above
    All,
}

/// Parses a count from 1 to `max`.
fn at_most(max: usize) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=max as u64)
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    disk::note_if_in_memory(&cli.dir)?;
    cli.measure(&cli.floor)
}

impl Cli {
    fn measure(&self, floor: &Floor) -> Result<()> {
        let (dir, repetitions) = (&self.dir, self.repetitions);
        let duration = Duration::from_millis(self.duration_ms);
        let report = Report {
            repetitions,
            duration,
        };
        match floor {
            Floor::RoundTrip(floor) => floor
                .placements()?
                .iter()
                .try_for_each(|floor| report.row("round-trip", floor, || floor.measure(duration))),
            Floor::Acknowledge(floor) => {
                report.row("acknowledge", floor, || floor.measure(false, duration))
            }
            Floor::AppendAcknowledge(floor) => report.row("append-acknowledge", floor, || {
                floor.measure(true, duration)
            }),
            Floor::Sync(floor) => {
                let mut wal = Wal::create(dir)?;
                report.row("sync", floor, || floor.measure(&mut wal, duration))
            }
            Floor::GroupCommit(floor) => {
                let mut wal = Wal::create(dir)?;
                report.row("group-commit", floor, || floor.measure(&mut wal, duration))
            }
            Floor::Append(floor) => {
                disk::warm_guest_memory();
                report.row("append", floor, || floor.measure(dir, duration))
            }
            Floor::Scan(floor) => {
                let file = scan::file(dir)?;
                report.row("scan", floor, || floor.measure(&file))
            }
            Floor::Tail(floor) => report.row("tail", floor, || floor.measure(duration)),
            Floor::FanOut(floor) => report.row("fan-out", floor, || floor.measure(duration)),
            Floor::InProcess(floor) => report.row("in-process", floor, || floor.measure(duration)),
            Floor::All => ALL.iter().try_for_each(|line| {
                let words = iter::once("floors").chain(line.split(' '));
                self.measure(&Self::try_parse_from(words)?.floor)
            }),
        }
    }
}
