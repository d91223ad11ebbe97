//! `cargo xtask bench`: the broker measured beside what the machine allows, its peers, or an earlier
//! revision of itself.
//!
//! The work is done by programs of their own, `src/bin/bench`, `src/bin/floors` and `src/bin/peer`,
//! which are built only when they are asked for, so that everyday commands stay quick to build.

use std::{ffi::OsString, iter};

use anyhow::Result;

use crate::process::{cargo, root, run as run_visibly};

/// Handed to the suite as they are; `--help` lists them.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

/// # Errors
/// Something does not build, or cannot be measured.
pub(crate) fn run(options: &Options) -> Result<()> {
    if measures(&options.words) {
        run_visibly(&mut cargo(
            "build --release --package ratatoskr-server --bin ratatoskr",
        ))?;
    }
    let features = if wants_common_client(&options.words) {
        "--features bench,peers"
    } else {
        "--features bench"
    };
    run_visibly(&mut cargo(&format!(
        "build --release --package xtask --bins {features}"
    )))?;
    let mut command = cargo(&format!(
        "run --release --quiet --package xtask {features} --bin bench --"
    ));
    command
        .arg("--directory")
        .arg(root().join("target/bench"))
        .args(&options.words);
    run_visibly(&mut command)
}

/// Whether the broker is needed, which takes minutes to build.
fn measures(words: &[OsString]) -> bool {
    let other = ["--report", "--help", "-h"];
    !words
        .iter()
        .any(|word| other.iter().any(|other| word == other))
}

/// Whether the clients of peers are needed, which take long to build. Kafka comes with tools of its own.
fn wants_common_client(words: &[OsString]) -> bool {
    let mut words = words.iter().filter_map(|word| word.to_str());
    let mut peers = iter::from_fn(|| {
        let word = words.find(|word| *word == "--peer" || word.starts_with("--peer="))?;
        word.strip_prefix("--peer=").or_else(|| words.next())
    });
    peers.any(|peer| peer != "kafka")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_broker_is_built_where_it_is_measured() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert!(measures(&words("--rows L1 --quick")));
        assert!(!measures(&words("--report")));
        assert!(!measures(&words("--rows L1 --help")));
    }

    #[test]
    fn clients_of_peers_are_built_when_they_are_asked_for() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert!(wants_common_client(&words("--rows L1 --peer nats")));
        assert!(wants_common_client(&words("--peer=redis")));
        assert!(wants_common_client(&words("--peer kafka --peer nats")));
        assert!(!wants_common_client(&words("--peer kafka --peer=kafka")));
        assert!(!wants_common_client(&words("--rows L1 --quick")));
    }
}
