//! Moving records that were given up to the dead letters.

use std::sync::Arc;

use super::{
    engine::QueueShard,
    letter::{self, Origin},
};
use crate::{
    batch::{RecordLimits, batches},
    broker::{Broker, NewTopic, partition::PartitionCell, state::Change, topic::TopicState},
    config::TopicConfigChange,
    delivery::{DeadWork, Done},
    error::Error,
    limits,
    name::TopicName,
    offset::{IsolationLevel, Offset},
    record::Record,
    storage::Access,
};

/// Bytes of batches that are read at once.
const READ_BYTES: usize = 1 << 20;
/// Records that are moved at once.
const RECORDS_MAX: usize = 1_000;

/// How much was moved.
pub(super) enum Moved {
    /// Everything.
    All,
    /// The first part; the rest is to be moved as well.
    Some,
}

impl Broker {
    /// Appends the dead letters of records, and then says that the records are done. A crash between
    /// may append them twice; their ids tell.
    pub(super) async fn queue_move_dead(
        &self,
        shard: &Arc<QueueShard>,
        work: &DeadWork,
    ) -> Result<Moved, Error> {
        let Some(to) = &work.to else {
            return self.bury(shard, work, work.last, Done::Discarded).await;
        };
        let topic = self.topic(&work.name).ok();
        let Some(topic) = topic.filter(|topic| topic.id() == work.topic) else {
            return self.bury(shard, work, work.last, Done::Lost).await;
        };
        let cell = topic.partition(work.partition)?;
        let (letters, last) = match read_letters(&cell, work).await {
            Ok(read) => read,
            Err(Error::OffsetOutOfRange { bounds, requested }) if requested < bounds.log_start => {
                let last = (bounds.log_start.get() - 1).min(work.last);
                return self.bury(shard, work, last, Done::Lost).await;
            }
            Err(Error::OffsetOutOfRange { .. } | Error::InvalidBatch(_)) => {
                return self.bury(shard, work, work.last, Done::Lost).await;
            }
            Err(Error::CorruptRecords { until, .. }) if until.get() > work.first => {
                let last = (until.get() - 1).min(work.last);
                return self.bury(shard, work, last, Done::Lost).await;
            }
            Err(error) => return Err(error),
        };
        if letters.is_empty() {
            return self.bury(shard, work, last, Done::Lost).await;
        }
        let to = self.dead_letter_topic(to, &topic).await?;
        to.publish_many(&letters).await?;
        self.bury(shard, work, last, Done::DeadLettered).await
    }

    async fn bury(
        &self,
        shard: &Arc<QueueShard>,
        work: &DeadWork,
        last: u64,
        how: Done,
    ) -> Result<Moved, Error> {
        let buried = shard.change(|queues| {
            let event = queues.buried(work, last, how);
            Ok(Change {
                events: event.into_iter().collect(),
                answer: (),
            })
        });
        buried.await?;
        self.queue_freed(shard, &work.group);
        Ok(if last >= work.last {
            Moved::All
        } else {
            Moved::Some
        })
    }

    /// The topic for dead letters, made if it is not there.
    async fn dead_letter_topic(
        &self,
        name: &TopicName,
        source: &TopicState,
    ) -> Result<Arc<TopicState>, Error> {
        if let Ok(topic) = self.topic(name) {
            return Ok(topic);
        }
        let new = NewTopic {
            partitions: Some(source.partition_count()),
            config: TopicConfigChange {
                // Letters are larger than their records were, and nobody is to lose one by its age.
                batch_bytes_max: Some(limits::BATCH_BYTES_MAX),
                retention: Some(None),
                ..TopicConfigChange::default()
            },
        };
        match self.create_topic(name, new).await {
            // Somebody else was first.
            Ok(_) | Err(Error::TopicExists(_)) => self.topic(name),
            Err(error) => Err(error),
        }
    }
}

/// The letters of the first records of a work, and the last offset that they are of.
async fn read_letters(cell: &PartitionCell, work: &DeadWork) -> Result<(Vec<Record>, u64), Error> {
    let (from, until) = (Offset::new(work.first), Offset::new(work.last + 1));
    let isolation = IsolationLevel::ReadCommitted;
    let fetched = cell
        .read_between(from, until, READ_BYTES, isolation, Access::Inspect)
        .await?;
    let mut letters = Vec::new();
    let mut end = work.last + 1;
    for slice in fetched.batches.into_slices() {
        for batch in batches(slice) {
            let batch = batch?;
            end = batch.header().end_offset().get();
            if batch.header().is_control() {
                continue;
            }
            for record in batch.records(&RecordLimits::default())? {
                let record = record?;
                let offset = record.offset.get();
                if offset < work.first {
                    continue;
                }
                if offset > work.last {
                    return Ok((letters, work.last));
                }
                if letters.len() == RECORDS_MAX {
                    return Ok((letters, offset - 1));
                }
                let origin = Origin {
                    group: &work.group,
                    topic: &work.name,
                    topic_id: work.topic,
                    partition: work.partition,
                    offset: record.offset,
                };
                letters.push(letter::write(record.into_record(), &origin, &work.dead));
            }
        }
    }
    Ok((letters, (end - 1).min(work.last)))
}
