//! A partition: a [`Log`] behind a lock, and the bytes it takes from the storage's budget.

use std::{io, sync::Arc};

use async_trait::async_trait;
use ratatoskr_core::{
    batch::RecordBatch,
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

use super::{Budget, log::Log};
use crate::pieces::Pieces;

#[derive(Debug)]
pub(super) struct MemoryPartition {
    topic: TopicId,
    state: Mutex<State>,
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

    fn read_now(&self, request: &ReadRequest) -> StorageResult<BatchSlices> {
        let mut state = self.state.lock();
        self.unless_deleted(&state)?;
        state.log.read(request)
    }
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
            return Err(StorageError::io(
                format_args!("appending {bytes} bytes in memory"),
                io::Error::new(io::ErrorKind::StorageFull, "the memory storage is full"),
            ));
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

    fn stats(&self) -> PartitionStats {
        self.state.lock().log.stats()
    }
}
