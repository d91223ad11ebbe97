//! The storage boundary: what a backend implements, and all that it needs to know.
//!
//! A backend keeps topics; a topic keeps partitions; a partition keeps whole record batches in the
//! order of their offsets and hands them out again, byte for byte. It knows nothing of producers,
//! consumers, groups or replication: the engine keeps those (in topics of its own, where they must
//! last). `ratatoskr-core`'s feature `conformance` holds a test suite that certifies a backend.
//!
//! Rules that hold for every method:
//! - **No defaults.** Convenience lives in [`PartitionExt`], which nobody has to implement.
//! - **Errors.** Retryable errors leave the partition as it was. After a *terminal* error
//!   ([`StorageError::is_retryable`] is false, and it is not an answer to a wrong argument) or a
//!   panic the engine drops the handle and asks [`Topic::partition`] for a new one, which must be
//!   opened afresh from what is stored.
//! - **Blocking.** Sync methods never wait for a disk's sync or a network. Async methods keep long
//!   work off the runtime's workers.
//! - **Cancel safety.** A dropped future leaves the backend consistent: the effect of the call is
//!   there or not there, never in between. One that is on its way may still come, but before that of
//!   any later call.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    batch::{BatchError, BatchHeader, RecordBatch},
    config::{Durability, TopicConfig},
    name::{TopicId, TopicName},
    offset::{Bounds, Offset, PartitionIndex},
    time::Timestamp,
};

pub use crate::{
    compaction::{CompactRequest, Compacted},
    storage_error::{IoKind, StorageError},
};

/// What every storage method answers with.
pub type StorageResult<T> = Result<T, StorageError>;

/// What a backend can do. The engine refuses a topic whose configuration asks for more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Durability of a topic that does not name one; must be among the supported.
    pub durability_default: Durability,
    /// Whether [`Partition::flush`] makes records survive a power cut, so that `fsync` may be promised.
    pub fsync: bool,
    /// Whether records outlive the process, so that `os` and `interval` may be promised.
    pub persistent: bool,
    /// Whether `cleanup_policy = compact` is carried out.
    pub compaction: bool,
}

impl Capabilities {
    /// Those of a backend that keeps everything in the heap.
    pub const IN_MEMORY: Self = Self {
        durability_default: Durability::Memory,
        fsync: false,
        persistent: false,
        compaction: false,
    };

    /// Whether a topic of this durability can be kept.
    pub const fn supports(&self, durability: Durability) -> bool {
        match durability {
            Durability::Fsync => self.fsync,
            Durability::Interval(_) => self.fsync && self.persistent,
            Durability::Os => self.persistent,
            Durability::Memory => !self.persistent,
        }
    }
}

/// A topic as a catalog lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicDescriptor {
    /// Chosen by the engine, new for each creation.
    pub id: TopicId,
    /// Unique among the topics there are.
    pub name: TopicName,
    /// How many partitions it has, from 0; only ever grows.
    pub partitions: u32,
    /// Its configuration.
    pub config: TopicConfig,
}

/// A catalog of topics.
#[async_trait]
pub trait Storage: Send + Sync + fmt::Debug {
    /// What this backend can do; the same answer for its whole life.
    fn capabilities(&self) -> Capabilities;

    /// Creates a topic and opens it. On return the creation lasts as long as the backend can make
    /// it. **Idempotent**: a topic that is there under the same id and name is opened as it is.
    ///
    /// # Errors
    /// [`StorageError::TopicExists`] where another id has the name.
    async fn create_topic(&self, topic: &TopicDescriptor) -> StorageResult<Arc<dyn Topic>>;

    /// Opens a topic that is there; opening it twice gives handles to the same topic.
    ///
    /// # Errors
    /// [`StorageError::UnknownTopic`].
    async fn open_topic(&self, id: TopicId) -> StorageResult<Arc<dyn Topic>>;

    /// Replaces configuration and number of partitions (which never shrinks); on return the change
    /// lasts. Handles that are open see it. **Idempotent.**
    ///
    /// # Errors
    /// [`StorageError::UnknownTopic`]; [`StorageError::Unsupported`] where partitions would shrink.
    async fn update_topic(&self, topic: &TopicDescriptor) -> StorageResult<()>;

