//! The storage on disk keeps the contract, with segments so small that every case crosses some.

use std::{path::Path, sync::Arc};

use ratatoskr_storage::{MmapOptions, MmapStorage, WalOptions};

fn open(directory: &Path) -> impl Future<Output = Arc<MmapStorage>> + Send + use<> {
    let options = MmapOptions {
        wal: WalOptions {
            file_bytes: 64 << 10,
            first_file_bytes: 64 << 10,
            wal_bytes_max: 256 << 10,
            ..WalOptions::default()
        },
        ..MmapOptions::default()
    };
    let opening = MmapStorage::open(directory.to_owned(), options);
    async { Arc::new(opening.await.unwrap()) }
}

ratatoskr_core::conformance_tests!(persistent: {
    let directory = tempfile::tempdir().unwrap();
    move || open(directory.path())
});
