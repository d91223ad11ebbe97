//! What a partition remembers of its idempotent producers (KIP-98).
//!
//! Invariants:
//! - The table is a function of the batches it was told of, in the order of their offsets: applied
//!   ones and, behind them, pending ones. [`ProducerTable::forget_from`] takes the pending ones out
//!   again. A producer of whom nothing is left must go on with the first batch that was taken out:
//!   it may not have heard yet that it failed, and what it sent behind it must not overtake it.
//! - Of each producer the last [`PRODUCER_BATCHES_REMEMBERED`] *applied* batches are kept beside
//!   all pending ones, so that dropping the pending ones loses nothing.
//! - Time is the monotonic clock's: no jump of the wall clock makes it forget.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    batch::BatchHeader,
    config::TimestampType,
    error::Error,
    limits::PRODUCER_BATCHES_REMEMBERED,
    offset::Offset,
    producer::{ProducerEpoch, ProducerId, ProducerStamp, Sequence},
    time::Timestamp,
};

/// Fraction of the table (one in this many) that is forgotten at once when it is full, so that the
/// search for the oldest is paid for by many appends.
const FORGOTTEN_AT_ONCE: usize = 16;

/// A partition's producers.
#[derive(Debug)]
pub(super) struct ProducerTable {
    producers: HashMap<ProducerId, Producer>,
    producers_max: usize,
    expiry: Duration,
}

#[derive(Debug)]
struct Producer {
    /// In the order of their offsets.
    batches: VecDeque<RememberedBatch>,
    /// While there are none: the epoch and the sequence to go on with.
    resumes_at: Option<(ProducerEpoch, Sequence)>,
    last_append: Duration,
}

/// A producer with its last applied batches.
pub(super) type KeptProducer = (ProducerId, Vec<RememberedBatch>);

/// A batch that can be recognized when it comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RememberedBatch {
    epoch: ProducerEpoch,
    base_sequence: Sequence,
    last_sequence: Sequence,
    /// Where it was appended.
    pub(super) base_offset: Offset,
    /// When, if its topic stamps records with the broker's time.
    pub(super) log_append_time: Option<Timestamp>,
}

/// What a batch is to its producer's earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sequenced {
    /// The next one: append it.
    Next,
    /// This one again: do not append it.
    Duplicate(RememberedBatch),
}

impl ProducerTable {
    pub(super) fn new(producers_max: usize, expiry: Duration) -> Self {
        Self {
            producers: HashMap::new(),
            producers_max: producers_max.max(1),
            expiry,
        }
    }

    /// Judges a batch of `sequences` records that is about to be appended.
    ///
    /// # Errors
    /// [`Error::ProducerFenced`], [`Error::OutOfOrderSequence`].
    pub(super) fn check(
        &self,
        stamp: ProducerStamp,
        sequences: u32,
        now: Duration,
    ) -> Result<Sequenced, Error> {
        let Some(producer) = self.producers.get(&stamp.id).filter(|producer| {
            let silent = now.saturating_sub(producer.last_append);
            silent <= self.expiry
        }) else {
            // Whatever it sent before has been forgotten or trimmed, so any sequence may come first.
            return Ok(Sequenced::Next);
        };
        let Some((epoch, next)) = producer.expected() else {
            return Ok(Sequenced::Next);
        };
        if stamp.epoch < epoch {
            return Err(Error::ProducerFenced {
                producer: stamp.id,
                current: epoch,
                found: stamp.epoch,
            });
        }
        let expected = if stamp.epoch > epoch {
            Sequence::new(0)
        } else {
            let last_sequence = last_sequence(stamp.base_sequence, sequences);
            if let Some(known) = producer.find(stamp, last_sequence) {
                return Ok(Sequenced::Duplicate(known));
            }
            next
        };
        if stamp.base_sequence == expected {
            Ok(Sequenced::Next)
        } else {
            Err(Error::OutOfOrderSequence {
                producer: stamp.id,
                expected,
                found: stamp.base_sequence,
            })
        }
    }

