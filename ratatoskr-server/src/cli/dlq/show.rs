//! `ratatoskr dlq show`.

use std::io::Write;

use ratatoskr_core::{
    broker::{BrowsePosition, DeadLetter},
    name::TopicName,
    record::Record,
};
use serde::Serialize;

use super::filter;
use crate::cli::{
    connection,
    exit::Outcome,
    format::{RecordObject, preview},
    output::{self, Row, Style},
    time,
};

/// Letters that are asked for at a time.
const PAGE_LETTERS: u64 = 500;

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr dlq show orders.dlq
  $ ratatoskr dlq show orders.dlq -n 1 --output json
  $ ratatoskr dlq show orders.dlq --filter group=billing --filter cause=grep --output wide";

/// Which letters.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// The dead-letter topic
    topic: TopicName,
    /// At most so many letters, the oldest of each partition first
    #[arg(
        long,
        short = 'n',
        value_name = "LETTERS",
        default_value_t = 20,
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    count: u64,
    #[command(flatten)]
    filter: filter::Options,
}

/// A dead letter.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    record: RecordObject,
    group: String,
    origin_topic: String,
    origin_partition: u32,
    origin_offset: u64,
    attempts: u32,
    cause: String,
    first_failure_ms: i64,
    last_failure_ms: i64,
    #[serde(skip)]
    cells: Vec<String>,
}

impl Shown {
    fn of(letter: &DeadLetter) -> Self {
        let place = &letter.record;
        let Record { key, value, .. } = &place.record;
        let cells = vec![
            format!("{}:{}", place.partition, place.offset),
            letter.group.to_string(),
            format!(
                "{}/{}:{}",
                letter.origin_topic, letter.origin_partition, letter.origin_offset
            ),
            letter.attempts.to_string(),
            time::shown(letter.last_failure),
            preview(Some(&letter.cause.clone().into())),
            preview(key.as_ref()),
            preview(value.as_ref()),
            time::shown(letter.first_failure),
        ];
        Self {
            record: RecordObject::of(place),
            group: letter.group.to_string(),
            origin_topic: letter.origin_topic.to_string(),
            origin_partition: letter.origin_partition.get(),
            origin_offset: letter.origin_offset.get(),
            attempts: letter.attempts,
            cause: letter.cause.clone(),
            first_failure_ms: letter.first_failure.get(),
            last_failure_ms: letter.last_failure.get(),
            cells,
        }
    }
}

impl Row for Shown {
    const COLUMNS: &'static [&'static str] = &[
        "PLACE",
        "GROUP",
        "FROM",
        "ATTEMPTS",
        "LAST FAILURE",
        "CAUSE",
        "KEY",
        "VALUE",
        "FIRST FAILURE",
    ];
    const NARROW: usize = 6;

    fn cells(&self) -> Vec<String> {
        self.cells.clone()
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
    let filter = options.filter.filter()?;
    let client = at.connect().await?;
    let mut rows = Vec::new();
    let mut left = options.count;
    let mut next = Some(BrowsePosition::default());
    while left > 0
        && let Some(from) = next
    {
        let most = usize::try_from(left.min(PAGE_LETTERS)).unwrap_or(usize::MAX);
        let browse = client.browse_dead_letters(&options.topic, from, most, &filter);
        let page = at.ask(browse).await?;
        next = page.next;
        left -= left.min(page.letters.len() as u64);
        rows.extend(page.letters.iter().map(Shown::of));
        if style == Style::Ndjson {
            // A program need not wait for them all.
            output::list(style, &rows, out)?;
            rows.clear();
        }
    }
    output::list(style, &rows, out)
}

#[cfg(test)]
mod tests {
    use ratatoskr_core::{name::GroupId, record::ConsumedRecord, time::Timestamp};

    use super::*;

    #[test]
    fn a_letter_in_every_style() {
        let letter = DeadLetter {
            record: ConsumedRecord {
                topic: TopicName::parse("orders.dlq").unwrap(),
                partition: 0.into(),
                offset: 3.into(),
                record: Record::new("42 EUR")
                    .with_key("anna")
                    .with_header("trace", "1")
                    .with_timestamp(Timestamp::new(1_769_860_900_000)),
            },
            origin_topic: TopicName::parse("orders").unwrap(),
            origin_partition: 2.into(),
            origin_offset: 17.into(),
            group: GroupId::parse("billing").unwrap(),
            cause: "no such customer:\nanna".to_owned(),
            attempts: 5,
            first_failure: Timestamp::new(1_769_860_800_000),
            last_failure: Timestamp::new(1_769_860_860_000),
        };
        let rows = [Shown::of(&letter)];
        let mut out = Vec::new();
        for style in [Style::Table, Style::Wide, Style::Json, Style::Ndjson] {
            writeln!(out, "== {style:?}").unwrap();
            output::list(style, &rows, &mut out).unwrap();
        }
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }
}
