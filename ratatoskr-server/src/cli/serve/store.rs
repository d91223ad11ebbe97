//! Opening the storage that the configuration names, and the broker over it.

use std::{path::Path, sync::Arc};

#[cfg(feature = "kafka")]
use ratatoskr_core::name::TopicId;
use ratatoskr_core::{
    Broker, BrokerConfig,
    delivery::QueueConfig,
    storage::{IoKind, StorageError},
};
use ratatoskr_storage::{
    MemoryStorage, MmapOptions, MmapStorage, RecoveryReport, SystemClock, mmap::CacheLimits,
};

use crate::{
    cli::exit::{Exit, Failure, Outcome},
    config::Settings,
};

/// A broker with what it keeps its records in.
pub(super) struct Store {
    pub(super) broker: Broker,
    disk: Option<Arc<MmapStorage>>,
}

impl Store {
    /// The broker, recovered and ready.
    ///
    /// # Errors
    /// The data directory is in use ([`Exit::Conflict`]), written by a newer version, or cannot be
    /// read.
    pub(super) async fn open(settings: &Settings) -> Outcome<Self> {
        let (builder, disk) = if settings.memory {
            let storage = Arc::new(MemoryStorage::new());
            (Broker::builder(storage, Arc::new(SystemClock::new())), None)
        } else {
            let options = MmapOptions {
                verify: settings.storage_verify,
                checkpoint_interval: settings.checkpoint_interval,
                caches: CacheLimits {
                    unsynced_bytes_max: settings.unsynced_bytes_max,
                    ..CacheLimits::default()
                },
                ..MmapOptions::default()
            };
            let opened = MmapStorage::open(&settings.data_dir, options).await;
            let disk = opened.map_err(|error| failure(&settings.data_dir, &error))?;
            let disk = Arc::new(disk);
            tell(disk.recovery());
            (disk.broker(), Some(disk))
        };
        let config = configured(settings)?;
        let opened = builder.config(config).open().await;
        let broker = opened.map_err(|error| Failure::of(&error))?;
        Ok(Self { broker, disk })
    }

    /// What the broker's data was named when it was born.
    #[cfg(feature = "kafka")]
    pub(super) fn id(&self) -> [u8; 16] {
        match &self.disk {
            Some(disk) => disk.id(),
            None => *TopicId::random().as_bytes(),
        }
    }

    /// Writes down what is only in the write-ahead log and gives the directory back. The broker has
    /// shut down before.
    ///
    /// # Errors
    /// The last checkpoint could not be written; the next start recovers without it.
    pub(super) async fn close(&self) -> Outcome {
        let Some(disk) = &self.disk else {
            return Ok(());
        };
        disk.close().await.map_err(|error| {
            Failure::new(Exit::Failure, "the last checkpoint could not be written").because(error)
        })
    }
}

/// Logs what recovery did, and whatever is out of the ordinary on a line of its own.
fn tell(recovery: &RecoveryReport) {
    let RecoveryReport {
        frames,
        bytes,
        partitions,
        torn,
        failed,
        orphaned,
        verified_bytes,
        corrupt,
    } = recovery;
    tracing::info!(
        frames,
        bytes,
        partitions,
        verified_bytes,
        "data directory opened"
    );
    if let Some(torn) = torn {
        let (file, position) = (&torn.file, torn.position);
        let reason = &torn.detail;
        tracing::warn!(
            file,
            position,
            reason,
            "cut what was not whole at the end of the write-ahead log"
        );
    }
    for (topic, partition, error) in failed {
        tracing::error!(%topic, %partition, %error, "a partition could not be recovered; opening it tries again");
    }
    for directory in orphaned {
        tracing::warn!(
            directory,
            "moved a directory that no topic owns to orphaned/"
        );
    }
    if *corrupt > 0 {
        tracing::error!(
            ranges = corrupt,
            "records are corrupt; reading them is an error, all others can be read"
        );
    }
}

/// What of the settings the broker is configured with.
///
/// # Errors
/// The defaults of queue groups do not go together, which reading the settings has looked at.
fn configured(settings: &Settings) -> Outcome<BrokerConfig> {
    let (groups, queues) = (&settings.groups, &settings.queues);
    let queue_defaults = queues.defaults.apply_to(&QueueConfig::default());
    Ok(BrokerConfig {
        auto_create_topics: settings.auto_create_topics,
        partitions_default: settings.partitions_default,
        in_flight_bytes_max: settings.in_flight_bytes_max,
        snapshot_bytes: settings.snapshot_bytes,
        retention_interval: settings.retention_interval,
        compaction_interval: settings.compaction_interval,
        compaction_bytes_per_second: settings.compaction_bytes_per_second,
        cold_read_bytes_per_second: settings.cold_read_bytes_per_second,
        compaction_key_map_bytes_max: settings.compaction_key_map_bytes_max,
        groups_max: groups.groups_max,
        group_members_max: groups.members_max,
        group_member_topics_max: groups.member_topics_max,
        group_offsets_max: groups.offsets_max,
        offset_metadata_bytes_max: groups.offset_metadata_bytes_max,
        group_session_timeout: groups.session_timeout,
        group_heartbeat_interval: groups.heartbeat_interval,
        group_session_timeout_min: groups.session_timeout_min,
        group_session_timeout_max: groups.session_timeout_max,
        group_initial_rebalance_delay: groups.initial_rebalance_delay,
        group_rebalance_timeout_max: groups.rebalance_timeout_max,
        offsets_retention: groups.offsets_retention,
        queue_groups_max: queues.groups_max,
        queue_delayed_records_max: queues.delayed_records_max,
        queue_defaults: queue_defaults.map_err(|error| Failure::usage(error.to_string()))?,
        ..BrokerConfig::default()
    })
}

/// Why a data directory cannot be opened, for the one who named it.
pub(crate) fn failure(directory: &Path, error: &StorageError) -> Failure {
    let named = format!("cannot open the data directory {}", directory.display());
    let check = format!("ratatoskr check data --data-dir {}", directory.display());
    let (exit, next) = match error {
        StorageError::Locked { .. } => (
            Exit::Conflict,
            "ratatoskr serve --data-dir DIR, with a directory of its own".to_owned(),
        ),
        StorageError::NewerFormat { .. } => (
            Exit::Failure,
            "the version of ratatoskr that wrote it, or a newer one".to_owned(),
        ),
        StorageError::Io {
            kind: IoKind::PermissionDenied,
            ..
        } => (Exit::Failure, format!("ls -ld {}", directory.display())),
        _ => (Exit::Failure, check),
    };
    Failure::new(exit, named).because(error).next(next)
}
