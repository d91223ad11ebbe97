//! A partition: a [`Log`] behind a lock, and the bytes it takes from the storage's budget.

use std::{io, ops::Range, sync::Arc};

use async_trait::async_trait;
use ratatoskr_core::{
    batch::RecordBatch,
    compaction::{CompactRequest, Compacted},
    config::TopicConfig,
    name::TopicId,
    offset::{Bounds, Offset},
    storage::{
        Appended, BatchSlices, Partition, PartitionStats, ReadRequest, StorageError, StorageResult,
        TimestampedOffset, TryRead,
    },
    sync::Mutex,
    time::Timestamp,
};

use super::{
    Budget,
    log::{Log, Sealed, Segment},
};
use crate::pieces::Pieces;

#[derive(Debug)]
pub(super) struct MemoryPartition {
    topic: TopicId,
    state: Mutex<State>,
    /// Held by the compaction that is under way.
    pub(super) compacting: tokio::sync::Mutex<()>,
    budget: Arc<Budget>,
}

#[derive(Debug)]
struct State {
    log: Log,
    config: Arc<TopicConfig>,
    deleted: bool,
}

impl MemoryPartition {
    pub(super) fn new(topic: TopicId, config: Arc<TopicConfig>, budget: Arc<Budget>) -> Self {
        Self {
            topic,
            state: Mutex::new(State {
                log: Log::default(),
                config,
                deleted: false,
            }),
            compacting: tokio::sync::Mutex::default(),
            budget,
        }
    }

    pub(super) fn configure(&self, config: Arc<TopicConfig>) {
        self.state.lock().config = config;
    }

    pub(super) fn delete(&self) {
        let mut state = self.state.lock();
        state.deleted = true;
        self.budget.give_back(state.log.clear());
    }

    fn unless_deleted<'a>(&self, state: &'a State) -> StorageResult<&'a Log> {
        if state.deleted {
            Err(StorageError::UnknownTopic(self.topic))
        } else {
            Ok(&state.log)
        }
    }

    /// Segments that may be compacted, up to where they are, and how large one may be.
    pub(super) fn sealed(&self, until: Offset) -> StorageResult<(Vec<Sealed>, Offset, u64)> {
        let mut state = self.state.lock();
        self.unless_deleted(&state)?;
        let segment_bytes = state.config.segment_bytes;
        let sealed = state.log.sealed(until)?;
        Ok((sealed, state.log.compacted_to(), segment_bytes))
    }

    /// Puts a segment, which has `after` bytes, in the place of those that span `offsets` and have
    /// `before`. Where they are not there any more, answers up to where the log is compacted.
    pub(super) fn replace(
        &self,
        offsets: Range<Offset>,
        segment: Segment,
        before: u64,
        after: u64,
    ) -> StorageResult<Option<Offset>> {
        let mut state = self.state.lock();
        self.unless_deleted(&state)?;
        let grown = after.saturating_sub(before);
        if !self.budget.take(grown) {
            return Err(full(grown));
        }
        if !state.log.replace(offsets, segment) {
            self.budget.give_back(grown);
            return Ok(Some(state.log.compacted_to()));
        }
        self.budget.give_back(before.saturating_sub(after));
        Ok(None)
    }

    fn read_now(&self, request: &ReadRequest) -> StorageResult<BatchSlices> {
        let mut state = self.state.lock();
        self.unless_deleted(&state)?;
        state.log.read(request)
    }
}

fn full(bytes: u64) -> StorageError {
    StorageError::io(
        format_args!("adding {bytes} bytes in memory"),
        io::Error::new(io::ErrorKind::StorageFull, "the memory storage is full"),
    )
}

#[async_trait]
impl Partition for MemoryPartition {
    fn append(&self, batches: &[RecordBatch]) -> StorageResult<Appended> {
        // Copied before the lock is taken, so that readers never wait for a large batch.
        let large = batches.iter().filter(|batch| Pieces::is_large(batch));
        let large = large.map(RecordBatch::to_bytes).collect();
        let bytes: u64 = batches.iter().map(|batch| batch.total_bytes() as u64).sum();
        let mut state = self.state.lock();
        let appended = self.unless_deleted(&state)?.plan(batches)?;
        if !self.budget.take(bytes) {
            return Err(full(bytes));
        }
        let State { log, config, .. } = &mut *state;
        log.append(batches, large, config);
        Ok(appended)
    }

    fn bounds(&self) -> Bounds {
        self.state.lock().log.bounds()
    }

    fn try_read(&self, request: &ReadRequest) -> StorageResult<TryRead> {
        self.read_now(request).map(TryRead::Ready)
    }

    async fn read(&self, request: &ReadRequest) -> StorageResult<BatchSlices> {
        self.read_now(request)
    }

    async fn offset_for_timestamp(
        &self,
        at: Timestamp,
    ) -> StorageResult<Option<TimestampedOffset>> {
        let state = self.state.lock();
        Ok(self.unless_deleted(&state)?.offset_for_timestamp(at))
    }

    async fn advance_log_start(&self, to: Offset) -> StorageResult<Bounds> {
        let mut state = self.state.lock();
        self.unless_deleted(&state)?;
        let freed = state.log.advance_start(to)?;
        self.budget.give_back(freed);
        Ok(state.log.bounds())
    }

    async fn flush(&self) -> StorageResult<Offset> {
        let state = self.state.lock();
        Ok(self.unless_deleted(&state)?.bounds().durable_end)
    }

    async fn compact(&self, request: &CompactRequest) -> StorageResult<Compacted> {
        self.compact_segments(request).await
    }

    fn stats(&self) -> PartitionStats {
        self.state.lock().log.stats()
    }
}
