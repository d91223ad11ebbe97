//! `cargo xtask fuzz`: requests of Kafka's protocol, changed at random, to a broker in memory.
//!
//! The corpus and what is done with a request are those of `ratatoskr-kafka/fuzz`, which needs a
//! nightly compiler; this runs them on the stable one.

use anyhow::Result;

use crate::{
    process::{cargo, run as run_visibly},
    rounds::Options,
};

/// # Errors
/// A request makes the broker panic, hang, allocate without bounds, or neglect others.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut command =
        cargo("test --package ratatoskr-kafka --all-features --test fuzz -- --nocapture");
    options.set_on(&mut command, "FUZZ");
    run_visibly(&mut command)
}
