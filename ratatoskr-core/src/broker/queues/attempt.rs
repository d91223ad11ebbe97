//! One look at a topic for records to acquire.

use std::sync::Arc;

use super::{
    AcquireOptions, Acquired,
    engine::QueueShard,
    read_again::{lost, out_of_range},
    scan::{Scanned, Scanner},
    taken::Taken,
    turn::Turn,
};
use crate::{
    broker::{Broker, partition::PartitionCell, state::Change, topic::TopicState},
    delivery::{self, AcquireRequest, ConsumerId, Granted, Limited, Scan, ScanLimits},
    error::Error,
    limits,
    name::GroupId,
    offset::{IsolationLevel, Offset, PartitionIndex},
    storage::{Access, BatchSlices},
};

/// A consumer that looks for records.
pub(super) struct Seeker<'a> {
    pub(super) broker: &'a Broker,
    pub(super) group: &'a GroupId,
    pub(super) topic: &'a Arc<TopicState>,
    pub(super) consumer: &'a ConsumerId,
    pub(super) options: &'a AcquireOptions,
    pub(super) shard: &'a Arc<QueueShard>,
    pub(super) turn: &'a Turn,
}

/// How a look ended.
pub(super) enum Attempt {
    Found(Acquired),
    /// There may be records, but no more may be in flight.
    Limited(Limited),
    Nothing,
}

/// What is left of what a consumer wants.
pub(super) struct Room {
    records: u64,
    pub(super) bytes: usize,
    limited: Option<Limited>,
}

impl Room {
    const fn is_full(&self) -> bool {
        self.records == 0 || self.bytes == 0 || self.limited.is_some()
    }
}

/// What reading one partition came to.
enum Looked {
    /// Nothing more can be had of it now.
    Over,
    /// Something has changed: it is to be looked at again.
    Again,
}