    /// Deletes a topic with all its records; on return the deletion lasts. Slices that readers
    /// still hold stay valid; open handles answer [`StorageError::UnknownTopic`].
    /// **Idempotent**: a topic that is not there is deleted.
    async fn delete_topic(&self, id: TopicId) -> StorageResult<()>;

    /// Every topic there is, in no particular order.
    async fn list_topics(&self) -> StorageResult<Vec<TopicDescriptor>>;
}

/// An open topic.
pub trait Topic: Send + Sync + fmt::Debug {
    /// Its name.
    fn name(&self) -> &TopicName;

    /// Its id.
    fn id(&self) -> TopicId;

    /// Its configuration as of now.
    fn config(&self) -> TopicConfig;

    /// Opens a partition, which need not have been written to before. Two calls give handles to the
    /// same log. After a handle has answered a terminal error or panicked, the next call opens the
    /// partition anew from what is stored.
    ///
    /// # Errors
    /// [`StorageError::UnknownPartition`] beyond the topic's number of partitions.
    fn partition(&self, index: PartitionIndex) -> StorageResult<Arc<dyn Partition>>;
}

/// One partition's log of record batches.
#[async_trait]
pub trait Partition: Send + Sync + fmt::Debug {
    /// Appends whole batches. The engine calls it from one thread at a time, with base offsets
    /// already assigned: the first must be at or beyond the log end (beyond it only when a log is
    /// rebuilt), each next at or beyond the end of the one before. On return they can be read
    /// through [`read`](Self::read); they are *not* yet durable. All or none are appended. An empty
    /// slice appends nothing and answers with the log end twice.
    ///
    /// # Errors
    /// [`StorageError::OutOfOrder`] where a base offset lies below the log end; nothing is appended.
    /// [`StorageError::Io`] of kind [`IoKind::Full`] where there is no room; nothing is appended.
    fn append(&self, batches: &[RecordBatch]) -> StorageResult<Appended>;

    /// Where the log begins and ends now. A backend holds only committed records, so its
    /// [`Bounds::of_log`] has high watermark and last stable offset at the log end.
    fn bounds(&self) -> Bounds;

    /// Reads without waiting. `WouldBlock` where the records are not at hand (then
    /// [`read`](Self::read) gets them). The rest as `read`, but for one thing: where some are at hand,
    /// it may leave out others that cost more.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn try_read(&self, request: &ReadRequest) -> StorageResult<TryRead>;

    /// Reads whole batches, byte for byte as appended, from the first whose last offset is at least
    /// `request.from` (so the first may begin before it). Stops before the first batch whose base
    /// offset reaches `request.until`, and before `request.bytes_max` would be passed, but returns at
    /// least one batch where there is one. Empty where nothing lies in that range.
    ///
    /// # Errors
    /// [`StorageError::OffsetOutOfRange`] where `from` lies below log start or beyond log end;
    /// [`StorageError::Corrupt`] where the bytes kept are not the bytes appended.
    ///
    /// # Cancel safety
    /// Dropping the future reads nothing.
    async fn read(&self, request: &ReadRequest) -> StorageResult<BatchSlices>;

    /// The first batch that may hold a record of this time or later: the first batch from log start
    /// whose maximum timestamp is at least `at`. `None` where no batch has one.
    async fn offset_for_timestamp(&self, at: Timestamp)
    -> StorageResult<Option<TimestampedOffset>>;

    /// Moves the log start up to `to` (a smaller one than there is changes nothing) and frees what it
    /// can of the space before it. On return the new log start is durable.
    ///
    /// # Errors
    /// [`StorageError::OffsetOutOfRange`] where `to` lies beyond the log end.
    async fn advance_log_start(&self, to: Offset) -> StorageResult<Bounds>;

    /// Makes every record appended before the call as durable as this backend can, and returns the
    /// durable end, which is at least the log end at the time of the call. A failed flush is never
    /// tried again on the same handle: it is a terminal error.
    async fn flush(&self) -> StorageResult<Offset>;

