//! The partitions of one group: each looked up once, asked where its log ends, and for room.

use std::{
    collections::HashMap,
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use ratatoskr_core::{
    commit::Submission,
    name::TopicId,
    offset::{Offset, PartitionIndex},
    storage::{IoKind, StorageError, StorageResult},
};

use super::committer::{Partitions, WalPartition};
use crate::planted::{self, Bug};

pub(super) type PartitionKey = (TopicId, PartitionIndex);

/// The partitions of a group, in the order in which they come up in it.
#[derive(Default)]
pub(super) struct Places {
    places: Vec<Place>,
    /// Where in `places` a partition is; nothing while there is only one.
    by_key: HashMap<PartitionKey, usize>,
}

/// What a group wants of one partition.
struct Place {
    key: PartitionKey,
    /// The partition, or why nothing of the group goes there.
    partition: StorageResult<Arc<dyn WalPartition>>,
    /// Where its log ended before the group.
    log_end: Offset,
    /// Where its next batch must begin.
    next_offset: Offset,
    bytes: u64,
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.places.iter().map(|place| place.key))
            .finish()
    }
}

impl Places {
    /// Forgets all of them, and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.places.clear();
        self.by_key.clear();
    }

    /// The place of a batch's partition, which is looked up where it is new to the group.
    pub(super) fn of(&mut self, partitions: &dyn Partitions, submission: &Submission) -> usize {
        let key = key_of(submission);
        // Most often a group is of one partition, or batches of one come one after the other.
        let last = self.places.len().saturating_sub(1);
        if self.places.last().is_some_and(|place| place.key == key) {
            return last;
        }
        if let Some(&at) = self.by_key.get(&key) {
            return at;
        }
        if let [first] = self.places.as_slice() {
            self.by_key.insert(first.key, 0);
        }
        let at = self.places.len();
        if at > 0 {
            self.by_key.insert(key, at);
        }
        self.places.push(Place::look_up(partitions, key));
        at
    }

    /// Checks that a batch continues its log and that its sink still takes batches: where one batch
    /// has failed, those behind it in its partition must fail too, however much room there is by then.
    pub(super) fn check_order(&mut self, at: usize, submission: &Submission) -> StorageResult<()> {
        if !submission.sink.accepts() {
            return Err(StorageError::Io {
                kind: IoKind::Unavailable,
                operation: "commit a batch".into(),
                source: Arc::new(io::Error::other("a batch before it failed")),
            });
        }
        let place = self.places.get_mut(at).ok_or(StorageError::Closed)?;
        if let Err(error) = &place.partition {
            return Err(error.clone());
        }
        let header = submission.batch.header();
        let is_next = header.base_offset == place.next_offset;
        if !is_next && !planted::is(Bug::SubmittedOutsideLock) {
            return Err(StorageError::OutOfOrder {
                base_offset: header.base_offset,
                log_end: place.next_offset,
            });
        }
        place.next_offset = header.end_offset();
        place.bytes += submission.batch.total_bytes() as u64;
        Ok(())
    }

    /// Asks each partition for room for what goes there. Whether all have it.
    pub(super) fn reserve(&mut self) -> bool {
        let mut all = true;
        for place in self.places.iter_mut().filter(|place| place.bytes > 0) {
            let reserved = match &place.partition {
                Ok(partition) => caught("reserving space for a partition", || {
                    partition.reserve(place.bytes)
                }),
                Err(_) => continue,
            };
            if let Err(error) = reserved {
                place.partition = Err(error);
                all = false;
            }
        }
        all
    }

    /// Whether a place has room.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn reserved(&self, at: usize) -> StorageResult<()> {
        match self.places.get(at).map(|place| &place.partition) {
            Some(Err(error)) => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// Tells each partition which of its batches are durable now.
    pub(super) fn durable(&self) {
        for place in self.places.iter().filter(|place| place.bytes > 0) {
            if let Ok(partition) = &place.partition {
                partition.durable(place.log_end, place.next_offset);
            }
        }
    }
}

impl Place {
    fn look_up(partitions: &dyn Partitions, key: PartitionKey) -> Self {
        let (topic, index) = key;
        let found = caught("asking a partition for its log end", || {
            let partition = partitions.partition(topic, index)?;
            let log_end = partition.log_end()?;
            Ok((partition, log_end))
        });
        let (partition, log_end) = match found {
            Ok((partition, log_end)) => (Ok(partition), log_end),
            Err(error) => (Err(error), Offset::ZERO),
        };
        Self {
            key,
            partition,
            log_end,
            next_offset: log_end,
            bytes: 0,
        }
    }
}

pub(super) fn key_of(submission: &Submission) -> PartitionKey {
    (submission.topic, submission.partition)
}

/// A panic of a partition is its own failure.
pub(super) fn caught<T>(
    operation: &str,
    call: impl FnOnce() -> StorageResult<T>,
) -> StorageResult<T> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|_| Err(StorageError::io(operation, io::Error::other("it panicked"))))
}
