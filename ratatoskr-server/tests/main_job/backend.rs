//! Brokers over each backend, that can end and be followed by another over what they left.

use std::{sync::Arc, time::Duration};

use ratatoskr_core::Broker;
use ratatoskr_storage::{MemoryStorage, MmapOptions, MmapStorage, SystemClock};
use tempfile::TempDir;

/// How long a broker may take to shut down.
const SHUTDOWN_MAX: Duration = Duration::from_secs(10);

/// What keeps the records.
pub(crate) enum Backend {
    /// The heap.
    Memory(Arc<MemoryStorage>),
    /// A directory.
    Disk(Arc<MmapStorage>, TempDir),
}

/// How a broker ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// It is shut down, and its storage closed.
    InOrder,
    /// It is dropped as it is: what comes after has a write-ahead log to replay.
    WithoutNotice,
}

impl Backend {
    /// Nothing yet, in memory.
    pub(crate) fn memory() -> Self {
        Self::Memory(Arc::new(MemoryStorage::new()))
    }

    /// Nothing yet, in a directory of its own.
    pub(crate) async fn disk() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        Self::Disk(open(&directory).await, directory)
    }

    /// A broker over it.
    pub(crate) async fn broker(&self) -> Broker {
        let builder = match self {
            Self::Memory(storage) => Broker::builder(storage.clone(), Arc::new(SystemClock::new())),
            Self::Disk(storage, _) => storage.broker(),
        };
        builder.open().await.expect("the broker opens")
    }

    /// Ends the broker, of which this must be the last handle, and what only lives as long as it.
    pub(crate) async fn end(self, broker: Broker, end: End) -> Self {
        if let End::InOrder = end {
            let report = broker.shutdown(SHUTDOWN_MAX).await;
            report.expect("an orderly end");
        }
        drop(broker);
        match self {
            Self::Disk(storage, directory) => {
                if let End::InOrder = end {
                    storage.close().await.expect("a last checkpoint");
                }
                drop(storage);
                let storage = open(&directory).await;
                let replayed = storage.recovery().frames > 0;
                assert_eq!(replayed, matches!(end, End::WithoutNotice), "{end:?}");
                Self::Disk(storage, directory)
            }
            memory @ Self::Memory(_) => memory,
        }
    }
}

async fn open(directory: &TempDir) -> Arc<MmapStorage> {
    let storage = MmapStorage::open(directory.path(), MmapOptions::default()).await;
    Arc::new(storage.expect("the directory opens"))
}
