//! A partition on disk, as the engine sees it.
//!
//! Opening reads the log from its checkpoint, then brings it up to what is durable elsewhere: the
//! partition's pending file, and, where an earlier handle failed, the write-ahead log. A handle that
//! has failed takes itself out of its slot and answers its failure to every write from then on.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use ratatoskr_core::{
    batch::RecordBatch,
    compaction::{CompactRequest, Compacted},
    config::TopicConfig,
    offset::{Bounds, Offset, PartitionIndex},
    storage::{
        Appended, BatchSlices, Partition, PartitionStats, ReadRequest, StorageError, StorageResult,
        TimestampedOffset, TryRead,
    },
    sync::{Mutex, MutexGuard},
    time::Timestamp,
};

use super::{
    Shared, checkpointer, outcome_of,
    registry::{Slot, SlotState, TopicState},
    replay::{OpenLog, Replay},
};
use crate::{
    mmap::{LogCheckpoint, LogConfig, LogId, PartitionLog, Recovered},
    planted::{self, Bug},
    wal::{Command, Frame, FrameKind, ScanRange, WalPartition, scan},
};

#[derive(Debug)]
pub(super) struct MmapPartition {
    shared: Arc<Shared>,
    topic: Arc<TopicState>,
    slot: Arc<Slot>,
    log: PartitionLog,
    /// Why nothing may be written any more. Held while something is.
    gate: Mutex<Option<StorageError>>,
    /// Up to here the write-ahead log has what may not be on disk in the log itself.
    wal_end: AtomicU64,
    /// Whether the log's directory may not last yet.
    is_new: AtomicBool,
    has_pending: AtomicBool,
}

impl MmapPartition {
    /// The partition's handle, opened if none is there.
    ///
    /// # Errors
    /// What keeps it from being opened; the next call tries again.
    pub(super) fn open(
        shared: &Arc<Shared>,
        topic: &Arc<TopicState>,
        index: PartitionIndex,
    ) -> StorageResult<Arc<Self>> {
        let opened = Self::open_with_report(shared, topic, index);
        opened.map(|(handle, _)| handle)
    }

    /// As [`open`](Self::open), with what opening its log found where this call did so.
    ///
    /// # Errors
    /// As `open`.
    pub(super) fn open_with_report(
        shared: &Arc<Shared>,
        topic: &Arc<TopicState>,
        index: PartitionIndex,
    ) -> StorageResult<(Arc<Self>, Option<Recovered>)> {
        let slot = topic.slot(index)?;
        if let Some(handle) = slot.state().handle {
            return Ok((handle, None));
        }
        let _one_at_a_time = slot.opening.lock();
        let state = slot.state();
        if let Some(handle) = state.handle {
            return Ok((handle, None));
        }
        if !state.stale {
            return Self::install(shared, topic, &slot, &[]);
        }
        // No checkpoint may move on, and no file be recycled, between looking for the frames that the
        // log lacks and having them in it.
        let from = shared.covered.lock();
        let range = ScanRange {
            from: *from,
            until: Some(shared.wal.point().lsn),
        };
        let mut frames = Vec::new();
        let (fs, path) = (&shared.logs.layout.fs, shared.logs.layout.wal());
        scan(fs, &path, shared.logs.seed, range, |frame| {
            if (frame.header.topic, frame.header.partition) == (topic.id, index) {
                frames.push(frame);
            }
            Ok(())
        })?;
        Self::install(shared, topic, &slot, &frames)
    }

    fn install(
        shared: &Arc<Shared>,
        topic: &Arc<TopicState>,
        slot: &Arc<Slot>,
        frames: &[Frame],
    ) -> StorageResult<(Arc<Self>, Option<Recovered>)> {
        let (handle, recovered) = Self::read(shared, topic, slot, frames)?;
        topic.install(slot, &handle)?;
        Ok((handle, Some(recovered)))
    }

    fn read(
        shared: &Arc<Shared>,
        topic: &Arc<TopicState>,
        slot: &Arc<Slot>,
        frames: &[Frame],
    ) -> StorageResult<(Arc<Self>, Recovered)> {
        let id = LogId {
            topic: topic.id,
            partition: slot.index,
        };
        let SlotState {
            checkpoint,
            log_start,
            ..
        } = slot.state();
        let mut replay = Replay::new(id, checkpoint);
        replay.expect_log_start(log_start);
        for frame in frames {
            replay.expect(frame);
        }
        for frame in frames {
            replay.apply(&shared.logs, &topic.config(), frame)?;
        }
        let open = replay.finish(&shared.logs, &topic.config())?;
        let OpenLog {
            log,
            has_pending,
            recovered,
        } = open;
        let bounds = log.bounds();
        if bounds.durable_end < bounds.log_end {
            // Found beyond the checkpoint: what is read from now on must not be gone after a crash.
            log.sync()?;
        }
        let handle = Self {
            shared: shared.clone(),
            topic: topic.clone(),
            slot: slot.clone(),
            log,
            gate: Mutex::new(None),
            wal_end: AtomicU64::new(0),
            is_new: AtomicBool::new(true),
            has_pending: AtomicBool::new(has_pending),
        };
        Ok((Arc::new(handle), recovered))
    }

