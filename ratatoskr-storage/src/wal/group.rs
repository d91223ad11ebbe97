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
    commit::{CommitError, Submission},
    name::TopicId,
    offset::{LeaderEpoch, Offset, PartitionIndex},
    storage::{IoKind, StorageError, StorageResult},
    time::Timestamp,
};

use crate::planted::{self, Bug};

use super::{
    committer::Partitions,
    queue::{Command, Entry, Work},
    writer::{Outgoing, Payload},
};

type PartitionKey = (TopicId, PartitionIndex);

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
        while let Some(entry) = self.entries.pop_front() {
            let outcome = match &entry.work {
                Work::Batch(submission) => apply_batch(partitions, submission),
                Work::Command(_) => Ok(()),
            };
            match (outcome, entry.work) {
                (Ok(()), Work::Command(command)) => {
                    let decided = command.decided;
                    let _ = catch_unwind(AssertUnwindSafe(|| decided(Ok(()))));
                    entry.slot.decide(Ok(()));
                }
                (outcome, _) => entry.slot.decide(outcome.map_err(CommitError::Unknown)),
            }
        }
    }

    /// Settles all that is left with one error.
    pub(super) fn settle(&mut self, error: &CommitError) {
        while let Some(entry) = self.entries.pop_front() {
            decide(entry, Err(error.clone()));
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.entries.is_empty() {
            self.settle(&CommitError::Unknown(StorageError::Fenced {
                reason: "a group of the write-ahead log was given up half way".into(),
            }));
        }
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

fn apply_batch(partitions: &dyn Partitions, submission: &Submission) -> StorageResult<()> {
    let applied = caught("applying a batch to its partition", || {
        submission.sink.apply(submission.batch.clone())
    });
    if let Err(error) = &applied {
        let (topic, partition) = (submission.topic, submission.partition);
        partitions.apply_failed(topic, partition, &submission.batch, error);
    }
    applied
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
