//! `ratatoskr queue`: queue groups, and working records off.

mod alter;
mod create;
mod describe;
mod ls;
mod peek;
mod rm;
mod settings;
mod take;

use std::io::Write;

use clap::Subcommand;

use super::{connection, exit::Outcome, output, signals::unless_interrupted};

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr queue create shipping attempts_max=3 lease_ms=1m
  $ ratatoskr queue take shipping orders -n 2
  $ ratatoskr queue take shipping orders -n 2 --exec 'wc -c'
  $ ratatoskr queue peek shipping orders
  $ ratatoskr queue describe shipping
  $ ratatoskr queue rm shipping -y";

/// Consumers of a queue group share the records of a topic: each record is held by one of them under
/// a lease, and is done once it is acknowledged.
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
    /// List the queue groups there are
    Ls(ls::Options),
    /// Create a queue group
    Create(create::Options),
    /// Show a queue group: what it has of each partition, who holds records, its configuration
    Describe(describe::Options),
    /// Change the configuration of a queue group
    Alter(alter::Options),
    /// Delete a queue group with all that it knows; the records stay in their topics
    Rm(rm::Options),
    /// Show the oldest records that a queue group is not done with, without taking any
    Peek(peek::Options),
    /// Take records: print each, or run a command for each
    Take(take::Options),
}

/// # Errors
/// What the broker answers, or stdout cannot be written to.
pub(crate) async fn run(options: &Options, out: &mut impl Write) -> Outcome {
    let at = &options.connection;
    let style = options.output.style();
    match &options.verb {
        Verb::Ls(options) => unless_interrupted(ls::run(options, at, style, out)).await,
        Verb::Create(options) => unless_interrupted(create::run(options, at, style, out)).await,
        Verb::Describe(options) => unless_interrupted(describe::run(options, at, style, out)).await,
        Verb::Alter(options) => unless_interrupted(alter::run(options, at, style, out)).await,
        Verb::Rm(options) => unless_interrupted(rm::run(options, at)).await,
        Verb::Peek(options) => unless_interrupted(peek::run(options, at, style, out)).await,
        // It settles what it holds before it ends.
        Verb::Take(options) => take::run(options, at, out).await,
    }
}
