//! `cargo xtask interop`: the broker and the clients that Kafka's users have.
//!
//! The work is done by a program of its own, `src/bin/interop`, which installs the clients under
//! `target/interop` from their package registries, runs them against a broker, and writes what came
//! of it into `docs/kafka.md`.

use std::ffi::OsString;

use anyhow::Result;

use crate::process::{cargo, root, run as run_visibly};

/// Handed to the program as they are; `--help` lists them.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

impl Options {
    /// The clients that are quick to install and to run.
    pub(crate) fn quick() -> Self {
        Self {
            words: vec!["--quick".into()],
        }
    }
}

/// # Errors
/// A client fails a check.
pub(crate) fn run(options: &Options) -> Result<()> {
    run_visibly(&mut cargo(
        "build --package ratatoskr-server --bin ratatoskr",
    ))?;
    let mut command = cargo("run --quiet --package xtask --features interop --bin interop --");
    command.arg("--root").arg(root()).args(&options.words);
    run_visibly(&mut command)
}
