//! The real broker under load, killed at random moments, started again on what it left, and
//! checked: what `cargo xtask kill9` runs.
//!
//! ```text
//! main         rounds, options, progress, verdict
//! ├ episode     one data directory: start, work, kill, again and again, then read everything back
//! │ ├ server    the broker's process
//! │ ├ load      producers and readers that outlive it
//! │ ├ group     members of a consumer group, and what it commits
//! │ ├ queue     consumers of a queue, and what may not have happened to its records
//! │ ├ kafka     clients that speak Kafka's protocol: producers, and members of a group
//! │ └ compacted a compacted topic, and what must be found in it
//! ├ history     what they were told and saw, and the checker that finds broken promises in it
//! └ ledger      a line for each run
//! ```
//! A seed decides how many kills a data directory sees, when they come, and who sends what. The
//! machine decides the rest, so a seed repeats the choices, not the moment between two instructions.

mod compacted;
mod episode;
mod group;
mod history;
mod kafka;
mod ledger;
mod load;
mod queue;
mod server;

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::Parser;

use ledger::Totals;

/// Kills where neither a number nor a time is asked for.
const KILLS_DEFAULT: u64 = 50;
/// Violations that are printed; the history has the rest.
const SHOWN_MAX: usize = 20;

/// Kills the real broker under load, restarts it, and checks what was promised.
#[derive(Parser)]
#[command(name = "cargo xtask kill9")]
struct Options {
    /// Where the random choices start from; a failure prints the seed that repeats them.
    #[arg(long)]
    seed: Option<u64>,
    /// How many kills.
    #[arg(long)]
    count: Option<u64>,
    /// Stop after this many minutes, however many kills there were.
    #[arg(long)]
    minutes: Option<u64>,
    /// The broker; the one beside this program unless told otherwise.
    #[arg(long, value_name = "PROGRAM")]
    program: Option<PathBuf>,
    /// Where data directories, logs and the ledger are kept.
    #[arg(long, value_name = "DIRECTORY")]
    directory: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kill9: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<()> {
    std::fs::create_dir_all(&options.directory)
        .with_context(|| options.directory.display().to_string())?;
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..));
    let start = Instant::now();
    let mut totals = Totals::default();
    let outcome = episodes(options, seed, start, &mut totals).await;
    let outcome = outcome.and_then(|()| totals.check());
    ledger::append(&options.directory, seed, &totals, start.elapsed(), &outcome)?;
    println!("{totals}; {:.0} s", start.elapsed().as_secs_f64());
    outcome
}

/// One data directory after another, until there were enough kills or the time is up.
async fn episodes(options: &Options, seed: u64, start: Instant, totals: &mut Totals) -> Result<()> {
    let count = match (options.count, options.minutes) {
        (Some(count), _) => count,
        (None, Some(_)) => u64::MAX,
        (None, None) => KILLS_DEFAULT,
    };
    let time_max = options
        .minutes
        .map(|minutes| Duration::from_secs(minutes * 60));
    let mut seed = seed;
    while totals.kills < count && time_max.is_none_or(|max| start.elapsed() < max) {
        let plan = episode::Plan::new(seed, count - totals.kills);
        let episode = episode(options, &plan, totals).await;
        episode.with_context(|| {
            let kills = plan.kills();
            format!("again: cargo xtask kill9 --seed {seed} --count {kills}")
        })?;
        if std::io::stderr().is_terminal() {
            eprint!(
                "\r{} of {count} kills, {} s ",
                totals.kills,
                start.elapsed().as_secs()
            );
        }
        seed = plan.next_seed();
    }
    if std::io::stderr().is_terminal() {
        eprintln!();
    }
    Ok(())
}

/// One data directory, which is kept, with the logs of each life and the history, where something
/// is wrong.
async fn episode(options: &Options, plan: &episode::Plan, totals: &mut Totals) -> Result<()> {
    let directory = tempfile::Builder::new()
        .prefix("run-")
        .tempdir_in(&options.directory)
        .context("a directory for data")?;
    let (history, ran) = episode::run(plan, &program(options)?, directory.path()).await;
    totals.add(&plan.totals(&history));
    let verdict = match ran {
        Ok(report) => {
            totals.report(&report);
            judge(&history)
        }
        // What was read back is not whole: the history proves nothing.
        Err(error) => Err(error),
    };
    verdict.map_err(|error| {
        let kept = directory.keep();
        match keep(&history, &kept) {
            Ok(()) => error.context(format!("kept in {}", kept.display())),
            Err(failed) => error.context(format!("{failed:#}")),
        }
    })
}

fn program(options: &Options) -> Result<PathBuf> {
    if let Some(program) = &options.program {
        return Ok(program.clone());
    }
    let this = std::env::current_exe().context("this program's place")?;
    Ok(this.with_file_name("ratatoskr"))
}

fn judge(history: &history::History) -> Result<()> {
    let violations = history::checker::check(history);
    if violations.is_empty() {
        return Ok(());
    }
    for violation in violations.iter().take(SHOWN_MAX) {
        eprintln!("{violation}");
    }
    bail!(
        "{} broken promises, the first: {}",
        violations.len(),
        violations[0]
    )
}

fn keep(history: &history::History, directory: &Path) -> Result<()> {
    let path = directory.join("history.txt");
    std::fs::write(&path, history.to_string()).with_context(|| path.display().to_string())
}