impl Seeker<'_> {
    pub(super) async fn attempt(&self) -> Result<Attempt, Error> {
        let mut first = self.turn.work.lock().await;
        self.open_partitions().await?;
        let cells = self.topic.partitions();
        let mut taken = Taken::new(self);
        let mut room = Room {
            records: self.options.records_max.into(),
            bytes: self.options.bytes_max.max(1),
            limited: None,
        };
        for step in 0..cells.len() {
            if room.is_full() {
                break;
            }
            let cell = &cells[(*first + step) % cells.len()];
            match self.take(cell, &mut room, &mut taken).await {
                Ok(()) => {}
                // It wakes the head of the line when it is back.
                Err(Error::PartitionOffline { topic, .. }) if topic == *self.topic.name() => {}
                Err(_) if !taken.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        *first = first.wrapping_add(1) % cells.len().max(1);
        drop(first);
        if let Some(acquired) = taken.finish() {
            self.broker.shared.queues.rouse_keeper();
            return Ok(Attempt::Found(acquired));
        }
        Ok(room.limited.map_or(Attempt::Nothing, Attempt::Limited))
    }

    /// Gives the group a place in each partition that it has none in.
    async fn open_partitions(&self) -> Result<(), Error> {
        let id = self.topic.id();
        let partitions = self.topic.partition_count();
        let known = self.shard.peek(|queues| {
            let mut partitions = (0..partitions).map(PartitionIndex::new);
            partitions.all(|index| queues.knows(self.group, id, index))
        });
        if known == Some(true) {
            return Ok(());
        }
        self.broker
            .queue_open(self.shard, self.group, self.topic)
            .await
    }

    /// Takes what one partition has.
    async fn take(
        &self,
        cell: &PartitionCell,
        room: &mut Room,
        taken: &mut Taken<'_>,
    ) -> Result<(), Error> {
        let mut bounds = cell.bounds()?;
        loop {
            let (granted, again) = self.grant(cell.index(), room, None).await?;
            if !granted.ranges.is_empty() {
                let at = taken.add(cell.index(), &granted);
                self.read_again(cell, at, room, taken).await?;
            }
            if room.is_full() {
                return Ok(());
            }
            if granted.frontier > bounds.log_end.get() {
                let end = delivery::Change::End(bounds.log_end.get());
                self.note(cell.index(), end).await?;
                continue;
            }
            if again {
                continue;
            }
            if !granted.may_scan || granted.frontier >= bounds.high_watermark.get() {
                return Ok(());
            }
            match self.look(cell, granted.frontier, room, taken).await? {
                Looked::Over => return Ok(()),
                Looked::Again => bounds = cell.bounds()?,
            }
        }
    }

    /// Acquires what may be acquired of a partition; whether leases ended by that, whose records may
    /// be acquired from now on.
    async fn grant(
        &self,
        partition: PartitionIndex,
        room: &mut Room,
        scan: Option<&Scan>,
    ) -> Result<(Granted, bool), Error> {
        let request = AcquireRequest {
            group: self.group,
            topic: self.topic.id(),
            partition,
            consumer: self.consumer,
            records_max: room.records,
            lease: self.options.lease,
            now: self.broker.shared.context.present(),
        };
        let limits = ScanLimits {
            delayed_max: self.broker.shared.context.config.queue_delayed_records_max,
            blocked_max: limits::QUEUE_BLOCKED_RECORDS_MAX,
        };
        let changed = self.shard.change(|queues| {
            let mut events = Vec::new();
            let granted = queues.acquire(&request, scan, limits, &mut events)?;
            let again = !events.is_empty();
            Ok(Change {
                events,
                answer: (granted, again),
            })
        });
        let (granted, again) = changed.await?;
        if again {
            self.broker.queue_freed(self.shard, self.group);
        }
        let records: u64 = granted
            .ranges
            .iter()
            .map(|range| range.1 - range.0 + 1)
            .sum();
        room.records -= records;
        room.limited = granted.limited.filter(|_| granted.room == 0);
        Ok((granted, again))
    }

    /// Looks at the next part of the log.
    async fn look(
        &self,
        cell: &PartitionCell,
        from: u64,
        room: &mut Room,
        taken: &mut Taken<'_>,
    ) -> Result<Looked, Error> {
        let index = cell.index();
        let read = self.read(cell, from, Offset::MAX, room.bytes).await;
        let slices = match read {
            Ok(slices) => slices,
            Err(Error::OffsetOutOfRange { bounds, requested }) => {
                self.note(index, out_of_range(requested, &bounds)).await?;
                return Ok(Looked::Again);
            }
            Err(Error::CorruptRecords { until, detail, .. }) if until.get() > from => {
                tracing::warn!(topic = %self.topic.name(), partition = %index, from, %until, detail,
                    "corrupt records are not delivered");
                self.note(index, lost(from, until.get() - 1)).await?;
                return Ok(Looked::Again);
            }
            Err(error) => return Err(error),
        };
        if slices.is_empty() {
            return Ok(Looked::Over);
        }
        let Scanned {
            scan,
            pieces,
            expired,
        } = self.scanner(|scanner| scanner.scan(from, slices.into_slices()))?;
        if !expired.is_empty() {
            self.expire(index, &expired).await?;
        }
        let (granted, _) = self.grant(index, room, Some(&scan)).await?;
        if !granted.ranges.is_empty() {
            let at = taken.add(index, &granted);
            if granted.ranges.iter().all(|range| range.0 >= from) {
                let bytes = taken.fill(at, pieces);
                cell.count_read(bytes);
                room.bytes = room.bytes.saturating_sub(bytes);
            } else {
                // Records fell due between the two looks.
                self.read_again(cell, at, room, taken).await?;
            }
        }
        // Where nothing was taken in, a bound on what is held back is reached.
        Ok(if granted.frontier > from {
            Looked::Again
        } else {
            Looked::Over
        })
    }

    pub(super) fn scanner<T>(&self, then: impl FnOnce(&Scanner<'_>) -> T) -> T {
        let ordered = self.shard.peek(|queues| {
            let group = queues.group(self.group);
            group.is_some_and(|group| group.config.ordered_by_key)
        });
        let hash = |key: &[u8]| self.broker.shared.queues.key_hash(key);
        then(&Scanner {
            key_hash: (ordered == Some(true)).then_some(&hash as _),
            ttl_default: self.topic.shared().config().ttl_default,
            now: self.broker.shared.context.clock.now(),
        })
    }

    pub(super) async fn read(
        &self,
        cell: &PartitionCell,
        from: u64,
        until: Offset,
        bytes_max: usize,
    ) -> Result<BatchSlices, Error> {
        let isolation = IsolationLevel::ReadCommitted;
        let from = Offset::new(from);
        let fetched = cell
            .read_between(from, until, bytes_max, isolation, Access::Inspect)
            .await?;
        Ok(fetched.batches)
    }
}
