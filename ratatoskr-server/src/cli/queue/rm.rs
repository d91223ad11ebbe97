//! `ratatoskr queue rm`.

use ratatoskr_core::name::GroupId;

use crate::cli::{confirm::confirm, connection, exit::Outcome};

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr queue rm billing -y";

/// What is to go.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// The queue group's name
    group: GroupId,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// # Errors
/// What the broker answers.
pub(super) async fn run(options: &Options, at: &connection::Options) -> Outcome {
    let what = format!(
        "Deleting {} with all that it knows of which records are done",
        options.group
    );
    confirm(options.yes, &what, options.group.as_str())?;
    let client = at.connect().await?;
    at.ask(client.delete_queue(&options.group)).await
}
