//! Opening a data directory without taking its last checkpoint's word for what is in the logs.
//!
//! The checkpoint is still believed where it says what there is to be: topics, where logs start, up to
//! where they were promised to last. That it was kept, byte for byte, is read.

use std::{collections::BTreeSet, sync::Arc};

use ratatoskr_core::{offset::PartitionIndex, storage::StorageResult};

use super::{Shared, partition::MmapPartition, recovery::RecoveryReport, registry::TopicState};

/// Opens every partition that was ever written to, which verifies its log; several at a time.
///
/// One that cannot be opened is a failed one of the report, and none of the others' business.
///
/// # Errors
/// The directory cannot be listed.
pub(super) fn verify(shared: &Arc<Shared>, report: &mut RecoveryReport) -> StorageResult<()> {
    let mut written = Vec::new();
    for topic in shared.registry.topics() {
        let partitions = written_to(shared, &topic)?.into_iter();
        written.extend(partitions.map(|index| (Arc::clone(&topic), index)));
    }
    let helpers = &shared.logs.caches.helpers;
    let opened = helpers.map(&written, |(topic, index)| {
        MmapPartition::open_with_report(shared, topic, *index).map(|(_, found)| found)
    });
    for ((topic, index), opened) in written.into_iter().zip(opened) {
        match opened {
            Ok(found) => {
                let found = found.unwrap_or_default();
                report.verified_bytes += found.scanned_bytes;
                report.corrupt += found.quarantined.len() as u64;
            }
            Err(error) => {
                tracing::error!(topic = %topic.name, partition = %index, %error,
                    "a partition cannot be verified");
                report.failed.push((topic.id, index, error));
            }
        }
    }
    Ok(())
}

/// The partitions of a topic that have a checkpoint or files.
fn written_to(shared: &Shared, topic: &TopicState) -> StorageResult<BTreeSet<PartitionIndex>> {
    let slots = topic.slots().into_iter();
    let mut partitions: BTreeSet<_> = slots.map(|slot| slot.index).collect();
    let directory = shared.logs.layout.topic(topic.id);
    let files = shared.logs.layout.list_if_there(&directory)?.into_iter();
    let named = files.filter_map(|entry| entry.name.parse().ok());
    let known = named.filter(|&index: &u32| index < topic.partitions());
    partitions.extend(known.map(PartitionIndex::new));
    Ok(partitions)
}