    /// Takes the right to write.
    fn enter(&self) -> StorageResult<Writing<'_>> {
        let gate = self.gate.lock();
        match &*gate {
            Some(error) => Err(error.clone()),
            None => Ok(Writing {
                partition: self,
                gate: Some(gate),
            }),
        }
    }

    /// The log's directory is made when the first batch comes.
    fn prepare_directory(&self) -> StorageResult<()> {
        if self.is_new.swap(false, Ordering::AcqRel) {
            let made = self.topic.prepare_directory(&self.shared.logs.layout);
            if made.is_err() {
                self.is_new.store(true, Ordering::Release);
            }
            return made;
        }
        Ok(())
    }

    /// Why nothing is done any more.
    fn ended(&self) -> StorageError {
        self.gate.lock().clone().unwrap_or(StorageError::Closed)
    }

    fn durable_end(&self, in_log: Offset) -> Offset {
        in_log.max(Offset::new(self.wal_end.load(Ordering::Acquire)))
    }

    /// The handle has failed: it is taken out of its slot, which is to be opened anew.
    pub(super) fn fail(&self, error: StorageError) {
        self.gate.lock().get_or_insert(error);
        // Whoever opens it anew must have its files alone.
        self.log.end_compaction();
        self.slot.evict(self);
    }

    /// The handle is at its end: the topic is deleted, or the storage closed.
    pub(super) fn close(&self, error: StorageError) {
        self.gate.lock().get_or_insert(error);
        self.log.end_compaction();
    }

    pub(super) fn configure(&self, config: &TopicConfig) {
        self.log.set_config(LogConfig::from(config));
    }

    /// Moves the log start, which is durable already.
    pub(super) fn apply_log_start(&self, to: Offset) {
        if to <= self.log.bounds().log_start {
            return;
        }
        let moved = self
            .enter()
            .and_then(|writing| writing.done(self.log.set_log_start(to)));
        if let Err(error) = moved {
            // The frame is durable, so opening the partition again moves it.
            self.fail(error);
        }
    }

    /// Syncs what is not on disk yet and answers where the log is on disk up to now.
    ///
    /// # Errors
    /// The handle has then failed.
    pub(super) fn sync(&self) -> StorageResult<LogCheckpoint> {
        let synced = self.log.sync().and_then(|checkpoint| {
            self.topic.sync_directory(&self.shared.logs.layout)?;
            Ok(checkpoint)
        });
        if let Err(error) = &synced {
            self.fail(error.clone());
        }
        synced
    }

    /// Whether there may be something that [`sync`](Self::sync) has to do.
    pub(super) fn is_dirty(&self, checkpoint: Option<LogCheckpoint>) -> bool {
        let bounds = self.log.bounds();
        let (start, end) =
            checkpoint.map_or_else(Default::default, |at| (at.log_start, at.log_end));
        (start, end) != (bounds.log_start, bounds.log_end)
            || self.has_pending.load(Ordering::Acquire)
    }

    /// Whether the pending file can go, now that the log is synced; says so once.
    pub(super) fn take_pending(&self) -> bool {
        self.has_pending.swap(false, Ordering::AcqRel)
    }
}

impl WalPartition for MmapPartition {
    fn log_end(&self) -> StorageResult<Offset> {
        // Whether batches are taken, `reserve` says.
        Ok(self.log.bounds().log_end)
    }

    fn reserve(&self, bytes: u64) -> StorageResult<()> {
        let writing = self.enter()?;
        self.prepare_directory()?;
        writing.done(self.log.reserve(bytes))
    }

    fn durable(&self, from: Offset, end: Offset) {
        let wal_end = Offset::new(self.wal_end.load(Ordering::Acquire));
        // Most often a group begins where the one before it ended.
        if from <= wal_end || from <= self.log.bounds().durable_end {
            self.wal_end.fetch_max(end.get(), Ordering::AcqRel);
        }
    }
}

