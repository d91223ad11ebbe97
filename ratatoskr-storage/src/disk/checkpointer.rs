//! Writes checkpoints while the storage is in use: every quarter of the write-ahead log, every few
//! seconds where there is something new, when much was appended, and when producers wait for room.
//!
//! The order of steps is what makes a checkpoint true: first the point, before which everything is
//! applied; then the partitions are synced, and the frames that one could not take are copied to its
//! pending file; then the file is put in place; only then are older files of the log free. What is
//! applied meanwhile may be in a partition's part of the checkpoint although its frame lies beyond the
//! point: replay compares and skips it.

use std::{
    collections::{HashMap, HashSet},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::{self, JoinHandle},
};

use ratatoskr_core::storage::{StorageError, StorageResult};

use super::{
    Shared,
    checkpoint::Checkpoint,
    pending,
    registry::{Slot, TopicState},
};
use crate::{
    mmap::{LogCheckpoint, LogId},
    planted::{self, Bug},
    wal::ScanRange,
};

pub(super) fn spawn(shared: Arc<Shared>) -> std::io::Result<JoinHandle<()>> {
    thread::Builder::new()
        .name("ratatoskr-checkpoint".into())
        .spawn(move || {
            while shared.registry.signal.wait(shared.checkpoint_interval) {
                if let Err(error) = run(&shared) {
                    tracing::error!(%error, "no checkpoint could be written");
                }
            }
        })
}

/// Writes a checkpoint, if there is anything new.
///
/// # Errors
/// What keeps it from being written, a panic included. The one before stays, and whoever waits for
/// room in the write-ahead log fails instead of waiting for ever.
pub(super) fn run(shared: &Shared) -> StorageResult<()> {
    let written = catch_unwind(AssertUnwindSafe(|| write(shared))).unwrap_or_else(|_| {
        let panicked = io::Error::other("a panic, see the log");
        Err(StorageError::io("write a checkpoint", panicked))
    });
    if let Err(error) = &written {
        shared.wal.release_failed(error);
    }
    written
}

fn write(shared: &Shared) -> StorageResult<()> {
    let mut covered = shared.covered.lock();
    let point = shared.wal.point();
    shared.logs.caches.begins_to_sync();
    let synced = sync_partitions(shared);
    shared.logs.caches.synced();
    if point == *covered && synced.changed.is_empty() && !shared.wal.is_stalled() {
        return Ok(());
    }
    let layout = &shared.logs.layout;
    let range = ScanRange {
        from: *covered,
        until: Some(point.lsn),
    };
    if !synced.stale.is_empty() {
        pending::keep(&shared.logs, range, |id| synced.stale.contains(&id))?;
    }
    layout.sync_moves()?;
    if planted::is(Bug::RecycledTooEarly) {
        shared.wal.release(point)?;
    }
    let topics = shared.registry.descriptors().into_iter();
    Checkpoint::new(point, topics, &synced.checkpoints).write(layout)?;
    for (slot, checkpoint) in &synced.changed {
        slot.set_checkpoint(*checkpoint);
    }
    *covered = point;
    for id in &synced.pending_done {
        pending::remove(layout, *id)?;
    }
    shared.wal.release(point)?;
    layout.empty_trash()
}

/// What the partitions' part of a checkpoint is to be.
#[derive(Default)]
struct Synced {
    checkpoints: HashMap<LogId, LogCheckpoint>,
    /// Those that are not as in the last checkpoint.
    changed: Vec<(Arc<Slot>, LogCheckpoint)>,
    /// Logs that may lack frames before the point.
    stale: HashSet<LogId>,
    /// Logs that hold now what their pending file holds.
    pending_done: Vec<LogId>,
}

fn sync_partitions(shared: &Shared) -> Synced {
    let mut synced = Synced::default();
    for topic in shared.registry.topics() {
        for slot in topic.slots() {
            synced.add(&topic, slot);
        }
    }
    synced
}

impl Synced {
    fn add(&mut self, topic: &TopicState, slot: Arc<Slot>) {
        let id = LogId {
            topic: topic.id,
            partition: slot.index,
        };
        let state = slot.state();
        let mut checkpoint = state.checkpoint;
        if let Some(handle) = state.handle
            && handle.is_dirty(checkpoint)
        {
            // One that cannot be synced has taken itself out of its slot.
            if let Ok(synced) = handle.sync() {
                checkpoint = Some(synced);
                if handle.take_pending() {
                    self.pending_done.push(id);
                }
            }
        }
        if slot.state().stale {
            self.stale.insert(id);
            checkpoint = state.checkpoint;
        }
        if let Some(checkpoint) = checkpoint {
            self.checkpoints.insert(id, checkpoint);
            if state.checkpoint != Some(checkpoint) {
                self.changed.push((slot, checkpoint));
            }
        }
    }
}
