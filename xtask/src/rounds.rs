//! The options that every long-running check takes.

use std::process::Command;

/// How long, and from which seed.
#[derive(clap::Args, Default)]
pub(crate) struct Options {
    /// Where the random choices start from; a failure prints the seed that repeats it.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// How many rounds.
    #[arg(long)]
    pub(crate) count: Option<u64>,
    /// Stop after this many minutes, however many rounds were done.
    #[arg(long)]
    pub(crate) minutes: Option<u64>,
}

impl Options {
    /// This many rounds from a seed chosen at random.
    pub(crate) fn rounds(count: u64) -> Self {
        Self {
            count: Some(count),
            ..Self::default()
        }
    }

    /// Hands the options to a program that takes them as they are.
    pub(crate) fn pass_to(&self, command: &mut Command) {
        let values = [
            ("--seed", self.seed),
            ("--count", self.count),
            ("--minutes", self.minutes),
        ];
        for (name, value) in values {
            if let Some(value) = value {
                command.args([name, &value.to_string()]);
            }
        }
    }

    /// Hands the options to a test program as `<PREFIX>_SEED`, `_COUNT` and `_MINUTES`.
    pub(crate) fn set_on(&self, command: &mut Command, prefix: &str) {
        let values = [
            ("SEED", self.seed),
            ("COUNT", self.count),
            ("MINUTES", self.minutes),
        ];
        for (name, value) in values {
            if let Some(value) = value {
                command.env(format!("{prefix}_{name}"), value.to_string());
            }
        }
    }
}
