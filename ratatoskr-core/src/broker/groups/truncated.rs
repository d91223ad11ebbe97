//! Committed offsets whose records a log has lost.
//!
//! A log that is not `fsync` may lose its end in a crash. What is written there next has the same
//! offsets under a higher leader epoch, so the epochs tell where the log was cut.

use crate::{
    batch::{BatchHeader, RecordBatch},
    broker::{
        Broker,
        partition::{PartitionCell, Wanted},
    },
    config::Durability,
    error::Error,
    groups::{CommittedOffset, PartitionKey},
    name::TopicName,
    offset::{LeaderEpoch, Offset},
    storage::Access,
};

/// What a look at the log says of a committed offset.
pub(super) enum Looked {
    /// Nothing is wrong, or nothing can be said.
    Well,
    /// The records before it are gone, or others; it is to be this instead.
    Truncated(CommittedOffset),
}

impl Broker {
    /// # Errors
    /// [`Error::PartitionOffline`] and the like where the log cannot be read just now.
    pub(super) async fn look_for_truncation(
        &self,
        topic: &TopicName,
        key: &PartitionKey,
        committed: &CommittedOffset,
    ) -> Result<Looked, Error> {
        let Ok(cell) = self
            .topic(topic)
            .and_then(|topic| topic.partition(key.partition))
        else {
            return Ok(Looked::Well);
        };
        let bounds = match cell.bounds() {
            Ok(bounds) => bounds,
            // What such a log had it still has.
            Err(_) if cell.topic_config().durability == Durability::Fsync => {
                return Ok(Looked::Well);
            }
            Err(error) => return Err(error),
        };
        let epoch = cell.leader_epoch().await?;
        let set_back = |offset| {
            Looked::Truncated(CommittedOffset {
                offset,
                leader_epoch: epoch,
                ..committed.clone()
            })
        };
        let known = committed.leader_epoch != LeaderEpoch::UNKNOWN;
        if known && epoch > committed.leader_epoch && committed.offset > bounds.log_start {
            let end = committed.offset.min(bounds.log_end);
            let cut = first_after(&cell, committed.leader_epoch, bounds.log_start, end).await?;
            if let Some(cut) = cut {
                return Ok(set_back(cut));
            }
        }
        if committed.offset > bounds.log_end {
            return Ok(set_back(bounds.log_end));
        }
        Ok(Looked::Well)
    }
}

/// Where records of a later epoch than this begin, if they do before `end`. Epochs grow with offsets.
async fn first_after(
    cell: &PartitionCell,
    epoch: LeaderEpoch,
    start: Offset,
    end: Offset,
) -> Result<Option<Offset>, Error> {
    let is_later = |header: &BatchHeader| header.leader_epoch > epoch;
    let last = Offset::new(end.get().saturating_sub(1));
    match header_at(cell, last).await? {
        // Compaction may have taken the record itself, and then what follows says nothing.
        Some(header) if is_later(&header) && header.base_offset <= last => {}
        _ => return Ok(None),
    }
    let (mut low, mut high) = (start, last);
    while low < high {
        let middle = Offset::new(low.get().midpoint(high.get()));
        match header_at(cell, middle).await? {
            Some(header) if !is_later(&header) => low = header.end_offset().max(middle.plus(1)),
            Some(header) => high = header.base_offset.clamp(low, middle),
            None => high = middle,
        }
    }
    Ok(Some(low))
}

/// The batch at this offset, or the next one.
async fn header_at(cell: &PartitionCell, at: Offset) -> Result<Option<BatchHeader>, Error> {
    let wanted = Wanted::from(at, 1, Access::Inspect);
    let first = cell
        .read(&wanted)
        .await?
        .batches
        .into_slices()
        .into_iter()
        .next();
    let Some(mut slice) = first else {
        return Ok(None);
    };
    let batch = RecordBatch::split_first(&mut slice)?;
    Ok(Some(*batch.header()))
}
