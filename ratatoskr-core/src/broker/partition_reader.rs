//! Reads one partition again and again: beneath all that follow a log.
//!
//! Invariants:
//! - Who has read all there was is registered *before* looking again, so no wake-up is lost.
//! - Who knows that there is more is not registered: appends beside a reader that is behind wake
//!   nobody.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_util::future::BoxFuture;

use crate::{
    broker::{
        partition::{Fetched, PartitionCell, TryFetched, Wanted},
        waiters::{Registration, Waiter},
    },
    error::Error,
};

/// One partition, its waiter's registration there, and the read under way.
pub(super) struct PartitionReader {
    cell: Arc<PartitionCell>,
    registration: Arc<Registration>,
    standing: Standing,
    /// Changes of the partition, other than new records, up to the last read.
    changes: Option<u64>,
    /// A read that has to be waited for, and the changes before it.
    cold: Option<(u64, BoxFuture<'static, Result<Fetched, Error>>)>,
}

/// What is known of the partition since the last read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Unknown,
    /// There was more than was read.
    Behind,
    /// There was nothing, after the waiter was registered.
    Idle,
}

impl PartitionReader {
    pub(super) fn new(cell: Arc<PartitionCell>, waiter: &Arc<Waiter>) -> Self {
        Self {
            cell,
            registration: Registration::new(waiter),
            standing: Standing::Unknown,
            changes: None,
            cold: None,
        }
    }

    pub(super) const fn cell(&self) -> &Arc<PartitionCell> {
        &self.cell
    }

    /// Reads what there is, at least one batch. `None` where there is nothing: the waiter is woken
    /// when there may be. Pending while something is read that has to be waited for; that read is
    /// of what was wanted when it began.
    ///
    /// # Errors
    /// As [`PartitionCell::read`].
    pub(super) fn poll_read(
        &mut self,
        wanted: &Wanted,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<Fetched>, Error>> {
        loop {
            let (changes, was_behind, fetched) = if let Some((changes, cold)) = &mut self.cold {
                let read = ready!(cold.as_mut().poll(context));
                let changes = *changes;
                self.cold = None;
                // It is not known whether the waiter was registered before that read.
                (changes, true, read?)
            } else {
                if self.standing == Standing::Idle && self.registration.is_armed() {
                    return Poll::Ready(Ok(None));
                }
                let was_behind = self.standing == Standing::Behind;
                self.standing = Standing::Unknown;
                if !was_behind {
                    self.cell.register(&self.registration);
                }
                let changes = self.cell.progress().changes;
                let has_changed = was_behind || self.changes != Some(changes);
                if !has_changed && self.cell.high_watermark() <= wanted.from {
                    self.standing = Standing::Idle;
                    return Poll::Ready(Ok(None));
                }
                match self.cell.try_read(wanted)? {
                    TryFetched::Ready(fetched) => (changes, was_behind, fetched),
                    TryFetched::Cold(cold) => {
                        let cell = Arc::clone(&self.cell);
                        let read = Box::pin(async move { cell.serve_cold(cold).await });
                        self.cold = Some((changes, read));
                        continue;
                    }
                }
            };
            self.changes = Some(changes);
            if fetched.batches.is_empty() {
                if was_behind {
                    continue;
                }
                self.standing = Standing::Idle;
                return Poll::Ready(Ok(None));
            }
            if fetched.next_offset() < fetched.bounds.readable_end(wanted.isolation) {
                self.standing = Standing::Behind;
            }
            self.cell.count_read(fetched.batches.len());
            return Poll::Ready(Ok(Some(fetched)));
        }
    }
}

impl fmt::Debug for PartitionReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartitionReader")
            .field("cell", &self.cell)
            .field("standing", &self.standing)
            .finish_non_exhaustive()
    }
}