/// The right to write. A panic while it is held leaves nobody knowing what the log holds, so the
/// handle fails.
struct Writing<'a> {
    partition: &'a MmapPartition,
    gate: Option<MutexGuard<'a, Option<StorageError>>>,
}

impl Writing<'_> {
    /// Gives the right back; an error that leaves the log in doubt ends the handle.
    fn done<T>(mut self, outcome: StorageResult<T>) -> StorageResult<T> {
        drop(self.gate.take());
        if let Err(error @ StorageError::Io { .. }) = &outcome
            && !error.is_retryable()
        {
            self.partition.fail(error.clone());
        }
        outcome
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if let Some(gate) = self.gate.take()
            && std::thread::panicking()
        {
            drop(gate);
            let error = std::io::Error::other("writing to it panicked");
            self.partition
                .fail(StorageError::io("write a partition's log", error));
        }
    }
}

#[async_trait]
impl Partition for MmapPartition {
    fn append(&self, batches: &[RecordBatch]) -> StorageResult<Appended> {
        let writing = self.enter()?;
        self.prepare_directory()?;
        writing.done(self.log.append(batches))
    }

    fn bounds(&self) -> Bounds {
        let bounds = self.log.bounds();
        Bounds {
            durable_end: self.durable_end(bounds.durable_end).min(bounds.log_end),
            ..bounds
        }
    }

    fn try_read(&self, request: &ReadRequest) -> StorageResult<TryRead> {
        self.topic.check()?;
        self.log.try_read(request)
    }

    async fn read(&self, request: &ReadRequest) -> StorageResult<BatchSlices> {
        self.topic.check()?;
        self.log.read(request).await
    }

    async fn offset_for_timestamp(
        &self,
        at: Timestamp,
    ) -> StorageResult<Option<TimestampedOffset>> {
        self.topic.check()?;
        self.log.offset_for_timestamp(at).await
    }

    async fn advance_log_start(&self, to: Offset) -> StorageResult<Bounds> {
        drop(self.enter()?);
        let bounds = self.bounds();
        if to > bounds.log_end {
            return Err(StorageError::OffsetOutOfRange {
                requested: to,
                bounds,
            });
        }
        if to <= bounds.log_start {
            return Ok(bounds);
        }
        if planted::is(Bug::TrimNotLogged) {
            self.apply_log_start(to);
            return Ok(self.bounds());
        }
        let slot = self.slot.clone();
        let ticket = self.shared.wal.command(Command {
            kind: FrameKind::LogStartMoved,
            topic: self.topic.id,
            partition: self.slot.index,
            base_offset: to,
            payload: Bytes::new(),
            decided: Box::new(move |outcome| {
                if outcome.is_ok() {
                    slot.move_log_start(to);
                }
            }),
        })?;
        outcome_of(ticket.wait().await)?;
        Ok(self.bounds())
    }

    async fn flush(&self) -> StorageResult<Offset> {
        drop(self.enter()?);
        let bounds = self.bounds();
        if bounds.durable_end >= bounds.log_end {
            return Ok(bounds.durable_end);
        }
        let Some(this) = self.slot.handle_of(self) else {
            return Err(StorageError::Closed);
        };
        self.shared
            .off_the_workers(move || this.sync().map(drop))
            .await?;
        Ok(self.bounds().durable_end)
    }

    async fn compact(&self, request: &CompactRequest) -> StorageResult<Compacted> {
        drop(self.enter()?);
        // What the log may be recovered from stays as it is, and so does what frames of the
        // write-ahead log are compared with: see `replay.rs`.
        let mut limit = self.slot.sealed_end();
        if limit < request.until.min(self.log.sealed_end()) {
            let shared = self.shared.clone();
            self.shared
                .off_the_workers(move || checkpointer::run(&shared))
                .await?;
            limit = self.slot.sealed_end();
        }
        let compacted = self.log.compact(request, limit).await;
        match compacted {
            Err(StorageError::Closed) => Err(self.ended()),
            Err(error) if error.is_terminal() => {
                let this = self.slot.handle_of(self);
                let failed = error.clone();
                self.shared
                    .off_the_workers(move || {
                        this.inspect(|this| this.fail(failed));
                        Ok(())
                    })
                    .await?;
                Err(error)
            }
            other => other,
        }
    }

    async fn keep_snapshot(&self, snapshot: Bytes) -> StorageResult<()> {
        drop(self.enter()?);
        self.log.keep_snapshot(snapshot).await
    }

    async fn snapshot(&self) -> StorageResult<Option<Bytes>> {
        self.log.snapshot().await
    }

    fn stats(&self) -> PartitionStats {
        self.log.stats()
    }
}
