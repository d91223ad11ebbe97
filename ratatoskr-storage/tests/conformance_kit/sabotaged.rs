//! A backend that breaks the contract in one way, around one that keeps it.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use async_trait::async_trait;
use ratatoskr_core::{
    batch::{self, RecordBatch},
    bytes::Bytes,
    config::TopicConfig,
    name::{TopicId, TopicName},
    offset::{Bounds, LeaderEpoch, Offset, PartitionIndex},
    storage::{
        Appended, BatchSlices, Capabilities, Partition, PartitionStats, ReadRequest, Storage,
        StorageError, StorageResult, TimestampedOffset, Topic, TopicDescriptor, TryRead,
    },
    time::Timestamp,
};

/// One way to break the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Every third append is answered but not done.
    AppendLost,
    /// Batches before one that is out of order are appended.
    AppendInHalves,
    /// Readers see the batches of one append one by one.
    AppendShownInParts,
    LogEndOffByOne,
    /// The bounds are those of the call before.
    BoundsStale,
    BatchesReordered,
    ByteChanged,
    LeaderEpochLost,
    BatchSplit,
    /// What is read is said to end one offset before it does.
    EndOffsetShort,
    UntilIgnored,
    BytesMaxIgnored,
    /// A read whose first batch passes `bytes_max` is empty.
    FirstBatchTooLarge,
    TryReadIgnoresUntil,
    TimeAfterInsteadOfAt,
    TrimIgnored,
    /// The log start follows every trim, down too.
    TrimMovesBack,
    /// A trim is done in two steps, and can be dropped between them.
    TrimInSteps,
    /// A flush answers that one record less is durable.
    FlushLies,
    StatisticsOffByOne,
    CreateReplaces,
    /// Creating a topic under a taken name deletes the one that had it.
    NameTakenOver,
    UpdateUnseen,
    ShrinkingAccepted,
    DeleteNotIdempotent,
    /// A deleted topic is no longer listed, and that is all.
    DeletedStaysUsable,
}

#[derive(Debug)]
pub(crate) struct Sabotaged {
    inner: Arc<dyn Storage>,
    fault: Option<Fault>,
    hidden: Mutex<Vec<TopicId>>,
}

impl Sabotaged {
    pub(crate) fn new(inner: Arc<dyn Storage>, fault: Option<Fault>) -> Self {
        Self {
            inner,
            fault,
            hidden: Mutex::default(),
        }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn wrap(&self, inner: Arc<dyn Topic>) -> Arc<dyn Topic> {
        let fault = self.fault;
        Arc::new(SabotagedTopic { inner, fault })
    }
}

#[async_trait]
impl Storage for Sabotaged {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn create_topic(&self, topic: &TopicDescriptor) -> StorageResult<Arc<dyn Topic>> {
        if self.has(Fault::CreateReplaces) {
            self.inner.delete_topic(topic.id).await?;
        }
        if self.has(Fault::NameTakenOver) {
            let mut topics = self.inner.list_topics().await?;
            topics.retain(|there| there.name == topic.name && there.id != topic.id);
            for there in topics {
                self.inner.delete_topic(there.id).await?;
            }
        }
        Ok(self.wrap(self.inner.create_topic(topic).await?))
    }

    async fn open_topic(&self, id: TopicId) -> StorageResult<Arc<dyn Topic>> {
        Ok(self.wrap(self.inner.open_topic(id).await?))
    }

    async fn update_topic(&self, topic: &TopicDescriptor) -> StorageResult<()> {
        if self.has(Fault::UpdateUnseen) {
            return self.inner.open_topic(topic.id).await.map(drop);
        }
        match self.inner.update_topic(topic).await {
            Err(StorageError::Unsupported(_)) if self.has(Fault::ShrinkingAccepted) => Ok(()),
            answer => answer,
        }
    }

    async fn delete_topic(&self, id: TopicId) -> StorageResult<()> {
        if self.has(Fault::DeletedStaysUsable) {
            self.hidden.lock().unwrap().push(id);
            return Ok(());
        }
        if self.has(Fault::DeleteNotIdempotent) {
            self.inner.open_topic(id).await?;
        }
        self.inner.delete_topic(id).await
    }

