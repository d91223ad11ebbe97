//! Brings one partition's log up to what is durable elsewhere: its pending file, then frames of the
//! write-ahead log.
//!
//! The frames are gone through twice. The first time only moves of the log start count: records
//! before the last of them may be gone from the log already, and are not brought back. The second time
//! the other records are compared with the log or appended to it. The log is opened when the first of
//! them comes, with its start raised, so that it need not reach further back than that.

use std::sync::Arc;

use bytes::Bytes;
use ratatoskr_core::{
    batch::{BatchHeader, RecordBatch},
    config::TopicConfig,
    offset::Offset,
    storage::{Access, ReadRequest, StorageError, StorageResult},
};

use super::{layout::Layout, pending};
use crate::{
    mmap::{LogCheckpoint, LogConfig, LogId, PartitionLog, Recovered, SharedCaches, Verify},
    wal::{Frame, FrameKind},
};

/// What every log of a data directory is opened with.
#[derive(Clone, Debug)]
pub(super) struct Logs {
    pub(super) layout: Layout,
    pub(super) caches: Arc<SharedCaches>,
    /// What the checksums of the write-ahead log start from.
    pub(super) seed: u32,
    /// How much of a log is read when it is opened.
    pub(super) verify: Verify,
}

/// A log that has been opened.
#[derive(Debug)]
pub(super) struct OpenLog {
    pub(super) log: PartitionLog,
    /// Whether its pending file is there still, to be removed when the log is synced.
    pub(super) has_pending: bool,
    /// What opening it found.
    pub(super) recovered: Recovered,
}

/// One partition on its way to being open.
#[derive(Debug)]
pub(super) struct Replay {
    id: LogId,
    checkpoint: Option<LogCheckpoint>,
    log_start: Offset,
    open: Option<OpenLog>,
}

impl Replay {
    pub(super) fn new(id: LogId, checkpoint: Option<LogCheckpoint>) -> Self {
        Self {
            id,
            checkpoint,
            log_start: checkpoint.map_or(Offset::ZERO, |checkpoint| checkpoint.log_start),
            open: None,
        }
    }

    /// Takes note of a frame that will be applied.
    pub(super) fn expect(&mut self, frame: &Frame) {
        if frame.header.kind == FrameKind::LogStartMoved {
            self.expect_log_start(frame.header.base_offset);
        }
    }

    /// Takes note of where the log is to start at least.
    pub(super) fn expect_log_start(&mut self, to: Offset) {
        self.log_start = self.log_start.max(to);
    }

    /// Applies one frame; all of them have been expected, and they come in the order of the log.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] where the log holds other records there, or lacks some before them;
    /// what opening the log says.
    pub(super) fn apply(
        &mut self,
        logs: &Logs,
        config: &TopicConfig,
        frame: &Frame,
    ) -> StorageResult<()> {
        let Some(batch) = self.batch_of(frame)? else {
            return Ok(());
        };
        let base_offset = batch.header().base_offset;
        if self.open.is_none() {
            logs.layout.create_topic(self.id.topic)?;
        }
        let open = self.open(logs, config, base_offset)?;
        replay_batch(&open.log, batch)
    }

    /// The log, with all that was applied.
    ///
    /// # Errors
    /// What opening it says.
    pub(super) fn finish(mut self, logs: &Logs, config: &TopicConfig) -> StorageResult<OpenLog> {
        let log_start = self.log_start;
        self.open(logs, config, log_start)?;
        let open = self.open.take().ok_or(StorageError::Closed)?;
        open.log.set_log_start(log_start)?;
        Ok(open)
    }

