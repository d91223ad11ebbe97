//! What state each offset of a partition is in, as runs of offsets in the same state.
//!
//! Invariants:
//! - The runs cover every offset from the first one's to the greatest there is, without overlap. The
//!   last is [`State::Unseen`] and has no end.
//! - Neighbours differ, so that a batch that is handed out whole, or a million records that are done,
//!   are one run of 16 bytes.
//! - Runs lie in chunks, none of which is empty, so that inserting one moves few others, and whoever
//!   looks for an available run passes a chunk without any in one step.

use std::collections::VecDeque;

use super::leases::LeaseId;

/// Most runs of a chunk.
const CHUNK_RUNS_MAX: usize = 128;
/// A run as near to the end of all is where records come in order: what is leased, available, unseen.
const NEAR_END: usize = 3;
const KIND_BITS: u32 = 2;

/// What is known of an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing, since the log has not been read so far.
    Unseen,
    /// A consumer may have it.
    Available,
    /// A consumer has it.
    Leased(LeaseId),
    /// It is done, or there is no such record, or it waits elsewhere: for its time, for its key, for
    /// its way to the dead letters.
    Absent,
}

/// Offsets in the same state, which have been delivered as often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: u64,
    /// Included.
    pub(super) last: u64,
    pub(super) state: State,
    pub(super) count: u32,
}

impl Range {
    pub(super) const fn len(&self) -> u64 {
        (self.last - self.first).saturating_add(1)
    }
}

/// A run, which ends where the next one begins.
#[derive(Clone, Copy, Debug)]
struct Run {
    first: u64,
    /// The state's kind, and the count above it.
    tag: u32,
    lease: LeaseId,
}

impl Run {
    fn new(first: u64, state: State, count: u32) -> Self {
        let (kind, lease) = match state {
            State::Unseen => (0, LeaseId::NONE),
            State::Available => (1, LeaseId::NONE),
            State::Leased(lease) => (2, lease),
            State::Absent => (3, LeaseId::NONE),
        };
        Self {
            first,
            tag: count << KIND_BITS | kind,
            lease,
        }
    }

    const fn state(&self) -> State {
        match self.tag & ((1 << KIND_BITS) - 1) {
            0 => State::Unseen,
            1 => State::Available,
            2 => State::Leased(self.lease),
            _ => State::Absent,
        }
    }

    fn is_available(&self) -> bool {
        self.state() == State::Available
    }

    const fn is_like(&self, other: &Self) -> bool {
        self.tag == other.tag && self.lease.get() == other.lease.get()
    }
}

#[derive(Clone, Debug)]
struct Chunk {
    runs: Vec<Run>,
    /// How many of them are available.
    available: usize,
}

impl Chunk {
    fn of(runs: Vec<Run>) -> Self {
        let available = runs.iter().filter(|run| run.is_available()).count();
        Self { runs, available }
    }

    fn first(&self) -> u64 {
        self.runs.first().map_or(u64::MAX, |run| run.first)
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Runs {
    chunks: VecDeque<Chunk>,
    /// Offsets that are available.
    available: u64,
}

/// The place of a run.
type Position = (usize, usize);

impl Runs {
    pub(super) fn new(start: u64) -> Self {
        let unseen = Run::new(start, State::Unseen, 0);
        Self {
            chunks: VecDeque::from([Chunk::of(vec![unseen])]),
            available: 0,
        }
    }

    /// The first offset.
    pub(super) fn start(&self) -> u64 {
        self.chunks.front().map_or(0, Chunk::first)
    }

    /// Offsets that are available.
    pub(super) const fn available(&self) -> u64 {
        self.available
    }

    /// The run that holds `offset`, which does not lie before the first.
    fn find(&self, offset: u64) -> Position {
        let chunk = self.chunks.partition_point(|chunk| chunk.first() <= offset);
        let chunk = chunk.saturating_sub(1);
        let runs = &self.chunks[chunk].runs;
        let run = runs.partition_point(|run| run.first <= offset);
        (chunk, run.saturating_sub(1))
    }

    fn run(&self, (chunk, run): Position) -> Option<&Run> {
        self.chunks.get(chunk)?.runs.get(run)
    }

    fn next(&self, (chunk, run): Position) -> Position {
        if run + 1 < self.chunks[chunk].runs.len() {
            (chunk, run + 1)
        } else {
            (chunk + 1, 0)
        }
    }

    fn range(&self, position: Position) -> Option<Range> {
        let run = self.run(position)?;
        let next = self.run(self.next(position));
        Some(Range {
            first: run.first,
            last: next.map_or(u64::MAX, |next| next.first - 1),
            state: run.state(),
            count: run.tag >> KIND_BITS,
        })
    }

    /// The ranges of all offsets from `from` on, the first cut to begin there.
    pub(super) fn from(&self, from: u64) -> impl Iterator<Item = Range> + '_ {
        let from = from.max(self.start());
        let mut position = self.find(from);
        std::iter::from_fn(move || {
            let range = self.range(position)?;
            position = self.next(position);
            Some(Range {
                first: range.first.max(from),
                ..range
            })
        })
    }

    /// The ranges from `first` to `last`, cut to lie between.
    pub(super) fn between(&self, first: u64, last: u64) -> impl Iterator<Item = Range> + '_ {
        self.from(first)
            .take_while(move |range| range.first <= last)
            .map(move |range| Range {
                last: range.last.min(last),
                ..range
            })
    }