    /// Compacts the log up to `request.until`, or as far before it as the backend can (it may leave
    /// out what it still writes to) and the request's memory reaches: see
    /// [`compaction`](crate::compaction). Appends and reads go on meanwhile; bounds and the offsets of
    /// records stay. A read sees a batch as it was or as it has become. Waits for the request's pace.
    ///
    /// # Errors
    /// [`StorageError::Unsupported`] where [`Capabilities::compaction`] is false.
    /// [`StorageError::Corrupt`] where a batch that has to be looked at is not what was appended; the
    /// log is compacted no further than to there.
    ///
    /// # Cancel safety
    /// Dropping the future ends the compaction; what it has done so far stays done.
    async fn compact(&self, request: &CompactRequest) -> StorageResult<Compacted>;

    /// Keeps what the broker knows of the log as of some offset, a few hundred bytes to a megabyte, in
    /// place of what it kept before, so that the next opening need not read all of the log for it. It need
    /// not last, and may be torn by a crash: the broker checks what it gets back. Unless a backend keeps
    /// it, which is what this method does by itself, a large log takes long to open.
    ///
    /// # Errors
    /// It could not be kept; that harms nothing.
    ///
    /// # Cancel safety
    /// Dropping the future leaves what was kept before, or this.
    async fn keep_snapshot(&self, snapshot: Bytes) -> StorageResult<()> {
        drop(snapshot);
        Ok(())
    }

    /// What was kept last, if it is there.
    ///
    /// # Errors
    /// It cannot be read; the broker does without.
    ///
    /// # Cancel safety
    /// Dropping the future reads nothing.
    async fn snapshot(&self) -> StorageResult<Option<Bytes>> {
        Ok(None)
    }

    /// What the log is made of now.
    fn stats(&self) -> PartitionStats;
}

/// What an append did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Base offset of the first batch.
    pub base_offset: Offset,
    /// The log end after it.
    pub log_end: Offset,
}

impl Appended {
    /// What appending `batches` to a log that ends at `log_end` will answer, if it may be done.
    ///
    /// # Errors
    /// [`StorageError::OutOfOrder`] where a base offset lies below the end of what is before it.
    #[inline]
    pub fn of(batches: &[RecordBatch], mut log_end: Offset) -> StorageResult<Self> {
        let first = batches.first().map(|batch| batch.header().base_offset);
        let base_offset = first.unwrap_or(log_end);
        for header in batches.iter().map(RecordBatch::header) {
            if header.base_offset < log_end {
                return Err(StorageError::OutOfOrder {
                    base_offset: header.base_offset,
                    log_end,
                });
            }
            log_end = header.end_offset();
        }
        Ok(Self {
            base_offset,
            log_end,
        })
    }
}

impl Bounds {
    /// Whether a log of these bounds can be read from `requested` on: from log start to log end,
    /// both included.
    ///
    /// # Errors
    /// [`StorageError::OffsetOutOfRange`].
    pub fn check(self, requested: Offset) -> StorageResult<()> {
        if requested < self.log_start || requested > self.log_end {
            let bounds = self;
            return Err(StorageError::OffsetOutOfRange { requested, bounds });
        }
        Ok(())
    }
}

/// Which batches to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadRequest {
    /// The first offset wanted.
    pub from: Offset,
    /// No batch that begins here or later is returned.
    pub until: Offset,
    /// Bytes to return at most, except that the first batch is returned whatever its size.
    pub bytes_max: usize,
    /// What the caller does with the bytes.
    pub access: Access,
}

/// What a reader does with the bytes it gets.
///
/// A slice of a memory map is free to hand to a socket (a page that has vanished is an error of that
/// write), but looking at such a page would kill the process with `SIGBUS`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// It looks at them: they must be in the heap.
    #[default]
    Inspect,
    /// It only hands them to the operating system: slices of a map will do.
    Forward,
}

/// What [`Partition::try_read`] found.
#[derive(Clone, Debug)]
pub enum TryRead {
    /// The batches, at once.
    Ready(BatchSlices),
    /// They would have to be waited for.
    WouldBlock,
}

/// Whole batches back to back, in order, in one or more slices. No batch is split across slices.
///
/// Where they end is told beside them, so that who only passes them on need not look at them.
#[derive(Clone, Debug, Default)]
pub struct BatchSlices {
    slices: Vec<Bytes>,
    end_offset: Option<Offset>,
}

