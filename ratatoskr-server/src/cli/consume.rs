//! `ratatoskr consume`: records of topics to stdout.
//!
//! Where each partition begins, and with `--until-end` where it ends, is settled before the first
//! record is printed, so what is appended meanwhile changes nothing about what "the end" is.
//! Records of one partition are printed in the order of their offsets; partitions are mixed.

mod group;
mod topics;

use std::{collections::BTreeMap, io::Write};

use futures_util::{FutureExt as _, StreamExt as _, stream::SelectAll};
use ratatoskr_client::{Client, StartAt};
use ratatoskr_core::{
    Error,
    broker::{OffsetSpec, PartitionState},
    name::{GroupId, TopicName},
    offset::{Bounds, Offset, PartitionIndex},
    record::ConsumedRecord,
    time::{Clock as _, Timestamp},
};
use ratatoskr_storage::SystemClock;

use super::{
    connection,
    exit::{Exit, Failure, Outcome},
    filter::Filter,
    format::{self, Format},
    progress::Progress,
    signals::unless_interrupted,
    start::Start,
};
use topics::Wanted;

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr consume orders --until-end
  $ ratatoskr consume orders -o -2 --until-end
  $ ratatoskr consume orders -o @-15m -n 1 -f '%T %k %v\\n'
  $ ratatoskr consume orders greetings -n 10 -f json
  $ ratatoskr consume orders -g billing -n 2
  $ ratatoskr consume orders -g billing --until-end
  $ ratatoskr consume '^(orders|greetings)$' -g billing --until-end
  $ ratatoskr consume orders --until-end --filter 'value~^t' -f '%p:%o %v\\n'";

/// What to read, from where to where, and how to print it.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// The topics; what begins with ^ is a regular expression that has to match a whole name
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<Wanted>,
    #[arg(
        long,
        short,
        value_name = "GROUP",
        help = "\
Read as a member of this consumer group: share the partitions with its other members, go on where \
it left off, and commit what was printed; -o then says where to begin where it has committed nothing"
    )]
    group: Option<GroupId>,
    #[arg(
        long,
        short = 'o',
        value_name = "WHERE",
        default_value = "start",
        allow_hyphen_values = true,
        help = "\
Where to begin: start, end, -N (the last N of each partition), N (an offset), or @TIME \
(@2026-01-31T12:00:00Z, @1769860800000, @-15m)"
    )]
    offset: Start,
    /// Stop after this many records
    #[arg(long, short = 'n', value_name = "RECORDS")]
    count: Option<u64>,
    /// Stop at what is the end now, instead of waiting for more
    #[arg(long)]
    until_end: bool,
    #[arg(long, short, value_name = "FORMAT", default_value = format::DEFAULT, help = "\
How a record is printed: %k key, %v value, %h headers, %o offset, %p partition, %t topic, \
%T timestamp in milliseconds, \\n, \\t, \\xNN, or the word json for one object a line")]
    format: String,
    #[arg(
        long,
        value_name = "FIELD=TEXT",
        help = "\
Only records that pass: FIELD=TEXT, FIELD!=TEXT or FIELD~REGEX, where FIELD is key, value, \
header.NAME or value/JSON/POINTER; where it is repeated, all must pass"
    )]
    filter: Vec<Filter>,
    #[command(flatten)]
    connection: connection::Options,
}

/// # Errors
/// As [`read`] and [`group::read`].
pub(crate) async fn run(options: &Options, out: &mut impl Write) -> Outcome {
    match &options.group {
        None => unless_interrupted(read(options, out)).await,
        Some(group) => group::read(options, group, out).await,
    }
}

