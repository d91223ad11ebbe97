//! Writing a snapshot beside events, and moving the log start up behind it.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use crc32fast::Hasher;

use super::{
    Machine, Shard,
    entry::{Entry, encode_to},
    shard::{Loaded, Submitted, Watch},
};
use crate::{broker::produce::PendingProduce, error::Error, offset::Offset};

/// Bytes of a part, unless a single event is larger.
const PART_BYTES: usize = 256 << 10;
/// Bytes of events after which a snapshot is written, if the last one was small.
const EVENTS_BYTES_MIN: usize = 4 << 20;
/// Otherwise events may have this many times the bytes of the last snapshot, so that snapshots cost
/// a bounded share of what is written.
const EVENTS_PER_SNAPSHOT: usize = 2;

/// A snapshot that has its place in the log: what comes before it is not needed any more once it is
/// complete.
struct Begun<M: Machine> {
    generation: u64,
    at: Offset,
    pending: PendingProduce,
    watch: Watch<M>,
    parts: Vec<Bytes>,
}

impl<M> Loaded<M> {
    /// Whether a snapshot is to be written now; whoever is told so writes it.
    pub(super) const fn begin_snapshot_if_due(&mut self) -> bool {
        let least = EVENTS_PER_SNAPSHOT.saturating_mul(self.snapshot_bytes);
        let due = !self.snapshotting && self.bytes >= EVENTS_BYTES_MIN && self.bytes >= least;
        if due {
            self.snapshotting = true;
        }
        due
    }
}

impl<M: Machine> Shard<M> {
    /// Writes a snapshot in the background.
    pub(super) fn spawn_snapshot(self: &Arc<Self>) {
        let this = Arc::clone(self);
        self.context().runtime.spawn(async move {
            let written = this.write_snapshot().await;
            if let Err(error) = &written {
                tracing::warn!(topic = %this.cell.topic_name(), partition = %this.cell.index(), %error,
                    "no snapshot was written; it will be tried again");
            }
            if let Some(loaded) = &mut this.inner.lock().loaded {
                loaded.snapshotting = false;
                // After a failure the log grows as much again before the next attempt.
                loaded.bytes = 0;
                loaded.snapshot_bytes = written.unwrap_or(loaded.snapshot_bytes);
            }
        });
    }

    /// Answers the bytes of all parts.
    async fn write_snapshot(self: &Arc<Self>) -> Result<usize, Error> {
        let begun = self.begin_snapshot()?;
        begun.watch.end(begun.pending.wait().await)?;
        let id = begun.at.get();
        let (mut crc, mut parts, mut bytes) = (Hasher::new(), 0, 0);
        for part in begun.parts {
            crc.update(&part);
            parts += 1;
            bytes += part.len();
            let events = part.to_vec();
            self.append_one(begun.generation, Entry::SnapshotPart { id, events })
                .await?;
        }
        let crc = crc.finalize();
        self.append_one(begun.generation, Entry::SnapshotEnd { id, parts, crc })
            .await?;
        self.cell.advance_log_start(begun.at).await?;
        Ok(bytes)
    }

    fn begin_snapshot(self: &Arc<Self>) -> Result<Begun<M>, Error> {
        let mut inner = self.inner.lock();
        let generation = inner.generation;
        let loaded = inner.loaded.as_mut().ok_or_else(|| self.reloading())?;
        let parts = parts_of(&loaded.machine)?;
        let at = loaded.end;
        let (pending, watch) =
            self.append_watched(generation, loaded, &Entry::SnapshotBegin { id: at.get() })?;
        Ok(Begun {
            generation,
            at,
            pending,
            watch,
            parts,
        })
    }

    /// Appends an entry after what has been appended meanwhile, and waits for it.
    async fn append_one(
        self: &Arc<Self>,
        generation: u64,
        entry: Entry<M::Event>,
    ) -> Result<(), Error> {
        let (pending, watch) = {
            let mut inner = self.inner.lock();
            let current = inner.generation == generation;
            let loaded = inner.loaded.as_mut().filter(|_| current);
            let loaded = loaded.ok_or_else(|| self.reloading())?;
            self.append_watched(generation, loaded, &entry)?
        };
        watch.end(pending.wait().await)?;
        Ok(())
    }

    fn append_watched(
        self: &Arc<Self>,
        generation: u64,
        loaded: &mut Loaded<M>,
        entry: &Entry<M::Event>,
    ) -> Result<(PendingProduce, Watch<M>), Error> {
        match self.append(loaded, std::slice::from_ref(entry))? {
            Submitted::Pending(pending) => Ok((pending, Watch::new(self, generation, loaded.end))),
            // The next change finds out as well, and drops the machine.
            Submitted::Misplaced | Submitted::Nothing => Err(self.reloading()),
        }
    }
}

/// The machine's state, cut into parts.
fn parts_of<M: Machine>(machine: &M) -> Result<Vec<Bytes>, Error> {
    let mut parts = Vec::new();
    let mut part = BytesMut::new();
    let mut failed = None;
    machine.snapshot(&mut |event| {
        failed = failed.take().or(encode_to(&event, &mut part).err());
        if part.len() >= PART_BYTES {
            parts.push(part.split().freeze());
        }
    });
    if !part.is_empty() {
        parts.push(part.freeze());
    }
    failed.map_or(Ok(parts), Err)
}
