//! `ratatoskr dlq ls`.

use std::io::Write;

use ratatoskr_core::broker::DeadLetterTopic;
use serde::Serialize;

use crate::cli::{
    connection,
    exit::Outcome,
    output::{self, Row, Style},
};

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr dlq ls
  $ ratatoskr dlq ls --output json";

/// Nothing to choose.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {}

/// A dead-letter topic in a list.
#[derive(Debug, Serialize)]
struct Listed {
    topic: String,
    letters: u64,
    groups: Vec<String>,
}

impl Listed {
    fn of(topic: &DeadLetterTopic) -> Self {
        Self {
            topic: topic.topic.to_string(),
            letters: topic.letters,
            groups: topic.groups.iter().map(ToString::to_string).collect(),
        }
    }
}

impl Row for Listed {
    const COLUMNS: &'static [&'static str] = &["TOPIC", "LETTERS", "GROUPS"];
    const NARROW: usize = 3;

    fn cells(&self) -> Vec<String> {
        let groups = match &self.groups[..] {
            [] => "-".to_owned(),
            groups => groups.join(","),
        };
        vec![self.topic.clone(), self.letters.to_string(), groups]
    }
}

/// # Errors
/// What the broker answers, or stdout cannot be written to.
pub(super) async fn run(
    _: &Options,
    at: &connection::Options,
    style: Style,
    out: &mut impl Write,
) -> Outcome {
    let client = at.connect().await?;
    let topics = at.ask(client.dead_letter_topics()).await?;
    let rows: Vec<Listed> = topics.iter().map(Listed::of).collect();
    output::list(style, &rows, out)
}
