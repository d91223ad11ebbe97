//! Reading: without the partition's lock, up to what is committed.

use std::sync::{Arc, atomic::Ordering};

use super::{PartitionCell, Reader};
use crate::{
    batch::BatchHeader,
    broker::supervision::{Failure, caught, caught_async},
    error::Error,
    offset::{Bounds, IsolationLevel, Offset},
    storage::{
        Access, BatchSlices, Partition, PartitionStats, ReadRequest, TimestampedOffset, TryRead,
    },
    time::Timestamp,
};

/// What was read, and where the log began and ended then.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The offset that was asked for.
    pub from: Offset,
    /// Whole batches; the first may begin before the offset asked for.
    pub batches: BatchSlices,
    /// The bounds as of just before the read.
    pub bounds: Bounds,
}

impl Fetched {
    /// Where to read on: behind the batches, or where it was asked for if there are none.
    pub fn next_offset(&self) -> Offset {
        let end_offset = self.batches.end_offset();
        end_offset.map_or(self.from, |end| end.max(self.from))
    }

    /// How many offsets that takes, those that compaction took included.
    pub fn offsets(&self) -> u64 {
        self.next_offset().distance_from(self.from)
    }
}

/// What to read of a partition.
#[derive(Clone, Copy, Debug)]
pub(in crate::broker) struct Wanted {
    pub(in crate::broker) from: Offset,
    /// No batch that begins so many offsets further on is read, except the first.
    pub(in crate::broker) offsets_max: u64,
    /// Bytes to read at most, except that one batch is read whatever its size; 0 reads nothing.
    pub(in crate::broker) bytes_max: usize,
    pub(in crate::broker) isolation: IsolationLevel,
    pub(in crate::broker) access: Access,
}

impl Wanted {
    /// All there is from `from` on, up to so many bytes, whatever it is.
    pub(in crate::broker) const fn from(from: Offset, bytes_max: usize, access: Access) -> Self {
        Self {
            from,
            offsets_max: u64::MAX,
            bytes_max,
            isolation: IsolationLevel::ReadUncommitted,
            access,
        }
    }
}

/// What a partition had at hand.
#[derive(Debug)]
pub(in crate::broker) enum TryFetched {
    Ready(Fetched),
    /// It has to be waited for.
    Cold(ColdRead),
}

/// A read that has to be waited for.
#[derive(Debug)]
pub(in crate::broker) struct ColdRead {
    reader: Arc<Reader>,
    request: ReadRequest,
    readable_end: Offset,
    bounds: Bounds,
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

    pub(super) fn reader(&self) -> Result<Arc<Reader>, Error> {
        if let Some(reader) = self.reader.load_full() {
            return Ok(reader);
        }
        let mut inner = self.inner.lock();
        let log = self.open_under_lock(&mut inner)?.log.clone();
        Ok(Arc::new(Reader {
            opening: inner.opening,
            log,
        }))
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

    pub(super) fn answered<T>(
        &self,
        reader: &Reader,
        answer: Result<T, Failure>,
    ) -> Result<T, Error> {
        answer.map_err(|failure| self.failed(reader.opening, &failure))
    }

    /// Reads whole batches, up to what this isolation may see.
    ///
    /// # Errors
    /// [`Error::OffsetOutOfRange`], [`Error::CorruptRecords`], [`Error::PartitionOffline`],
    /// [`Error::UnknownTopic`].
    pub(in crate::broker) async fn read(&self, wanted: &Wanted) -> Result<Fetched, Error> {
        match self.try_read(wanted)? {
            TryFetched::Ready(fetched) => Ok(fetched),
            TryFetched::Cold(cold) => self.read_cold(cold).await,
        }
    }

    /// The same, as far as it need not be waited for.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(in crate::broker) fn try_read(&self, wanted: &Wanted) -> Result<TryFetched, Error> {
        let reader = self.reader()?;
        let bounds = self.bounds_of(&reader)?;
        let from = wanted.from;
        if from < bounds.log_start || from > bounds.log_end {
            return Err(Error::OffsetOutOfRange {
                requested: from,
                bounds,
            });
        }
        let readable_end = bounds.readable_end(wanted.isolation);
        if from >= readable_end || wanted.bytes_max == 0 {
            return Ok(TryFetched::Ready(Fetched {
                from,
                batches: BatchSlices::default(),
                bounds,
            }));
        }
        let mut cold = ColdRead {
            reader,
            request: ReadRequest {
                from,
                until: readable_end.min(from.plus(wanted.offsets_max)),
                bytes_max: wanted.bytes_max,
                access: wanted.access,
            },
            readable_end,
            bounds,
        };
        loop {
            let found = caught(|| cold.reader.log.try_read(&cold.request));
            match self.answered(&cold.reader, found)? {
                TryRead::WouldBlock => return Ok(TryFetched::Cold(cold)),
                TryRead::Ready(found) => {
                    if let Some(fetched) = self.found(&mut cold, found)? {
                        return Ok(TryFetched::Ready(fetched));
                    }
                }
            }
        }
    }

    /// Reads whole batches from `from` on, none that begins at `until` or later.
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
        let wanted = Wanted {
            from,
            offsets_max: until.get().saturating_sub(from.get()),
            bytes_max,
            isolation,
            access,
        };
        let mut fetched = self.read(&wanted).await?;
        // Where there is nothing, a read looks beyond the gap.
        let first = fetched.batches.slices().first();
        let first = first.and_then(|slice| BatchHeader::decode(slice).ok());
        if first.is_some_and(|header| header.base_offset >= until) {
            fetched.batches = BatchSlices::default();
        }
        Ok(fetched)
    }

    /// Reads for who asked the broker, as [`read`](Self::read): what has to be waited for is given at
    /// the pace of cold reads.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(in crate::broker) async fn serve(&self, wanted: &Wanted) -> Result<Fetched, Error> {
        match self.try_read(wanted)? {
            TryFetched::Ready(fetched) => Ok(fetched),
            TryFetched::Cold(cold) => self.serve_cold(cold).await,
        }
    }

    /// The same of a read that has to be waited for.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(in crate::broker) async fn serve_cold(&self, cold: ColdRead) -> Result<Fetched, Error> {
        let fetched = self.read_cold(cold).await?;
        let bytes = fetched.batches.len() as u64;
        self.context().cold_reads.spend(bytes).await;
        Ok(fetched)
    }

    /// Ends a read that has to be waited for.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    async fn read_cold(&self, mut cold: ColdRead) -> Result<Fetched, Error> {
        loop {
            let found = caught_async(async { cold.reader.log.read(&cold.request).await }).await;
            let found = self.answered(&cold.reader, found)?;
            if let Some(fetched) = self.found(&mut cold, found)? {
                return Ok(fetched);
            }
        }
    }

    /// What a read has found; `None` where compaction left a gap that it must look beyond, which
    /// `read` is then changed to.
    fn found(&self, read: &mut ColdRead, batches: BatchSlices) -> Result<Option<Fetched>, Error> {
        let from = read.request.from;
        match batches.end_offset() {
            Some(end) if end <= from => {
                let defect = format!("a read from offset {from} ended at {end}");
                return self.answered(&read.reader, Err(Failure::Defect(defect)));
            }
            None if read.request.until < read.readable_end => {
                read.request.until = read.readable_end;
                read.request.bytes_max = 0;
                return Ok(None);
            }
            _ => {}
        }
        Ok(Some(Fetched {
            from,
            batches,
            bounds: read.bounds,
        }))
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
