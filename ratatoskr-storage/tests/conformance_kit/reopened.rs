//! A backend that seems persistent: opening it again copies the topics of the opening before, all
//! of them or all but what is to be lost.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use ratatoskr_core::{
    batch::RecordBatch,
    conformance::BatchSpec,
    name::TopicId,
    offset::{Bounds, Offset, PartitionIndex},
    storage::{
        Access, BatchSlices, Capabilities, Partition, ReadRequest, Storage, StorageResult, Topic,
        TopicDescriptor,
    },
};
use ratatoskr_storage::MemoryStorage;

/// What is lost on reopening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    LastBatch,
    OneByte,
    /// The log ends within its last batch.
    PartOfABatch,
    LogStart,
    /// A log that was trimmed to its end begins at 0 again.
    EndOfEmptiedLog,
    Topic,
    Update,
    Deletion,
}

/// A memory storage, and what it was told about topics.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    inner: MemoryStorage,
    created: Mutex<Vec<TopicDescriptor>>,
}

impl Kept {
    /// A copy of what is there, but for what is lost.
    pub(crate) async fn reopen(&self, loss: Option<Loss>) -> Self {
        let copy = Self::default();
        let created = self.created.lock().unwrap().clone();
        let mut topics = self.inner.list_topics().await.unwrap();
        match loss {
            Some(Loss::Topic) => drop(topics.pop()),
            Some(Loss::Update | Loss::Deletion) => topics = created,
            _ => {}
        }
        for descriptor in topics {
            let to = copy.create_topic(&descriptor).await.unwrap();
            if let Ok(from) = self.inner.open_topic(descriptor.id).await {
                for index in (0..descriptor.partitions).map(PartitionIndex::new) {
                    let from = from.partition(index).unwrap();
                    copy_log(&*from, &*to.partition(index).unwrap(), loss).await;
                }
            }
        }
        copy
    }
}

async fn copy_log(from: &dyn Partition, to: &dyn Partition, loss: Option<Loss>) {
    let bounds = from.bounds();
    let mut batches = read_all(from, bounds).await;
    match loss {
        Some(Loss::LastBatch) => drop(batches.pop()),
        Some(Loss::OneByte) => batches.last_mut().into_iter().for_each(change_a_byte),
        Some(Loss::PartOfABatch) => batches.last_mut().into_iter().for_each(cut_short),
        Some(Loss::EndOfEmptiedLog) if batches.is_empty() => return,
        _ => {}
    }
    if batches.is_empty() && bounds.log_end > Offset::ZERO {
        // Something to trim, so that the copy ends where the original does.
        let last = Offset::new(bounds.log_end.get() - 1);
        batches.push(BatchSpec::of(1).build(last));
    }
    to.append(&batches).unwrap();
    if loss != Some(Loss::LogStart) {
        let log_start = bounds.log_start.min(to.bounds().log_end);
        to.advance_log_start(log_start).await.unwrap();
    }
}

async fn read_all(from: &dyn Partition, bounds: Bounds) -> Vec<RecordBatch> {
    let request = ReadRequest {
        from: bounds.log_start,
        until: Offset::MAX,
        bytes_max: usize::MAX,
        access: Access::Inspect,
    };
    let found: BatchSlices = from.read(&request).await.unwrap();
    let slices = found.into_slices().into_iter();
    slices
        .flat_map(ratatoskr_core::batch::batches)
        .map(Result::unwrap)
        .collect()
}

fn change_a_byte(batch: &mut RecordBatch) {
    let mut bytes = batch.to_bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    *batch = RecordBatch::split_first(&mut bytes.into()).unwrap();
}

/// The same batch as if it had one record less.
fn cut_short(batch: &mut RecordBatch) {
    let mut header = *batch.header();
    if header.record_count > 1 {
        header.record_count -= 1;
        header.last_offset_delta -= 1;
        let mut bytes = header.encode().to_vec();
        bytes.extend_from_slice(batch.records_bytes());
        *batch = RecordBatch::split_first(&mut bytes.into()).unwrap();
    }
}

#[async_trait]
impl Storage for Kept {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn create_topic(&self, topic: &TopicDescriptor) -> StorageResult<Arc<dyn Topic>> {
        let opened = self.inner.create_topic(topic).await?;
        let mut created = self.created.lock().unwrap();
        if created.iter().all(|there| there.id != topic.id) {
            created.push(topic.clone());
        }
        Ok(opened)
    }

    async fn open_topic(&self, id: TopicId) -> StorageResult<Arc<dyn Topic>> {
        self.inner.open_topic(id).await
    }

    async fn update_topic(&self, topic: &TopicDescriptor) -> StorageResult<()> {
        self.inner.update_topic(topic).await
    }

    async fn delete_topic(&self, id: TopicId) -> StorageResult<()> {
        self.inner.delete_topic(id).await
    }

    async fn list_topics(&self) -> StorageResult<Vec<TopicDescriptor>> {
        self.inner.list_topics().await
    }
}
