//! From what a crash left to a storage that can be used.
//!
//! 1. Read the checkpoint. It is whole or as it was before: see `layout.rs`.
//! 2. Go through the write-ahead log from the checkpoint's point, changing nothing: whatever is
//!    damaged shows here. Learn which topics there are in the end, and where logs start.
//! 3. Move directories of deleted topics to the trash, those that nobody knows to the orphans.
//! 4. Go through the log again and bring the partitions it names up to it. One that cannot be brought
//!    there is left as it is; its frames go to its pending file.
//! 5. Sync these partitions, write a checkpoint. Only then may files of the log be recycled.
//!
//! A crash at any moment in between leaves what the next attempt begins from: 3 is repeated, what 4
//! applied is found there and compared, and 5 replaces the checkpoint as a whole.

use std::collections::{BTreeMap, HashMap, HashSet};

use ratatoskr_core::{
    name::TopicId,
    offset::PartitionIndex,
    storage::{StorageError, StorageResult, TopicDescriptor},
};

use super::{
    catalog::{Catalog, Change},
    checkpoint::Checkpoint,
    pending,
    replay::{Logs, Replay},
};
use crate::{
    mmap::{LogCheckpoint, LogId},
    wal::{Frame, FrameKind, Scan, ScanRange, WalPoint, scan},
};

/// Frames that were being written when the process or the machine died.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The file of the write-ahead log.
    pub file: String,
    /// Where in it the first frame that is not whole begins, in bytes.
    pub position: u64,
    /// What is wrong with that frame.
    pub detail: String,
}

/// What recovery found and did.
#[derive(Clone, Debug, Default)]
pub struct RecoveryReport {
    /// Frames of the write-ahead log beyond the last checkpoint.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Partitions they belong to.
    pub partitions: u64,
    /// Where the last frames were cut, if they were not whole. Nobody had been told that they last.
    pub torn: Option<TornTail>,
    /// Partitions that could not be brought up to the log, and why. Opening one tries again.
    pub failed: Vec<(TopicId, PartitionIndex, StorageError)>,
    /// Directories that no catalog knows, moved to `orphaned/`.
    pub orphaned: Vec<String>,
    /// Bytes of the partitions' logs that were read because all of them were to be verified.
    pub verified_bytes: u64,
    /// Ranges of records found corrupt by that. Reading them is an error, all others can be read.
    pub corrupt: u64,
}

/// A data directory put in order.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) catalog: Catalog,
    pub(super) checkpoints: HashMap<LogId, LogCheckpoint>,
    /// Where the write-ahead log goes on.
    pub(super) point: WalPoint,
    pub(super) report: RecoveryReport,
}

/// Puts the directory in order.
///
/// # Errors
/// [`StorageError::Damaged`] where the checkpoint or frames that were durable are not what was
/// written; [`StorageError::Io`].
pub(super) fn recover(logs: &Logs) -> StorageResult<Recovered> {
    let checkpoint = Checkpoint::read(&logs.layout)?;
    let from = checkpoint.point;
    let mut recovery = Recovery::new(logs, checkpoint);
    let scanned = recovery.survey(from)?;
    recovery.sort_directories()?;
    recovery.replay(from)?;
    recovery.finish(from, &scanned)
}

struct Recovery<'a> {
    logs: &'a Logs,
    catalog: Catalog,
    /// As in the checkpoint, with what this recovery adds.
    checkpoints: HashMap<LogId, LogCheckpoint>,
    deleted: HashSet<TopicId>,
    touched: BTreeMap<LogId, Replay>,
    failed: BTreeMap<LogId, StorageError>,
    report: RecoveryReport,
}

impl<'a> Recovery<'a> {
    fn new(logs: &'a Logs, checkpoint: Checkpoint) -> Self {
        let checkpoints = checkpoint.logs().collect();
        let mut catalog = Catalog::default();
        for entry in checkpoint.topics {
            catalog.apply(Change::Created(entry.topic));
        }
        Self {
            logs,
            catalog,
            checkpoints,
            deleted: HashSet::new(),
            touched: BTreeMap::new(),
            failed: BTreeMap::new(),
            report: RecoveryReport::default(),
        }
    }

    fn survey(&mut self, from: WalPoint) -> StorageResult<Scan> {
        let scanned = self.scan(from, |recovery, frame| recovery.take_note(&frame))?;
        self.catalog.settle_names()?;
        let deleted = &self.deleted;
        self.touched.retain(|id, _| !deleted.contains(&id.topic));
        self.checkpoints
            .retain(|id, _| !deleted.contains(&id.topic));
        for id in self.touched.keys() {
            self.topic(*id)?;
        }
        self.report.frames = scanned.frames;
        self.report.bytes = scanned.bytes;
        self.report.partitions = self.touched.len() as u64;
        self.report.torn = scanned.torn.as_ref().map(|torn| TornTail {
            file: torn.path.display().to_string(),
            position: torn.position,
            detail: torn.error.to_string(),
        });
        Ok(scanned)
    }

