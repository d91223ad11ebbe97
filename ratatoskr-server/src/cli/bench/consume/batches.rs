//! Batch by batch, as a program would that passes them on: their headers are read, and each has to
//! begin where the one before ended.

use std::time::Duration;

use ratatoskr_client::{FetchPartition, FetchRequest};
use ratatoskr_core::{batch, bytes::Bytes, offset::Offset};

use super::{Job, Read};
use crate::cli::exit::{Exit, Failure, Outcome};

/// Bytes asked for of each partition at a time.
const FETCH_BYTES: usize = 1 << 20;
/// How long a fetch waits for bytes; those asked for are there.
const FETCH_WAIT: Duration = Duration::from_secs(1);

/// Reads up to what was the end at the start.
///
/// # Errors
/// What the broker answers, or bytes that are no batches.
pub(super) async fn read(job: Job) -> Outcome<Read> {
    let mut read = Read::default();
    let partitions = job.topic.partitions.iter();
    let mut places: Vec<(FetchPartition, Offset)> = partitions
        .map(|partition| {
            let from = FetchPartition {
                topic: job.topic.name.clone(),
                partition: partition.index,
                from: partition.bounds.log_start,
                bytes_max: FETCH_BYTES,
            };
            (from, partition.bounds.high_watermark)
        })
        .collect();
    loop {
        places.retain(|(next, end)| next.from < *end);
        if places.is_empty() {
            return Ok(read);
        }
        let request = FetchRequest {
            partitions: places.iter().map(|(next, _)| next.clone()).collect(),
            wait_max: FETCH_WAIT,
            ..FetchRequest::default()
        };
        let answer = job.at.ask(job.client.fetch(&request)).await?;
        let before = read.records;
        for ((next, end), part) in places.iter_mut().zip(answer.partitions) {
            let fetched = part.result.map_err(|error| Failure::of(&error))?;
            for slice in fetched.batches.into_slices() {
                take(slice, &mut next.from, *end, &mut read)?;
            }
        }
        job.progress.advance(read.records - before);
    }
}

/// Counts the batches in `slice`, which are to go on at `next`.
fn take(slice: Bytes, next: &mut Offset, end: Offset, read: &mut Read) -> Outcome {
    for batch in batch::batches(slice) {
        let batch = batch.map_err(|error| {
            Failure::new(Exit::Failure, "the broker answered with what is no batch").because(error)
        })?;
        let header = batch.header();
        if header.base_offset >= end {
            return Ok(());
        }
        let records = header.end_offset().distance_from(header.base_offset);
        if header.base_offset == *next {
            read.verifier.good += records;
        } else {
            read.verifier.out_of_order += records;
        }
        *next = header.end_offset();
        read.records += records;
        read.bytes += batch.total_bytes() as u64;
    }
    Ok(())
}
