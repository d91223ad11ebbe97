//! A log: what it is made of, and how it is opened.
//!
//! One lock serializes writers; readers take another one, only to learn where the log ends and which
//! segments there are, and never wait for a disk.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use ratatoskr_core::{
    offset::{Bounds, LeaderEpoch, Offset},
    storage::{IoKind, StorageError, StorageResult},
    sync::{Mutex, RwLock},
    time::Timestamp,
};

use super::{
    LogCheckpoint, LogConfig, LogId, Quarantined, Recovered, Verify,
    files::SharedCaches,
    index::OpenSpan,
    rebuild::rebuild_if_in_doubt,
    recover::recover,
    segment::{Place, Segment},
    tail::Tail,
};
use crate::io::FileSystem;

/// A partition's log on disk. Clones are handles to the same log.
///
/// Methods that say "blocks" wait for the disk: keep them off a runtime's workers.
#[derive(Clone, Debug)]
pub struct PartitionLog(pub(super) Arc<Log>);

#[derive(Debug)]
pub(super) struct Log {
    pub(super) place: Place,
    pub(super) config: RwLock<LogConfig>,
    pub(super) view: RwLock<View>,
    pub(super) tail: Arc<Tail>,
    pub(super) writer: Mutex<Writer>,
    /// Held while files are synced, so that a later sync returns after an earlier one.
    pub(super) syncing: Mutex<()>,
    /// Held while segments are unlinked, or replaced.
    pub(super) removing: Mutex<()>,
    /// Held by the compaction that is under way.
    pub(super) compacting: Arc<tokio::sync::Mutex<()>>,
    /// Whether there is to be none any more. Held while one does something.
    pub(super) compaction_ended: Mutex<bool>,
    /// The first error that left unknown bytes or an unknown disk behind.
    failure: OnceLock<StorageError>,
}

/// What readers see.
#[derive(Debug)]
pub(super) struct View {
    pub(super) log_start: Offset,
    pub(super) log_end: Offset,
    pub(super) durable_end: Offset,
    /// In order; the last may be active.
    pub(super) segments: Vec<Arc<Segment>>,
    pub(super) quarantined: Vec<Quarantined>,
}

#[derive(Debug)]
pub(super) struct Writer {
    pub(super) active: Option<Active>,
    pub(super) log_end: Offset,
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) max_timestamp: Timestamp,
    /// Bytes promised by `reserve` and not yet appended.
    pub(super) reserved: u64,
    pub(super) has_dir: bool,
    /// Files were created or removed since the directory was synced.
    pub(super) dir_is_dirty: bool,
    /// The directory itself was created since its parent was synced.
    pub(super) parent_is_dirty: bool,
    /// As of the last sync.
    pub(super) checkpoint: LogCheckpoint,
}

/// The segment that is appended to.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) segment: Arc<Segment>,
    /// Bytes of its batches.
    pub(super) bytes: u64,
    /// Bytes of its file.
    pub(super) allocated: u64,
    pub(super) open: OpenSpan,
    pub(super) max_timestamp: Timestamp,
    /// Entries that are in the index file.
    pub(super) entries_written: usize,
    /// The maximum timestamp of its first batch.
    pub(super) first_timestamp: Option<Timestamp>,
}

impl PartitionLog {
    /// Opens the log in `dir`, which need not exist yet: nothing is created before the first append.
    /// Blocks.
    ///
    /// Without a checkpoint everything is read and verified; with one, what lies beyond it, and with
    /// [`Verify::All`] the rest too. A torn
    /// tail is cut off at its first bad batch; corruption below the checkpoint is quarantined.
    /// `from.log_start` may be raised to what the write-ahead log has made durable since. The log end
    /// is never below the checkpoint's log end and log start, whatever became of the files.
    ///
    /// Files of a log whose last sync has failed are made anew first.
    ///
    /// Opening again after a crash in here is the same as opening once. Nothing is durable by it: call
    /// [`sync`](Self::sync) before the checkpoint is replaced.
    ///
    /// # Errors
    /// [`StorageError::NewerFormat`]; [`StorageError::Io`] where a file cannot be read or changed, of
    /// kind [`IoKind::Full`] where there is no room to make files anew.
    pub fn open(
        fs: Arc<dyn FileSystem>,
        dir: PathBuf,
        id: LogId,
        config: LogConfig,
        from: Option<LogCheckpoint>,
        shared: Arc<SharedCaches>,
        verify: Verify,
    ) -> StorageResult<(Self, Recovered)> {
        let place = Place {
            fs,
            dir: dir.into(),
            id,
            caches: shared,
        };
        rebuild_if_in_doubt(&place, from)?;
        let opened = recover(&place, &config, from, verify)?;
        let log = Log {
            tail: place.caches.tails.tail(),
            view: RwLock::new(View {
                log_start: opened.checkpoint.log_start,
                log_end: opened.log_end,
                durable_end: opened.checkpoint.log_end.max(opened.checkpoint.log_start),
                segments: opened.segments,
                quarantined: opened.report.quarantined.clone(),
            }),
            writer: Mutex::new(Writer {
                active: opened.active,
                log_end: opened.log_end,
                leader_epoch: opened.leader_epoch,
                max_timestamp: opened.max_timestamp,
                reserved: 0,
                has_dir: opened.has_dir,
                dir_is_dirty: opened.has_dir,
                parent_is_dirty: opened.has_dir,
                checkpoint: opened.checkpoint,
            }),
            config: RwLock::new(config),
            syncing: Mutex::default(),
            removing: Mutex::default(),
            compacting: Arc::default(),
            compaction_ended: Mutex::new(false),
            failure: OnceLock::new(),
            place,
        };
        Ok((Self(Arc::new(log)), opened.report))
    }

    /// Replaces the configuration; what is there stays as it is.
    pub fn set_config(&self, config: LogConfig) {
        *self.0.config.write() = config;
    }

    /// Where the log begins and ends now.
    pub fn bounds(&self) -> Bounds {
        self.0.view.read().bounds()
    }

    /// The leader epoch of the last batch appended.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.0.writer.lock().leader_epoch
    }

    /// The place up to which the log is on disk: as the last [`sync`](Self::sync) left it, or the
    /// checkpoint it was opened from; with the log start as of now.
    pub fn checkpoint(&self) -> LogCheckpoint {
        self.0.writer.lock().checkpoint
    }
}

impl View {
    pub(super) fn bounds(&self) -> Bounds {
        Bounds::of_log(self.log_start, self.log_end, self.durable_end)
    }
}

impl Log {
    pub(super) fn check_usable(&self) -> StorageResult<()> {
        self.failure
            .get()
            .map_or(Ok(()), |error| Err(error.clone()))
    }

    /// From now on this is the answer to every write.
    pub(super) fn fail(&self, error: &StorageError) {
        // The first failure is the cause; a later one is its consequence.
        let _ = self.failure.set(error.clone());
    }

    /// An error after which nobody knows which bytes are there: never one that may be tried again.
    pub(super) fn fatal(&self, operation: &str, error: std::io::Error) -> StorageError {
        let error = StorageError::Io {
            kind: IoKind::Other,
            operation: format!("{operation} {}", self.place.dir.display()),
            source: Arc::new(error),
        };
        self.fail(&error);
        error
    }
}