    async fn list_topics(&self) -> StorageResult<Vec<TopicDescriptor>> {
        let mut topics = self.inner.list_topics().await?;
        let hidden = self.hidden.lock().unwrap();
        topics.retain(|topic| !hidden.contains(&topic.id));
        Ok(topics)
    }
}

#[derive(Debug)]
struct SabotagedTopic {
    inner: Arc<dyn Topic>,
    fault: Option<Fault>,
}

impl Topic for SabotagedTopic {
    fn name(&self) -> &TopicName {
        self.inner.name()
    }

    fn id(&self) -> TopicId {
        self.inner.id()
    }

    fn config(&self) -> TopicConfig {
        self.inner.config()
    }

    fn partition(&self, index: PartitionIndex) -> StorageResult<Arc<dyn Partition>> {
        let inner = self.inner.partition(index)?;
        Ok(Arc::new(SabotagedPartition {
            shown: Mutex::new(inner.bounds()),
            inner,
            fault: self.fault,
            appends: AtomicU64::new(0),
        }))
    }
}

#[derive(Debug)]
struct SabotagedPartition {
    inner: Arc<dyn Partition>,
    fault: Option<Fault>,
    appends: AtomicU64,
    /// The bounds as last asked for.
    shown: Mutex<Bounds>,
}

impl SabotagedPartition {
    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn append_one_by_one(&self, batches: &[RecordBatch]) -> StorageResult<Appended> {
        let mut answer = self.inner.append(&[])?;
        for (index, batch) in batches.iter().enumerate() {
            let appended = self.inner.append(std::slice::from_ref(batch))?;
            if index == 0 {
                answer.base_offset = appended.base_offset;
            }
            answer.log_end = appended.log_end;
            // Long enough for a reader to look.
            (0..20).for_each(|_| thread::yield_now());
        }
        Ok(answer)
    }

    /// What to ask for instead of what was asked for.
    fn twist(&self, request: &ReadRequest) -> ReadRequest {
        let mut request = *request;
        match self.fault {
            Some(Fault::UntilIgnored) => request.until = Offset::MAX,
            Some(Fault::BytesMaxIgnored) => request.bytes_max = usize::MAX,
            _ => {}
        }
        request
    }

    /// What to answer instead of what was found.
    fn spoil(&self, found: BatchSlices, request: &ReadRequest) -> BatchSlices {
        let bytes: Bytes = found.slices().concat().into();
        let mut batches: Vec<_> = batch::batches(bytes.clone()).map(Result::unwrap).collect();
        match self.fault {
            Some(Fault::FirstBatchTooLarge) if found.len() > request.bytes_max => {
                batches.clear();
            }
            Some(Fault::BatchesReordered) => batches.reverse(),
            Some(Fault::LeaderEpochLost) => {
                for batch in &mut batches {
                    let base_offset = batch.header().base_offset;
                    batch.assign(base_offset, LeaderEpoch::new(0));
                }
            }
            Some(Fault::ByteChanged) if !bytes.is_empty() => {
                let mut bytes = bytes.to_vec();
                *bytes.last_mut().unwrap() ^= 1;
                return slices([bytes.into()], found.end_offset());
            }
            Some(Fault::BatchSplit) if !bytes.is_empty() => {
                let middle = bytes.len() / 2;
                let halves = [bytes.slice(..middle), bytes.slice(middle..)];
                return slices(halves, found.end_offset());
            }
            Some(Fault::EndOffsetShort) if let Some(end) = found.end_offset() => {
                let short = Offset::new(end.get() - 1);
                return slices(found.into_slices(), Some(short));
            }
            _ => return found,
        }
        let end_offset = batches.last().map(|batch| batch.header().end_offset());
        slices(batches.iter().map(RecordBatch::to_bytes), end_offset)
    }
}

#[async_trait]
impl Partition for SabotagedPartition {
    fn append(&self, batches: &[RecordBatch]) -> StorageResult<Appended> {
        let appends = self.appends.fetch_add(1, Ordering::SeqCst) + 1;
        if self.has(Fault::AppendLost) && appends.is_multiple_of(3) {
            let appended = self.inner.append(&[])?;
            let ends = batches.last().map(|batch| batch.header().end_offset());
            return Ok(Appended {
                log_end: ends.unwrap_or(appended.log_end),
                ..appended
            });
        }
        if self.has(Fault::AppendInHalves) || self.has(Fault::AppendShownInParts) {
            return self.append_one_by_one(batches);
        }
        self.inner.append(batches)
    }

