//! `ratatoskr queue alter`.

use std::io::Write;

use ratatoskr_core::name::GroupId;

use super::{describe, settings};
use crate::cli::{connection, exit::Outcome, output::Style};

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr queue alter billing attempts_max=10
  $ ratatoskr queue alter billing lease_ms=2m backoff_max_ms=10m

Changing ordered_by_key ends all leases of the group: what consumers hold is delivered again.";

/// What is to change.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = format!("{}\n\n{EXAMPLES}", settings::HELP))]
pub(super) struct Options {
    /// The queue group's name
    group: GroupId,
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
    let queue = at.ask(client.alter_queue(&options.group, &change)).await?;
    describe::print(&queue, style, out)
}