    /// Takes note of a batch that has its place. Batches below `applied_end` are applied.
    pub(super) fn record(&mut self, header: &BatchHeader, now: Duration, applied_end: Offset) {
        let Some(stamp) = header.producer() else {
            return;
        };
        let batch = RememberedBatch {
            epoch: stamp.epoch,
            base_sequence: stamp.base_sequence,
            last_sequence: last_sequence(stamp.base_sequence, sequences_of(header)),
            base_offset: header.base_offset,
            log_append_time: (header.timestamp_type() == TimestampType::LogAppendTime)
                .then_some(header.max_timestamp),
        };
        if self.producers.len() >= self.producers_max && !self.producers.contains_key(&stamp.id) {
            self.make_room(now);
        }
        let producer = self.producers.entry(stamp.id).or_insert_with(|| Producer {
            batches: VecDeque::with_capacity(1),
            resumes_at: None,
            last_append: now,
        });
        producer.last_append = now;
        producer.resumes_at = None;
        producer.batches.push_back(batch);
        let applied = producer
            .batches
            .partition_point(|batch| batch.base_offset < applied_end);
        let surplus = applied.saturating_sub(PRODUCER_BATCHES_REMEMBERED);
        producer.batches.drain(..surplus);
    }

    /// Forgets every batch from `log_end` on: they were pending and will not be appended.
    pub(super) fn forget_from(&mut self, log_end: Offset) {
        for producer in self.producers.values_mut() {
            let kept = producer
                .batches
                .partition_point(|batch| batch.base_offset < log_end);
            let dropped = producer.batches.split_off(kept);
            if let (Some(first), true) = (dropped.front(), producer.batches.is_empty()) {
                producer.resumes_at = Some((first.epoch, first.base_sequence));
            }
        }
    }

    /// What is known of the batches before `end`, which are applied.
    pub(super) fn applied(&self, end: Offset) -> Vec<KeptProducer> {
        let kept = self.producers.iter().map(|(&id, producer)| {
            let batches = producer.batches.iter();
            let applied = batches.filter(|batch| batch.base_offset < end);
            (id, applied.copied().collect::<Vec<_>>())
        });
        kept.filter(|(_, batches)| !batches.is_empty()).collect()
    }

    /// Takes in what [`applied`](Self::applied) told of an earlier opening.
    pub(super) fn restore(&mut self, kept: Vec<KeptProducer>, now: Duration) {
        for (id, batches) in kept {
            if self.producers.len() >= self.producers_max {
                self.make_room(now);
            }
            let producer = Producer {
                batches: batches.into(),
                resumes_at: None,
                last_append: now,
            };
            self.producers.insert(id, producer);
        }
    }

    /// Base offsets of all batches that are remembered, in order.
    pub(super) fn batches(&self) -> Vec<Offset> {
        let producers = self.producers.values();
        let batches = producers.flat_map(|producer| &producer.batches);
        let mut offsets: Vec<_> = batches.map(|batch| batch.base_offset).collect();
        offsets.sort_unstable();
        offsets
    }

    /// Forgets producers that have been silent for longer than the expiry.
    pub(super) fn expire(&mut self, now: Duration) {
        let expiry = self.expiry;
        self.producers
            .retain(|_, producer| now.saturating_sub(producer.last_append) <= expiry);
    }

    fn make_room(&mut self, now: Duration) {
        self.expire(now);
        if self.producers.len() < self.producers_max {
            return;
        }
        let mut by_age: Vec<_> = self
            .producers
            .iter()
            .map(|(&id, producer)| (producer.last_append, id))
            .collect();
        let surplus = (self.producers_max / FORGOTTEN_AT_ONCE).max(1);
        by_age.sort_unstable();
        for (_, id) in by_age.into_iter().take(surplus) {
            self.producers.remove(&id);
        }
    }
}

impl Producer {
    /// Its epoch, and the sequence that comes next.
    fn expected(&self) -> Option<(ProducerEpoch, Sequence)> {
        let last = self.batches.back();
        last.map(|last| (last.epoch, last.last_sequence.plus(1)))
            .or(self.resumes_at)
    }

    fn find(&self, stamp: ProducerStamp, last_sequence: Sequence) -> Option<RememberedBatch> {
        self.batches
            .iter()
            .rev()
            .find(|batch| {
                batch.epoch == stamp.epoch
                    && batch.base_sequence == stamp.base_sequence
                    && batch.last_sequence == last_sequence
            })
            .copied()
    }
}

/// How many sequence numbers a batch takes up.
pub(super) fn sequences_of(header: &BatchHeader) -> u32 {
    header.last_offset_delta.unsigned_abs() + 1
}

fn last_sequence(base: Sequence, sequences: u32) -> Sequence {
    base.plus(sequences.saturating_sub(1))
}
