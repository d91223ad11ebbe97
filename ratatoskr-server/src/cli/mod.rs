//! The command line: one file a verb, and what they share.
//!
//! Stdout carries data, stderr everything else. A verb returns an [`exit::Outcome`]; only
//! [`main`] turns it into text and an exit code.

mod broker_error;
mod check;
mod exit;
mod explain;
mod filter;
mod format;
mod logs;
mod node;
mod output;
mod progress;
mod start;

use std::io::{self, BufWriter};

use clap::{Parser, Subcommand};

use exit::{Exit, Outcome};

/// A message broker: streams and queues on one log.
#[derive(Debug, Parser)]
#[command(name = "ratatoskr", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Look for what is wrong with a configuration, a data directory or a server
    Check(check::Options),
    /// Say what an error name or an exit code means
    Explain(explain::Options),
}

/// Runs the program and returns the code that it ends with.
pub(crate) fn main() -> Exit {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are data that was asked for; the rest is a wrong command line.
            let exit = if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Ok
            };
            return match error.print() {
                Ok(()) => exit,
                Err(error) => exit::Failure::from(error).report(),
            };
        }
    };
    match run(arguments) {
        Ok(()) => Exit::Ok,
        Err(failure) => failure.report(),
    }
}

fn run(arguments: Arguments) -> Outcome {
    let mut out = BufWriter::new(io::stdout().lock());
    match arguments.verb {
        Verb::Check(options) => check::run(&options, &mut out),
        Verb::Explain(options) => explain::run(&options, &mut out),
    }
}
