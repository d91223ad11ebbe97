//! `ratatoskr topic add-partitions`.

use std::io::Write;

use ratatoskr_core::name::TopicName;

use super::describe;
use crate::cli::{connection, exit::Outcome, output::Style};

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr topic add-partitions orders 12

A key goes to a partition by its hash and their number: keys that are sent after this may go
elsewhere than before.";

/// Which topic, and how many.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// The topic's name
    name: TopicName,
    /// How many partitions it has afterwards; the number never goes down
    total: u32,
}

/// # Errors
/// What the broker answers, or stdout cannot be written to.
pub(super) async fn run(
    options: &Options,
    at: &connection::Options,
    style: Style,
    out: &mut impl Write,
) -> Outcome {
    let client = at.connect().await?;
    let topic = at
        .ask(client.add_partitions(&options.name, options.total))
        .await?;
    describe::print(&topic, style, out)
}
