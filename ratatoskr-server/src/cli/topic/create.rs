//! `ratatoskr topic create`.

use std::io::Write;

use ratatoskr_core::{broker::NewTopic, name::TopicName};

use super::{describe, settings};
use crate::cli::{connection, exit::Outcome, output::Style};

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr topic create clicks
  $ ratatoskr topic create invoices --partitions 6 retention_ms=none compression=zstd
  $ ratatoskr topic create readings 'durability=interval(100ms)' retention_bytes=10GiB";

/// The topic to be.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = format!("{}\n\n{EXAMPLES}", settings::HELP))]
pub(super) struct Options {
    /// Its name: 1 to 249 letters, digits, '.', '_' or '-'
    name: TopicName,
    /// Settings that are to differ from the defaults
    #[arg(value_name = "SETTING=VALUE")]
    settings: Vec<String>,
    #[arg(
        long,
        short,
        value_name = "COUNT",
        help = "\
How many partitions [default: the broker's topics.partitions_default]"
    )]
    partitions: Option<u32>,
}

/// # Errors
/// What the broker answers, or stdout cannot be written to.
pub(super) async fn run(
    options: &Options,
    at: &connection::Options,
    style: Style,
    out: &mut impl Write,
) -> Outcome {
    let new = NewTopic {
        partitions: options.partitions,
        config: settings::change(&options.settings)?,
    };
    let client = at.connect().await?;
    let topic = at.ask(client.create_topic(&options.name, new)).await?;
    describe::print(&topic, style, out)
}
