//! `ratatoskr queue peek`.

use std::io::Write;

use ratatoskr_core::{
    broker::{PeekedRecord, RecordState},
    name::{GroupId, TopicName},
    record::Record,
    time::Timestamp,
};
use serde::Serialize;

use crate::cli::{
    connection,
    exit::Outcome,
    format::{RecordObject, preview},
    output::{self, Row, Style},
    time,
};

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr queue peek billing orders
  $ ratatoskr queue peek billing orders -n 1 --output json";

/// What to look at.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// The queue group
    group: GroupId,
    /// The topic
    topic: TopicName,
    /// At most so many records
    #[arg(
        long,
        short = 'n',
        value_name = "RECORDS",
        default_value_t = 20,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    count: u32,
}

/// A record that the group is not done with.
#[derive(Debug, Serialize)]
struct Peeked {
    #[serde(flatten)]
    record: RecordObject,
    delivery_count: u32,
    state: &'static str,
    /// Who holds it.
    consumer: Option<String>,
    /// When it may be delivered.
    due_ms: Option<i64>,
    #[serde(skip)]
    cells: Vec<String>,
}

impl Peeked {
    fn of(peeked: &PeekedRecord) -> Self {
        let (state, consumer, due) = match &peeked.state {
            RecordState::Available => ("available", None, None),
            RecordState::InFlight(consumer) => ("in_flight", Some(consumer.to_string()), None),
            RecordState::Delayed(due) => ("delayed", None, Some(*due)),
            RecordState::Blocked => ("blocked", None, None),
            RecordState::Dying => ("dying", None, None),
        };
        let place = &peeked.record;
        let Record { key, value, .. } = &place.record;
        let waits_for = consumer.clone().or_else(|| due.map(time::shown));
        let cells = vec![
            place.partition.to_string(),
            place.offset.to_string(),
            peeked.delivery_count.to_string(),
            state.to_owned(),
            waits_for.unwrap_or_else(|| "-".to_owned()),
            preview(key.as_ref()),
            preview(value.as_ref()),
        ];
        Self {
            record: RecordObject::of(place),
            delivery_count: peeked.delivery_count,
            state,
            consumer,
            due_ms: due.map(Timestamp::get),
            cells,
        }
    }
}

impl Row for Peeked {
    const COLUMNS: &'static [&'static str] = &[
        "PARTITION",
        "OFFSET",
        "DELIVERIES",
        "STATE",
        "WITH OR UNTIL",
        "KEY",
        "VALUE",
    ];
    const NARROW: usize = 7;

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
    let client = at.connect().await?;
    let count = usize::try_from(options.count).unwrap_or(usize::MAX);
    let peeked = client.peek_queue(&options.group, &options.topic, count);
    let rows: Vec<Peeked> = at.ask(peeked).await?.iter().map(Peeked::of).collect();
    output::list(style, &rows, out)
}

#[cfg(test)]
mod tests {
    use ratatoskr_core::{delivery::ConsumerId, record::ConsumedRecord};

    use super::*;

    #[test]
    fn records_in_every_state_and_style() {
        let states = [
            RecordState::InFlight(ConsumerId::parse("worker-1").unwrap()),
            RecordState::Delayed(Timestamp::new(1_769_860_800_000)),
            RecordState::Blocked,
            RecordState::Dying,
            RecordState::Available,
        ];
        let rows: Vec<Peeked> = (17_u64..)
            .zip(states)
            .map(|(offset, state)| PeekedRecord {
                record: ConsumedRecord {
                    topic: TopicName::parse("orders").unwrap(),
                    partition: 0.into(),
                    offset: offset.into(),
                    record: Record::new("paid\n")
                        .with_key("anna")
                        .with_timestamp(Timestamp::new(5)),
                },
                delivery_count: 1,
                state,
            })
            .map(|peeked| Peeked::of(&peeked))
            .collect();
        let mut out = Vec::new();
        for style in [Style::Table, Style::Ndjson] {
            writeln!(out, "== {style:?}").unwrap();
            output::list(style, &rows, &mut out).unwrap();
        }
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }
}
