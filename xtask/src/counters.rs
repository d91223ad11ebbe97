//! `cargo xtask counters`: what a record costs in system calls, allocations, bytes copied and lock
//! takes, compared with `xtask/counters.toml`.
//!
//! The work is done by a program of its own, `src/bin/counters`, which speaks to a broker and is built
//! only when it is asked for. It is built as a release: without optimizations the compiler copies
//! what it need not, so bytes copied would mean nothing.

use anyhow::Result;

use crate::process::{cargo, root, run as run_visibly};

/// What to count.
#[derive(clap::Args, Default)]
pub(crate) struct Options {
    /// Only this workload; may be given several times.
    #[arg(short, long = "workload", value_name = "NAME")]
    workloads: Vec<String>,
    /// Write what was counted into the table, with some slack.
    #[arg(long, conflicts_with_all = ["workloads", "explain"])]
    bless: bool,
    /// Show which system calls, and which lines that take locks, make up the counts.
    #[arg(long)]
    explain: bool,
}

/// # Errors
/// A counter exceeds its bound.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut command =
        cargo("run --release --package xtask --features counters --bin counters -- check");
    for name in &options.workloads {
        command.args(["--workload", name]);
    }
    for (name, on) in [("--bless", options.bless), ("--explain", options.explain)] {
        if on {
            command.arg(name);
        }
    }
    let root = root();
    command.arg("--table").arg(root.join("xtask/counters.toml"));
    let shim = root.join("xtask/src/bin/counters/count.c");
    command.arg("--shim").arg(shim);
    command.arg("--directory").arg(root.join("target/counters"));
    run_visibly(&mut command)
}
