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
    batch::{BatchHeader, RecordBatch},
    offset::Offset,
    storage::{
        Access, BatchSlices, IoKind, ReadRequest, StorageError, StorageResult, TimestampedOffset,
        TryRead,
    },
    time::Timestamp,
};

use super::{
    PartitionLog, Quarantined,
    index::IndexEntry,
    log::Log,
    recover::load,
    segment::{Extent, Segment},
    tail::wanted,
};

/// Bytes read at once, except that one span of the index is read whole.
const WINDOW_BYTES_MAX: usize = 1 << 20;
/// Of a map, one byte is read each so many to learn whether it is in the page cache.
const PROBE_BYTES: u64 = 128 << 10;

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

    /// The first batch from log start whose maximum timestamp is at least `at`. Batches that are
    /// corrupt are passed over.
    ///
    /// # Errors
    /// [`StorageError::Io`] where a file cannot be read.
    ///
    /// # Cancel safety
    /// As [`read`](Self::read).
    pub async fn offset_for_timestamp(
        &self,
        at: Timestamp,
    ) -> StorageResult<Option<TimestampedOffset>> {
        self.waiting(move |log| log.offset_for_timestamp_blocking(at))
            .await
    }

    /// As [`offset_for_timestamp`](Self::offset_for_timestamp), on this thread. Blocks.
    ///
    /// # Errors
    /// As there.
    pub fn offset_for_timestamp_blocking(
        &self,
        at: Timestamp,
    ) -> StorageResult<Option<TimestampedOffset>> {
        let mut from = self.bounds().log_start;
        while from < self.bounds().log_end {
            if let Some(range) = self.0.quarantine_at(from) {
                from = range.until;
                continue;
            }
            let Some((segment, end_offset)) = self.0.segment_at(from) else {
                break;
            };
            let extent = self.0.extent(&segment, end_offset)?;
            let span = segment.span_for(from, at, &extent);
            let Some((start, end)) = span.filter(|_| extent.max_timestamp >= at) else {
                from = end_offset;
                continue;
            };
            match self
                .0
                .first_in_span(&segment, end_offset, from.max(start), end, at)
            {
                Ok(Some(found)) => return Ok(Some(found)),
                Ok(None) => from = end.max(from.plus(1)),
                Err(StorageError::Corrupt { until, .. }) => from = until.max(from.plus(1)),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Runs `work` on a thread that may wait, a bounded number of them at a time.
    async fn waiting<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> StorageResult<T> + Send + 'static,
    ) -> StorageResult<T> {
        let log = self.clone();
        let turns = Arc::clone(&self.0.place.caches.cold_reads);
        let Ok(turn) = turns.acquire_owned().await else {
            return Err(StorageError::Closed);
        };
        let running = tokio::task::spawn_blocking(move || {
            let done = work(&log);
            drop(turn);
            done
        });
        match running.await {
            Ok(done) => done,
            Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
            Err(_) => Err(StorageError::Closed),
        }
    }
}

/// Whether a read may wait for a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Hot,
    Cold,
}

/// Part of a segment's log file between two index entries (or the ends of the log).
#[derive(Clone, Debug)]
struct Window {
    start: u64,
    end: u64,
    /// The offset due at `start`.
    start_offset: Offset,
    /// Entries of the spans in it; what lies after the last is the open span.
    entries: Vec<IndexEntry>,
}

