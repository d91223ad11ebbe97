//! What a record costs, counted: system calls, allocations, bytes copied, lock takes. What
//! `cargo xtask counters` runs; `docs/counters.md` says what is counted and what is not.
//!
//! ```text
//! main      options, a process for each workload, verdict
//! ├ counted  runs a workload's process, with the shim and under strace
//! │ ├ meter    rounds within it              count.c  the shim: the part of it that libc sees
//! │ └ trace    system calls out of strace's output
//! ├ work     the workloads, and the peer that they speak to
//! └ table    what is allowed, compared with what was counted
//! ```
//! Counts repeat where times do not, so they can decide whether a change lands. What a neighbour on
//! the machine or a timer adds, it adds to some rounds only: the cheapest round of each counter is
//! what counts.

mod counted;
mod meter;
mod table;
mod trace;
mod work;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, ensure};
use clap::Parser;

use counted::Setup;
use table::Table;
use work::Workload;

/// Times that each workload is counted where its bound is to be found: the dearest counts then, so
/// that what differs from run to run lies within the bound.
const BLESS_RUNS: usize = 3;

/// What this program is started for.
#[derive(Parser)]
#[command(name = "counters")]
enum Task {
    /// Counts what a record costs, and compares with the committed table.
    Check(Options),
    /// Runs one workload and prints its counts: what `check` starts this program for.
    Work {
        /// The workload.
        name: String,
        /// Where data goes.
        #[arg(long, value_name = "DIRECTORY")]
        directory: PathBuf,
    },
}

#[derive(clap::Args)]
struct Options {
    /// Only this workload; may be given several times.
    #[arg(short, long = "workload", value_name = "NAME")]
    workloads: Vec<String>,
    /// Write what was counted into the table, with some slack.
    #[arg(long, conflicts_with_all = ["workloads", "explain"])]
    bless: bool,
    /// Show which system calls, and which lines that take locks, make up the counts.
    #[arg(long)]
    explain: bool,
    /// The table.
    #[arg(long, value_name = "FILE")]
    table: PathBuf,
    /// The source of what counts within libc.
    #[arg(long, value_name = "FILE")]
    shim: PathBuf,
    /// Where data, traces and the built shim go.
    #[arg(long, value_name = "DIRECTORY")]
    directory: PathBuf,
}

fn main() -> ExitCode {
    let outcome = match Task::parse() {
        Task::Check(options) => check(&options),
        Task::Work { name, directory } => work(&name, &directory),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("counters: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn work(name: &str, directory: &Path) -> Result<()> {
    let data = tempfile::tempdir_in(directory)?;
    let meter = work::run(workload(name)?, data.path())?;
    println!("{}", meter.to_json());
    Ok(())
}

fn workload(name: &str) -> Result<&'static Workload> {
    let found = work::ALL.iter().find(|workload| workload.name == name);
    found.with_context(|| {
        let names: Vec<_> = work::ALL.iter().map(|workload| workload.name).collect();
        format!("no workload `{name}`; there are {}", names.join(", "))
    })
}

fn check(options: &Options) -> Result<()> {
    let chosen: Vec<&Workload> = if options.workloads.is_empty() {
        work::ALL.iter().collect()
    } else {
        let names = options.workloads.iter();
        names.map(|name| workload(name)).collect::<Result<_>>()?
    };
    let setup = Setup::new(&options.shim, &options.directory)?;
    let runs = if options.bless { BLESS_RUNS } else { 1 };
    let mut table = Table::new();
    for workload in chosen {
        for _ in 0..runs {
            let counted = setup
                .count(workload)
                .with_context(|| format!("workload {}", workload.name))?;
            if options.explain {
                counted.explain(workload.name);
            }
            let costs = counted.costs();
            table
                .entry(workload.name.to_owned())
                .and_modify(|dearest| *dearest = dearest.max(costs))
                .or_insert(costs);
        }
    }
    println!("{}", table::shown(&table));
    judge(options, &table)
}

fn judge(options: &Options, measured: &Table) -> Result<()> {
    let path = options.table.display().to_string();
    let mut bounds = match fs::read_to_string(&options.table) {
        Ok(text) => table::parse(&text).with_context(|| path.clone())?,
        Err(_) if options.bless => Table::new(),
        Err(error) => return Err(error).context(path),
    };
    if options.bless {
        fs::write(&options.table, table::blessed(measured, &bounds))?;
        println!("written: {path}");
        return Ok(());
    }
    if !options.workloads.is_empty() {
        bounds.retain(|workload, _| measured.contains_key(workload));
    }
    let findings = table::compare(&bounds, measured);
    for loose in &findings.loose {
        println!("can be tightened with --bless: {loose}");
    }
    ensure!(
        findings.wrong.is_empty(),
        "{} findings:\n  {}\nWhere it comes from: `cargo xtask counters --explain --workload NAME`, and \
         docs/counters.md.\nIf it is worth it: `cargo xtask counters --bless`, and say why in the commit.",
        findings.wrong.len(),
        findings.wrong.join("\n  ")
    );
    Ok(())
}
