//! `cargo xtask floors`: what this machine allows, to stand beside what the broker does.
//!
//! The programs are in `src/bin/floors`, which is built only when it is asked for.

use std::ffi::OsString;

use anyhow::Result;

use crate::process::{cargo, run as run_visibly};

/// Handed to the floor programs as they are; `--help` lists them.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

/// # Errors
/// A floor cannot be measured.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut command =
        cargo("run --release --quiet --package xtask --features bench --bin floors --");
    run_visibly(command.args(&options.words))
}
