//! `ratatoskr group lag`.

use std::{io::Write, time::Duration};

use ratatoskr_client::{GroupId, Offset, PartitionLag, Timestamp};
use serde::Serialize;

use crate::cli::{
    connection,
    exit::Outcome,
    output::{self, Row, Style},
};

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr group lag billing
  $ ratatoskr group lag billing --output wide
  $ ratatoskr group lag billing --watch --every 1 --rounds 2";

/// Which one, and how often.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// The group's name
    group: GroupId,
    /// Print it again and again
    #[arg(long, short)]
    watch: bool,
    /// Seconds between two looks
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 2,
        requires = "watch",
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    every: u64,
    /// Stop after this many looks
    #[arg(long, value_name = "COUNT", requires = "watch")]
    rounds: Option<u64>,
}

/// A partition of a group.
#[derive(Debug, Serialize)]
struct Lagging {
    topic: String,
    partition: u32,
    committed: Option<u64>,
    log_start: u64,
    end: u64,
    lag_records: Option<u64>,
    lag_ms: Option<u64>,
    committed_at_ms: Option<i64>,
    member: Option<String>,
}

impl From<&PartitionLag> for Lagging {
    fn from(lag: &PartitionLag) -> Self {
        Self {
            topic: lag.topic.to_string(),
            partition: lag.partition.get(),
            committed: lag.committed.map(Offset::get),
            log_start: lag.log_start.get(),
            end: lag.end.get(),
            lag_records: lag.records,
            lag_ms: lag.lag_ms,
            committed_at_ms: lag.committed_at.map(Timestamp::get),
            member: lag.member.as_ref().map(ToString::to_string),
        }
    }
}

impl Row for Lagging {
    const COLUMNS: &'static [&'static str] = &[
        "TOPIC",
        "PARTITION",
        "COMMITTED",
        "END",
        "LAG",
        "BEHIND",
        "MEMBER",
        "LOG START",
        "COMMITTED AT",
    ];
    const NARROW: usize = 7;

    fn cells(&self) -> Vec<String> {
        let number = |number: Option<u64>| number.map_or("-".to_owned(), |n| n.to_string());
        vec![
            self.topic.clone(),
            self.partition.to_string(),
            number(self.committed),
            self.end.to_string(),
            number(self.lag_records),
            self.lag_ms.map_or("-".to_owned(), seconds),
            self.member.clone().unwrap_or_else(|| "-".to_owned()),
            self.log_start.to_string(),
            self.committed_at_ms.map_or("-".to_owned(), moment),
        ]
    }
}

/// `1.5s`.
fn seconds(ms: u64) -> String {
    format!("{}.{}s", ms / 1_000, ms % 1_000 / 100)
}

fn moment(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |at| at.to_string())
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
    let mut left = if options.watch {
        options.rounds.unwrap_or(u64::MAX)
    } else {
        1
    };
    while left > 0 {
        let lags = at.ask(client.group_lag(&options.group)).await?;
        let rows: Vec<Lagging> = lags.iter().map(Lagging::from).collect();
        output::list(style, &rows, out)?;
        left -= 1;
        if left > 0 {
            tokio::time::sleep(Duration::from_secs(options.every)).await;
            if matches!(style, Style::Table | Style::Wide) {
                writeln!(out)?;
            }
        }
    }
    Ok(())
}
