//! `ratatoskr topic`: what topics there are, and changing them.

mod add_partitions;
mod alter;
mod create;
mod describe;
mod ls;
mod rm;
mod settings;
mod trim;

use std::io::Write;

use clap::Subcommand;

use super::{connection, exit::Outcome, output};

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr topic create payments --partitions 3 retention_ms=7d
  $ ratatoskr topic ls
  $ ratatoskr topic describe payments
  $ ratatoskr topic rm payments -y";

/// Which topics, at which broker.
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
    /// List the topics there are
    Ls(ls::Options),
    /// Create a topic
    Create(create::Options),
    /// Show a topic: its partitions and its configuration
    Describe(describe::Options),
    /// Change the configuration of a topic
    Alter(alter::Options),
    /// Delete topics with all their records
    Rm(rm::Options),
    /// Raise the number of partitions of a topic
    AddPartitions(add_partitions::Options),
    /// Forget the records of a partition before an offset
    Trim(trim::Options),
}

/// # Errors
/// What the broker answers, or stdout cannot be written to.
pub(crate) async fn run(options: &Options, out: &mut impl Write) -> Outcome {
    let at = &options.connection;
    let style = options.output.style();
    match &options.verb {
        Verb::Ls(options) => ls::run(options, at, style, out).await,
        Verb::Create(options) => create::run(options, at, style, out).await,
        Verb::Describe(options) => describe::run(options, at, style, out).await,
        Verb::Alter(options) => alter::run(options, at, style, out).await,
        Verb::Rm(options) => rm::run(options, at).await,
        Verb::AddPartitions(options) => add_partitions::run(options, at, style, out).await,
        Verb::Trim(options) => trim::run(options, at).await,
    }
}
