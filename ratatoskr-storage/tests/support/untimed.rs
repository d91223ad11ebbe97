//! A storage that writes no checkpoint because of the time.

use std::{path::Path, sync::Arc, time::Duration};

use ratatoskr_core::Broker;
use ratatoskr_storage::{MmapOptions, MmapStorage, mmap::CacheLimits};

/// Opens the directory, and a broker over it.
pub(crate) async fn open(directory: &Path, caches: CacheLimits) -> (Arc<MmapStorage>, Broker) {
    let options = MmapOptions {
        caches,
        checkpoint_interval: Duration::from_hours(1),
        ..MmapOptions::default()
    };
    let storage = MmapStorage::open(directory, options).await.unwrap();
    let storage = Arc::new(storage);
    let broker = storage.broker().open().await.unwrap();
    (storage, broker)
}