    /// The first range of available offsets from `from` on.
    pub(super) fn next_available(&self, from: u64) -> Option<Range> {
        let from = from.max(self.start());
        let (mut chunk, mut run) = self.find(from);
        while let Some(found) = self.chunks.get(chunk) {
            if found.available > 0
                && let Some(step) = found.runs[run..].iter().position(Run::is_available)
            {
                let range = self.range((chunk, run + step))?;
                return Some(Range {
                    first: range.first.max(from),
                    ..range
                });
            }
            (chunk, run) = (chunk + 1, 0);
        }
        None
    }

    /// Puts the offsets from `first` to `last` into a state. Those before the first run have none.
    pub(super) fn assign(&mut self, first: u64, last: u64, state: State, count: u32) {
        let first = first.max(self.start());
        if first > last || last == u64::MAX {
            return;
        }
        let end = last + 1;
        let replaced = self.between(first, last);
        let replaced = replaced.filter(|range| range.state == State::Available);
        self.available -= replaced.map(|range| range.len()).sum::<u64>();
        self.split(end);
        self.split(first);
        let new = Run::new(first, state, count);
        if new.is_available() {
            self.available += end - first;
        }
        let (chunk, run) = self.find(first);
        let (end_chunk, end_run) = self.find(end);
        if chunk == end_chunk {
            let chunk = &mut self.chunks[chunk];
            let removed = chunk.runs.drain(run..end_run);
            chunk.available -= removed.filter(Run::is_available).count();
            chunk.runs.insert(run, new);
            chunk.available += usize::from(new.is_available());
        } else {
            let last = &mut self.chunks[end_chunk];
            let removed = last.runs.drain(..end_run);
            last.available -= removed.filter(Run::is_available).count();
            self.chunks.drain(chunk + 1..end_chunk);
            let chunk = &mut self.chunks[chunk];
            chunk.runs.truncate(run);
            chunk.runs.push(new);
            *chunk = Chunk::of(std::mem::take(&mut chunk.runs));
        }
        self.join(end);
        self.join(first);
        self.balance(first);
    }

    /// Makes a run begin at `at`.
    fn split(&mut self, at: u64) {
        let (chunk, run) = self.find(at);
        let found = self.chunks[chunk].runs[run];
        if found.first == at {
            return;
        }
        let part = Run { first: at, ..found };
        let is_last = chunk + 1 == self.chunks.len();
        let runs = &mut self.chunks[chunk].runs;
        if runs.len() < CHUNK_RUNS_MAX {
            runs.insert(run + 1, part);
            self.chunks[chunk].available += usize::from(part.is_available());
            return;
        }
        // Where records come in order, chunks stay full.
        let middle = if is_last && run + NEAR_END >= runs.len() {
            run + 1
        } else {
            runs.len() / 2
        };
        let mut upper = runs.split_off(middle);
        if run + 1 >= middle {
            upper.insert(run + 1 - middle, part);
        } else {
            runs.insert(run + 1, part);
        }
        let lower = Chunk::of(std::mem::take(runs));
        self.chunks[chunk] = lower;
        self.chunks.insert(chunk + 1, Chunk::of(upper));
    }

    /// Makes the run that begins at `at` one with the run before it, if they are alike.
    fn join(&mut self, at: u64) {
        let (chunk, run) = self.find(at);
        let Some(before) = at.checked_sub(1).filter(|&before| before >= self.start()) else {
            return;
        };
        let this = self.chunks[chunk].runs[run];
        let before = self.find(before);
        let alike = self.run(before).is_some_and(|before| before.is_like(&this));
        if this.first != at || !alike {
            return;
        }
        let found = &mut self.chunks[chunk];
        found.runs.remove(run);
        found.available -= usize::from(this.is_available());
        if found.runs.is_empty() {
            self.chunks.remove(chunk);
        }
    }

    /// Makes one chunk of two that have few runs left.
    fn balance(&mut self, at: u64) {
        let (chunk, _) = self.find(at);
        let len = |chunk: usize| self.chunks.get(chunk).map(|chunk| chunk.runs.len());
        let (Some(this), Some(next)) = (len(chunk), len(chunk + 1)) else {
            return;
        };
        if this + next > CHUNK_RUNS_MAX / 2 {
            return;
        }
        if let Some(next) = self.chunks.remove(chunk + 1) {
            let this = &mut self.chunks[chunk];
            this.runs.extend(next.runs);
            this.runs.shrink_to(CHUNK_RUNS_MAX / 2);
            this.available += next.available;
        }
    }

    /// Forgets the offsets before `to`.
    pub(super) fn trim(&mut self, to: u64) {
        if to <= self.start() {
            return;
        }
        self.assign(self.start(), to - 1, State::Absent, 0);
        self.split(to);
        let (chunk, run) = self.find(to);
        self.chunks.drain(..chunk);
        self.chunks[0].runs.drain(..run);
        let runs = std::mem::take(&mut self.chunks[0].runs);
        self.chunks[0] = Chunk::of(runs);
    }

    /// Bytes that the runs take.
    pub(super) fn bytes(&self) -> usize {
        let runs: usize = self.chunks.iter().map(|chunk| chunk.runs.capacity()).sum();
        runs * size_of::<Run>() + self.chunks.capacity() * size_of::<Chunk>()
    }
}
