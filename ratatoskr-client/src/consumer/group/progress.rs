//! What a member of a group reads and how far it has come: between the one who takes records and the
//! task that speaks with the broker.
//!
//! Invariants:
//! - A record is handed out only while its partition is the member's. Once the broker is told that
//!   the member reads a partition no more, none of its records is in anybody's hands.
//! - What is committed was processed: a record counts as processed when the next one is asked for,
//!   or when its taker says so.

use std::collections::BTreeMap;

use ratatoskr_core::{
    groups::TopicPartitions,
    name::{TopicId, TopicName},
    offset::{Offset, PartitionIndex},
    sync::Mutex,
};
use tokio::sync::Notify;

/// A partition of one topic and none that had or will have its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) topic: TopicName,
    pub(super) id: TopicId,
    pub(super) partition: PartitionIndex,
}

/// How far a partition was processed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Processed {
    pub(super) place: Place,
    /// Which time it is that the member has the partition.
    pub(super) life: u64,
    /// The first offset that is not processed.
    pub(super) next: Offset,
}

/// All partitions of a member.
#[derive(Debug, Default)]
pub(super) struct Progress {
    state: Mutex<State>,
    /// Notified when the record in hand is processed whose partition is to be given up.
    pub(super) released: Notify,
}

#[derive(Debug, Default)]
struct State {
    partitions: BTreeMap<Place, Partition>,
    lives: u64,
    /// The last record handed out, if it is not processed.
    in_hand: Option<Processed>,
}

#[derive(Debug)]
struct Partition {
    life: u64,
    revoked: bool,
    next: Offset,
    committed: Option<Offset>,
}

impl Progress {
    /// The member has a partition from now on, processed up to `next`; which time it is.
    pub(super) fn begin(&self, place: &Place, next: Offset, committed: Option<Offset>) -> u64 {
        let mut state = self.state.lock();
        state.lives += 1;
        let life = state.lives;
        let partition = Partition {
            life,
            revoked: false,
            next,
            committed,
        };
        state.partitions.insert(place.clone(), partition);
        life
    }

    /// Whether a record may be handed out; if so, it is in hand. `next` is the offset behind it.
    pub(super) fn hand_out(&self, place: &Place, life: u64, next: Offset) -> bool {
        let mut state = self.state.lock();
        let partition = state.partitions.get(place);
        let may = partition.is_some_and(|found| found.life == life && !found.revoked);
        if may {
            state.in_hand = Some(Processed {
                place: place.clone(),
                life,
                next,
            });
        }
        may
    }

    /// What is in hand is processed.
    pub(super) fn processed(&self) {
        let mut state = self.state.lock();
        let Some(Processed { place, life, next }) = state.in_hand.take() else {
            return;
        };
        let partition = state.partitions.get_mut(&place);
        if let Some(partition) = partition.filter(|found| found.life == life) {
            partition.next = next;
            if partition.revoked {
                self.released.notify_one();
            }
        }
    }

    /// All that is to be committed.
    pub(super) fn uncommitted(&self) -> Vec<Processed> {
        let state = self.state.lock();
        let partitions = state.partitions.iter();
        partitions
            .filter(|(_, partition)| partition.committed != Some(partition.next))
            .map(|(place, partition)| partition.processed(place))
            .collect()
    }

    /// This much is committed.
    pub(super) fn committed(&self, offsets: &[Processed]) {
        let mut state = self.state.lock();
        for Processed { place, life, next } in offsets {
            let partition = state.partitions.get_mut(place);
            if let Some(partition) = partition.filter(|found| found.life == *life) {
                partition.committed = Some(*next);
            }
        }
    }

    /// Hands out nothing more of the partitions that are not among these.
    pub(super) fn revoke_all_but(&self, kept: impl Fn(&Place) -> bool) {
        let mut state = self.state.lock();
        for (place, partition) in &mut state.partitions {
            partition.revoked |= !kept(place);
        }
    }

    /// The partitions that can be given up: told to be, and none of their records is in hand.
    pub(super) fn revoked(&self) -> Vec<Place> {
        let state = self.state.lock();
        let in_hand = state.in_hand.as_ref().map(|in_hand| &in_hand.place);
        let revoked = state.partitions.iter();
        revoked
            .filter(|(place, partition)| partition.revoked && in_hand != Some(place))
            .map(|(place, _)| place.clone())
            .collect()
    }

    /// The member has these partitions no more.
    pub(super) fn end(&self, places: &[Place]) {
        let mut state = self.state.lock();
        for place in places {
            state.partitions.remove(place);
        }
    }

    /// The member has nothing any more; what it had.
    pub(super) fn end_all(&self) -> Vec<Place> {
        let mut state = self.state.lock();
        state.in_hand = None;
        std::mem::take(&mut state.partitions).into_keys().collect()
    }

    /// All that the member has.
    pub(super) fn places(&self) -> Vec<Place> {
        self.state.lock().partitions.keys().cloned().collect()
    }
}

impl Partition {
    fn processed(&self, place: &Place) -> Processed {
        Processed {
            place: place.clone(),
            life: self.life,
            next: self.next,
        }
    }
}

/// Partitions by topic, as they travel.
pub(super) fn by_topic(places: impl IntoIterator<Item = Place>) -> Vec<TopicPartitions> {
    let mut topics = BTreeMap::<(TopicName, TopicId), Vec<PartitionIndex>>::new();
    for place in places {
        let topic = topics.entry((place.topic, place.id)).or_default();
        topic.push(place.partition);
    }
    let topics = topics.into_iter();
    topics
        .map(|((topic, id), partitions)| TopicPartitions {
            topic,
            id,
            partitions,
        })
        .collect()
}

/// The same the other way.
pub(super) fn places(topics: Vec<TopicPartitions>) -> impl Iterator<Item = Place> {
    topics.into_iter().flat_map(|topic| {
        let TopicPartitions {
            topic,
            id,
            partitions,
        } = topic;
        partitions.into_iter().map(move |partition| Place {
            topic: topic.clone(),
            id,
            partition,
        })
    })
}
