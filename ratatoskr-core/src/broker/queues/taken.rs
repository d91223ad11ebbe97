//! Records that a look has acquired, until they are answered: given back if they are not.

use super::{
    Acquired, AcquiredPartition, AcquiredRange, attempt::Seeker, cut::cut_to, scan::Piece,
};
use crate::{
    delivery::{FencingToken, Granted},
    offset::{Offset, PartitionIndex},
    storage::BatchSlices,
};

/// Ranges of a partition with how often each has been delivered.
pub(super) type Ranges = Vec<(u64, u64, u32)>;

/// See the module.
pub(super) struct Taken<'a> {
    seeker: &'a Seeker<'a>,
    parts: Vec<Part>,
    lease: std::time::Duration,
}

struct Part {
    partition: PartitionIndex,
    token: FencingToken,
    ranges: Ranges,
    pieces: Vec<Piece>,
}

impl<'a> Taken<'a> {
    pub(super) const fn new(seeker: &'a Seeker<'a>) -> Self {
        Self {
            seeker,
            parts: Vec::new(),
            lease: std::time::Duration::ZERO,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts.iter().all(|part| part.ranges.is_empty())
    }

    /// Takes note of what was granted; answers its number.
    pub(super) fn add(&mut self, partition: PartitionIndex, granted: &Granted) -> usize {
        self.lease = granted.lease;
        self.parts.push(Part {
            partition,
            token: granted.token,
            ranges: granted.ranges.clone(),
            pieces: Vec::new(),
        });
        self.parts.len() - 1
    }

    pub(super) fn ranges(&self, at: usize) -> &[(u64, u64, u32)] {
        &self.parts[at].ranges
    }

    /// Puts the batches to a grant that hold some of it, without what nobody has acquired of them where
    /// that is much; answers their bytes.
    pub(super) fn fill(&mut self, at: usize, pieces: Vec<Piece>) -> usize {
        let part = &mut self.parts[at];
        let mut ranges = part.ranges.iter().peekable();
        for piece in pieces {
            while ranges.next_if(|range| range.1 < piece.first).is_some() {}
            if ranges.peek().is_some_and(|range| range.0 <= piece.last) {
                let rest = &part.ranges[part.ranges.len() - ranges.len()..];
                part.pieces.push(cut_to(piece, rest));
            }
        }
        part.pieces.iter().map(|piece| piece.bytes.len()).sum()
    }

    /// Records that were granted are none, or are not to be delivered.
    pub(super) fn remove(&mut self, at: usize, gone: &[(u64, u64)]) {
        let ranges = &mut self.parts[at].ranges;
        for &(first, last) in gone {
            *ranges = std::mem::take(ranges)
                .into_iter()
                .flat_map(|(begin, end, count)| {
                    let before = (begin < first).then(|| (begin, end.min(first - 1), count));
                    let after = (end > last).then(|| (begin.max(last + 1), end, count));
                    before.into_iter().chain(after)
                })
                .filter(|(begin, end, _)| begin <= end)
                .collect();
        }
    }

    /// Gives back what was granted from this offset on.
    pub(super) fn give_back(&mut self, at: usize, from: u64) {
        self.seeker.give_back(&self.parts[at], from);
        self.remove(at, &[(from, u64::MAX - 1)]);
    }

    /// What is answered; `None` where there is nothing.
    pub(super) fn finish(mut self) -> Option<Acquired> {
        let parts = std::mem::take(&mut self.parts);
        let parts = parts.into_iter().filter(|part| !part.ranges.is_empty());
        let partitions: Vec<_> = parts.map(Part::answer).collect();
        let clock = &self.seeker.broker.shared.context.clock;
        (!partitions.is_empty()).then(|| Acquired {
            topic: self.seeker.topic.name().clone(),
            lease: self.lease,
            deadline: clock.now().plus(self.lease),
            partitions,
        })
    }
}

impl Part {
    fn answer(self) -> AcquiredPartition {
        let ranges = self.ranges.into_iter();
        let mut batches = BatchSlices::default();
        for piece in self.pieces {
            batches.push(piece.bytes, Offset::new(piece.last.saturating_add(1)));
        }
        AcquiredPartition {
            partition: self.partition,
            token: self.token,
            batches,
            ranges: ranges
                .map(|(first, last, delivery_count)| AcquiredRange {
                    first: Offset::new(first),
                    last: Offset::new(last),
                    delivery_count,
                })
                .collect(),
        }
    }
}

impl Seeker<'_> {
    fn give_back(&self, part: &Part, from: u64) {
        self.shard.peek(|queues| {
            let (group, topic) = (self.group, self.topic.id());
            queues.give_back(group, topic, part.partition, part.token, from);
        });
        self.broker.queue_freed(self.shard, self.group);
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        for part in &self.parts {
            if !part.ranges.is_empty() {
                self.seeker.give_back(part, 0);
            }
        }
    }
}
