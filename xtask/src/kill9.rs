//! `cargo xtask kill9`: the real broker under load, killed, restarted and checked, again and again.
//!
//! The work is done by a program of its own, `src/bin/kill9`, which speaks to a broker and is built
//! only when it is asked for, so that everyday commands stay quick to build.

use anyhow::Result;

use crate::{
    process::{cargo, root, run as run_visibly},
    rounds::Options,
};

/// # Errors
/// The history of a round breaks a promise, or the broker does not come back.
pub(crate) fn run(options: &Options) -> Result<()> {
    run_visibly(&mut cargo(
        "build --package ratatoskr-server --bin ratatoskr",
    ))?;
    let mut command = cargo("run --package xtask --features kill9 --bin kill9 --");
    options.pass_to(&mut command);
    let target = root().join("target");
    command.arg("--directory").arg(target.join("kill9"));
    run_visibly(&mut command)
}
