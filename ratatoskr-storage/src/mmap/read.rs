//! Reading a log.
//!
//! From the tail cache if that reaches back far enough; else from files, window by window. A window
//! begins and ends where index entries say, so that the index's checksums cover it: **everything that
//! is read into the heap is verified**, bytes and place. Slices of maps are not looked at; who gets
//! them checks the batches' own checksums.
//!
//! Without waiting (`try_read`) a window must be in the page cache, and a sealed segment's index in
//! memory; what is at hand so far is the answer.

use std::{io, sync::Arc};

use bytes::Bytes;
use ratatoskr_core::{
    offset::Offset,
    storage::{Access, BatchSlices, ReadRequest, StorageError, StorageResult, TryRead},
};

use super::{
    PartitionLog, Quarantined,
    load::load,
    log::Log,
    names::failed,
    segment::{Extent, Segment},
    window::{Mapped, Part, Window, Wish, mapped},
};
use crate::io::File;

/// Once a read that may be served from a map has found so many bytes, it leaves what would have to
/// be copied to the next one, which may find a map for it.
const ENOUGH_BYTES: usize = 64 << 10;

impl PartitionLog {
    /// Reads without waiting, as `Partition::try_read` does. May answer fewer batches than would fit,
    /// where the rest is not at hand.
    ///
    /// # Errors
    /// As `Partition::read`.
    pub fn try_read(&self, request: &ReadRequest) -> StorageResult<TryRead> {
        self.0.read(request, Mode::Hot)
    }

    /// Reads, as `Partition::read` does, from files on a thread that may wait.
    ///
    /// # Errors
    /// As `Partition::read`; [`StorageError::Closed`] where the runtime shuts down.
    ///
    /// # Cancel safety
    /// Dropping the future reads nothing; a read that is under way ends by itself.
    pub async fn read(&self, request: &ReadRequest) -> StorageResult<BatchSlices> {
        let request = *request;
        self.waiting(move |log| log.read_blocking(&request)).await
    }

    /// As [`read`](Self::read), on this thread. Blocks.
    ///
    /// # Errors
    /// As `Partition::read`.
    pub fn read_blocking(&self, request: &ReadRequest) -> StorageResult<BatchSlices> {
        match self.0.read(request, Mode::Cold)? {
            TryRead::Ready(found) => Ok(found),
            TryRead::WouldBlock => Err(StorageError::Closed),
        }
    }

    /// Runs `work` on a thread that may wait, a bounded number of them at a time.
    pub(super) async fn waiting<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> StorageResult<T> + Send + 'static,
    ) -> StorageResult<T> {
        let log = self.clone();
        let turns = Arc::clone(&self.0.place.caches.cold_reads);
        let Ok(turn) = turns.acquire_owned().await else {
            return Err(StorageError::Closed);
        };
        let done = move || {
            let done = work(&log);
            drop(turn);
            done
        };
        self.0.place.caches.blocking.run(done).await
    }
}

/// Whether a read may wait for a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Hot,
    Cold,
}

impl Log {
    fn read(&self, request: &ReadRequest, mode: Mode) -> StorageResult<TryRead> {
        let bounds = self.view.read().bounds();
        if request.from < bounds.log_start || request.from > bounds.log_end {
            return Err(StorageError::OffsetOutOfRange {
                requested: request.from,
                bounds,
            });
        }
        let until = request.until.min(bounds.log_end);
        if let Some(found) = self.tail.read(request.from, until, request.bytes_max) {
            return Ok(TryRead::Ready(found));
        }
        let mut from = request.from;
        let mut room = request.bytes_max;
        let mut found = BatchSlices::default();
        while from < bounds.log_end {
            let is_first = found.is_empty();
            if let Some(range) = self.quarantine_at(from) {
                if is_first {
                    return Err(range.into());
                }
                break;
            }
            let Some((segment, end_offset)) =
                self.segment_at(from).filter(|_| is_first || room > 0)
            else {
                break;
            };
            let wish = Wish {
                from,
                until: self
                    .quarantine_after(from)
                    .map_or(until, |next| until.min(next)),
                room,
                is_first,
                may_map: request.access == Access::Forward,
                may_copy: found.len() < ENOUGH_BYTES,
            };
            match self.part(&segment, end_offset, &wish, mode) {
                Ok(Part::Found(bytes, next)) => {
                    room = room.saturating_sub(bytes.len());
                    found.push(bytes, next);
                    from = next;
                }
                // Compaction has put another segment in its place, which has the same offsets.
                Err(_) if self.is_replaced(&segment, from) => {}
                Ok(Part::WouldBlock) if is_first => return Ok(TryRead::WouldBlock),
                Err(error) if is_first => return self.explain(request, error),
                Ok(Part::Nothing | Part::WouldBlock) | Err(_) => break,
            }
        }
        Ok(TryRead::Ready(found))
    }

    /// The error of a read: if the segment was retired meanwhile, its offsets are out of range.
    fn explain(&self, request: &ReadRequest, error: StorageError) -> StorageResult<TryRead> {
        let bounds = self.view.read().bounds();
        if request.from < bounds.log_start {
            return Err(StorageError::OffsetOutOfRange {
                requested: request.from,
                bounds,
            });
        }
        Err(error)
    }

    /// The segment that `offset` belongs to, and where that ends.
    pub(super) fn segment_at(&self, offset: Offset) -> Option<(Arc<Segment>, Offset)> {
        let view = self.view.read();
        let next = view.segments.partition_point(|s| s.base_offset <= offset);
        let segment = view.segments.get(next.checked_sub(1)?)?;
        let end = view
            .segments
            .get(next)
            .map_or(view.log_end, |s| s.base_offset);
        (offset < end).then(|| (Arc::clone(segment), end))
    }

