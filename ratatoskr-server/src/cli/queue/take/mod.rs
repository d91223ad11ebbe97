//! `ratatoskr queue take`: working a queue off from a shell.
//!
//! A record is settled only after it has been dealt with: written to stdout, or handed to a command
//! that has ended. Who is interrupted settles what was dealt with and gives back the rest.

mod command;
mod print;

use std::{io::Write, time::Duration};

use ratatoskr_core::{
    delivery::ConsumerId,
    name::{GroupId, TopicName},
};

use crate::cli::{
    connection,
    exit::{Failure, Outcome},
    format::{self, Format},
    time,
};

/// Records taken ahead at most: what is taken and not dealt with is kept from other consumers.
const PREFETCH_RECORDS_MAX: u64 = 100;
/// Bytes of batches taken at a time at most.
const PREFETCH_BYTES: u32 = 1 << 20;
/// The value and nothing else, for a command.
const VALUE: &str = "%v";

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr queue take billing orders -n 1
  $ ratatoskr queue take billing orders -n 1 -f '%k %v\\n' --lease 5m
  $ ratatoskr queue take billing orders -n 1 --exec 'wc -c'
  $ ratatoskr queue take billing orders --wait 1s --exec 'grep -q . || exit 75'
  $ ratatoskr queue take audit orders --wait 1s -f json

A command gets the record's value on its stdin, RECORD_TOPIC, RECORD_PARTITION, RECORD_OFFSET, \
RECORD_KEY (where it is text), RECORD_DELIVERY_COUNT and RECORD_TOKEN in its environment, and says \
what becomes of the record by its exit status:
  0             it is done
  75            (EX_TEMPFAIL) it comes again after the group's backoff; so it does when a signal \
ended the command
  126, 127      the command cannot be run: the record comes again, nothing more is taken
  another       it is a dead letter
The lease is renewed while the command runs. Run several of these for several commands at a time.";

/// What to take, and what to do with it.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// The queue group; it is made with the defaults if it is not there
    group: GroupId,
    /// The topic
    topic: TopicName,
    /// Stop after this many records
    #[arg(
        long,
        short = 'n',
        value_name = "RECORDS",
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    count: Option<u64>,
    /// Stop when no record has come for so long [default: wait for ever]
    #[arg(long, value_name = "DURATION", value_parser = time::duration)]
    wait: Option<Duration>,
    /// Run this with `sh -c` for each record, instead of printing it
    #[arg(long, value_name = "COMMAND")]
    exec: Option<String>,
    #[arg(
        long,
        short,
        value_name = "FORMAT",
        help = "\
How a record is printed, as for `consume`, or what a command gets on its stdin [default: %v\\n, and %v \
for a command]"
    )]
    format: Option<String>,
    /// How long a record may be held [default: as the group says]
    #[arg(long, value_name = "DURATION", value_parser = time::duration)]
    lease: Option<Duration>,
    /// What this consumer is called [default: a name that nobody else has]
    #[arg(long, value_name = "NAME")]
    consumer: Option<ConsumerId>,
}

/// # Errors
/// What the broker answers, a command cannot be run, or stdout cannot be written to;
/// [`Exit::Partial`](crate::cli::exit::Exit::Partial) where not all of the records are done.
pub(super) async fn run(
    options: &Options,
    at: &connection::Options,
    out: &mut impl Write,
) -> Outcome {
    let text = match (&options.format, &options.exec) {
        (Some(format), _) => format,
        (None, Some(_)) => VALUE,
        (None, None) => format::DEFAULT,
    };
    let format =
        Format::parse(text).map_err(|error| Failure::usage(format!("-f {text:?}: {error}")))?;
    let client = at.connect().await?;
    let ahead = match options.exec {
        // What waits for a command is better off with somebody who is idle.
        Some(_) => 1,
        None => options.count.unwrap_or(u64::MAX).min(PREFETCH_RECORDS_MAX),
    };
    let mut queue = client
        .queue(&options.topic, &options.group)
        .prefetch(u32::try_from(ahead).unwrap_or(u32::MAX), PREFETCH_BYTES)
        .drain(Duration::MAX);
    if let Some(lease) = options.lease {
        queue = queue.lease(lease);
    }
    if let Some(consumer) = &options.consumer {
        queue = queue.consumer(consumer.clone());
    }
    if let Some(line) = &options.exec {
        return command::run(options, at, queue, format, line).await;
    }
    let queue = at.ask(queue.open()).await?;
    print::run(options, at, queue, &format, out).await
}
