//! Reading the records that a group is not done with, without acquiring any.

use std::sync::Arc;

use super::{PeekedRecord, RecordState, engine::QueueShard, engine::check_name};
use crate::{
    batch::{RecordLimits, batches},
    broker::{Broker, partition::PartitionCell, topic::TopicState},
    delivery::{QueueError, Undone, UndoneState},
    error::Error,
    limits,
    name::{GroupId, TopicName},
    offset::{IsolationLevel, Offset},
    record::ConsumedRecord,
    storage::Access,
};

/// Bytes that are read at a time.
const READ_BYTES: usize = 1 << 20;
/// Ranges that are looked at at a time.
const RANGES_MAX: usize = 1_000;

/// Some records that are not done.
pub(super) struct Page {
    pub(super) records: Vec<(ConsumedRecord, Undone)>,
    /// Where to go on; `None` at the end of what there is.
    pub(super) next: Option<u64>,
}

impl Broker {
    /// The records of a topic that a group is not done with, those of each partition in the order of
    /// their offsets; at most [`limits::QUEUE_BROWSE_RECORDS_MAX`]. Acquires none.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], [`Error::Queue`] with [`QueueError::UnknownGroup`],
    /// [`Error::PartitionOffline`], [`Error::InvalidBatch`], [`Error::CorruptRecords`],
    /// [`Error::ShuttingDown`], [`Error::Fenced`].
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub async fn queue_peek(
        &self,
        group: &GroupId,
        topic: &TopicName,
        records_max: usize,
    ) -> Result<Vec<PeekedRecord>, Error> {
        check_name(group)?;
        let shard = self.shared.queues.existing_shard(self, group)?;
        let topic = self.topic(topic)?;
        if !shard.read(|queues| queues.group(group).is_some()).await? {
            return Err(QueueError::UnknownGroup(group.clone()).into());
        }
        let records_max = records_max.min(limits::QUEUE_BROWSE_RECORDS_MAX);
        let mut peeked = Vec::new();
        for cell in topic.partitions() {
            let mut from = Some(0);
            while let Some(begin) = from
                && peeked.len() < records_max
            {
                let wanted = records_max - peeked.len();
                let page = read_undone(shard, group, &topic, &cell, begin, wanted).await?;
                let owner = |number| {
                    let look = shard.peek(|queues| queues.group(group)?.consumer(number).cloned());
                    look.flatten()
                };
                peeked.extend(
                    page.records
                        .into_iter()
                        .map(|(record, undone)| PeekedRecord {
                            record,
                            delivery_count: undone.count,
                            state: match undone.state {
                                UndoneState::Available => RecordState::Available,
                                UndoneState::InFlight(number) => owner(number)
                                    .map_or(RecordState::Available, RecordState::InFlight),
                                UndoneState::Delayed(until) => RecordState::Delayed(until),
                                UndoneState::Blocked => RecordState::Blocked,
                                UndoneState::Dying => RecordState::Dying,
                            },
                        }),
                );
                from = page.next;
            }
        }
        Ok(peeked)
    }
}

/// Reads up to `records_max` records of a partition from `from` on that a group is not done with.
pub(super) async fn read_undone(
    shard: &Arc<QueueShard>,
    group: &GroupId,
    topic: &TopicState,
    cell: &PartitionCell,
    from: u64,
    records_max: usize,
) -> Result<Page, Error> {
    let bounds = cell.bounds()?;
    let from = from.max(bounds.log_start.get());
    let (id, index) = (topic.id(), cell.index());
    let now = cell.context().clock.now();
    let ranges = shard
        .read(|queues| {
            if queues.knows(group, id, index) {
                queues.undone(group, id, index, from, RANGES_MAX, now)
            } else {
                vec![Undone::everything(from)]
            }
        })
        .await?;
    let mut page = Page {
        records: Vec::new(),
        next: None,
    };
    let Some(first) = ranges.first().map(|range| range.first) else {
        return Ok(page);
    };
    if first >= bounds.high_watermark.get() {
        return Ok(page);
    }
    let known = ranges.last().map_or(from, |range| range.last);
    let until = Offset::new(known.saturating_add(1)).min(bounds.high_watermark);
    let fetched = cell
        .read_between(
            Offset::new(first),
            until,
            READ_BYTES,
            IsolationLevel::ReadCommitted,
            Access::Inspect,
        )
        .await?;
    let mut ranges = ranges.iter().peekable();
    let mut next = until.get();
    for slice in fetched.batches.into_slices() {
        for batch in batches(slice) {
            let batch = batch?;
            next = batch.header().end_offset().get();
            if batch.header().is_control() {
                continue;
            }
            for record in batch.records(&RecordLimits::default())? {
                let record = record?;
                let offset = record.offset.get();
                while ranges.next_if(|range| range.last < offset).is_some() {}
                let Some(range) = ranges.peek() else {
                    break;
                };
                if offset < range.first {
                    continue;
                }
                if page.records.len() == records_max {
                    page.next = Some(offset);
                    return Ok(page);
                }
                let consumed = ConsumedRecord {
                    topic: topic.name().clone(),
                    partition: index,
                    offset: record.offset,
                    record: record.into_record(),
                };
                page.records.push((consumed, **range));
            }
        }
    }
    // What lies in the last batch beyond the ranges looked at is looked at the next time.
    let next = next.min(known.saturating_add(1));
    page.next = (next < bounds.high_watermark.get()).then_some(next);
    Ok(page)
}
