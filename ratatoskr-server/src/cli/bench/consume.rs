//! `ratatoskr bench consume`.

use std::io::Write;

use ratatoskr_core::name::TopicName;
use tokio::time::Instant;

use super::{
    payload::Verifier,
    report::{Latencies, Report},
};
use crate::cli::{
    connection,
    exit::{Exit, Failure, Outcome},
    output::Style,
    progress::Progress,
};

const EXAMPLES: &str = "\
Examples:
  $ ratatoskr bench produce --records 2000 --partitions 2 && ratatoskr bench consume --output json";

/// What to read.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(super) struct Options {
    /// The topic
    #[arg(long, default_value = "bench")]
    topic: TopicName,
}

/// Reads everything up to what is the end now.
///
/// # Errors
/// What the broker answers, or a record that is not as it was sent.
pub(super) async fn run(
    options: &Options,
    at: &connection::Options,
    style: Style,
    out: &mut impl Write,
) -> Outcome {
    let client = at.connect().await?;
    let topic = at.ask(client.describe_topic(&options.topic)).await?;
    let records: u64 = topic.partitions.iter().map(|p| p.bounds.records()).sum();
    let progress = Progress::records(Some(records));
    let consumer = client.consumer(&options.topic);
    let mut consumer = at.ask(consumer.open()).await?;
    let mut verifier = Verifier::default();
    let mut bytes = 0;
    let mut read = 0;
    let start = Instant::now();
    while read < records {
        let record = match consumer.next().await {
            Some(Ok(record)) => record,
            Some(Err(error)) => return Err(at.failed(&error)),
            None => break,
        };
        let value = record.record.value.unwrap_or_default();
        verifier.take(record.partition.get(), &value);
        bytes += value.len() as u64;
        read += 1;
        progress.advance(1);
    }
    let took = start.elapsed();
    drop(progress);
    let all_good = verifier.is_satisfied() && read == records;
    let workload = format!("consume {records} of {}", options.topic);
    Report::new(workload, read, bytes, took, &Latencies::default())
        .verified(Some(all_good))
        .print(style, out)?;
    if all_good {
        return Ok(());
    }
    Err(
        Failure::new(Exit::Failure, "what was read is not what was sent").because(format!(
            "{} records are as they were sent, {} are not, {} are out of order, {} are missing",
            verifier.good,
            verifier.foreign,
            verifier.out_of_order,
            records - read
        )),
    )
}
