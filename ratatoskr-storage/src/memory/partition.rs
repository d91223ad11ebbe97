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
    sync::RwLock,
    time::Timestamp,
};

use super::{Budget, log::Log};

#[derive(Debug)]
pub(super) struct MemoryPartition {
    topic: TopicId,
    state: RwLock<State>,
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
            state: RwLock::new(State {
                log: Log::default(),
                config,
                deleted: false,
            }),
            budget,
        }
    }

    pub(super) fn configure(&self, config: Arc<TopicConfig>) {
        self.state.write().config = config;
    }

    pub(super) fn delete(&self) {
        let mut state = self.state.write();
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
        let state = self.state.read();
        self.unless_deleted(&state)?.read(request)
    }
}

#[async_trait]
impl Partition for MemoryPartition {
    fn append(&self, batches: &[RecordBatch]) -> StorageResult<Appended> {
        // Copied before the lock is taken, so that readers never wait for a large batch.
        let encoded: Vec<_> = batches.iter().map(RecordBatch::to_bytes).collect();
        let bytes: u64 = encoded.iter().map(|batch| batch.len() as u64).sum();
        let mut state = self.state.write();
        let appended = self.unless_deleted(&state)?.plan(batches)?;
        if !self.budget.take(bytes) {
            return Err(StorageError::io(
                format_args!("appending {bytes} bytes in memory"),
                io::Error::new(io::ErrorKind::StorageFull, "the memory storage is full"),
            ));
        }
        let State { log, config, .. } = &mut *state;
        log.append(batches, encoded, config);
        Ok(appended)
    }

    fn bounds(&self) -> Bounds {
        self.state.read().log.bounds()
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
        let state = self.state.read();
        Ok(self.unless_deleted(&state)?.offset_for_timestamp(at))
    }

    async fn advance_log_start(&self, to: Offset) -> StorageResult<Bounds> {
        let mut state = self.state.write();
        self.unless_deleted(&state)?;
        let freed = state.log.advance_start(to)?;
        self.budget.give_back(freed);
        Ok(state.log.bounds())
    }

    async fn flush(&self) -> StorageResult<Offset> {
        let state = self.state.read();
        Ok(self.unless_deleted(&state)?.bounds().durable_end)
    }

    fn stats(&self) -> PartitionStats {
        self.state.read().log.stats()
    }
}
