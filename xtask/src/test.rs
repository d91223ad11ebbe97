//! `cargo xtask test`: the everyday loop.

use anyhow::{Result, bail};

use crate::{
    process::{cargo, run as run_visibly},
    workspace,
};

/// What to test.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only this crate; may be given several times.
    #[arg(short, long = "package", value_name = "CRATE")]
    packages: Vec<String>,
    /// Only tests whose name contains this.
    filter: Option<String>,
}

/// Runs tests and doctests of the whole workspace, or of the crates asked for.
///
/// # Errors
/// A test fails, or a snapshot differs from what is in the repository.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut command = cargo("test --all-features");
    if options.packages.is_empty() {
        command.arg("--workspace");
    }
    for package in &options.packages {
        command.args(["--package", package]);
    }
    command.args(&options.filter);
    // A snapshot that differs fails its test and leaves nothing behind.
    run_visibly(command.env("INSTA_UPDATE", "no"))?;
    no_pending_snapshots()
}

/// Runs every test of the workspace.
///
/// # Errors
/// See [`run`].
pub(crate) fn everything() -> Result<()> {
    run(&Options {
        packages: Vec::new(),
        filter: None,
    })
}

fn no_pending_snapshots() -> Result<()> {
    let pending: Vec<_> = workspace::files(&["--others"])?
        .into_iter()
        .filter(|path| path.ends_with(".snap.new"))
        .collect();
    if !pending.is_empty() {
        bail!("snapshots wait for a review: {}", pending.join(", "));
    }
    Ok(())
}
