//! `ratatoskr dlq`: dead letters, the records that queue groups have given up.

mod discard;
mod filter;
mod ls;
mod redrive;
mod show;
mod steps;

use std::io::Write;

use clap::Subcommand;

use super::{connection, exit::Outcome, output, signals::unless_interrupted};

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr dlq ls
  $ ratatoskr dlq show orders.dlq
  $ ratatoskr dlq redrive orders.dlq --dry-run
  $ ratatoskr dlq redrive orders.dlq
  $ ratatoskr dlq discard orders.dlq -y";

/// A record that was delivered as often as its queue group allows, or that a consumer rejected, lies
/// in a dead-letter topic, with its cause and its origin.
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
    /// List the topics that hold dead letters
    Ls(ls::Options),
    /// Show dead letters, with why they are some
    Show(show::Options),
    /// Send dead letters back to the topics where they were
    Redrive(redrive::Options),
    /// Give dead letters up for good
    Discard(discard::Options),
}

/// # Errors
/// What the broker answers, or stdout cannot be written to.
pub(crate) async fn run(options: &Options, out: &mut impl Write) -> Outcome {
    let at = &options.connection;
    let style = options.output.style();
    match &options.verb {
        Verb::Ls(options) => unless_interrupted(ls::run(options, at, style, out)).await,
        Verb::Show(options) => unless_interrupted(show::run(options, at, style, out)).await,
        // They say what they have done when they are interrupted.
        Verb::Redrive(options) => redrive::run(options, at, style, out).await,
        Verb::Discard(options) => discard::run(options, at, style, out).await,
    }
}
