//! `cargo xtask kill9`: the real broker under load, killed, restarted and checked, again and again.
//! The rounds themselves are `ratatoskr-server/tests/process/kill9`.

use anyhow::Result;

use crate::{
    process::{cargo, run as run_visibly},
    rounds::Options,
};

/// # Errors
/// The history of a round breaks a promise, or the broker does not come back.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut command = cargo(
        "test --package ratatoskr-server --all-features --test process -- --exact kill9::rounds --nocapture",
    );
    options.set_on(&mut command, "KILL9");
    run_visibly(&mut command)
}
