//! The program `ratatoskr`: the broker and its command line.
//!
//! This crate's library is the server; what is here reads the command line and the configuration,
//! and talks to people.

mod cli;
mod config;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main().into()
}
