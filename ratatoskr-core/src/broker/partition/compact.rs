//! What compaction asks of a partition, and does to it.

use std::sync::Arc;

use super::{PartitionCell, State};
use crate::{
    broker::supervision::caught_async,
    compaction::{CompactRequest, Compacted},
    error::Error,
    name::TopicId,
    offset::{Offset, PartitionIndex},
};

impl PartitionCell {
    pub(in crate::broker) fn id(&self) -> (TopicId, PartitionIndex) {
        (self.topic.id, self.index)
    }

    /// Base offsets, in order, of the batches that idempotent producers go on from; `None` while that
    /// is not known.
    pub(in crate::broker) fn batches_of_producers(&self) -> Option<Arc<[Offset]>> {
        match &self.inner.lock().state {
            State::Open(open) if open.holds == 0 => Some(open.producers.batches().into()),
            _ => None,
        }
    }

    /// Compacts the log.
    ///
    /// # Errors
    /// [`Error::PartitionOffline`], [`Error::CorruptRecords`], [`Error::UnknownTopic`], and what else
    /// the backend answers.
    pub(in crate::broker) async fn compact(
        &self,
        request: &CompactRequest,
    ) -> Result<Compacted, Error> {
        let reader = self.reader()?;
        let log = &*reader.log;
        let compacted = caught_async(async { log.compact(request).await }).await;
        let compacted = self.answered(&reader, compacted)?;
        self.topic.counters.compacted(&compacted);
        Ok(compacted)
    }
}
