//! The suite of benchmarks: what `cargo xtask bench` runs.
//!
//! ```text
//! main        options, one row after another, files, verdict
//! ├ row        what is measured, as data: rows/*.toml
//! ├ measure    a point: prepared, warmed, repeated, its floors and peers beside it
//! │ ├ program   the programs that measure: ratatoskr bench, floors, peer
//! │ ├ server    servers as processes, and `peer` those of others
//! │ ├ kafka     Apache Kafka, and its own tools at either broker
//! │ └ warm      memory and page cache
//! ├ result     figures, ratios, verdicts; `statistics` says what repeated figures say
//! ├ against    two revisions, interleaved
//! └ report, table, page    JSON files, the terminal, a page with charts, the same as Markdown and SVG
//! ```
//! Everything that makes load is another program, so that what is measured is measured as its users
//! have it; this one only starts, asks and divides.

mod against;
mod format;
mod kafka;
mod machine;
mod measure;
mod page;
mod peer;
mod program;
mod report;
mod result;
mod row;
mod server;
mod statistics;
mod table;
mod warm;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use clap::Parser;

use machine::Machine;
use measure::Bench;
use page::Pages;
use peer::{Installed, Peer};
use program::Programs;
use report::RowReport;
use row::Row;

/// Why a row is skipped that Kafka's tools measure.
const WITHOUT_KAFKA: &str = "Apache Kafka's own tools are not there; --peer kafka brings them";

const EXAMPLES: &str = "\
Examples:
  $ cargo xtask bench --quick
  $ cargo xtask bench --rows L1,D1 --repetitions 5 --seconds 3 --peer nats --peer redis
  $ cargo xtask bench --rows K1 --peer kafka
  $ cargo xtask bench --rows T1 --against main
  $ cargo xtask bench --report";

/// Measures the broker beside what the machine allows, its peers, or an earlier revision of itself.
///
/// Rows: L1 latency, T1 small records, T2 batches, D1 durable, D2 durable batches and partitions,
/// R1 reading beside a producer, R2 slow readers beside it, F1 fan-out, Q1 queues, Q2 memory of
/// queues, Q3 a poisoned key, C1 consumer groups, C2 compaction, G1 topics and partitions, G2 restart,
/// M1 memory and start, E1 in process, K1 Kafka's own tools (with --peer kafka).
#[derive(Parser)]
#[command(name = "cargo xtask bench", after_help = EXAMPLES)]
struct Options {
    /// Only these rows; all of them otherwise
    #[arg(long, value_name = "ROW,…", value_delimiter = ',')]
    rows: Vec<String>,
    /// One short point or two of each row, in a couple of minutes: whether it works, not how fast it is
    #[arg(long)]
    quick: bool,
    /// How often each point is measured [default: 5, or 1 with --quick]
    #[arg(long, value_name = "COUNT")]
    repetitions: Option<usize>,
    /// How long each load runs [default: 3, or 1 with --quick]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: Option<u32>,
    /// Measure this peer, too; may be given several times
    #[arg(long = "peer", value_name = "PEER")]
    peers: Vec<Peer>,
    /// Compare the headline rows with this revision, and do nothing else
    #[arg(long, value_name = "REVISION")]
    against: Option<String>,
    /// Measure nothing; write the page, the tables and the charts of all rows that were ever measured
    #[arg(long, conflicts_with_all = ["against", "peers", "quick", "repetitions", "seconds"])]
    report: bool,
    /// Where results and, while it runs, data are kept; on the disk that is to be measured
    #[arg(long, value_name = "DIRECTORY", overrides_with = "directory")]
    directory: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(&Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<()> {
    let start = Instant::now();
    let rows = Row::select(&options.rows)?;
    if options.report {
        let pages = Pages {
            rows: kept(&rows, &options.directory)?,
            ..Pages::default()
        };
        println!("{}", pages.write(&options.directory)?.display());
        return Ok(());
    }
    let data = options.directory.join("data");
    fs::create_dir_all(&data).with_context(|| data.display().to_string())?;
    let (peers, mut skipped) = peers(options).await;
    let default = if options.quick { (1, 1) } else { (5, 3) };
    let bench = Bench {
        programs: Programs::beside_this()?,
        directory: data,
        peers,
        quick: options.quick,
        repetitions: options.repetitions.unwrap_or(default.0).max(1),
        seconds: options.seconds.unwrap_or(default.1),
    };
    let machine = Machine::this();
    let (mut measured, mut differences) = (Vec::new(), Vec::new());
    match &options.against {
        Some(revision) => {
            let old = against::build(revision, &options.directory.join("against")).await?;
            differences = against::compare(&bench, &rows, revision, &old).await?;
            report::write(&options.directory, "against", &differences)?;
            println!("{}", table::differences(&differences));
        }
        None => {
            for row in &rows {
                if !row.series.iter().all(|series| bench.can(series)) {
                    skipped.push(format!("{}: {WITHOUT_KAFKA}", row.id));
                    continue;
                }
                measured.push(measure(&bench, row, &machine, &options.directory).await?);
            }
        }
    }
    let pages = Pages {
        rows: kept(&Row::select(&[])?, &options.directory)?,
        differences,
        skipped,
    };
    let path = pages.write(&options.directory)?;
    for reason in &pages.skipped {
        eprintln!("SKIPPED: {reason}");
    }
    println!(
        "{} ({:.0} s)",
        path.display(),
        start.elapsed().as_secs_f64()
    );
    let results = measured.iter().flat_map(|report| &report.results);
    let failed = results.filter(|result| result.problem.is_some()).count();
    ensure!(failed == 0, "{failed} figures could not be measured");
    Ok(())
}

/// What is kept of those of the rows that were ever measured.
fn kept(rows: &[Row], directory: &Path) -> Result<Vec<RowReport>> {
    let kept = rows.iter().map(|row| RowReport::read(directory, row));
    kept.filter_map(Result::transpose).collect()
}

/// The peers that are there, and why the others are not.
async fn peers(options: &Options) -> (Vec<Installed>, Vec<String>) {
    let tools = options.directory.join("peers");
    let (mut found, mut skipped) = (Vec::new(), Vec::new());
    for peer in &options.peers {
        match peer.find(&tools).await {
            Ok(installed) => {
                eprintln!("{peer}: {}", installed.version);
                found.push(installed);
            }
            Err(error) => {
                eprintln!("SKIPPED: {peer}: {error:#}");
                skipped.push(format!("{peer}: {error:#}"));
            }
        }
    }
    (found, skipped)
}

/// Measures a row, prints it and keeps it. A point that fails is told, and the others go on.
async fn measure(
    bench: &Bench,
    row: &Row,
    machine: &Machine,
    directory: &Path,
) -> Result<RowReport> {
    let versions = bench
        .peers
        .iter()
        .map(|installed| (installed.peer(), installed.version.clone()))
        .collect();
    let mut report = RowReport::new(row, machine, bench.seconds, versions);
    for series in &row.series {
        let mut points = Vec::new();
        for x in series.points(bench.quick) {
            eprintln!("{} {}", row.id, series.label(*x));
            let samples = bench.point(series, *x).await;
            if let Err(error) = &samples {
                eprintln!("  FAILED: {error:#}");
            }
            points.push((*x, samples));
        }
        report.results.extend(result::evaluate(series, &points));
        // What is measured stays, whatever happens to the rest.
        report.write(directory)?;
    }
    println!(
        "\n{} · {}\n{}\n",
        row.id,
        row.title,
        table::row(&report.results)
    );
    Ok(report)
}
