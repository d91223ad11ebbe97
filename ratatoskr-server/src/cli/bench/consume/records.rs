//! Record by record, each verified.

use super::{Job, Read};
use crate::cli::exit::Outcome;

/// Records after which the progress is told.
const PROGRESS_EVERY: u64 = 1_000;

/// Reads up to what was the end at the start.
///
/// # Errors
/// What the broker answers.
pub(in crate::cli::bench) async fn read(job: Job) -> Outcome<Read> {
    let consumer = job.client.consumer(&job.topic.name);
    let mut consumer = job.at.ask(consumer.open()).await?;
    let ends: Vec<_> = job
        .topic
        .partitions
        .iter()
        .map(|partition| partition.bounds.high_watermark)
        .collect();
    let wanted: u64 = job
        .topic
        .partitions
        .iter()
        .map(|p| p.bounds.records())
        .sum();
    let mut read = Read::default();
    while read.records < wanted {
        let record = match consumer.next().await {
            Some(Ok(record)) => record,
            Some(Err(error)) => return Err(job.at.failed(&error)),
            None => break,
        };
        let partition = record.partition.get();
        let value = record.record.value.unwrap_or_default();
        // What somebody has sent since the start is not ours to count.
        if ends
            .get(partition as usize)
            .is_none_or(|end| record.offset >= *end)
        {
            continue;
        }
        read.verifier.take(partition, &value);
        read.bytes += value.len() as u64;
        read.records += 1;
        if read.records.is_multiple_of(PROGRESS_EVERY) {
            job.progress.advance(PROGRESS_EVERY);
        }
    }
    Ok(read)
}