impl BatchSlices {
    /// Adds whole batches behind those that are there; `end_offset` is one past the last offset of
    /// the last of them. An empty slice adds nothing.
    pub fn push(&mut self, slice: Bytes, end_offset: Offset) {
        if !slice.is_empty() {
            self.slices.push(slice);
            self.end_offset = Some(end_offset);
        }
    }

    /// From a slice in the heap, whose batches are looked at to learn where they end.
    ///
    /// # Errors
    /// [`BatchError`] where they are not whole batches.
    pub fn parse(slice: Bytes) -> Result<Self, BatchError> {
        let mut end_offset = Offset::ZERO;
        let mut at = 0;
        while at < slice.len() {
            let header = BatchHeader::decode(&slice[at..])?;
            end_offset = header.end_offset();
            at += header.total_bytes as usize;
        }
        let mut found = Self::default();
        found.push(slice, end_offset);
        Ok(found)
    }

    /// One past the last offset of the last batch; `None` where there is no batch.
    pub const fn end_offset(&self) -> Option<Offset> {
        self.end_offset
    }

    /// The slices.
    pub fn slices(&self) -> &[Bytes] {
        &self.slices
    }

    /// The slices, owned.
    pub fn into_slices(self) -> Vec<Bytes> {
        self.slices
    }

    /// Bytes in all slices.
    pub fn len(&self) -> usize {
        self.slices.iter().map(Bytes::len).sum()
    }

    /// Whether no batch was found.
    pub fn is_empty(&self) -> bool {
        self.slices.is_empty()
    }
}

/// A batch found by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampedOffset {
    /// Base offset of the batch.
    pub offset: Offset,
    /// The batch's maximum timestamp.
    pub max_timestamp: Timestamp,
}

impl From<&BatchHeader> for TimestampedOffset {
    fn from(header: &BatchHeader) -> Self {
        Self {
            offset: header.base_offset,
            max_timestamp: header.max_timestamp,
        }
    }
}

/// What a partition's log is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionStats {
    /// Bytes of the batches from log start to log end (those of a batch cut by the log start count
    /// whole), and of what lies before them in the first segment where that cannot be freed yet.
    pub bytes: u64,
    /// Segments in order; retention removes whole ones. At least one where there are records.
    pub segments: Vec<SegmentStats>,
    /// Up to here the log has been compacted; where it never was, at most where its first segment
    /// begins.
    pub compacted_to: Offset,
}

/// One segment of a partition's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentStats {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// One past its last record.
    pub end_offset: Offset,
    /// Bytes of its batches.
    pub bytes: u64,
    /// The greatest timestamp in it.
    pub max_timestamp: Timestamp,
}

impl FromIterator<SegmentStats> for PartitionStats {
    /// Of segments that hold nothing before the log start, or only in their first batch.
    fn from_iter<I: IntoIterator<Item = SegmentStats>>(segments: I) -> Self {
        let segments: Vec<_> = segments.into_iter().collect();
        Self {
            bytes: segments.iter().map(|segment| segment.bytes).sum(),
            segments,
            compacted_to: Offset::ZERO,
        }
    }
}

impl From<&RecordBatch> for SegmentStats {
    /// A segment of this one batch.
    fn from(batch: &RecordBatch) -> Self {
        Self {
            base_offset: batch.header().base_offset,
            end_offset: batch.header().end_offset(),
            bytes: batch.total_bytes() as u64,
            max_timestamp: batch.header().max_timestamp,
        }
    }
}

/// Convenience over [`Partition`], for callers; no backend implements it.
#[async_trait]
pub trait PartitionExt: Partition {
    /// [`try_read`](Partition::try_read), and [`read`](Partition::read) where that would block.
    ///
    /// # Errors
    /// As [`Partition::read`].
    async fn read_either(&self, request: &ReadRequest) -> StorageResult<BatchSlices> {
        match self.try_read(request)? {
            TryRead::Ready(found) => Ok(found),
            TryRead::WouldBlock => self.read(request).await,
        }
    }
}

impl<P: Partition + ?Sized> PartitionExt for P {}
