//! `ratatoskr topic trim`.

use ratatoskr_core::{
    name::TopicName,
    offset::{Offset, PartitionIndex},
};

use crate::cli::{confirm::confirm, connection, exit::Outcome};

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr topic trim orders 0 2 -y";

/// What is to be forgotten.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// The topic's name
    name: TopicName,
    /// The partition's number
    partition: u32,
    /// The first offset that stays; everything before it goes
    offset: u64,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// # Errors
/// What the broker answers.
pub(super) async fn run(options: &Options, at: &connection::Options) -> Outcome {
    let what = format!(
        "Forgetting what partition {} of {} holds before offset {}",
        options.partition, options.name, options.offset
    );
    confirm(options.yes, &what, options.name.as_str())?;
    let client = at.connect().await?;
    let partition = PartitionIndex::new(options.partition);
    let to = Offset::new(options.offset).min(Offset::MAX);
    let bounds = at.ask(client.trim(&options.name, partition, to)).await?;
    eprintln!("the log now starts at offset {}", bounds.log_start);
    Ok(())
}
