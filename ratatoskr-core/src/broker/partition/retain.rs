//! What retention sees of a partition, and does to it.
//!
//! A partition that nobody has used yet is looked at through a handle of its own, without opening
//! it for sends, which would read its whole log for its producers.

use std::sync::Arc;

use super::{PartitionCell, State};
use crate::{
    broker::supervision::{caught, caught_async},
    error::Error,
    offset::{Bounds, Offset},
    storage::{Partition, PartitionStats},
};

impl PartitionCell {
    /// What the log holds; `None` while it is down or deleted.
    pub(in crate::broker) fn log_to_retain(&self) -> Option<(PartitionStats, Bounds)> {
        match self.unopened() {
            Some(log) => {
                let (stats, bounds) = caught(|| Ok((log.stats(), log.bounds()))).ok()?;
                let high_watermark = self.readable_end(&bounds);
                let seen = Bounds {
                    high_watermark,
                    ..bounds
                };
                Some((stats, seen))
            }
            None if self.is_open() => Some((self.log_stats().ok()?, self.bounds().ok()?)),
            None => None,
        }
    }

    /// Removes records before `to`.
    ///
    /// # Errors
    /// What the backend answers.
    pub(in crate::broker) async fn retain_from(&self, to: Offset) -> Result<(), Error> {
        let Some(log) = self.unopened() else {
            return self.advance_log_start(to).await.map(drop);
        };
        caught_async(async { log.advance_log_start(to).await })
            .await
            .map_err(|failure| self.error_of(&failure))?;
        // It may have been opened, and be waited for, in between.
        self.changed();
        Ok(())
    }

    /// A handle to a log that nobody has opened.
    pub(super) fn unopened(&self) -> Option<Arc<dyn Partition>> {
        matches!(self.inner.lock().state, State::Closed)
            .then(|| caught(|| self.topic.log.partition(self.index)).ok())
            .flatten()
    }

    /// Forgets producers that have been silent for too long.
    pub(in crate::broker) fn expire_producers(&self) {
        let now = self.context.clock.monotonic();
        if let State::Open(open) = &mut self.inner.lock().state {
            open.producers.expire(now);
        }
    }
}