/// # Errors
/// A topic or offset is not there, reading fails, or stdout cannot be written to;
/// [`Exit::Partial`] where records had to be left out.
async fn read(options: &Options, out: &mut impl Write) -> Outcome {
    let format = options.format()?;
    let client = options.connection.connect().await?;
    let now = SystemClock::new().now();
    let mut consumers = SelectAll::new();
    let mut ends = Ends::default();
    let topics = topics::now(&options.topics, &options.connection, &client).await?;
    if topics.is_empty() {
        return Err(Failure::new(Exit::NotFound, "no topic matches")
            .because("without a group only topics that are there already are read")
            .next("ratatoskr topic ls"));
    }
    for topic in &topics {
        let described = options.connection.ask(client.describe_topic(topic)).await?;
        let mut starts = Vec::new();
        for partition in &described.partitions {
            if let PartitionState::Offline { reason } = &partition.state {
                return Err(Failure::of(&Error::PartitionOffline {
                    topic: topic.clone(),
                    partition: partition.index,
                    reason: reason.clone(),
                }));
            }
            let lane = (topic, partition.index);
            let start = begin(options, &client, lane, partition.bounds, now).await?;
            starts.push((partition.index, start));
            ends.add(lane, start, partition.bounds.high_watermark);
        }
        let consumer = client.consumer(topic).start(StartAt::Offsets(starts));
        consumers.push(options.connection.ask(consumer.open()).await?);
    }
    let progress = Progress::records(options.until_end.then_some(ends.records));
    let mut left = options.count.unwrap_or(u64::MAX);
    let mut omitted = 0_u64;
    while left > 0 && !(options.until_end && ends.are_reached()) {
        // Whoever reads our output must not wait for records that are printed already.
        let item = if let Some(item) = consumers.next().now_or_never() {
            item
        } else {
            out.flush()?;
            consumers.next().await
        };
        let record = match item {
            None => break,
            Some(Ok(record)) => record,
            Some(Err(error)) => {
                let failure = options.connection.failed(&error);
                if !leaves_out_records(&error) {
                    return Err(failure);
                }
                failure.report();
                omitted += 1;
                continue;
            }
        };
        if options.until_end && !ends.include(&record) {
            continue;
        }
        progress.advance(1);
        if options.wants(&record) {
            format.print(&record, out)?;
            left -= 1;
        }
    }
    out.flush()?;
    if omitted > 0 {
        return Err(Failure::new(
            Exit::Partial,
            "some records could not be read",
        ));
    }
    Ok(())
}

impl Options {
    fn format(&self) -> Outcome<Format> {
        Format::parse(&self.format)
            .map_err(|error| Failure::usage(format!("-f {:?}: {error}", self.format)))
    }

    /// Whether a record is to be printed.
    fn wants(&self, record: &ConsumedRecord) -> bool {
        let mut filters = self.filter.iter();
        filters.all(|filter| filter.passes(&record.record))
    }
}

/// A partition of a topic.
type Lane<'a> = (&'a TopicName, PartitionIndex);

/// Where to begin in a partition.
async fn begin(
    options: &Options,
    client: &Client,
    (topic, partition): Lane<'_>,
    bounds: Bounds,
    now: Timestamp,
) -> Outcome<Offset> {
    let end = bounds.high_watermark;
    Ok(match options.offset {
        Start::First => bounds.log_start,
        Start::End => end,
        Start::Back(count) => Offset::new(end.get().saturating_sub(count)).max(bounds.log_start),
        Start::At(requested) if requested < bounds.log_start || requested > end => {
            return Err(Failure::of(&Error::OffsetOutOfRange { requested, bounds })
                .because(format!("that is all of partition {partition} of {topic}"))
                .next(format!("ratatoskr topic describe {topic}")));
        }
        Start::At(offset) => offset,
        Start::Time(moment) => {
            let spec = OffsetSpec::Timestamp(moment.timestamp(now));
            let found = client.offset_at(topic, partition, spec);
            options.connection.ask(found).await?.unwrap_or(end)
        }
    })
}

/// Where the partitions ended when reading began.
#[derive(Debug, Default)]
struct Ends {
    /// Of the partitions that are not read up to there yet.
    unread: BTreeMap<(TopicName, PartitionIndex), Offset>,
    /// Records up to all ends.
    records: u64,
}

impl Ends {
    fn add(&mut self, (topic, partition): Lane<'_>, start: Offset, end: Offset) {
        if start < end {
            self.unread.insert((topic.clone(), partition), end);
            self.records += end.distance_from(start);
        }
    }

    fn are_reached(&self) -> bool {
        self.unread.is_empty()
    }

    /// Whether the record is before its partition's end; the last one reaches it.
    fn include(&mut self, record: &ConsumedRecord) -> bool {
        let lane = (record.topic.clone(), record.partition);
        let Some(end) = self.unread.get(&lane).copied() else {
            return false;
        };
        if record.offset.plus(1) >= end {
            self.unread.remove(&lane);
        }
        record.offset < end
    }
}

/// Whether reading goes on after this error, without the records that it names.
fn leaves_out_records(error: &ratatoskr_client::Error) -> bool {
    let ratatoskr_client::Error::Broker(error) = error else {
        return false;
    };
    matches!(
        error,
        Error::OffsetOutOfRange { .. } | Error::CorruptRecords { .. } | Error::InvalidBatch(_)
    )
}