    /// Whether another segment is where this one was.
    pub(super) fn is_replaced(&self, segment: &Arc<Segment>, offset: Offset) -> bool {
        let now = self.segment_at(offset);
        now.is_some_and(|(now, _)| !Arc::ptr_eq(&now, segment))
    }

    pub(super) fn quarantine_at(&self, offset: Offset) -> Option<Quarantined> {
        let view = self.view.read();
        let mut ranges = view.quarantined.iter();
        ranges
            .find(|range| range.from <= offset && offset < range.until)
            .cloned()
    }

    /// Where the next quarantined range after `offset` begins.
    fn quarantine_after(&self, offset: Offset) -> Option<Offset> {
        let view = self.view.read();
        let starts = view.quarantined.iter().map(|range| range.from);
        starts.filter(|&from| from > offset).min()
    }

    /// Quarantines what was found corrupt, and says so.
    fn quarantine(&self, range: Quarantined) -> StorageError {
        tracing::error!(
            dir = %self.place.dir.display(), from = %range.from, until = %range.until,
            detail = %range.detail, "records are corrupt",
        );
        let mut view = self.view.write();
        if !view.quarantined.contains(&range) {
            view.quarantined.push(range.clone());
            view.quarantined.sort_by_key(|range| range.from);
        }
        range.into()
    }

    /// How far a segment reaches; loads its index if that was never done. Blocks.
    pub(super) fn extent(
        &self,
        segment: &Arc<Segment>,
        end_offset: Offset,
    ) -> StorageResult<Extent> {
        if let Some(extent) = segment.contents.read().extent {
            return Ok(extent);
        }
        self.load(segment, end_offset)?;
        let extent = segment.contents.read().extent;
        Ok(extent.unwrap_or(Extent::empty(segment.base_offset)))
    }

    fn load(&self, segment: &Arc<Segment>, end_offset: Offset) -> StorageResult<()> {
        let config = *self.config.read();
        for range in load(&self.place, &config, segment, end_offset)? {
            let _ = self.quarantine(range);
        }
        Ok(())
    }

    pub(super) fn part(
        &self,
        segment: &Arc<Segment>,
        end_offset: Offset,
        wish: &Wish,
        mode: Mode,
    ) -> StorageResult<Part> {
        let _in_use = segment.in_use();
        let is_loaded = segment.contents.read().entries.is_some();
        if !is_loaded {
            if mode == Mode::Hot {
                return Ok(Part::WouldBlock);
            }
            self.load(segment, end_offset)?;
            if let Some(range) = self.quarantine_at(wish.from) {
                return Err(range.into());
            }
        }
        let mut room = wish.room;
        if wish.may_map && mode == Mode::Hot {
            match mapped(segment, wish).map_err(|e| failed("read", &segment.log_path(), e))? {
                Mapped::Part(part) => return Ok(part),
                Mapped::WithinSpan => room = 0,
                Mapped::Nothing => {}
            }
            if !wish.may_copy {
                return Ok(Part::Nothing);
            }
        }
        let Some(window) = segment.window(&Wish { room, ..*wish }) else {
            return Ok(Part::Nothing);
        };
        if window.start == window.end {
            return Err(self.quarantine(Quarantined {
                from: wish.from,
                until: end_offset,
                detail: "records are missing".into(),
            }));
        }
        let log = segment
            .log_file()
            .map_err(|e| failed("read", &segment.log_path(), e))?;
        match self.bytes(segment, &*log, &window, mode) {
            Ok(Some(bytes)) => {
                let (good, bad) = window.verify(segment.seed, end_offset, &bytes);
                let mut wish = *wish;
                if let Some(bad) = bad {
                    let from = bad.from;
                    let error = self.quarantine(bad);
                    if from <= wish.from {
                        return Err(error);
                    }
                    wish.until = wish.until.min(from);
                }
                Ok(Part::of(&bytes.slice(..good), &wish))
            }
            Ok(None) => Ok(Part::WouldBlock),
            // The file is shorter than it was, or a sector cannot be read: those offsets alone.
            Err(error) => {
                let until = window.entries.first().map_or(end_offset, |e| e.end_offset);
                Err(Quarantined {
                    from: wish.from,
                    until,
                    detail: format!("cannot be read: {error}"),
                }
                .into())
            }
        }
    }

    /// The bytes of a window, or why the file does not give them; `None` where that would have to be
    /// waited for.
    fn bytes(
        &self,
        segment: &Segment,
        log: &dyn File,
        window: &Window,
        mode: Mode,
    ) -> io::Result<Option<Bytes>> {
        let uncached = &self.place.caches.uncached;
        if mode == Mode::Cold
            && let Some(bytes) = uncached.read(segment, window)
        {
            return Ok(Some(bytes));
        }
        let length = usize::try_from(window.end - window.start);
        let mut buffer = vec![0; length.map_err(|_| io::ErrorKind::FileTooLarge)?];
        let is_there = match mode {
            Mode::Hot => log.try_read_exact_at(&mut buffer, window.start)?,
            Mode::Cold => {
                log.read_exact_at(&mut buffer, window.start)?;
                true
            }
        };
        Ok(is_there.then(|| Bytes::from(buffer)))
    }
}

impl From<Quarantined> for StorageError {
    fn from(range: Quarantined) -> Self {
        Self::Corrupt {
            from: range.from,
            until: range.until,
            detail: range.detail,
        }
    }
}
