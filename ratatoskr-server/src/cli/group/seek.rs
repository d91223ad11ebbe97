//! `ratatoskr group seek`.

use std::io::Write;

use ratatoskr_client::{GroupId, Offset, OffsetReset, OffsetSpec, TopicName};
use ratatoskr_core::time::Clock as _;
use ratatoskr_storage::SystemClock;
use serde::Serialize;

use crate::cli::{
    connection,
    exit::{Failure, Outcome},
    output::{self, Row, Style},
    start::Start,
};

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr group seek billing --to start --dry-run
  $ ratatoskr group seek billing orders --to 3
  $ ratatoskr group seek billing --to @-15m
  $ ratatoskr group seek billing --to end";

/// Which group goes where.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// The group's name
    group: GroupId,
    /// The topics [default: all that it has committed for]
    topics: Vec<TopicName>,
    #[arg(
        long,
        value_name = "WHERE",
        help = "\
Where it goes on: start, end, N (an offset), or @TIME (@2026-01-31T12:00:00Z, @1769860800000, @-15m)"
    )]
    to: Start,
    /// Only print what it would change
    #[arg(long)]
    dry_run: bool,
}

/// What changes in a partition.
#[derive(Debug, Serialize)]
struct Change {
    topic: String,
    partition: u32,
    from: Option<u64>,
    to: u64,
    dry_run: bool,
}

impl Change {
    fn of(reset: &OffsetReset, dry_run: bool) -> Self {
        Self {
            topic: reset.topic.to_string(),
            partition: reset.partition.get(),
            from: reset.from.map(Offset::get),
            to: reset.to.get(),
            dry_run,
        }
    }
}

impl Row for Change {
    const COLUMNS: &'static [&'static str] = &["TOPIC", "PARTITION", "FROM", "TO"];
    const NARROW: usize = 4;

    fn cells(&self) -> Vec<String> {
        vec![
            self.topic.clone(),
            self.partition.to_string(),
            self.from.map_or("-".to_owned(), |from| from.to_string()),
            self.to.to_string(),
        ]
    }
}

/// # Errors
/// What the broker answers, or stdout cannot be written to.
pub(super) async fn run(
    options: &Options,
    at: &connection::Options,
    style: Style,
    out: &mut impl Write,
) -> Outcome {
    let to = match options.to {
        Start::First => OffsetSpec::Start,
        Start::End => OffsetSpec::End,
        Start::At(offset) => OffsetSpec::Offset(offset),
        Start::Time(moment) => OffsetSpec::Timestamp(moment.timestamp(SystemClock::new().now())),
        Start::Back(_) => {
            return Err(Failure::usage(
                "--to -N: expected start, end, an offset or @TIME",
            ));
        }
    };
    let client = at.connect().await?;
    let reset = client.reset_offsets(&options.group, &options.topics, to, options.dry_run);
    let plan = at.ask(reset).await?;
    let rows: Vec<Change> = plan
        .iter()
        .map(|reset| Change::of(reset, options.dry_run))
        .collect();
    output::list(style, &rows, out)?;
    if options.dry_run {
        eprintln!("nothing was changed: this was a dry run");
    }
    Ok(())
}
