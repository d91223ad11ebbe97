//! Which dead letters are meant: `--filter FIELD=TEXT`.

use std::{mem::discriminant, str::FromStr};

use ratatoskr_core::{
    broker::DeadLetterFilter,
    name::{GroupId, TopicName},
    offset::{Offset, PartitionIndex},
    time::{Clock as _, Timestamp},
};
use ratatoskr_storage::SystemClock;

use crate::cli::{
    exit::{Failure, Outcome},
    time::Moment,
};

/// The option of the verbs that choose letters.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub(super) struct Options {
    #[arg(
        long,
        value_name = "FIELD=TEXT",
        help = "\
Only letters for which this holds: group=NAME, topic=NAME (where they were), cause=TEXT (it contains \
this), key=TEXT, since=TIME and until=TIME (when they were given up: 2026-01-31T12:00:00Z, \
1769860800000 or -15m), place=PARTITION:OFFSET (of the letter); where it is repeated, all must hold"
    )]
    filter: Vec<Condition>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    Group(GroupId),
    Topic(TopicName),
    Cause(String),
    Key(Vec<u8>),
    Since(Moment),
    Until(Moment),
    Place(PartitionIndex, Offset),
}

impl Options {
    /// The filter, with moments seen from now.
    ///
    /// # Errors
    /// [`Exit::Usage`](crate::cli::exit::Exit::Usage) where a field stands twice.
    pub(super) fn filter(&self) -> Outcome<DeadLetterFilter> {
        filter(&self.filter, SystemClock::new().now())
    }
}

fn filter(conditions: &[Condition], now: Timestamp) -> Outcome<DeadLetterFilter> {
    let mut filter = DeadLetterFilter::default();
    for (at, condition) in conditions.iter().enumerate() {
        let before = &conditions[..at];
        if before
            .iter()
            .any(|other| discriminant(other) == discriminant(condition))
        {
            return Err(Failure::usage("--filter: one of the fields stands twice"));
        }
        match condition.clone() {
            Condition::Group(group) => filter.group = Some(group),
            Condition::Topic(topic) => filter.origin_topic = Some(topic),
            Condition::Cause(text) => filter.cause_contains = Some(text),
            Condition::Key(key) => filter.key = Some(key),
            Condition::Since(moment) => filter.since = Some(moment.timestamp(now)),
            Condition::Until(moment) => filter.until = Some(moment.timestamp(now)),
            Condition::Place(partition, offset) => filter.place = Some((partition, offset)),
        }
    }
    Ok(filter)
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "expected group=, topic=, cause=, key=, since=, until= or place=";
        let (field, text) = text.split_once('=').ok_or(expected)?;
        Ok(match field {
            "group" => Self::Group(GroupId::parse(text).map_err(|error| error.to_string())?),
            "topic" => Self::Topic(TopicName::parse(text).map_err(|error| error.to_string())?),
            "cause" => Self::Cause(text.to_owned()),
            "key" => Self::Key(text.as_bytes().to_vec()),
            "since" => Self::Since(text.parse()?),
            "until" => Self::Until(text.parse()?),
            "place" => {
                let place = || {
                    let (partition, offset) = text.split_once(':')?;
                    let partition = PartitionIndex::new(partition.parse().ok()?);
                    let offset = Offset::from_wire(offset.parse().ok()?)?;
                    Some(Self::Place(partition, offset))
                };
                place().ok_or("expected place=PARTITION:OFFSET, such as place=0:17")?
            }
            _ => return Err(expected.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[&str]) -> Option<DeadLetterFilter> {
        let conditions: Result<Vec<Condition>, _> = texts.iter().map(|t| t.parse()).collect();
        filter(&conditions.ok()?, Timestamp::new(1_000_000)).ok()
    }

    #[test]
    fn every_field_can_be_asked_for() {
        let all = [
            "group=billing",
            "topic=orders",
            "cause=no such=customer, of course",
            "key=",
            "since=-15m",
            "until=2026-01-31T12:00:00Z",
            "place=3:17",
        ];
        let expected = DeadLetterFilter {
            group: Some(GroupId::parse("billing").unwrap()),
            origin_topic: Some(TopicName::parse("orders").unwrap()),
            cause_contains: Some("no such=customer, of course".to_owned()),
            key: Some(Vec::new()),
            since: Some(Timestamp::new(100_000)),
            until: Some(Timestamp::new(1_769_860_800_000)),
            place: Some((3.into(), 17.into())),
        };
        assert_eq!(read(&all), Some(expected));
        assert_eq!(read(&[]), Some(DeadLetterFilter::default()));
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for bad in [
            &["colour=red"][..],
            &["group"],
            &["group="],
            &["topic=a/b"],
            &["since=noon"],
            &["place=1"],
            &["place=1:-1"],
            &["group=a", "group=b"],
        ] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }
}
