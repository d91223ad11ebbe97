//! A broker in this process, for benchmarks without a network.

use std::{path::Path, sync::Arc, time::Duration};

use ratatoskr_client::Client;
use ratatoskr_core::{Broker, BrokerConfig};
use ratatoskr_storage::{MemoryStorage, MmapOptions, MmapStorage};
use tempfile::TempDir;

use crate::cli::{
    exit::{Exit, Failure, Outcome},
    serve,
};

/// How long what is under way may take when it is closed.
const GRACE: Duration = Duration::from_secs(10);

/// The broker with a client of it.
pub(super) struct Embedded {
    pub(super) client: Client,
    broker: Broker,
    /// Where it keeps its records; gone when this is dropped.
    disk: Option<(Arc<MmapStorage>, TempDir)>,
}

impl Embedded {
    /// One that keeps everything in the heap.
    ///
    /// # Errors
    /// What the broker answers.
    pub(super) async fn in_memory() -> Outcome<Self> {
        Self::in_memory_with(BrokerConfig::default()).await
    }

    /// The same, configured.
    ///
    /// # Errors
    /// What the broker answers.
    pub(super) async fn in_memory_with(config: BrokerConfig) -> Outcome<Self> {
        let opened = MemoryStorage::new().broker().config(config).open().await;
        let broker = opened.map_err(|error| Failure::of(&error))?;
        Ok(Self {
            client: Client::in_process(broker.clone()),
            broker,
            disk: None,
        })
    }

    /// One with a temporary directory, where the system keeps such.
    ///
    /// # Errors
    /// The directory cannot be made or opened.
    pub(super) async fn on_disk() -> Outcome<Self> {
        Self::on_disk_with(BrokerConfig::default()).await
    }

    /// The same, configured.
    ///
    /// # Errors
    /// The directory cannot be made or opened.
    pub(super) async fn on_disk_with(config: BrokerConfig) -> Outcome<Self> {
        let directory = directory(None)?;
        let opened = MmapStorage::open(directory.path(), MmapOptions::default()).await;
        let disk = opened.map_err(|error| serve::data_failure(directory.path(), &error))?;
        let disk = Arc::new(disk);
        let broker = disk.broker().config(config).open().await;
        let broker = broker.map_err(|error| Failure::of(&error))?;
        Ok(Self {
            client: Client::in_process(broker.clone()),
            broker,
            disk: Some((disk, directory)),
        })
    }

    /// The broker itself.
    pub(super) const fn broker(&self) -> &Broker {
        &self.broker
    }

    /// Shuts the broker down and removes what it kept.
    ///
    /// # Errors
    /// What could not be shut down.
    pub(super) async fn close(self) -> Outcome {
        let down = self.broker.shutdown(GRACE).await;
        down.map_err(|error| Failure::of(&error))?;
        if let Some((disk, directory)) = self.disk {
            let closed = disk.close().await;
            closed.map_err(|error| serve::data_failure(directory.path(), &error))?;
        }
        Ok(())
    }
}

/// A directory for a run in `parent`, or where the system keeps such; gone when it is dropped.
///
/// # Errors
/// It cannot be made.
pub(super) fn directory(parent: Option<&Path>) -> Outcome<TempDir> {
    let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
    tempfile::Builder::new()
        .prefix("ratatoskr-bench-")
        .tempdir_in(&parent)
        .map_err(|error| {
            let what = format!("cannot make a directory in {}", parent.display());
            Failure::new(Exit::Failure, what)
                .because(error)
                .next("TMPDIR=DIR ratatoskr bench …, with a directory that can be written to")
        })
}
