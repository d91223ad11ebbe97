//! What happens by itself: leases end, delayed records fall due, dead letters are on their way.

use std::time::Duration;

use super::{Event, Queues};
use crate::{
    delivery::{
        changes::{Change, Dead, Done},
        partition::Now,
    },
    name::{GroupId, TopicId, TopicName},
    offset::PartitionIndex,
};

/// Ranges of one partition that are moved to the dead letters at once.
const DYING_MAX: usize = 64;

/// What a tick did.
#[derive(Debug, Default)]
pub(crate) struct Ticked {
    /// Where records have become available.
    pub(crate) woken: Vec<(GroupId, TopicId)>,
    /// Groups of which fewer records are in flight.
    pub(crate) freed: Vec<GroupId>,
    /// How long nothing happens by itself; `None` for ever.
    pub(crate) next: Option<Duration>,
    /// Whether there are records on their way to the dead letters.
    pub(crate) dying: bool,
}

/// Records on their way to the dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeadWork {
    pub(crate) group: GroupId,
    pub(crate) topic: TopicId,
    pub(crate) name: TopicName,
    pub(crate) partition: PartitionIndex,
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) dead: Dead,
    /// Where they go; `None` where the group keeps none any more.
    pub(crate) to: Option<TopicName>,
}

impl Queues {
    /// Ends leases whose time is over, and lets delayed records fall due.
    pub(crate) fn tick(&mut self, now: Now, events: &mut Vec<Event>) -> Ticked {
        let mut ticked = Ticked::default();
        for (name, group) in &mut self.groups {
            let topics: Vec<_> = group.topics.keys().copied().collect();
            let mut frees = false;
            for id in topics {
                let Some(topic) = group.topics.get(&id) else {
                    continue;
                };
                let policy = group.policy(&topic.name);
                let Some(topic) = group.topics.get_mut(&id) else {
                    continue;
                };
                let mut wakes = false;
                for (&index, partition) in &mut topic.partitions {
                    let mut changes = Vec::new();
                    let ended = partition.ended(now, &policy, &mut changes);
                    partition.count_ended(ended);
                    wakes |= partition.fall_due(now.wall);
                    frees |= ended > 0;
                    if !changes.is_empty() {
                        let start = partition.start_to_note();
                        let event = Event::changed(name, id, index, changes);
                        events.push(event.with_start(start));
                        ticked.next = Some(Duration::ZERO);
                    }
                    let next = partition.next_event(now);
                    ticked.next = ticked.next.into_iter().chain(next).min();
                    ticked.dying |= partition.counters().dying > 0;
                }
                if wakes {
                    ticked.woken.push((name.clone(), id));
                }
            }
            if frees {
                ticked.freed.push(name.clone());
            }
        }
        ticked
    }

    /// How long nothing happens by itself in a topic; `None` for ever.
    pub(crate) fn next_event(&self, group: &GroupId, topic: TopicId, now: Now) -> Option<Duration> {
        let topic = self.groups.get(group)?.topics.get(&topic)?;
        let partitions = topic.partitions.values();
        partitions
            .filter_map(|partition| partition.next_event(now))
            .min()
    }

    /// Some of the records on their way to the dead letters of topics that `wanted` takes.
    pub(crate) fn dying(&self, wanted: impl Fn(&TopicName) -> bool) -> Vec<DeadWork> {
        let mut found = Vec::new();
        for (name, group) in &self.groups {
            for (&id, topic) in &group.topics {
                let to = group.config.dead_letters.of(&topic.name);
                if to.as_ref().is_some_and(|to| !wanted(to)) {
                    continue;
                }
                for (&index, partition) in &topic.partitions {
                    let dying = partition.dying(DYING_MAX);
                    found.extend(dying.map(|(first, last, dead)| DeadWork {
                        group: name.clone(),
                        topic: id,
                        name: topic.name.clone(),
                        partition: index,
                        first,
                        last,
                        dead: dead.clone(),
                        to: to.clone(),
                    }));
                }
            }
        }
        found
    }

    /// Records have become dead letters, or are gone.
    pub(crate) fn buried(&self, work: &DeadWork, last: u64, how: Done) -> Option<Event> {
        let change = Change::Done {
            first: work.first,
            last,
            how,
        };
        self.note(&work.group, work.topic, work.partition, vec![change])
    }
}
