//! One group, from taken off the queue to settled.
//!
//! Nothing here awaits. A group that ends early, by an error, an early return or a panic, settles what
//! is left of it as *unknown* when it is dropped, so that no waiter is forgotten.

use std::{
    collections::{HashMap, VecDeque},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use ratatoskr_core::{
    batch::RecordBatch,
    commit::{CommitError, CommitSink, Submission},
    name::TopicId,
    offset::{LeaderEpoch, Offset, PartitionIndex},
    storage::{IoKind, StorageError, StorageResult},
    time::Timestamp,
};

use crate::planted::{self, Bug};

use super::{
    committer::Partitions,
    queue::{Command, Entry, Slot, Work},
    writer::{Outgoing, Payload},
};

type PartitionKey = (TopicId, PartitionIndex);

/// Bytes of batches that are appended to a partition at once, unless it is a single batch.
const RUN_BYTES_MAX: usize = 256 << 10;

#[derive(Debug)]
pub(super) struct Group {
    /// Not decided yet, in the order of submission.
    entries: VecDeque<Entry>,
}

impl Group {
    pub(super) fn new(entries: VecDeque<Entry>) -> Self {
        Self { entries }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of all its frames.
    pub(super) fn bytes(&self) -> u64 {
        let entries = self.entries.iter();
        entries.map(|entry| entry.work.frame_bytes()).sum()
    }

    /// The entries again, as they were; nothing of the group has been decided.
    pub(super) fn into_entries(mut self) -> VecDeque<Entry> {
        std::mem::take(&mut self.entries)
    }

    /// Drops as *failed* what does not continue its partition's log, what its sink turns away, and
    /// what has no room in its partition: none of it is written.
    pub(super) fn admit(&mut self, partitions: &dyn Partitions) {
        let mut wanted: HashMap<PartitionKey, StorageResult<Wanted>> = HashMap::new();
        self.refuse(|submission| {
            let wanted = wanted
                .entry(key_of(submission))
                .or_insert_with_key(|&key| Wanted::at_log_end(partitions, key));
            check_order(wanted, submission)
        });
        let reserved: HashMap<PartitionKey, StorageResult<()>> = wanted
            .into_iter()
            .map(|(key, wanted)| {
                (
                    key,
                    wanted.and_then(|wanted| wanted.reserve(partitions, key)),
                )
            })
            .collect();
        self.refuse(|submission| match reserved.get(&key_of(submission)) {
            Some(Err(error)) => Err(error.clone()),
            _ => Ok(()),
        });
    }

    /// Fails the batches that `check` says no to. What it is asked of a batch, it is asked after all
    /// outcomes of batches before were handed out.
    fn refuse(&mut self, mut check: impl FnMut(&Submission) -> StorageResult<()>) {
        for entry in std::mem::take(&mut self.entries) {
            let checked = match &entry.work {
                Work::Batch(submission) => check(submission),
                Work::Command(_) => Ok(()),
            };
            match checked {
                Ok(()) => self.entries.push_back(entry),
                Err(error) => decide(entry, Err(CommitError::Failed(error))),
            }
        }
    }

    /// The frames to be written.
    pub(super) fn frames(&self) -> Vec<Outgoing<'_>> {
        self.entries
            .iter()
            .map(|entry| match &entry.work {
                Work::Batch(submission) => batch_frame(submission),
                Work::Command(command) => command_frame(command),
            })
            .collect()
    }

    /// The group is durable: hands every batch to its sink and every command to whoever sent it.
    ///
    /// A sink that fails or panics takes its partition down with it and nothing else.
    pub(super) fn apply(mut self, partitions: &dyn Partitions) {
        let mut ranges: HashMap<PartitionKey, (Offset, Offset)> = HashMap::new();
        for entry in &self.entries {
            if let Work::Batch(submission) = &entry.work {
                let header = submission.batch.header();
                let (from, end) = (header.base_offset, header.end_offset());
                ranges
                    .entry((submission.topic, submission.partition))
                    .and_modify(|range| range.1 = end)
                    .or_insert((from, end));
            }
        }
        for ((topic, partition), (from, end)) in ranges {
            partitions.durable(topic, partition, from, end);
        }
        let mut runs = Runs::default();
        while let Some(entry) = self.entries.pop_front() {
            match entry.work {
                Work::Batch(submission) => runs.push(submission, entry.slot),
                Work::Command(command) => {
                    // What it changes may be what the batches before it are appended to.
                    runs.apply(partitions);
                    let decided = command.decided;
                    let _ = catch_unwind(AssertUnwindSafe(|| decided(Ok(()))));
                    entry.slot.decide(Ok(()));
                }
            }
        }
        runs.apply(partitions);
    }

    /// Settles all that is left with one error.
    pub(super) fn settle(&mut self, error: &CommitError) {
        while let Some(entry) = self.entries.pop_front() {
            decide(entry, Err(error.clone()));
        }
    }
}

/// Durable batches, gathered a partition: those of one are appended together, whatever lies between
/// them, since only within a partition is there an order.
#[derive(Default)]
struct Runs {
    runs: Vec<Run>,
    /// Where in `runs` the last run of a partition is.
    last: HashMap<PartitionKey, usize>,
}

struct Run {
    key: PartitionKey,
    sink: Arc<dyn CommitSink>,
    batches: Vec<RecordBatch>,
    bytes: usize,
    slots: Vec<Arc<Slot>>,
}

impl Runs {
    fn push(&mut self, submission: Submission, slot: Arc<Slot>) {
        let key = key_of(&submission);
        let Submission { batch, sink, .. } = submission;
        let bytes = batch.total_bytes();
        let last = self.last.get(&key).and_then(|&at| self.runs.get_mut(at));
        if let Some(run) = last
            && Arc::ptr_eq(&run.sink, &sink)
            && run.bytes + bytes <= RUN_BYTES_MAX
        {
            run.batches.push(batch);
            run.bytes += bytes;
            run.slots.push(slot);
            return;
        }
        self.last.insert(key, self.runs.len());
        self.runs.push(Run {
            key,
            sink,
            batches: vec![batch],
            bytes,
            slots: vec![slot],
        });
    }

    /// Hands every run to its sink, and decides its batches. Should that end early, the others are
    /// unknown.
    fn apply(&mut self, partitions: &dyn Partitions) {
        self.last.clear();
        for run in std::mem::take(&mut self.runs) {
            run.apply(partitions);
        }
    }
}

impl Run {
    fn apply(mut self, partitions: &dyn Partitions) {
        let applied = caught("applying batches to their partition", || {
            self.sink.apply(&self.batches)
        });
        if let Err(error) = &applied {
            let (topic, partition) = self.key;
            for batch in &self.batches {
                partitions.apply_failed(topic, partition, batch, error);
            }
        }
        for slot in self.slots.drain(..) {
            slot.decide(applied.clone().map_err(CommitError::Unknown));
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        for slot in self.slots.drain(..) {
            slot.decide(Err(CommitError::Unknown(given_up())));
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.entries.is_empty() {
            self.settle(&CommitError::Unknown(given_up()));
        }
    }
}

fn given_up() -> StorageError {
    StorageError::Fenced {
        reason: "a group of the write-ahead log was given up half way".into(),
    }
}

/// What a group wants of one partition.
struct Wanted {
    /// Where its next batch must begin.
    next_offset: Offset,
    bytes: u64,
}

impl Wanted {
    fn at_log_end(
        partitions: &dyn Partitions,
        (topic, partition): PartitionKey,
    ) -> StorageResult<Self> {
        let next_offset = caught("asking a partition for its log end", || {
            partitions.log_end(topic, partition)
        })?;
        Ok(Self {
            next_offset,
            bytes: 0,
        })
    }

    fn reserve(
        &self,
        partitions: &dyn Partitions,
        (topic, partition): PartitionKey,
    ) -> StorageResult<()> {
        if self.bytes == 0 {
            return Ok(());
        }
        caught("reserving space for a partition", || {
            partitions.reserve(topic, partition, self.bytes)
        })
    }
}

fn key_of(submission: &Submission) -> PartitionKey {
    (submission.topic, submission.partition)
}

/// Checks that a batch continues its log and that its sink still takes batches: where one batch has
/// failed, those behind it in its partition must fail too, however much room there is by then.
fn check_order(wanted: &mut StorageResult<Wanted>, submission: &Submission) -> StorageResult<()> {
    if !submission.sink.accepts() {
        return Err(StorageError::Io {
            kind: IoKind::Unavailable,
            operation: "commit a batch".into(),
            source: Arc::new(io::Error::other("a batch before it failed")),
        });
    }
    let wanted = wanted.as_mut().map_err(|error| error.clone())?;
    let header = submission.batch.header();
    let is_next = header.base_offset == wanted.next_offset;
    if !is_next && !planted::is(Bug::SubmittedOutsideLock) {
        return Err(StorageError::OutOfOrder {
            base_offset: header.base_offset,
            log_end: wanted.next_offset,
        });
    }
    wanted.next_offset = header.end_offset();
    wanted.bytes += submission.batch.total_bytes() as u64;
    Ok(())
}

/// A panic of a partition is its own failure.
fn caught<T>(operation: &str, call: impl FnOnce() -> StorageResult<T>) -> StorageResult<T> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|_| Err(StorageError::io(operation, io::Error::other("it panicked"))))
}

/// Tells whoever sent an entry how it ended when it did not end well.
fn decide(entry: Entry, outcome: Result<(), CommitError>) {
    if let Err(error) = &outcome {
        let _ = catch_unwind(AssertUnwindSafe(|| match entry.work {
            Work::Batch(submission) => submission.sink.fail(submission.batch, error),
            Work::Command(command) => (command.decided)(Err(error)),
        }));
    }
    entry.slot.decide(outcome);
}

fn batch_frame(submission: &Submission) -> Outgoing<'_> {
    let header = submission.batch.header();
    Outgoing {
        kind: super::FrameKind::Batch,
        topic: submission.topic,
        partition: submission.partition,
        base_offset: header.base_offset,
        leader_epoch: header.leader_epoch,
        append_time: submission.append_time,
        payload: Payload::Batch(&submission.batch),
    }
}

fn command_frame(command: &Command) -> Outgoing<'_> {
    Outgoing {
        kind: command.kind,
        topic: command.topic,
        partition: command.partition,
        base_offset: command.base_offset,
        leader_epoch: LeaderEpoch::new(-1),
        append_time: Timestamp::NONE,
        payload: Payload::Bytes(&command.payload),
    }
}
