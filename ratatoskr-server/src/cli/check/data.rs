//! `ratatoskr check data`: reads everything that a data directory holds, checksums included.
//!
//! The directory is opened as a start of the broker would open it, so what a crash left is put in
//! order first; and no broker can have it open meanwhile.

use std::{path::Path, sync::Arc};

use ratatoskr_core::{
    batch::{RecordLimits, batches},
    offset::PartitionIndex,
    storage::{Access, Partition, ReadRequest, Storage as _, StorageError, Topic},
};
use ratatoskr_storage::{MmapOptions, MmapStorage};

use super::Finding;
use crate::cli::{
    exit::{Exit, Failure, Outcome},
    node,
    progress::Progress,
    serve,
};

/// Bytes read at a time.
const READ_BYTES: usize = 1 << 20;

/// # Errors
/// The directory is not there, in use, or cannot be opened.
pub(super) async fn check(node: &node::Options) -> Outcome<Vec<Finding>> {
    let settings = node.load()?.settings;
    let directory = &settings.data_dir;
    if !directory.is_dir() {
        // Opening would make it, and then find nothing wrong.
        return Err(Failure::new(
            Exit::NotFound,
            format!("there is no data directory {}", directory.display()),
        )
        .next("ratatoskr check data --data-dir DIR"));
    }
    let opened = MmapStorage::open(directory, MmapOptions::default()).await;
    let storage = opened.map_err(|error| serve::data_failure(directory, &error))?;
    let storage = Arc::new(storage);
    let findings = everything(&storage, directory).await;
    let closed = storage.close().await;
    let findings = findings.map_err(|error| serve::data_failure(directory, &error))?;
    closed.map_err(|error| serve::data_failure(directory, &error))?;
    Ok(findings)
}

async fn everything(storage: &MmapStorage, directory: &Path) -> Result<Vec<Finding>, StorageError> {
    let mut topics = storage.list_topics().await?;
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    let mut findings = vec![Finding::good(
        "directory".to_owned(),
        format!(
            "{} opens, with {} topics",
            directory.display(),
            topics.len()
        ),
    )];
    for described in topics {
        let progress = Progress::records(None);
        let topic = storage.open_topic(described.id).await?;
        for index in (0..described.partitions).map(PartitionIndex::new) {
            let check = format!("{}/{index}", described.name);
            findings.push(match read(&*topic, index, &progress).await {
                Ok(detail) => Finding::good(check, detail),
                Err(detail) => Finding::bad(check, detail),
            });
        }
    }
    Ok(findings)
}

/// Reads one partition from end to end.
async fn read(
    topic: &dyn Topic,
    index: PartitionIndex,
    progress: &Progress,
) -> Result<String, String> {
    let partition = topic.partition(index).map_err(|error| error.to_string())?;
    let partition: &dyn Partition = &*partition;
    let bounds = partition.bounds();
    let mut from = bounds.log_start;
    let mut records = 0_u64;
    while from < bounds.log_end {
        let request = ReadRequest {
            from,
            until: bounds.log_end,
            bytes_max: READ_BYTES,
            access: Access::Inspect,
        };
        let read = partition
            .read(&request)
            .await
            .map_err(|error| error.to_string())?;
        if read.is_empty() {
            return Err(format!("nothing can be read from offset {from} on"));
        }
        for slice in read.into_slices() {
            for batch in batches(slice) {
                let at = |error: &dyn std::fmt::Display| format!("after offset {from}: {error}");
                let batch = batch.map_err(|error| at(&error))?;
                batch.verify_crc().map_err(|error| at(&error))?;
                let limits = RecordLimits::default();
                for record in batch.records(&limits).map_err(|error| at(&error))? {
                    record.map_err(|error| at(&error))?;
                    records += 1;
                }
                from = batch.header().end_offset();
            }
        }
        progress.advance(records);
    }
    Ok(format!(
        "{records} records, offsets {} to {}",
        bounds.log_start, bounds.log_end
    ))
}
