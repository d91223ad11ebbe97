//! Where work is done that waits for a disk.

use ratatoskr_core::storage::{StorageError, StorageResult};

/// Where work is done that waits for a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Blocking {
    /// On the runtime's threads that may wait, so that its workers need not.
    #[default]
    OffTheWorkers,
    /// On the thread that asks: simulations, where nothing waits, do everything in one order so.
    Here,
}

impl Blocking {
    /// Does `work` and answers what came of it. Panics go on where they are waited for.
    ///
    /// # Errors
    /// Those of `work`; [`StorageError::Closed`] where the runtime shuts down.
    ///
    /// # Cancel safety
    /// Once begun, the work runs to its end.
    pub(crate) async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> StorageResult<T> + Send + 'static,
    ) -> StorageResult<T> {
        if self == Self::Here {
            return work();
        }
        match tokio::task::spawn_blocking(work).await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(StorageError::Closed),
            },
        }
    }
}
