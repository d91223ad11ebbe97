//! Batches of one log back to back in the heap: what the memory backend keeps, and the mmap
//! backend's tail cache.
//!
//! Small batches are copied, one behind the other, into a chunk that grows with the log. A reader
//! gets slices of it: what has been written so far is *frozen* into a [`Piece`] when the first
//! reader asks for it, and later batches go on behind it in the same chunk. So an append is a copy
//! and nothing else, and however many readers there are, they share the same few slices.
//!
//! Invariants:
//! - Pieces are whole batches in the order of their offsets; the open chunk lies behind them all.
//! - A reader that keeps up makes a piece a read. Once [`MERGED_BYTES`] of such small pieces have
//!   gathered they are copied into one, so that a reader who is behind gets few slices; that copies
//!   each byte once more at most, whatever the number of readers.

use std::{collections::VecDeque, ops::Range};

use bytes::{Bytes, BytesMut};
use ratatoskr_core::{
    batch::{BatchHeader, RecordBatch},
    offset::Offset,
    storage::{BatchSlices, TimestampedOffset},
    time::Timestamp,
};

/// Small pieces are merged into ones of about this size, and a chunk grows up to it.
const MERGED_BYTES: usize = 64 << 10;
/// A larger batch is a piece by itself.
const CHUNKED_BYTES_MAX: usize = 16 << 10;
/// The first chunk of a log: a log of a few records must be cheap.
const CHUNK_BYTES_MIN: usize = 1 << 10;

/// A log, or the end of one.
#[derive(Debug)]
pub(crate) struct Pieces {
    queue: VecDeque<Piece>,
    /// Behind all pieces: written, but not frozen yet.
    open: BytesMut,
    open_span: Span,
    bytes: usize,
    /// Pieces at the end that may still be merged, and their bytes.
    loose: usize,
    loose_bytes: usize,
}

/// Whole batches.
#[derive(Clone, Debug)]
struct Piece {
    span: Span,
    bytes: Bytes,
}

/// What some batches have in common.
#[derive(Clone, Copy, Debug)]
struct Span {
    base_offset: Offset,
    end_offset: Offset,
    max_timestamp: Timestamp,
}

impl Default for Pieces {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            open: BytesMut::new(),
            open_span: Span::EMPTY,
            bytes: 0,
            loose: 0,
            loose_bytes: 0,
        }
    }
}

impl Pieces {
    /// Bytes of all batches.
    #[inline]
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Offset of the first record, and the end of the last.
    pub(crate) fn offsets(&self) -> Option<Range<Offset>> {
        let first = self
            .queue
            .front()
            .map_or(&self.open_span, |piece| &piece.span);
        let last = if self.open.is_empty() {
            &self.queue.back()?.span
        } else {
            &self.open_span
        };
        Some(first.base_offset..last.end_offset)
    }

    /// Whether a batch is a piece by itself. Such a one is better encoded where no reader waits.
    pub(crate) const fn is_large(batch: &RecordBatch) -> bool {
        batch.total_bytes() > CHUNKED_BYTES_MAX
    }

    /// Adds a batch behind all others, by copying it.
    #[inline]
    pub(crate) fn push(&mut self, batch: &RecordBatch) {
        if Self::is_large(batch) {
            self.push_encoded(batch.header(), batch.to_bytes());
            return;
        }
        let bytes = batch.total_bytes();
        self.make_room(bytes);
        batch.encode_to(&mut self.open);
        self.pushed(batch.header(), bytes);
    }

    /// The same for a batch that is encoded already: a large one is not copied.
    pub(crate) fn push_encoded(&mut self, header: &BatchHeader, bytes: Bytes) {
        if bytes.len() <= CHUNKED_BYTES_MAX {
            self.make_room(bytes.len());
            self.open.extend_from_slice(&bytes);
            self.pushed(header, bytes.len());
            return;
        }
        self.freeze();
        self.bytes += bytes.len();
        let span = Span::of(header);
        self.queue.push_back(Piece { span, bytes });
        (self.loose, self.loose_bytes) = (0, 0);
    }

    #[inline]
    fn pushed(&mut self, header: &BatchHeader, bytes: usize) {
        self.bytes += bytes;
        self.open_span.extend(&Span::of(header));
    }

    #[inline]
    fn make_room(&mut self, bytes: usize) {
        if self.open.capacity() - self.open.len() >= bytes {
            return;
        }
        self.freeze();
        let grown = self.bytes.clamp(CHUNK_BYTES_MIN, MERGED_BYTES);
        self.open = BytesMut::with_capacity(grown.max(bytes));
    }

    /// Lets readers have what was written so far.
    fn freeze(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let piece = Piece {
            span: std::mem::replace(&mut self.open_span, Span::EMPTY),
            bytes: self.open.split().freeze(),
        };
        if piece.bytes.len() >= MERGED_BYTES / 2 {
            (self.loose, self.loose_bytes) = (0, 0);
        } else {
            self.loose += 1;
            self.loose_bytes += piece.bytes.len();
        }
        self.queue.push_back(piece);
        if self.loose > 1 && self.loose_bytes >= MERGED_BYTES {
            self.merge();
        }
    }

    fn merge(&mut self) {
        let at = self.queue.len() - self.loose;
        let mut bytes = Vec::with_capacity(self.loose_bytes);
        let mut span = Span::EMPTY;
        for piece in self.queue.drain(at..) {
            bytes.extend_from_slice(&piece.bytes);
            span.extend(&piece.span);
        }
        let bytes = bytes.into();
        self.queue.push_back(Piece { span, bytes });
        (self.loose, self.loose_bytes) = (0, 0);
    }

