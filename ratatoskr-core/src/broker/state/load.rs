//! Building a machine from its log: the newest complete snapshot, and the events after it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use bytes::Bytes;
use crc32fast::Hasher;

use super::{
    Machine, Shard,
    entry::{Entry, decode_all},
    shard::{Loaded, Submitted},
};
use crate::{
    batch::{RecordLimits, batches},
    broker::{partition::Wanted, supervision::panic_message},
    error::Error,
    offset::Offset,
    storage::Access,
};

/// Bytes of the log read at a time.
const READ_BYTES: usize = 1 << 20;

/// What the records so far have made.
struct Replay<M> {
    machine: M,
    /// Bytes of events since the snapshot that `machine` began with.
    bytes: usize,
    snapshot_bytes: usize,
    /// A snapshot that is not complete yet.
    snapshot: Option<Snapshot<M>>,
}

struct Snapshot<M> {
    id: u64,
    machine: M,
    parts: u32,
    bytes: usize,
    crc: Hasher,
    /// Events since it was begun: it does not have them.
    since: Vec<Bytes>,
}

impl<M: Machine> Shard<M> {
    /// Reads the machine from the log, unless it is there by now.
    ///
    /// # Errors
    /// [`Error::PartitionOffline`], [`Error::CorruptRecords`], [`Error::Unsupported`] where a newer
    /// broker wrote the log.
    ///
    /// # Cancel safety
    /// Dropping the future loads nothing.
    pub(super) async fn load(self: &Arc<Self>) -> Result<(), Error> {
        let _one_reads = self.loading.lock().await;
        if self.inner.lock().loaded.is_some() {
            return Ok(());
        }
        let end = self.cell.at_rest().await?;
        let replay = self.replay(end).await?;
        let mut loaded = Loaded {
            machine: replay.machine,
            end,
            bytes: replay.bytes,
            snapshot_bytes: replay.snapshot_bytes,
            snapshotting: false,
        };
        let note = caught(|| loaded.machine.loaded())?;
        match self.submit(&mut loaded, note.into_iter().collect())? {
            Submitted::Nothing => {}
            Submitted::Pending(pending) => {
                pending.wait().await?;
            }
            Submitted::Misplaced => return Err(self.reloading()),
        }
        self.inner.lock().loaded = Some(loaded);
        Ok(())
    }

    async fn replay(&self, end: Offset) -> Result<Replay<M>, Error> {
        let mut replay = Replay {
            machine: M::default(),
            bytes: 0,
            snapshot_bytes: 0,
            snapshot: None,
        };
        let mut next = self.cell.bounds()?.log_start;
        while next < end {
            let wanted = Wanted::from(next, READ_BYTES, Access::Inspect);
            let read = self.cell.read(&wanted).await?;
            let from = next;
            for slice in read.batches.into_slices() {
                for batch in batches(slice) {
                    let batch = batch?;
                    for record in batch.records(&RecordLimits::default())? {
                        let record = record?;
                        if record.offset >= next {
                            replay.take(record.value.unwrap_or_default())?;
                        }
                    }
                    next = batch.header().end_offset();
                }
            }
            if next <= from {
                return Err(self.reloading());
            }
            tokio::task::consume_budget().await;
        }
        Ok(replay)
    }
}

impl<M: Machine> Replay<M> {
    fn take(&mut self, value: Bytes) -> Result<(), Error> {
        match Entry::<M::Event>::decode(&value)? {
            Entry::Event(event) => {
                self.bytes += value.len();
                caught(|| self.machine.apply(event))?;
                if let Some(snapshot) = &mut self.snapshot {
                    snapshot.since.push(value);
                }
            }
            Entry::SnapshotBegin { id } => {
                self.snapshot = Some(Snapshot {
                    id,
                    machine: M::default(),
                    parts: 0,
                    bytes: 0,
                    crc: Hasher::new(),
                    since: Vec::new(),
                });
            }
            Entry::SnapshotPart { id, events } => {
                if let Some(snapshot) = self.snapshot.as_mut().filter(|begun| begun.id == id) {
                    snapshot.take_part(&events)?;
                }
            }
            Entry::SnapshotEnd { id, parts, crc } => {
                if let Some(snapshot) = self.snapshot.take()
                    && (snapshot.id, snapshot.parts, snapshot.crc.clone().finalize())
                        == (id, parts, crc)
                {
                    self.begin_with(snapshot)?;
                }
            }
        }
        Ok(())
    }

    /// Goes on from a snapshot that is complete.
    fn begin_with(&mut self, snapshot: Snapshot<M>) -> Result<(), Error> {
        self.machine = snapshot.machine;
        self.snapshot_bytes = snapshot.bytes;
        self.bytes = 0;
        for value in snapshot.since {
            self.take(value)?;
        }
        Ok(())
    }
}

impl<M: Machine> Snapshot<M> {
    fn take_part(&mut self, part: &[u8]) -> Result<(), Error> {
        self.crc.update(part);
        self.parts += 1;
        self.bytes += part.len();
        for event in decode_all(part)? {
            caught(|| self.machine.apply(event))?;
        }
        Ok(())
    }
}

/// A machine that panics ends the load, not the task.
fn caught<T>(call: impl FnOnce() -> T) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| Error::Internal(panic_message(&*panic)))
}
