//! `cargo xtask lint`: formatting and clippy, warnings as errors.

use anyhow::Result;

use crate::process::{cargo, run as run_visibly};

/// # Errors
/// A file is not formatted, or clippy warns.
pub(crate) fn run() -> Result<()> {
    run_visibly(&mut cargo("fmt --all --check"))?;
    run_visibly(&mut cargo(
        "clippy --workspace --all-targets --all-features -- -D warnings",
    ))
}
