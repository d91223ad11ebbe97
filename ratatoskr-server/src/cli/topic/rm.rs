//! `ratatoskr topic rm`.

use ratatoskr_core::name::TopicName;

use crate::cli::{
    confirm::confirm,
    connection,
    exit::{Exit, Failure, Outcome},
};

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr topic rm orders -y
  $ ratatoskr topic rm greetings numbers -y";

/// What is to go.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// The topics' names
    #[arg(required = true)]
    names: Vec<TopicName>,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// Deletes one after another; a name that fails does not keep the others.
///
/// # Errors
/// What the broker answered to the last name that failed; [`Exit::Partial`] where others went.
pub(super) async fn run(options: &Options, at: &connection::Options) -> Outcome {
    for name in &options.names {
        let what = format!("Deleting {name} with all its records");
        confirm(options.yes, &what, name.as_str())?;
    }
    let client = at.connect().await?;
    let mut deleted = 0;
    let mut failed = None;
    for name in &options.names {
        match at.ask(client.delete_topic(name)).await {
            Ok(()) => deleted += 1,
            Err(failure) => {
                if let Some(before) = failed.replace(failure) {
                    Failure::report(&before);
                }
            }
        }
    }
    match failed {
        None => Ok(()),
        Some(failure) if deleted == 0 => Err(failure),
        Some(failure) => Err(failure.ending(Exit::Partial)),
    }
}