/// What a window gave.
enum Part {
    /// Batches, and the offset to go on from.
    Found(Bytes, Offset),
    /// Nothing (more) that is wanted.
    Nothing,
    WouldBlock,
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
        let mut slices: Vec<Bytes> = Vec::new();
        while from < bounds.log_end {
            let is_first = slices.is_empty();
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
            };
            match self.part(&segment, end_offset, &wish, mode) {
                Ok(Part::Found(bytes, next)) => {
                    room = room.saturating_sub(bytes.len());
                    slices.push(bytes);
                    from = next;
                }
                Ok(Part::WouldBlock) if is_first => return Ok(TryRead::WouldBlock),
                Err(error) if is_first => return self.explain(request, error),
                Ok(Part::Nothing | Part::WouldBlock) | Err(_) => break,
            }
        }
        Ok(TryRead::Ready(BatchSlices::new(slices)))
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
    fn segment_at(&self, offset: Offset) -> Option<(Arc<Segment>, Offset)> {
        let view = self.view.read();
        let next = view.segments.partition_point(|s| s.base_offset <= offset);
        let segment = view.segments.get(next.checked_sub(1)?)?;
        let end = view
            .segments
            .get(next)
            .map_or(view.log_end, |s| s.base_offset);
        (offset < end).then(|| (Arc::clone(segment), end))
    }

    fn quarantine_at(&self, offset: Offset) -> Option<Quarantined> {
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

    fn part(
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
        if wish.may_map
            && mode == Mode::Hot
            && let Some(part) = mapped(segment, wish).map_err(|e| failed(segment, e))?
        {
            return Ok(part);
        }
        let Some(window) = segment.window(wish) else {
            return Ok(Part::Nothing);
        };
        if window.start == window.end {
            return Err(self.quarantine(Quarantined {
                from: wish.from,
                until: end_offset,
                detail: "records are missing".into(),
            }));
        }
        let length = usize::try_from(window.end - window.start)
            .map_err(|_| StorageError::io("read", io::ErrorKind::FileTooLarge.into()))?;
        let mut buffer = vec![0; length];
        let log = segment.log_file().map_err(|e| failed(segment, e))?;
        let read = match mode {
            Mode::Hot => log.try_read_exact_at(&mut buffer, window.start),
            Mode::Cold => log.read_exact_at(&mut buffer, window.start).map(|()| true),
        };
        match read {
            Ok(true) => self.verified(segment, end_offset, &window, &buffer.into(), wish),
            Ok(false) => Ok(Part::WouldBlock),
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

    /// Checks the bytes of a window and cuts out what is wanted.
    fn verified(
        &self,
        segment: &Segment,
        end_offset: Offset,
        window: &Window,
        bytes: &Bytes,
        wish: &Wish,
    ) -> StorageResult<Part> {
        let mut until = wish.until;
        let mut good_end = 0;
        let mut offset = window.start_offset;
        let mut bad = None;
        let spans = window.entries.iter().map(|entry| {
            let end = u64::from(entry.end_position).saturating_sub(window.start);
            (usize::try_from(end).unwrap_or(usize::MAX), Some(entry))
        });
        let whole = spans.chain([(bytes.len(), None)]);
        for (end, entry) in whole {
            let span = bytes.slice(good_end..end.min(bytes.len()).max(good_end));
            let parsed = || parsed(&span, offset, entry.is_none());
            let is_right = entry.is_some_and(|e| segment.seed.span_crc(&span) == e.span_crc);
            if !is_right && let Err((length, at, detail)) = parsed() {
                good_end += length;
                bad = Some(Quarantined {
                    from: at,
                    until: entry.map_or(end_offset, |e| e.end_offset),
                    detail,
                });
                break;
            } else if !is_right && let Some(entry) = entry {
                bad = Some(Quarantined {
                    from: offset,
                    until: entry.end_offset,
                    detail: "a checksum of the index".into(),
                });
                break;
            }
            good_end += span.len();
            offset = entry.map_or(offset, |e| e.end_offset);
        }
        if let Some(bad) = bad {
            until = until.min(bad.from);
            let from = bad.from;
            let error = self.quarantine(bad);
            if from <= wish.from {
                return Err(error);
            }
        }
        let good = bytes.slice(..good_end);
        let Some(range) = wanted(&good, wish.from, until, wish.room, wish.is_first) else {
            return Ok(Part::Nothing);
        };
        let found = good.slice(range);
        Ok(match last_header(&found) {
            Some(last) => Part::Found(found, last.end_offset()),
            None => Part::Nothing,
        })
    }

    /// The first batch of a span, from `from` on, that is as late as `at`.
    fn first_in_span(
        &self,
        segment: &Arc<Segment>,
        end_offset: Offset,
        from: Offset,
        until: Offset,
        at: Timestamp,
    ) -> StorageResult<Option<TimestampedOffset>> {
        let wish = Wish {
            from,
            until,
            room: usize::MAX,
            is_first: true,
            may_map: false,
        };
        let Part::Found(bytes, _) = self.part(segment, end_offset, &wish, Mode::Cold)? else {
            return Ok(None);
        };
        let headers = ratatoskr_core::batch::batches(bytes).map_while(Result::ok);
        Ok(headers
            .map(|batch| *batch.header())
            .find(|header| header.max_timestamp >= at)
            .map(|header| TimestampedOffset {
                offset: header.base_offset,
                max_timestamp: header.max_timestamp,
            }))
    }
}

/// What is wanted of a segment.
#[derive(Clone, Copy, Debug)]
struct Wish {
    from: Offset,
    until: Offset,
    room: usize,
    is_first: bool,
    may_map: bool,
}

impl Segment {
    /// The window to read for a wish. An empty one where the segment ends too early.
    fn window(&self, wish: &Wish) -> Option<Window> {
        let contents = self.contents.read();
        let entries = contents.entries.as_ref()?.value.as_slice();
        let extent = contents.extent?;
        let first = entries.partition_point(|entry| entry.end_offset <= wish.from);
        let (start, start_offset) = before(entries, first).unwrap_or((0, self.base_offset));
        let room = wish.room.min(WINDOW_BYTES_MAX) as u64;
        // The first batch wanted may begin late in its span, and as many bytes as fit follow it.
        let first_end = entries
            .get(first)
            .map_or(extent.bytes, |entry| entry.end_position.into());
        let enough = first_end.saturating_add(room);
        let last = entries
            .iter()
            .skip(first)
            .position(|entry| {
                u64::from(entry.end_position) >= enough || entry.end_offset >= wish.until
            })
            .map_or(entries.len(), |more| first + more + 1);
        // A span that is much longer than what is wanted is left for the next window.
        let last = match entries.get(last.saturating_sub(1)) {
            Some(entry)
                if last > first + 1
                    && u64::from(entry.end_position) > enough + WINDOW_BYTES_MAX as u64 =>
            {
                last - 1
            }
            _ => last,
        };
        let spans = entries.get(first..last).unwrap_or_default();
        let reaches = spans.last().is_some_and(|entry| {
            u64::from(entry.end_position) >= enough || entry.end_offset >= wish.until
        });
        let end = match spans.last() {
            Some(entry) if reaches || last < entries.len() => entry.end_position.into(),
            _ => extent.bytes,
        };
        Some(Window {
            start,
            end,
            start_offset,
            entries: spans.to_vec(),
        })
    }

    /// Offsets of the first span that ends after `from` and has a time of `at` or later.
    fn span_for(&self, from: Offset, at: Timestamp, extent: &Extent) -> Option<(Offset, Offset)> {
        let contents = self.contents.read();
        let Some(held) = contents.entries.as_ref() else {
            return Some((self.base_offset, extent.end_offset));
        };
        let entries = held.value.as_slice();
        let first = entries.partition_point(|entry| entry.end_offset <= from);
        let late = entries
            .iter()
            .skip(first)
            .position(|entry| entry.max_timestamp >= at)
            .map_or(entries.len(), |more| first + more);
        let (_, start) = before(entries, late).unwrap_or((0, self.base_offset));
        let end = entries
            .get(late)
            .map_or(extent.end_offset, |e| e.end_offset);
        (start < end).then_some((start, end))
    }
}

/// Where the span of entry `number` begins, if not at the start of the segment.
fn before(entries: &[IndexEntry], number: usize) -> Option<(u64, Offset)> {
    let entry = entries.get(number.checked_sub(1)?)?;
    Some((entry.end_position.into(), entry.end_offset))
}

/// Whole spans as a slice of the map, if the wish begins at one, they fit, and are in the page cache.
fn mapped(segment: &Arc<Segment>, wish: &Wish) -> io::Result<Option<Part>> {
    let (start, end, end_offset, bytes) = {
        let contents = segment.contents.read();
        let (Some(held), Some(extent)) = (&contents.entries, contents.extent) else {
            return Ok(None);
        };
        let entries = held.value.as_slice();
        let first = entries.partition_point(|entry| entry.end_offset <= wish.from);
        let (start, start_offset) = before(entries, first).unwrap_or((0, segment.base_offset));
        let most = start.saturating_add(wish.room as u64);
        let fits = entries.partition_point(|entry| {
            u64::from(entry.end_position) <= most && entry.end_offset <= wish.until
        });
        let Some(last) = entries.get(..fits).and_then(<[_]>::last) else {
            return Ok(None);
        };
        if !contents.is_sealed || start_offset != wish.from || fits <= first {
            return Ok(None);
        }
        (
            start,
            u64::from(last.end_position),
            last.end_offset,
            extent.bytes,
        )
    };
    let log = segment.log_file()?;
    let mut probe = [0];
    let mut at = start;
    while at < end {
        if !log.try_read_exact_at(&mut probe, at)? {
            return Ok(Some(Part::WouldBlock));
        }
        at += PROBE_BYTES;
    }
    if !log.try_read_exact_at(&mut probe, end - 1)? {
        return Ok(Some(Part::WouldBlock));
    }
    let (Ok(from), Ok(to)) = (usize::try_from(start), usize::try_from(end)) else {
        return Ok(None);
    };
    Ok(segment
        .map(bytes)?
        .filter(|map| to <= map.len())
        .map(|map| Part::Found(map.slice(from..to), end_offset)))
}

/// Whether a span is batches that are right by themselves and follow each other (`with_gaps` or
/// without); else how many bytes are, and at which offset something is wrong.
fn parsed(
    span: &Bytes,
    mut offset: Offset,
    with_gaps: bool,
) -> Result<(), (usize, Offset, String)> {
    let mut rest = span.clone();
    while !rest.is_empty() {
        let good = span.len() - rest.len();
        let batch = RecordBatch::split_first(&mut rest).and_then(|b| b.verify_crc().map(|()| b));
        match batch {
            Ok(batch)
                if batch.header().base_offset == offset
                    || (with_gaps && batch.header().base_offset > offset) =>
            {
                offset = batch.header().end_offset();
            }
            Ok(batch) => {
                let found = batch.header().base_offset;
                let detail = format!("a batch at offset {found} where {offset} is due");
                return Err((good, offset, detail));
            }
            Err(error) => return Err((good, offset, error.to_string())),
        }
    }
    Ok(())
}

fn last_header(bytes: &[u8]) -> Option<BatchHeader> {
    let mut rest = bytes;
    let mut last = None;
    while let Ok(header) = BatchHeader::decode(rest) {
        rest = rest.get(header.total_bytes as usize..)?;
        last = Some(header);
    }
    last
}

fn failed(segment: &Segment, error: io::Error) -> StorageError {
    StorageError::Io {
        kind: IoKind::Other,
        operation: format!("read {}", segment.log_path().display()),
        source: Arc::new(error),
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
