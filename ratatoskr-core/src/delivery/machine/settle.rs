//! Settling records of one topic.

use std::collections::BTreeMap;

use super::{Event, Queues};
use crate::{
    delivery::{
        ConsumerId, QueueError, SettleAction, Settlement,
        changes::Change,
        partition::{Claim, Now, PartitionQueue, Rules},
    },
    limits,
    name::{GroupId, TopicId},
    offset::PartitionIndex,
};

/// Ranges that the settlements of one call may look at.
const RANGES_MAX: usize = 1_000_000;

/// What a consumer says of records that it holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SettleRequest<'a> {
    pub(crate) group: &'a GroupId,
    pub(crate) topic: TopicId,
    pub(crate) consumer: &'a ConsumerId,
    pub(crate) settlements: &'a [Settlement],
    pub(crate) now: Now,
    /// For the jitter of waits.
    pub(crate) random: u64,
}

/// What comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    /// One for each settlement, in their order.
    pub(crate) results: Vec<Result<(), QueueError>>,
    /// Whether records of this topic may be acquired now that could not be before.
    pub(crate) wakes: bool,
    /// Whether as many records were in flight as may be: then those of any topic may.
    pub(crate) frees: bool,
    /// Whether there are records on their way to the dead letters.
    pub(crate) dying: bool,
}

impl Queues {
    /// Settles records, each settlement by itself.
    ///
    /// # Errors
    /// [`QueueError::UnknownGroup`].
    pub(crate) fn settle(
        &mut self,
        request: &SettleRequest<'_>,
        events: &mut Vec<Event>,
    ) -> Result<Settled, QueueError> {
        let unknown = || QueueError::UnknownGroup(request.group.clone());
        let latest = self.token;
        let group = self.groups.get_mut(request.group).ok_or_else(unknown)?;
        let owner = group.consumers.number(request.consumer);
        let (of_group, of_consumer) = (
            group.consumers.in_flight(),
            group.consumers.held_by(request.consumer),
        );
        let mut settled = Settled {
            results: Vec::with_capacity(request.settlements.len()),
            wakes: group.config.ordered_by_key,
            frees: of_group >= u64::from(group.config.in_flight_max)
                || of_consumer >= u64::from(group.config.in_flight_per_consumer_max),
            dying: false,
        };
        let Some(name) = (group.topics.get(&request.topic)).map(|topic| topic.name.clone()) else {
            let nothing = request
                .settlements
                .iter()
                .map(|_| Err(QueueError::UnknownLease));
            settled.results.extend(nothing);
            return Ok(settled);
        };
        let policy = group.policy(&name);
        let rules = Rules {
            now: request.now,
            policy: &policy,
            topic: &name,
            random: request.random,
        };
        let mut budget = RANGES_MAX;
        let mut claims = Claims::default();
        let mut changes: BTreeMap<PartitionIndex, Vec<Change>> = BTreeMap::new();
        for settlement in request.settlements {
            let mut settle = || {
                let topic = group.topics.get_mut(&request.topic);
                let partitions = topic.map(|topic| &mut topic.partitions);
                let partition = partitions
                    .and_then(|partitions| partitions.get_mut(&settlement.partition))
                    .ok_or(QueueError::UnknownLease)?;
                let (first, last) = (settlement.first.get(), settlement.last.get());
                let claim = Claim {
                    first,
                    last,
                    token: settlement.token,
                    owner,
                    latest,
                };
                let held = partition.claimed(&claim, request.now, &mut budget)?;
                claims.check(settlement.partition, first, last)?;
                if let SettleAction::Extend(by) = settlement.action {
                    if !(limits::QUEUE_LEASE_MIN..=limits::QUEUE_LEASE_MAX).contains(&by) {
                        let problem = "a lease lasts from 100 ms to 12 h".to_owned();
                        return Err(QueueError::InvalidSettlement(problem));
                    }
                    partition.extend(&held, request.now.monotonic + by);
                    return Ok(());
                }
                let of_partition = changes.entry(settlement.partition).or_default();
                partition.settle(&held, &settlement.action, &rules, of_partition)?;
                claims.add(settlement.partition, first, last);
                Ok(())
            };
            settled.results.push(settle());
        }
        for (partition, changes) in changes {
            for change in &changes {
                settled.dying |= matches!(change, Change::Dead { .. });
                settled.wakes |= !matches!(change, Change::Done { .. });
            }
            if !changes.is_empty() {
                let topic = group.topics.get(&request.topic);
                let queue = topic.and_then(|topic| topic.partitions.get(&partition));
                let start = queue.and_then(PartitionQueue::start_to_note);
                let event = Event::changed(request.group, request.topic, partition, changes);
                events.push(event.with_start(start));
            }
        }
        Ok(settled)
    }
}

/// Ranges that settlements of this call have taken, since nothing is applied before all are decided.
#[derive(Default)]
struct Claims {
    /// By partition and first offset: the last offset.
    taken: BTreeMap<(PartitionIndex, u64), u64>,
}

impl Claims {
    fn check(&self, partition: PartitionIndex, first: u64, last: u64) -> Result<(), QueueError> {
        let before = self.taken.range(..=(partition, last)).next_back();
        match before {
            Some((&(other, _), &end)) if other == partition && end >= first => {
                Err(QueueError::AlreadySettled)
            }
            _ => Ok(()),
        }
    }

    fn add(&mut self, partition: PartitionIndex, first: u64, last: u64) {
        self.taken.insert((partition, first), last);
    }
}
