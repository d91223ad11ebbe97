//! `cargo xtask features`: people pick crates and features à la carte, so each crate must build
//! alone, with nothing, with each feature by itself, and with all of them.

use anyhow::Result;

use crate::{
    process::{cargo, run as run_visibly},
    workspace,
};

/// # Errors
/// A crate does not build with one of its feature sets.
pub(crate) fn run() -> Result<()> {
    for package in workspace::packages()? {
        let check = |features: &str| {
            run_visibly(&mut cargo(&format!(
                "check --package {} {features}",
                package.name
            )))
        };
        if package.features.is_empty() {
            check("")?;
            continue;
        }
        check("--no-default-features")?;
        for feature in &package.features {
            check(&format!("--no-default-features --features {feature}"))?;
        }
        check("--all-features")?;
    }
    Ok(())
}