    fn bounds(&self) -> Bounds {
        let now = self.inner.bounds();
        let mut shown = self.shown.lock().unwrap();
        let before = std::mem::replace(&mut *shown, now);
        match self.fault {
            Some(Fault::LogEndOffByOne) => {
                let log_end = now.log_end.plus(1);
                Bounds::of_log(now.log_start, log_end, now.durable_end)
            }
            Some(Fault::BoundsStale) => before,
            Some(Fault::TrimMovesBack) => Bounds {
                log_start: before.log_start,
                ..now
            },
            _ => now,
        }
    }

    fn try_read(&self, request: &ReadRequest) -> StorageResult<TryRead> {
        let mut twisted = self.twist(request);
        if self.has(Fault::TryReadIgnoresUntil) {
            twisted.until = Offset::MAX;
        }
        Ok(match self.inner.try_read(&twisted)? {
            TryRead::Ready(found) => TryRead::Ready(self.spoil(found, request)),
            TryRead::WouldBlock => TryRead::WouldBlock,
        })
    }

    async fn read(&self, request: &ReadRequest) -> StorageResult<BatchSlices> {
        let found = self.inner.read(&self.twist(request)).await?;
        Ok(self.spoil(found, request))
    }

    async fn offset_for_timestamp(
        &self,
        at: Timestamp,
    ) -> StorageResult<Option<TimestampedOffset>> {
        let at = if self.has(Fault::TimeAfterInsteadOfAt) {
            Timestamp::new(at.get().saturating_add(1))
        } else {
            at
        };
        self.inner.offset_for_timestamp(at).await
    }

    async fn advance_log_start(&self, to: Offset) -> StorageResult<Bounds> {
        match self.fault {
            Some(Fault::TrimIgnored) => {
                let bounds = self.inner.bounds();
                let log_start = bounds.log_start.max(to);
                Ok(Bounds {
                    log_start,
                    ..bounds
                })
            }
            Some(Fault::TrimMovesBack) => {
                let bounds = self.inner.advance_log_start(to).await?;
                let bounds = Bounds {
                    log_start: to,
                    ..bounds
                };
                *self.shown.lock().unwrap() = bounds;
                Ok(bounds)
            }
            Some(Fault::TrimInSteps) => {
                let half = to.get().midpoint(self.inner.bounds().log_start.get());
                let _ = self.inner.advance_log_start(Offset::new(half)).await?;
                tokio::task::yield_now().await;
                self.inner.advance_log_start(to).await
            }
            _ => self.inner.advance_log_start(to).await,
        }
    }

    async fn flush(&self) -> StorageResult<Offset> {
        let durable_end = self.inner.flush().await?;
        Ok(if self.has(Fault::FlushLies) {
            Offset::new(durable_end.get().saturating_sub(1))
        } else {
            durable_end
        })
    }

    fn stats(&self) -> PartitionStats {
        let mut stats = self.inner.stats();
        if self.has(Fault::StatisticsOffByOne) {
            stats.bytes += 1;
        }
        stats
    }
}

/// These slices, which are said to end at `end_offset`.
fn slices(slices: impl IntoIterator<Item = Bytes>, end_offset: Option<Offset>) -> BatchSlices {
    let mut found = BatchSlices::default();
    for slice in slices {
        found.push(slice, end_offset.unwrap_or_default());
    }
    found
}
