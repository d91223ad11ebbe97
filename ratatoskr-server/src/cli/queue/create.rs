//! `ratatoskr queue create`.

use std::io::Write;

use ratatoskr_core::{broker::NewQueue, name::GroupId};

use super::{describe, settings};
use crate::cli::{connection, exit::Outcome, output::Style};

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr queue create mailing
  $ ratatoskr queue create invoicing ordered_by_key=true attempts_max=10 dead_letters=topic:bad
  $ ratatoskr queue create thumbnails lease_ms=10m backoff_min_ms=5s start=end

Who takes records of a group that is not there makes it with the defaults.";

/// The queue group to be.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = format!("{}\n\n{EXAMPLES}", settings::HELP))]
pub(super) struct Options {
    /// Its name: 1 to 255 bytes of text
    group: GroupId,
    /// Settings that are to differ from the defaults
    #[arg(value_name = "SETTING=VALUE")]
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
    let new = NewQueue {
        config: settings::change(&options.settings)?,
    };
    let client = at.connect().await?;
    let queue = at.ask(client.create_queue(&options.group, new)).await?;
    describe::print(&queue, style, out)
}
