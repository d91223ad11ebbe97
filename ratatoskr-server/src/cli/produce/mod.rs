//! `ratatoskr produce`: records from stdin or files into a topic.
//!
//! A thread reads and cuts the input into records; the verb's task sends them. Between the two lies
//! a bounded queue, so a slow broker slows the reading down and memory stays bounded. Whatever was
//! read before a pause of the input is sent at once, so typed lines do not wait for a full batch.

mod input;
mod sending;

use std::{num::NonZeroU64, path::PathBuf, time::Duration};

use ratatoskr_core::{
    bytes::Bytes,
    config::Compression,
    name::TopicName,
    record::{Header, Record},
    time::Timestamp,
};

use super::{
    connection,
    exit::{Failure, Outcome},
    format::{self, Format, Unit},
    progress::Progress,
    time,
};
use input::Inputs;
use sending::Sending;

const EXAMPLES: &str = "\
Examples:
  $ echo 'hello, world' | ratatoskr produce greetings
  $ ratatoskr produce orders orders.log
  $ ratatoskr produce orders -f '%k\\t%v\\n' orders.tsv
  $ ratatoskr produce orders -f json orders.ndjson
  $ ratatoskr produce photos -f %v -k cat -H type=image/jpeg photo.jpg
  $ ratatoskr produce orders --rate 1000 --count 1 --compression zstd orders.log
  $ echo 'your code is 1234' | ratatoskr produce texts --ttl 5m
  $ echo 'come back to your cart' | ratatoskr produce texts --delay 2h";

/// What to send, where to, and how.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// The topic
    topic: TopicName,
    /// Files to read one after another, - for stdin [default: stdin]
    files: Vec<PathBuf>,
    #[arg(long, short, value_name = "FORMAT", default_value = format::DEFAULT, help = "\
How a record looks: %k key, %v value, %h headers, %T timestamp (%o, %p, %t are read past), \\n, \\t, \
\\xNN, or the word json for one object a line. What follows the last field ends a record; with \
nothing there, a whole file is one")]
    format: String,
    /// Give this key to every record that has none
    #[arg(long, short, value_name = "KEY")]
    key: Option<String>,
    /// Give this header to every record; may be repeated
    #[arg(long = "header", short = 'H', value_name = "NAME=VALUE")]
    headers: Vec<String>,
    /// What makes a record: a line, or a whole file
    #[arg(long, value_enum, value_name = "UNIT")]
    send_on: Option<Unit>,
    /// Send at most this many records a second
    #[arg(long, value_name = "RECORDS")]
    rate: Option<NonZeroU64>,
    /// Stop after this many records
    #[arg(long, value_name = "RECORDS")]
    count: Option<u64>,
    /// Compress batches: none, gzip, snappy, lz4 or zstd [default: as the topic says]
    #[arg(long, value_name = "CODEC")]
    compression: Option<Compression>,
    /// Queue groups do not deliver the records after so long
    #[arg(long, value_name = "DURATION", value_parser = time::duration)]
    ttl: Option<Duration>,
    /// Queue groups do not deliver the records before so long
    #[arg(long, value_name = "DURATION", value_parser = time::duration)]
    delay: Option<Duration>,
    /// Queue groups do not deliver the records before this time: 2026-01-31T12:00:00Z or 1769860800000
    #[arg(
        long,
        value_name = "TIME",
        value_parser = time::fixed,
        conflicts_with = "delay"
    )]
    deliver_at: Option<Timestamp>,
    #[command(flatten)]
    connection: connection::Options,
}

/// # Errors
/// The input is not as its format says, or the broker does not take it;
/// [`Exit::Partial`](super::exit::Exit::Partial) where records were acknowledged before that.
pub(crate) async fn run(options: &Options) -> Outcome {
    let shape = Format::parse(&options.format)
        .and_then(|format| format.for_reading(options.send_on))
        .map_err(|error| Failure::usage(format!("-f {:?}: {error}", options.format)))?;
    let headers = headers(options)?;
    let inputs = Inputs::open(&options.files)?;
    let progress = Progress::bytes(inputs.bytes);
    let client = options.connection.connect().await?;
    let chunks = inputs.read(shape, options.count.unwrap_or(u64::MAX));
    let mut sending = Sending::start(options, headers, &client, progress).await?;
    let outcome = sending.send_all(chunks).await;
    sending.finish(outcome).await
}

/// What every record gets.
fn headers(options: &Options) -> Outcome<Vec<Header>> {
    let mut record = Record::default();
    for text in &options.headers {
        record = match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => {
                record.with_header(name, Bytes::from(value.to_owned()))
            }
            _ => return Err(Failure::usage(format!("-H {text:?}: expected NAME=VALUE"))),
        };
    }
    if let Some(ttl) = options.ttl {
        record = record.with_ttl(ttl);
    }
    if let Some(delay) = options.delay {
        record = record.with_delay(delay);
    }
    if let Some(at) = options.deliver_at {
        record = record.deliver_at(at);
    }
    Ok(record.headers)
}
