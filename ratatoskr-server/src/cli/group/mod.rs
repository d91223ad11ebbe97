//! `ratatoskr group`: what consumer groups there are, how far they have come, and setting them back.

mod describe;
mod lag;
mod ls;
mod rm;
mod seek;

use std::io::Write;

use clap::Subcommand;

use super::{connection, exit::Outcome, output};

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr group ls
  $ ratatoskr group lag billing
  $ ratatoskr group seek billing --to start --dry-run
  $ ratatoskr group rm audit -y";

/// Which groups, at which broker.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES, subcommand_help_heading = "Verbs", subcommand_value_name = "VERB")]
pub(crate) struct Options {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    connection: connection::Options,
    #[command(flatten)]
    output: output::Options,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the consumer groups there are
    Ls(ls::Options),
    /// Show a group: its members and what they read
    Describe(describe::Options),
    /// Show how far a group is behind, in records and in time
    Lag(lag::Options),
    /// Set where a group without members goes on
    Seek(seek::Options),
    /// Delete groups without members, with all their offsets
    Rm(rm::Options),
}

/// # Errors
/// What the broker answers, or stdout cannot be written to.
pub(crate) async fn run(options: &Options, out: &mut impl Write) -> Outcome {
    let at = &options.connection;
    let style = options.output.style();
    match &options.verb {
        Verb::Ls(options) => ls::run(options, at, style, out).await,
        Verb::Describe(options) => describe::run(options, at, style, out).await,
        Verb::Lag(options) => lag::run(options, at, style, out).await,
        Verb::Seek(options) => seek::run(options, at, style, out).await,
        Verb::Rm(options) => rm::run(options, at).await,
    }
}
