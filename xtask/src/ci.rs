//! `cargo xtask ci`: everything a change must pass before it lands, the quickest checks first.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::{
    counters, crashmodel, dependencies, features, fuzz, interop, kill9, lint,
    process::{cargo, root, run as run_visibly},
    rounds, test, tidy, workspace,
};

/// Disk states that the crash model visits.
const CRASH_STATES: u64 = 20_000;
/// Requests that are changed at random.
const FUZZED: u64 = 50_000;
/// Times the broker is killed.
const KILLS: u64 = 50;

type Step = fn() -> Result<()>;

/// # Errors
/// The first step that fails, by name.
pub(crate) fn run() -> Result<()> {
    let steps: [(&str, Step); 12] = [
        ("tidy", tidy::run),
        ("dependencies", dependencies::run),
        ("lint", lint::run),
        ("test", test::everything),
        ("doc", doc),
        ("examples", examples),
        ("features", features::run),
        ("crashmodel", crashmodel),
        ("fuzz", fuzz),
        ("kill9", kill9),
        ("interop", interop),
        ("counters", counters),
    ];
    let mut times: Vec<(&str, Duration)> = Vec::new();
    for (name, step) in steps {
        println!("== {name}");
        let start = Instant::now();
        step().with_context(|| format!("step `{name}` (alone: `cargo xtask {name}`)"))?;
        times.push((name, start.elapsed()));
    }
    println!("== passed");
    for (name, time) in times {
        println!("{name:>14} {:>7.1} s", time.as_secs_f64());
    }
    Ok(())
}

/// # Errors
/// Something is documented wrongly.
pub(crate) fn doc() -> Result<()> {
    run_visibly(
        cargo("doc --workspace --no-deps --all-features --locked")
            .env("RUSTDOCFLAGS", "-D warnings"),
    )
}

/// Runs every example program: it must end by itself, successfully.
///
/// # Errors
/// One does not.
pub(crate) fn examples() -> Result<()> {
    for package in workspace::packages()? {
        for example in &package.examples {
            run_visibly(&mut cargo(&format!(
                "run --package {} --all-features --example {example}",
                package.name
            )))?;
        }
    }
    Ok(())
}

fn crashmodel() -> Result<()> {
    if !root().join("ratatoskr-storage/tests/crashmodel").exists() {
        println!("SKIPPED: ratatoskr-storage has no crash model yet");
        return Ok(());
    }
    crashmodel::run(&rounds::Options::rounds(CRASH_STATES))
}

fn fuzz() -> Result<()> {
    fuzz::run(&rounds::Options::rounds(FUZZED))
}

fn kill9() -> Result<()> {
    kill9::run(&rounds::Options::rounds(KILLS))
}

fn counters() -> Result<()> {
    counters::run(&counters::Options::default())
}

fn interop() -> Result<()> {
    interop::run(&interop::Options::quick())
}
