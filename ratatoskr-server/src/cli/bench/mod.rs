//! `ratatoskr bench`: how fast a broker takes records and gives them back, and whether it gives back
//! what it was given.

mod consume;
mod pacing;
mod produce;
mod sinks;
mod target;
mod verdict;

use std::io::Write;

use clap::Subcommand;

use super::{connection, exit::Outcome, output};

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr bench produce --records 20000
  $ ratatoskr bench produce --records 5000 --rate 10000
  $ ratatoskr bench produce --records 2000 && ratatoskr bench consume";

/// Which benchmark, at which broker.
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
    /// Send records, and measure until they are acknowledged
    Produce(produce::Options),
    /// Read a topic that `bench produce` filled, and verify every record
    Consume(consume::Options),
}

/// # Errors
/// What the broker answers; records that were not acknowledged, or not what was sent.
pub(crate) async fn run(options: &Options, out: &mut impl Write) -> Outcome {
    let at = &options.connection;
    let style = options.output.style();
    match &options.verb {
        Verb::Produce(options) => produce::run(options, at, style, out).await,
        Verb::Consume(options) => consume::run(options, at, style, out).await,
    }
}
