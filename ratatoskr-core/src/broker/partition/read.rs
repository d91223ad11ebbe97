//! Reading: without the partition's lock, up to what is committed.

use std::sync::atomic::Ordering;

use super::{PartitionCell, Reader, recover::read_either};
use crate::{
    broker::supervision::{Failure, caught, caught_async},
    error::Error,
    offset::{Bounds, IsolationLevel, Offset},
    storage::{Access, BatchSlices, Partition, PartitionStats, ReadRequest, TimestampedOffset},
    time::Timestamp,
};

/// What was read, and where the log began and ended then.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Whole batches; the first may begin before the offset asked for.
    pub batches: BatchSlices,
    /// The bounds as of just before the read.
    pub bounds: Bounds,
}

/// How far a partition has come, as cheap to compare as two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::broker) struct Progress {
    /// Bytes that became readable since the broker was opened.
    pub(in crate::broker) bytes_readable: u64,
    /// Changes other than new records.
    pub(in crate::broker) changes: u64,
}

impl PartitionCell {
    pub(in crate::broker) fn progress(&self) -> Progress {
        Progress {
            bytes_readable: self.readable.bytes(),
            changes: self.changes.load(Ordering::Acquire),
        }
    }

    /// Counts a batch that readers may see from now on; the caller holds the lock.
    pub(super) fn count_readable(&self, records: i32, bytes: usize) {
        self.readable
            .add(u64::from(records.unsigned_abs()), bytes as u64);
    }

    fn reader(&self) -> Result<Reader, Error> {
        if let Some(reader) = &*self.reader.read() {
            return Ok(reader.clone());
        }
        let mut inner = self.inner.lock();
        let log = self.open_under_lock(&mut inner)?.log.clone();
        Ok(Reader {
            opening: inner.opening,
            log,
        })
    }

    /// Where the log begins and ends, for readers.
    ///
    /// # Errors
    /// [`Error::PartitionOffline`], [`Error::UnknownTopic`].
    pub(in crate::broker) fn bounds(&self) -> Result<Bounds, Error> {
        let reader = self.reader()?;
        self.bounds_of(&reader)
    }

    fn bounds_of(&self, reader: &Reader) -> Result<Bounds, Error> {
        // Loaded first: the log may grow in between, and an end that lags is still right.
        let high_watermark = self.high_watermark();
        let bounds = self.answered(reader, caught(|| Ok(reader.log.bounds())))?;
        let readable = high_watermark.clamp(bounds.log_start, bounds.log_end);
        Ok(Bounds {
            last_stable: readable,
            high_watermark: readable,
            ..bounds
        })
    }

    fn answered<T>(&self, reader: &Reader, answer: Result<T, Failure>) -> Result<T, Error> {
        answer.map_err(|failure| self.failed(reader.opening, &failure))
    }

    /// Reads whole batches from `from` on, up to what this isolation may see.
    ///
    /// # Errors
    /// [`Error::OffsetOutOfRange`], [`Error::CorruptRecords`], [`Error::PartitionOffline`],
    /// [`Error::UnknownTopic`].
    pub(in crate::broker) async fn read(
        &self,
        from: Offset,
        bytes_max: usize,
        isolation: IsolationLevel,
        access: Access,
    ) -> Result<Fetched, Error> {
        self.read_between(from, Offset::MAX, bytes_max, isolation, access)
            .await
    }

    /// Reads whole batches from `from` on, up to the one before the first that begins at `until` or
    /// later, and up to what this isolation may see.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(in crate::broker) async fn read_between(
        &self,
        from: Offset,
        until: Offset,
        bytes_max: usize,
        isolation: IsolationLevel,
        access: Access,
    ) -> Result<Fetched, Error> {
        let reader = self.reader()?;
        let bounds = self.bounds_of(&reader)?;
        if from < bounds.log_start || from > bounds.log_end {
            return Err(Error::OffsetOutOfRange {
                requested: from,
                bounds,
            });
        }
        let until = bounds.readable_end(isolation).min(until);
        if from >= until || bytes_max == 0 {
            return Ok(Fetched {
                batches: BatchSlices::default(),
                bounds,
            });
        }
        let request = ReadRequest {
            from,
            until,
            bytes_max,
            access,
        };
        let batches = self.answered(&reader, read_either(&*reader.log, &request).await)?;
        Ok(Fetched { batches, bounds })
    }

    /// Counts bytes that a reader was given.
    pub(in crate::broker) fn count_read(&self, bytes: usize) {
        self.topic.counters.read(bytes as u64);
    }

    /// The first batch that may hold a record of this time or later.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(in crate::broker) async fn offset_for_timestamp(
        &self,
        at: Timestamp,
    ) -> Result<Option<TimestampedOffset>, Error> {
        let reader = self.reader()?;
        let log: &dyn Partition = &*reader.log;
        let found = caught_async(async { log.offset_for_timestamp(at).await }).await;
        self.answered(&reader, found)
    }

    /// What the log is made of.
    ///
    /// # Errors
    /// [`Error::PartitionOffline`], [`Error::UnknownTopic`].
    pub(in crate::broker) fn log_stats(&self) -> Result<PartitionStats, Error> {
        let reader = self.reader()?;
        self.answered(&reader, caught(|| Ok(reader.log.stats())))
    }

    /// Moves the log start up.
    ///
    /// # Errors
    /// [`Error::OffsetOutOfRange`] beyond what readers see, and as [`read`](Self::read).
    pub(in crate::broker) async fn advance_log_start(&self, to: Offset) -> Result<Bounds, Error> {
        let reader = self.reader()?;
        let bounds = self.bounds_of(&reader)?;
        if to > bounds.high_watermark {
            return Err(Error::OffsetOutOfRange {
                requested: to,
                bounds,
            });
        }
        let log: &dyn Partition = &*reader.log;
        let moved = caught_async(async { log.advance_log_start(to).await }).await;
        self.answered(&reader, moved)?;
        self.changed();
        self.bounds_of(&reader)
    }
}
