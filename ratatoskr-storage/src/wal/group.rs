//! One group, from taken off the queue to settled.
//!
//! Nothing here awaits. A group that ends early, by an error, an early return or a panic, settles what
//! is left of it as *unknown* when it is dropped, so that no waiter is forgotten.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use ratatoskr_core::{
    batch::RecordBatch,
    commit::{CommitError, CommitSink, Submission},
    offset::LeaderEpoch,
    storage::{StorageError, StorageResult},
    time::Timestamp,
};

use super::{
    committer::Partitions,
    places::{PartitionKey, Places, caught, key_of},
    queue::{Command, Entry, Slot, Work},
    writer::{Outgoing, Payload},
};

/// Bytes of batches that are appended to a partition at once, unless it is a single batch.
const RUN_BYTES_MAX: usize = 256 << 10;

#[derive(Debug)]
pub(super) struct Group {
    /// Not decided yet, in the order of submission.
    entries: VecDeque<Entry>,
    places: Places,
}

impl Group {
    pub(super) fn new(entries: VecDeque<Entry>) -> Self {
        Self::with(entries, Places::default())
    }

    /// One that uses the memory of another one's places.
    pub(super) fn with(entries: VecDeque<Entry>, places: Places) -> Self {
        Self { entries, places }
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
        let mut places = std::mem::take(&mut self.places);
        self.refuse(|place, submission| {
            *place = places.of(partitions, submission);
            places.check_order(*place, submission)
        });
        if !places.reserve() {
            self.refuse(|place, _| places.reserved(*place));
        }
        self.places = places;
    }

    /// Fails the batches that `check` says no to. What it is asked of a batch, it is asked after all
    /// outcomes of batches before were handed out.
    fn refuse(&mut self, mut check: impl FnMut(&mut usize, &Submission) -> StorageResult<()>) {
        let mut at = 0;
        while let Some(entry) = self.entries.get_mut(at) {
            let checked = match &entry.work {
                Work::Batch(submission) => check(&mut entry.place, submission),
                Work::Command(_) => Ok(()),
            };
            match checked {
                Ok(()) => at += 1,
                Err(error) => {
                    if let Some(entry) = self.entries.remove(at) {
                        decide(entry, Err(CommitError::Failed(error.clone())));
                    }
                }
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
    /// A sink that fails or panics takes its partition down with it and nothing else. What is answered
    /// is empty, and its memory may be used again.
    pub(super) fn apply(mut self, partitions: &dyn Partitions) -> Spare {
        self.places.durable();
        let mut runs = Runs::default();
        while let Some(entry) = self.entries.pop_front() {
            match entry.work {
                Work::Batch(submission) => runs.push(entry.place, submission, entry.slot),
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
        let mut places = std::mem::take(&mut self.places);
        places.clear();
        Spare {
            entries: std::mem::take(&mut self.entries),
            places,
        }
    }

    /// Settles all that is left with one error.
    pub(super) fn settle(&mut self, error: &CommitError) {
        while let Some(entry) = self.entries.pop_front() {
            decide(entry, Err(error.clone()));
        }
    }
}

/// The memory of a group that is over.
#[derive(Debug, Default)]
pub(super) struct Spare {
    pub(super) entries: VecDeque<Entry>,
    pub(super) places: Places,
}

/// Durable batches, gathered a partition: those of one are appended together, whatever lies between
/// them, since only within a partition is there an order.
#[derive(Default)]
struct Runs {
    runs: Vec<Run>,
    /// Where in `runs` the last run of each place is, and one more.
    last: Vec<usize>,
}

struct Run {
    key: PartitionKey,
    sink: Arc<dyn CommitSink>,
    batches: Vec<RecordBatch>,
    bytes: usize,
    slots: Vec<Arc<Slot>>,
}

impl Runs {
    fn push(&mut self, place: usize, submission: Submission, slot: Arc<Slot>) {
        let key = key_of(&submission);
        let Submission { batch, sink, .. } = submission;
        let bytes = batch.total_bytes();
        if self.last.len() <= place {
            self.last.resize(place + 1, 0);
        }
        let last = self.last.get_mut(place);
        let at = last.as_ref().and_then(|at| at.checked_sub(1));
        let run = at.and_then(|at| self.runs.get_mut(at));
        if let Some(run) = run
            && Arc::ptr_eq(&run.sink, &sink)
            && run.bytes + bytes <= RUN_BYTES_MAX
        {
            run.batches.push(batch);
            run.bytes += bytes;
            run.slots.push(slot);
            return;
        }
        self.runs.push(Run {
            key,
            sink,
            batches: vec![batch],
            bytes,
            slots: vec![slot],
        });
        if let Some(last) = last {
            *last = self.runs.len();
        }
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
