//! Acquiring records of one partition.

use std::time::Duration;

use super::{Event, Queues};
use crate::{
    delivery::{
        ConsumerId, FencingToken, QueueError,
        changes::{Change, Scan},
        partition::{Now, ScanLimits},
    },
    name::{GroupId, TopicId},
    offset::PartitionIndex,
};

/// What a consumer wants of one partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AcquireRequest<'a> {
    pub(crate) group: &'a GroupId,
    pub(crate) topic: TopicId,
    pub(crate) partition: PartitionIndex,
    pub(crate) consumer: &'a ConsumerId,
    pub(crate) records_max: u64,
    /// `None` for the group's.
    pub(crate) lease: Option<Duration>,
    pub(crate) now: Now,
}

/// What it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Granted {
    /// Ranges with how often each has been delivered.
    pub(crate) ranges: Vec<(u64, u64, u32)>,
    pub(crate) token: FencingToken,
    pub(crate) lease: Duration,
    /// Records that it may have beside these.
    pub(crate) room: u64,
    /// Whether there was less room than it wanted, and whose bound it was.
    pub(crate) limited: Option<Limited>,
    /// The next offset of the log to look at.
    pub(crate) frontier: u64,
    /// Whether the partition may look at more of its log.
    pub(crate) may_scan: bool,
}

/// Whose bound on records in flight is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limited {
    Group,
    Consumer,
}

impl Queues {
    /// Ends leases whose time is over and lets delayed records fall due, takes in what the log has
    /// shown, if it was looked at, and hands out records.
    ///
    /// # Errors
    /// [`QueueError::UnknownGroup`], also where the group has no place in this partition yet.
    pub(crate) fn acquire(
        &mut self,
        request: &AcquireRequest<'_>,
        scan: Option<&Scan>,
        limits: ScanLimits,
        events: &mut Vec<Event>,
    ) -> Result<Granted, QueueError> {
        let unknown = || QueueError::UnknownGroup(request.group.clone());
        let group = self.groups.get_mut(request.group).ok_or_else(unknown)?;
        let topic = group.topics.get(&request.topic).ok_or_else(unknown)?;
        let policy = group.policy(&topic.name);
        let topic = group.topics.get_mut(&request.topic).ok_or_else(unknown)?;
        let partition = (topic.partitions.get_mut(&request.partition)).ok_or_else(unknown)?;

        let mut changes = Vec::new();
        let ended = partition.ended(request.now, &policy, &mut changes);
        partition.count_ended(ended);
        if !changes.is_empty() {
            let start = partition.start_to_note();
            let event = Event::changed(request.group, request.topic, request.partition, changes);
            events.push(event.with_start(start));
        }
        partition.fall_due(request.now.wall);
        // The group may have been configured anew meanwhile.
        if let Some(scan) = scan.filter(|scan| scan.keyed == group.config.ordered_by_key) {
            partition.admit(scan, request.now.wall, limits);
        }

        let consumers = &mut group.consumers;
        let left = |max: u32, held: u64| u64::from(max).saturating_sub(held);
        let of_group = left(group.config.in_flight_max, consumers.in_flight());
        let of_consumer = left(
            group.config.in_flight_per_consumer_max,
            consumers.held_by(request.consumer),
        );
        let counters = partition.counters();
        let may_scan = counters.delayed < limits.delayed_max as u64
            && counters.blocked < limits.blocked_max as u64;
        let room = of_group.min(of_consumer);
        let limited = (room < request.records_max).then_some(if of_group < of_consumer {
            Limited::Group
        } else {
            Limited::Consumer
        });
        let records_max = room.min(request.records_max);
        let lease = request.lease.unwrap_or(group.config.lease);
        let token = self.token.next();
        let ranges = partition.acquire(
            records_max,
            token,
            request.now.monotonic + lease,
            request.consumer,
            consumers,
        );
        if !ranges.is_empty() {
            self.token = token;
        }
        let records: u64 = ranges.iter().map(|(first, last, _)| last - first + 1).sum();
        Ok(Granted {
            ranges,
            token,
            lease,
            room: room - records,
            limited,
            frontier: partition.frontier(),
            may_scan,
        })
    }

    /// What the log has shown that ends records for good, before they are handed out.
    pub(crate) fn note(
        &self,
        group: &GroupId,
        topic: TopicId,
        partition: PartitionIndex,
        changes: Vec<Change>,
    ) -> Option<Event> {
        let known = self.partition(group, topic, partition)?;
        let event = Event::changed(group, topic, partition, changes);
        Some(event.with_start(known.start_to_note()))
    }

    /// What becomes of records of these ranges whose time to live has passed.
    pub(crate) fn expire(
        &self,
        group: &GroupId,
        topic: TopicId,
        partition: PartitionIndex,
        ranges: &[(u64, u64)],
        now: Now,
    ) -> Option<Event> {
        let policy = self.policy(group, topic)?;
        let queue = self.partition(group, topic, partition)?;
        let mut changes = Vec::new();
        for &(first, last) in ranges {
            queue.expire(first, last, now.wall, &policy, &mut changes);
        }
        self.note(group, topic, partition, changes)
    }

    pub(super) fn policy(
        &self,
        group: &GroupId,
        topic: TopicId,
    ) -> Option<crate::delivery::changes::Policy> {
        let group = self.groups.get(group)?;
        Some(group.policy(&group.topics.get(&topic)?.name))
    }

    /// Takes back what is held under a token from `from` on, as if it had not been delivered.
    pub(crate) fn give_back(
        &mut self,
        group: &GroupId,
        topic: TopicId,
        partition: PartitionIndex,
        token: FencingToken,
        from: u64,
    ) {
        if let Some(group) = self.groups.get_mut(group)
            && let Some(topic) = group.topics.get_mut(&topic)
            && let Some(partition) = topic.partitions.get_mut(&partition)
        {
            partition.give_back(token, from, &mut group.consumers);
        }
    }

    /// Takes back all that a consumer holds, as if it had not been delivered. Answers how many records
    /// that were.
    ///
    /// # Errors
    /// [`QueueError::UnknownGroup`].
    pub(crate) fn leave(
        &mut self,
        group: &GroupId,
        consumer: &ConsumerId,
    ) -> Result<u64, QueueError> {
        let unknown = || QueueError::UnknownGroup(group.clone());
        let group = self.groups.get_mut(group).ok_or_else(unknown)?;
        let Some(owner) = group.consumers.number(consumer) else {
            return Ok(0);
        };
        let mut records = 0;
        for topic in group.topics.values_mut() {
            for partition in topic.partitions.values_mut() {
                records += partition.leave(owner, &mut group.consumers);
            }
        }
        Ok(records)
    }
}