    /// The batch of a frame, if it has one that is still wanted.
    fn batch_of(&self, frame: &Frame) -> StorageResult<Option<RecordBatch>> {
        if frame.header.kind != FrameKind::Batch {
            return Ok(None);
        }
        let batch = frame.batch().map_err(|error| StorageError::Damaged {
            file: "the write-ahead log".into(),
            detail: format!("frame {}: {error}", frame.header.lsn),
        })?;
        // What the checkpoint has in sealed segments may have been compacted since, and so differ.
        let sealed_end = self.checkpoint.map_or(Offset::ZERO, |at| at.segment_base);
        let is_wanted = batch.header().end_offset() > self.log_start.max(sealed_end);
        Ok(is_wanted.then_some(batch))
    }

    /// Opens the log, if that has not been done, with what its pending file holds. Records from
    /// `first` on are going to be applied.
    fn open(
        &mut self,
        logs: &Logs,
        config: &TopicConfig,
        first: Offset,
    ) -> StorageResult<&mut OpenLog> {
        if self.open.is_none() {
            let frames = pending::read(&logs.layout, logs.seed, self.id)?;
            for frame in &frames {
                self.expect(frame);
            }
            let mut waiting = Vec::new();
            for frame in &frames {
                waiting.extend(self.batch_of(frame)?);
            }
            let first = waiting
                .first()
                .map_or(first, |batch| batch.header().base_offset);
            let (log, recovered) = self.open_log(logs, config, first.min(self.log_start))?;
            for batch in waiting {
                replay_batch(&log, batch)?;
            }
            self.open = Some(OpenLog {
                log,
                has_pending: !frames.is_empty(),
                recovered,
            });
        }
        self.open.as_mut().ok_or(StorageError::Closed)
    }

    fn open_log(
        &self,
        logs: &Logs,
        config: &TopicConfig,
        log_start: Offset,
    ) -> StorageResult<(PartitionLog, Recovered)> {
        let directory = logs.layout.partition(self.id);
        // A log that no checkpoint names was empty as of that checkpoint: whatever it holds by now is
        // unproven, and begins at offset 0.
        let checkpoint = self.checkpoint.unwrap_or_default();
        let checkpoint = LogCheckpoint {
            log_start: checkpoint.log_start.max(log_start),
            ..checkpoint
        };
        let (log, recovered) = PartitionLog::open(
            logs.layout.fs.clone(),
            directory.clone(),
            self.id,
            LogConfig::from(config),
            Some(checkpoint),
            logs.caches.clone(),
            logs.verify,
        )?;
        for lost in &recovered.quarantined {
            tracing::error!(directory = %directory.display(), from = %lost.from,
                until = %lost.until, detail = %lost.detail, "records are corrupt");
        }
        Ok((log, recovered))
    }
}

fn replay_batch(log: &PartitionLog, batch: RecordBatch) -> StorageResult<()> {
    let header = *batch.header();
    let log_end = log.bounds().log_end;
    if header.base_offset > log_end {
        return Err(StorageError::Corrupt {
            from: log_end,
            until: header.base_offset,
            detail: "the log ends before the write-ahead log goes on".into(),
        });
    }
    if header.base_offset == log_end {
        return log.append(&[batch]).map(drop);
    }
    let there = header_at(log, header.base_offset)?;
    if there.is_some_and(|there| there.crc == header.crc) {
        return Ok(());
    }
    Err(StorageError::Corrupt {
        from: header.base_offset,
        until: header.end_offset(),
        detail: "the log holds other records there than the write-ahead log".into(),
    })
}

/// The header of the batch that begins at `offset` in the log.
fn header_at(log: &PartitionLog, offset: Offset) -> StorageResult<Option<BatchHeader>> {
    let bounds = log.bounds();
    let found = log.read_blocking(&ReadRequest {
        from: offset.max(bounds.log_start),
        until: bounds.log_end,
        bytes_max: 1,
        access: Access::Inspect,
    })?;
    let header = found
        .slices()
        .first()
        .map(|bytes: &Bytes| BatchHeader::decode(bytes));
    let header = header.transpose().map_err(|error| StorageError::Corrupt {
        from: offset,
        until: offset.plus(1),
        detail: error.to_string(),
    })?;
    Ok(header.filter(|header| header.base_offset == offset))
}
