//! The tail cache: what was appended last, in the heap, so that readers who keep up touch no file.
//!
//! Each log has a [`Tail`]: batches without a gap, up to the log end. All tails share one bound: when
//! it is passed, the tail that grew gives up its oldest batches down to its fair share, then a hand
//! goes round the others and does the same to them. Small batches are merged into pieces of
//! [`MERGED_BYTES`] once there are enough of them, so that a reader who is behind gets few slices;
//! that copies each byte once more, whatever the number of readers.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use ratatoskr_core::{
    batch::{BatchHeader, RecordBatch},
    offset::Offset,
    storage::BatchSlices,
    sync::Mutex,
};

/// Batches that lie next to each other are merged into pieces of about this size.
const MERGED_BYTES: usize = 64 << 10;
/// Larger batches are left as they are.
const MERGEABLE_BYTES_MAX: usize = 16 << 10;

/// The bound that all tails share.
#[derive(Debug)]
pub(super) struct TailCache {
    bytes: Arc<AtomicUsize>,
    bytes_max: usize,
    tails: Mutex<VecDeque<Weak<Tail>>>,
}

impl TailCache {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes: Arc::default(),
            bytes_max,
            tails: Mutex::default(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// A new, empty tail.
    pub(super) fn tail(&self) -> Arc<Tail> {
        let tail = Arc::new(Tail {
            pieces: Mutex::default(),
            bytes_all: Arc::clone(&self.bytes),
        });
        let mut tails = self.tails.lock();
        // The ring is swept of dead tails as it grows, so that it stays in proportion to the live.
        if tails.len().is_power_of_two() {
            tails.retain(|tail| tail.strong_count() > 0);
        }
        tails.push_back(Arc::downgrade(&tail));
        tail
    }

    /// Adds batches that end the log now. A batch that would fill a quarter of the cache is not kept,
    /// and with it nothing before it.
    pub(super) fn push<'a>(
        &self,
        tail: &Tail,
        batches: impl Iterator<Item = (&'a RecordBatch, Bytes)>,
    ) {
        {
            let mut pieces = tail.pieces.lock();
            for (batch, bytes) in batches {
                if bytes.len() > self.bytes_max / 4 {
                    tail.clear(&mut pieces);
                    continue;
                }
                tail.bytes_all.fetch_add(bytes.len(), Ordering::Relaxed);
                pieces.push(Piece {
                    base_offset: batch.header().base_offset,
                    end_offset: batch.header().end_offset(),
                    bytes,
                });
            }
        }
        if self.bytes() > self.bytes_max {
            self.shrink(tail);
        }
    }

    fn shrink(&self, grown: &Tail) {
        let mut tails = self.tails.lock();
        let share = self.bytes_max / tails.len().max(1);
        grown.shrink_to(share, self.bytes_max);
        for _ in 0..tails.len() {
            if self.bytes() <= self.bytes_max {
                break;
            }
            let Some(weak) = tails.pop_front() else { break };
            if let Some(tail) = weak.upgrade() {
                tail.shrink_to(share, self.bytes_max);
                tails.push_back(weak);
            }
        }
    }
}

/// One log's tail.
#[derive(Debug)]
pub(super) struct Tail {
    pieces: Mutex<Pieces>,
    bytes_all: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Pieces {
    queue: VecDeque<Piece>,
    bytes: usize,
    /// Pieces at the end that are not merged yet, and their bytes.
    loose: usize,
    loose_bytes: usize,
}

/// Whole batches.
#[derive(Debug)]
struct Piece {
    base_offset: Offset,
    end_offset: Offset,
    bytes: Bytes,
}

impl Tail {
    /// Reads as `Partition::read` does; `None` where the tail does not reach back to `from`.
    pub(super) fn read(
        &self,
        from: Offset,
        until: Offset,
        bytes_max: usize,
    ) -> Option<BatchSlices> {
        let pieces = self.pieces.lock();
        let pieces = &pieces.queue;
        if pieces.front()?.base_offset > from {
            return None;
        }
        let first = pieces.partition_point(|piece| piece.end_offset <= from);
        let mut slices = Vec::new();
        let mut room = bytes_max;
        for piece in pieces.range(first..) {
            let whole =
                piece.base_offset >= from && piece.end_offset <= until && piece.bytes.len() <= room;
            let wanted = if whole {
                0..piece.bytes.len()
            } else {
                wanted(&piece.bytes, from, until, room, slices.is_empty())?
            };
            let is_last = wanted.end < piece.bytes.len();
            room = room.saturating_sub(wanted.len());
            slices.push(piece.bytes.slice(wanted));
            if is_last || room == 0 {
                break;
            }
        }
        Some(BatchSlices::new(slices))
    }

    /// Drops what ends at or below `offset`.
    pub(super) fn drop_before(&self, offset: Offset) {
        let mut pieces = self.pieces.lock();
        while pieces
            .queue
            .front()
            .is_some_and(|piece| piece.end_offset <= offset)
        {
            self.pop(&mut pieces);
        }
    }

    fn shrink_to(&self, share: usize, bytes_all_max: usize) {
        let mut pieces = self.pieces.lock();
        while pieces.bytes > share && self.bytes_all.load(Ordering::Relaxed) > bytes_all_max {
            self.pop(&mut pieces);
        }
    }

    fn pop(&self, pieces: &mut Pieces) {
        if let Some(piece) = pieces.queue.pop_front() {
            let bytes = piece.bytes.len();
            if pieces.loose > pieces.queue.len() {
                pieces.loose = pieces.queue.len();
                pieces.loose_bytes -= bytes;
            }
            pieces.bytes -= bytes;
            self.bytes_all.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    fn clear(&self, pieces: &mut Pieces) {
        self.bytes_all.fetch_sub(pieces.bytes, Ordering::Relaxed);
        *pieces = Pieces::default();
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let bytes = self.pieces.get_mut().bytes;
        self.bytes_all.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Pieces {
    fn push(&mut self, piece: Piece) {
        let bytes = piece.bytes.len();
        self.bytes += bytes;
        self.queue.push_back(piece);
        if bytes > MERGEABLE_BYTES_MAX {
            (self.loose, self.loose_bytes) = (0, 0);
            return;
        }
        self.loose += 1;
        self.loose_bytes += bytes;
        if self.loose > 1 && self.loose_bytes >= MERGED_BYTES {
            self.merge();
        }
    }

    fn merge(&mut self) {
        let at = self.queue.len() - self.loose;
        let loose = self.queue.split_off(at);
        let mut bytes = Vec::with_capacity(self.loose_bytes);
        for piece in &loose {
            bytes.extend_from_slice(&piece.bytes);
        }
        if let (Some(first), Some(last)) = (loose.front(), loose.back()) {
            self.queue.push_back(Piece {
                base_offset: first.base_offset,
                end_offset: last.end_offset,
                bytes: bytes.into(),
            });
        }
        (self.loose, self.loose_bytes) = (0, 0);
    }
}

/// Where in `bytes` the batches lie that a read wants: from the first that ends after `from`, before
/// the first that begins at `until` or passes `room`; with `at_least_one` the first whatever its size.
/// `None` where `bytes` are not batches.
pub(super) fn wanted(
    bytes: &[u8],
    from: Offset,
    until: Offset,
    room: usize,
    at_least_one: bool,
) -> Option<Range<usize>> {
    let mut position = 0;
    let mut start = None;
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
    }
    Some(start.unwrap_or(position)..position)
}
