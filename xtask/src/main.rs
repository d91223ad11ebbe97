//! `cargo xtask`: the project's own commands, one file each.
//!
//! Every command prints the command lines that it runs and leaves their output as it is, so that
//! a failure can be repeated by hand. The first failing step ends the run with a status other
//! than 0.

mod bench;
mod ci;
mod counters;
mod coverage;
mod crashmodel;
mod dependencies;
mod features;
mod floors;
mod fuzz;
mod interop;
mod kill9;
mod lint;
mod process;
mod rounds;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

/// The project's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Command {
    /// Everything a change must pass before it lands.
    Ci,
    /// The everyday loop: every test and doctest of the workspace.
    Test(test::Options),
    /// Formatting and clippy, warnings as errors.
    Lint,
    /// House rules that no compiler checks.
    Tidy,
    /// The direction in which the crates depend on one another.
    Dependencies,
    /// The documentation, warnings as errors.
    Doc,
    /// Runs every example program.
    Examples,
    /// Builds each crate alone, with each of its features.
    Features,
    /// Line coverage of core and storage, which must not fall below the floor.
    Coverage(coverage::Options),
    /// Rebuilds the disk as a crash could have left it, recovers, and checks.
    Crashmodel(rounds::Options),
    /// Sends requests of Kafka's protocol that were changed at random.
    Fuzz(rounds::Options),
    /// Kills the real broker under load, restarts it, and checks what was promised.
    Kill9(rounds::Options),
    /// The clients that Kafka's users have, against the broker.
    #[command(disable_help_flag = true)]
    Interop(interop::Options),
    /// Counts what a record costs, and compares with the committed table.
    Counters(counters::Options),
    /// The broker beside what the machine allows, its peers, or an earlier revision of itself.
    #[command(disable_help_flag = true)]
    Bench(bench::Options),
    /// What this machine's sockets, disk and memory allow a program that does only one thing.
    #[command(disable_help_flag = true)]
    Floors(floors::Options),
}

fn main() -> ExitCode {
    let outcome = match Command::parse() {
        Command::Ci => ci::run(),
        Command::Test(options) => test::run(&options),
        Command::Lint => lint::run(),
        Command::Tidy => tidy::run(),
        Command::Dependencies => dependencies::run(),
        Command::Doc => ci::doc(),
        Command::Examples => ci::examples(),
        Command::Features => features::run(),
        Command::Coverage(options) => coverage::run(&options),
        Command::Crashmodel(options) => crashmodel::run(&options),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Kill9(options) => kill9::run(&options),
        Command::Interop(options) => interop::run(&options),
        Command::Counters(options) => counters::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Floors(options) => floors::run(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
