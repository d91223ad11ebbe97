//! What an idempotent producer has on its way, and what it makes of the answers, as Kafka's clients do.
//!
//! A batch keeps its sequence and its bytes until it is acknowledged. What was not answered when a
//! connection was lost, and what was refused for now, is sent again in the order of the sequences,
//! before anything new. Batches behind a refused one are out of order until then, which is no error.

use std::collections::{BTreeMap, VecDeque};

use anyhow::{Result, bail, ensure};
use ratatoskr_client::PartitionIndex;
use ratatoskr_core::bytes::Bytes;

use crate::history::Tag;

/// Batches that may be without an answer at once: as many as Kafka's clients have.
pub(super) const IN_FLIGHT_MAX: usize = 5;

/// The codes of what may be sent again.
const RETRIED: [i16; 6] = [3, 5, 6, 7, 19, 56];
const OUT_OF_ORDER: i16 = 45;

/// A batch for a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) partition: PartitionIndex,
    pub(super) tags: Vec<Tag>,
    /// As it goes over the wire, each time it is sent.
    pub(super) bytes: Bytes,
}

/// The batches that are not acknowledged yet.
#[derive(Debug, Default)]
pub(super) struct Pipeline {
    /// The sequence of each partition's next record.
    next: BTreeMap<PartitionIndex, i32>,
    /// On their way.
    sent: VecDeque<Batch>,
    /// To be sent again; those on their way are behind them.
    again: VecDeque<Batch>,
}

impl Pipeline {
    /// The sequence of the next batch for a partition, which will have so many records.
    pub(super) fn sequence(&mut self, partition: PartitionIndex, records: usize) -> i32 {
        let next = self.next.entry(partition).or_default();
        let sequence = *next;
        *next += i32::try_from(records).unwrap_or(i32::MAX);
        sequence
    }

    /// Whether a new batch may be sent.
    pub(super) fn has_room(&self) -> bool {
        self.again.is_empty() && self.sent.len() < IN_FLIGHT_MAX
    }

    pub(super) fn awaits_answers(&self) -> bool {
        !self.sent.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sent.is_empty() && self.again.is_empty()
    }

    /// A batch is on its way.
    pub(super) fn push(&mut self, batch: Batch) {
        self.sent.push_back(batch);
    }

    /// The answer to the earliest batch on its way; the batch, where it is acknowledged.
    ///
    /// # Errors
    /// No broker that keeps its promises gives such an answer.
    pub(super) fn answered(&mut self, code: i16) -> Result<Option<Batch>> {
        let Some(batch) = self.sent.pop_front() else {
            bail!("nothing was asked for");
        };
        let mut refused = self.again.iter();
        let is_behind = refused.any(|refused| refused.partition == batch.partition);
        let name = batch.tags.first();
        match code {
            0 => {
                ensure!(
                    !is_behind,
                    "a batch was taken although one before it was not: {name:?}"
                );
                Ok(Some(batch))
            }
            OUT_OF_ORDER if is_behind => {
                self.again.push_back(batch);
                Ok(None)
            }
            code if RETRIED.contains(&code) => {
                self.again.push_back(batch);
                Ok(None)
            }
            code => bail!("an idempotent producer was answered {code}: {name:?}"),
        }
    }

    /// The connection is gone: whatever has no answer is to be sent again.
    pub(super) fn lost(&mut self) {
        self.again.append(&mut self.sent);
    }

    /// What is to be sent again, all of it on its way from here on. Nothing else is.
    pub(super) fn resend(&mut self) -> &VecDeque<Batch> {
        self.sent.append(&mut self.again);
        &self.sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: PartitionIndex = PartitionIndex::new(0);
    const OTHER: PartitionIndex = PartitionIndex::new(1);

    fn batch(partition: PartitionIndex, sequence: u64) -> Batch {
        Batch {
            partition,
            tags: vec![Tag {
                producer: 1,
                sequence,
            }],
            bytes: Bytes::new(),
        }
    }

    fn sent(batches: impl IntoIterator<Item = Batch>) -> Pipeline {
        let mut pipeline = Pipeline::default();
        for batch in batches {
            pipeline.push(batch);
        }
        pipeline
    }

    fn sequences(pipeline: &mut Pipeline) -> Vec<u64> {
        let batches = pipeline.resend().iter();
        batches.map(|batch| batch.tags[0].sequence).collect()
    }

    #[test]
    fn what_is_not_answered_is_sent_again_in_order() {
        let mut pipeline = sent([batch(P, 0), batch(OTHER, 1), batch(P, 2)]);
        assert_eq!(pipeline.answered(0).unwrap(), Some(batch(P, 0)));
        pipeline.lost();
        assert!(!pipeline.has_room() && !pipeline.awaits_answers());
        assert_eq!(sequences(&mut pipeline), [1, 2]);
        // Lost once more.
        pipeline.lost();
        assert_eq!(sequences(&mut pipeline), [1, 2]);
        pipeline.answered(0).unwrap();
        pipeline.answered(0).unwrap();
        assert!(pipeline.is_empty());
    }

    #[test]
    fn what_is_refused_for_now_goes_before_what_was_out_of_order_behind_it() {
        let mut pipeline = sent([batch(P, 0), batch(OTHER, 1), batch(P, 2), batch(P, 3)]);
        assert_eq!(pipeline.answered(19).unwrap(), None);
        assert_eq!(pipeline.answered(0).unwrap(), Some(batch(OTHER, 1)));
        assert_eq!(pipeline.answered(45).unwrap(), None);
        pipeline.lost();
        assert_eq!(sequences(&mut pipeline), [0, 2, 3]);
    }

    #[test]
    fn answers_that_break_a_promise_are_caught() {
        let mut gap = sent([batch(P, 0), batch(P, 1)]);
        gap.answered(19).unwrap();
        let taken = gap.answered(0).unwrap_err();
        assert!(taken.to_string().contains("one before it was not"));
        // Forgotten by the broker; beyond what it remembers; fenced; changed on the way.
        for code in [45, 59, 46, 47, 2] {
            let mut forgotten = sent([batch(P, 0)]);
            assert!(forgotten.answered(code).is_err(), "{code}");
        }
        assert!(sent([]).answered(0).is_err());
    }

    #[test]
    fn sequences_go_on_by_partition() {
        let mut pipeline = Pipeline::default();
        assert_eq!(pipeline.sequence(P, 3), 0);
        assert_eq!(pipeline.sequence(P, 2), 3);
        assert_eq!(pipeline.sequence(OTHER, 2), 0);
        assert_eq!(pipeline.sequence(P, 1), 5);
    }
}
