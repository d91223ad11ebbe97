//! What compaction asks of a partition, and does to it.
//!
//! A partition that nobody has used yet is compacted through a handle of its own, as retention does it
//! (`retain.rs`): it stays closed, and keeps nothing of what was learnt for it. It may be opened
//! meanwhile. That harms nothing: what is appended then lies behind what is compacted, and the batches
//! that producers went on from before are kept, which is more than has to be.

use std::sync::Arc;

use super::{PartitionCell, State};
use crate::{
    broker::supervision::{caught, caught_async},
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
    /// is not known. Where nobody has opened the partition, its batch headers are read for it.
    pub(in crate::broker) async fn batches_of_producers(&self) -> Option<Arc<[Offset]>> {
        if let Some(log) = self.unopened() {
            let bounds = caught(|| Ok(log.bounds())).ok()?;
            let found = self.walk(&*log, &bounds).await.ok()?;
            return Some(found.producers.batches().into());
        }
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
        let compacted = if let Some(log) = self.unopened() {
            let compacted = caught_async(async { log.compact(request).await }).await;
            compacted.map_err(|failure| self.error_of(&failure))?
        } else {
            let reader = self.reader()?;
            let log = &*reader.log;
            let compacted = caught_async(async { log.compact(request).await }).await;
            self.answered(&reader, compacted)?
        };
        self.topic.counters.compacted(&compacted);
        Ok(compacted)
    }
}