    /// Reads as `Partition::read` does, into `found`, which may hold what was read before this.
    /// Answers whether there is room for more, and `None` where these are not batches.
    pub(crate) fn read(
        &mut self,
        from: Offset,
        until: Offset,
        bytes_max: usize,
        found: &mut BatchSlices,
    ) -> Option<bool> {
        self.freeze();
        let first = self
            .queue
            .partition_point(|piece| piece.span.end_offset <= from);
        let mut room = bytes_max.saturating_sub(found.len());
        for piece in self.queue.range(first..) {
            let whole = piece.span.base_offset >= from
                && piece.span.end_offset <= until
                && piece.bytes.len() <= room;
            let (wanted, end_offset) = if whole {
                (0..piece.bytes.len(), piece.span.end_offset)
            } else {
                wanted(&piece.bytes, from, until, room, found.is_empty())?
            };
            let is_last = wanted.end < piece.bytes.len();
            room = room.saturating_sub(wanted.len());
            found.push(piece.bytes.slice(wanted), end_offset);
            if is_last || room == 0 {
                return Some(false);
            }
        }
        Some(true)
    }

    /// The first batch whose greatest timestamp is at least `at`.
    pub(crate) fn first_at(&self, at: Timestamp) -> Option<TimestampedOffset> {
        let pieces = self.queue.iter();
        let piece = { pieces }.find(|piece| piece.span.max_timestamp >= at);
        let bytes = piece.map_or(&self.open[..], |piece| &piece.bytes);
        headers(bytes)
            .find(|(header, _)| header.max_timestamp >= at)
            .map(|(header, _)| TimestampedOffset::from(&header))
    }

    /// The greatest timestamp of all batches.
    pub(crate) fn max_timestamp(&self) -> Timestamp {
        let pieces = self.queue.iter().map(|piece| piece.span.max_timestamp);
        pieces.fold(self.open_span.max_timestamp, Timestamp::max)
    }

    /// Drops whole pieces that end at or before `offset`; answers their bytes.
    pub(crate) fn drop_before(&mut self, offset: Offset) -> usize {
        let before = self.bytes;
        while let Some(first) = self.queue.front()
            && first.span.end_offset <= offset
        {
            self.pop();
        }
        before - self.bytes
    }

    /// Drops each batch that ends at or before `offset`; answers their bytes. A chunk goes when its
    /// last batch does.
    pub(crate) fn trim(&mut self, offset: Offset) -> usize {
        let before = self.bytes;
        self.freeze();
        self.drop_before(offset);
        if let Some(first) = self.queue.front_mut() {
            let cut = wanted(&first.bytes, offset, Offset::MAX, usize::MAX, true);
            let cut = cut.map_or(0, |(kept, _)| kept.start);
            if cut > 0 {
                first.bytes = first.bytes.slice(cut..);
                first.span = Span::EMPTY;
                for (header, _) in headers(&first.bytes) {
                    first.span.extend(&Span::of(&header));
                }
                self.bytes -= cut;
                if self.loose == self.queue.len() {
                    self.loose_bytes -= cut;
                }
            }
        }
        before - self.bytes
    }

    /// Drops the first piece; answers its bytes, 0 where there is none.
    pub(crate) fn pop(&mut self) -> usize {
        if self.queue.is_empty() {
            self.freeze();
        }
        let Some(piece) = self.queue.pop_front() else {
            return 0;
        };
        let bytes = piece.bytes.len();
        if self.loose > self.queue.len() {
            self.loose = self.queue.len();
            self.loose_bytes -= bytes;
        }
        self.bytes -= bytes;
        bytes
    }

    /// Nothing more will be pushed: gives back the room that is left.
    pub(crate) fn close(&mut self) {
        self.freeze();
        self.open = BytesMut::new();
    }
}

impl Span {
    const EMPTY: Self = Self {
        base_offset: Offset::MAX,
        end_offset: Offset::ZERO,
        max_timestamp: Timestamp::NONE,
    };

    fn of(header: &BatchHeader) -> Self {
        Self {
            base_offset: header.base_offset,
            end_offset: header.end_offset(),
            max_timestamp: header.max_timestamp,
        }
    }

    /// Adds what comes behind.
    fn extend(&mut self, next: &Self) {
        self.base_offset = self.base_offset.min(next.base_offset);
        self.end_offset = next.end_offset;
        self.max_timestamp = self.max_timestamp.max(next.max_timestamp);
    }
}

/// The headers of the batches in `bytes`, and where each begins.
fn headers(bytes: &[u8]) -> impl Iterator<Item = (BatchHeader, usize)> {
    let mut position = 0;
    std::iter::from_fn(move || {
        let header = BatchHeader::decode(bytes.get(position..)?).ok()?;
        let at = position;
        position = at.checked_add(header.total_bytes as usize)?;
        Some((header, at))
    })
}

/// Where in `bytes` the batches lie that a read wants, and the offset they end at: from the first that
/// ends after `from`, before the first that begins at `until` or passes `room`; with `at_least_one`
/// the first whatever its size. `None` where `bytes` are not batches.
pub(crate) fn wanted(
    bytes: &[u8],
    from: Offset,
    until: Offset,
    room: usize,
    at_least_one: bool,
) -> Option<(Range<usize>, Offset)> {
    let mut position = 0;
    let mut start = None;
    let mut end_offset = from;
    while position < bytes.len() {
        let header = BatchHeader::decode(bytes.get(position..)?).ok()?;
        let next = position.checked_add(header.total_bytes as usize)?;
        if header.end_offset() > from {
            let first = *start.get_or_insert(position);
            let is_free = at_least_one && first == position;
            if header.base_offset >= until || (next - first > room && !is_free) {
                break;
            }
        }
        position = next;
        end_offset = header.end_offset();
    }
    Some((start.unwrap_or(position)..position, end_offset))
}
