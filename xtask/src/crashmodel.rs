//! `cargo xtask crashmodel`: recorded file operations, every disk state that a crash could leave,
//! recovery, and a check. The model itself is `ratatoskr-storage/tests/crashmodel`.

use anyhow::Result;

use crate::{
    process::{cargo, run as run_visibly},
    rounds::Options,
};

/// # Errors
/// A disk state recovers into something that was never promised.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut command = cargo(
        "test --package ratatoskr-storage --all-features --test crashmodel -- --nocapture --test-threads 1",
    );
    options.set_on(&mut command, "CRASHMODEL");
    run_visibly(&mut command)
}
