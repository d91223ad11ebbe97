//! `ratatoskr topic alter`.

use std::io::Write;

use ratatoskr_core::name::TopicName;

use super::{describe, settings};
use crate::cli::{connection, exit::Outcome, output::Style};

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr topic alter orders retention_ms=30d
  $ ratatoskr topic alter orders retention_bytes=none compression=lz4";

/// What is to change.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = format!("{}\n\n{EXAMPLES}", settings::HELP))]
pub(super) struct Options {
    /// The topic's name
    name: TopicName,
    /// What to set; everything else stays as it is
    #[arg(value_name = "SETTING=VALUE", required = true)]
    settings: Vec<String>,
}

/// # Errors
/// What the broker answers, or stdout cannot be written to.
pub(super) async fn run(
    options: &Options,
    at: &connection::Options,
    style: Style,
    out: &mut impl Write,
) -> Outcome {
    let change = settings::change(&options.settings)?;
    let client = at.connect().await?;
    let topic = at.ask(client.alter_topic(&options.name, &change)).await?;
    describe::print(&topic, style, out)
}