    fn take_note(&mut self, frame: &Frame) -> StorageResult<()> {
        let header = &frame.header;
        if let Some(change) = Change::decode(header.kind, header.topic, &frame.payload)? {
            if let Change::Deleted(id) = change {
                self.deleted.insert(id);
            }
            self.catalog.apply(change);
            return Ok(());
        }
        let id = log_of(frame);
        let checkpoint = self.checkpoints.get(&id).copied();
        let replay = self.touched.entry(id);
        let replay = replay.or_insert_with(|| Replay::new(id, checkpoint));
        replay.expect(frame);
        Ok(())
    }

    fn sort_directories(&mut self) -> StorageResult<()> {
        let layout = &self.logs.layout;
        let mut moved = false;
        for entry in layout.list(&layout.topics())? {
            let id: Option<TopicId> = entry.name.parse().ok();
            if id.is_some_and(|id| self.catalog.topic(id).is_some()) {
                continue;
            }
            moved = true;
            if id.is_some_and(|id| self.deleted.contains(&id)) {
                layout.move_topic(&entry.name, &layout.trash())?;
            } else {
                tracing::warn!(
                    directory = entry.name,
                    "no topic is known for this directory"
                );
                layout.move_topic(&entry.name, &layout.orphaned())?;
                self.report.orphaned.push(entry.name);
            }
        }
        if moved {
            layout.sync_moves()?;
        }
        Ok(())
    }

    fn replay(&mut self, from: WalPoint) -> StorageResult<()> {
        self.scan(from, |recovery, frame| {
            recovery.apply(&frame);
            Ok(())
        })?;
        Ok(())
    }

    fn apply(&mut self, frame: &Frame) {
        if frame.header.kind != FrameKind::Batch {
            return;
        }
        let id = log_of(frame);
        let Some(mut replay) = self.touched.remove(&id) else {
            return;
        };
        let applied = self
            .topic(id)
            .and_then(|topic| replay.apply(self.logs, &topic.config, frame));
        match applied {
            Ok(()) => {
                self.touched.insert(id, replay);
            }
            Err(error) => self.fail(id, error),
        }
    }

    fn fail(&mut self, id: LogId, error: StorageError) {
        tracing::error!(topic = %id.topic, partition = %id.partition, %error,
            "a partition cannot be brought up to the write-ahead log");
        self.failed.insert(id, error);
    }

    /// The topic of a log; a frame names no other once the whole log has been gone through.
    fn topic(&self, id: LogId) -> StorageResult<&TopicDescriptor> {
        let topic = self.catalog.topic(id.topic);
        let topic = topic.filter(|topic| id.partition.get() < topic.partitions);
        topic.ok_or_else(|| StorageError::Damaged {
            file: "the write-ahead log".into(),
            detail: format!(
                "there are records of partition {} of topic {}, which is not known",
                id.partition, id.topic
            ),
        })
    }

    fn finish(mut self, from: WalPoint, scanned: &Scan) -> StorageResult<Recovered> {
        let mut pending = Vec::new();
        for (id, replay) in std::mem::take(&mut self.touched) {
            let synced = self
                .topic(id)
                .and_then(|topic| replay.finish(self.logs, &topic.config))
                .and_then(|open| Ok((open.log.sync()?, open.has_pending)));
            match synced {
                Ok((checkpoint, has_pending)) => {
                    self.checkpoints.insert(id, checkpoint);
                    if has_pending {
                        pending.push(id);
                    }
                }
                Err(error) => self.fail(id, error),
            }
        }
        let layout = &self.logs.layout;
        layout.sync_dir(&layout.topics())?;
        let range = ScanRange { from, until: None };
        pending::keep(self.logs, range, |id| self.failed.contains_key(&id))?;
        let point = WalPoint {
            lsn: scanned.next_lsn,
            file: scanned.next_file,
            position: 0,
        };
        let topics = self.catalog.topics().cloned();
        Checkpoint::new(point, topics, &self.checkpoints).write(layout)?;
        for id in pending {
            pending::remove(layout, id)?;
        }
        let failed = self.failed.into_iter();
        let failed = failed.map(|(id, error)| (id.topic, id.partition, error));
        self.report.failed = failed.collect();
        Ok(Recovered {
            catalog: self.catalog,
            checkpoints: self.checkpoints,
            point,
            report: self.report,
        })
    }

    fn scan(
        &mut self,
        from: WalPoint,
        mut each: impl FnMut(&mut Self, Frame) -> StorageResult<()>,
    ) -> StorageResult<Scan> {
        let logs = self.logs;
        let range = ScanRange { from, until: None };
        scan(
            &logs.layout.fs,
            &logs.layout.wal(),
            logs.seed,
            range,
            |frame| each(self, frame),
        )
    }
}

/// The log that a frame about a partition belongs to.
pub(super) fn log_of(frame: &Frame) -> LogId {
    LogId {
        topic: frame.header.topic,
        partition: frame.header.partition,
    }
}
