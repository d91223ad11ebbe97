//! Windows: the pieces of a segment that a read takes at a time, and how they are verified.

use std::{io, sync::Arc};

use bytes::Bytes;
use ratatoskr_core::{batch::RecordBatch, offset::Offset};

use super::{
    Quarantined,
    index::{IndexEntry, Seed},
    segment::Segment,
};
use crate::pieces::wanted;

/// Bytes read at once, except that one span of the index is read whole.
pub(super) const WINDOW_BYTES_MAX: usize = 1 << 20;
/// Of a map, one byte is read each so many to learn whether it is in the page cache.
const PROBE_BYTES: u64 = 128 << 10;

/// What is wanted of a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub(super) from: Offset,
    pub(super) until: Offset,
    pub(super) room: usize,
    /// Whether one batch is to be returned even if there is no room for it.
    pub(super) is_first: bool,
    pub(super) may_map: bool,
    /// Whether what cannot be mapped is worth a copy.
    pub(super) may_copy: bool,
}

/// Part of a segment's log file between two index entries (or the ends of the log).
#[derive(Clone, Debug)]
pub(super) struct Window {
    pub(super) start: u64,
    pub(super) end: u64,
    /// The offset due at `start`.
    start_offset: Offset,
    /// Entries of the spans in it; what lies after the last is the open span.
    pub(super) entries: Vec<IndexEntry>,
}

/// What a window gave.
#[derive(Debug)]
pub(super) enum Part {
    /// Batches, and the offset to go on from.
    Found(Bytes, Offset),
    /// Nothing (more) that is wanted.
    Nothing,
    /// It would have to be waited for.
    WouldBlock,
}

impl Part {
    /// What a wish finds in `bytes`, which are whole batches that were verified.
    pub(super) fn of(bytes: &Bytes, wish: &Wish) -> Self {
        wanted(bytes, wish.from, wish.until, wish.room, wish.is_first)
            .filter(|(range, _)| !range.is_empty())
            .map_or(Self::Nothing, |(range, next)| {
                Self::Found(bytes.slice(range), next)
            })
    }
}

impl Window {
    /// Checks the bytes of this window, in a segment that ends at `end_offset`: how many of them are
    /// right from the start, and what is wrong behind them.
    pub(super) fn verify(
        &self,
        seed: Seed,
        end_offset: Offset,
        bytes: &Bytes,
    ) -> (usize, Option<Quarantined>) {
        let mut good = 0;
        let mut offset = self.start_offset;
        for entry in &self.entries {
            let end = u64::from(entry.end_position).saturating_sub(self.start);
            let end = usize::try_from(end).map_or(bytes.len(), |end| end.clamp(good, bytes.len()));
            let span = bytes.slice(good..end);
            if seed.span_crc(&span) != entry.span_crc {
                let (length, from, detail) = parsed(&span, offset, Gaps::Refused)
                    // Batches that are right by themselves: what is wrong is a place or an epoch.
                    .map_or_else(
                        |bad| bad,
                        |()| (0, offset, "a checksum of the index".into()),
                    );
                let bad = Quarantined {
                    from,
                    until: entry.end_offset,
                    detail,
                };
                return (good + length, Some(bad));
            }
            good = end;
            offset = entry.end_offset;
        }
        // The open span has no entry yet.
        match parsed(&bytes.slice(good..), offset, Gaps::Taken) {
            Ok(()) => (bytes.len(), None),
            Err((length, from, detail)) => {
                let bad = Quarantined {
                    from,
                    until: end_offset,
                    detail,
                };
                (good + length, Some(bad))
            }
        }
    }
}

impl Segment {
    /// The window to read for a wish, if the index is loaded. It is empty where the segment ends
    /// before what is wanted.
    pub(super) fn window(&self, wish: &Wish) -> Option<Window> {
        let contents = self.contents.read();
        let entries = contents.entries.as_ref()?.value.as_slice();
        let extent = contents.extent?;
        let first = entries.partition_point(|entry| entry.end_offset <= wish.from);
        let (start, start_offset) = before(entries, first).unwrap_or((0, self.base_offset));
        let rest = entries.get(first..)?;
        let first_end = rest.first().map_or(extent.bytes, |e| e.end_position.into());
        // The first batch wanted may begin late in its span, and as many bytes as fit follow it.
        let enough = first_end.saturating_add(wish.room.min(WINDOW_BYTES_MAX) as u64);
        let last = rest.iter().position(|entry| {
            u64::from(entry.end_position) >= enough || entry.end_offset >= wish.until
        });
        let spans = match last {
            // A span much longer than what is wanted is left for the next window.
            Some(last) if last > 0 => {
                let is_long = |entry: &IndexEntry| {
                    u64::from(entry.end_position) > enough + WINDOW_BYTES_MAX as u64
                };
                let count = if rest.get(last).is_some_and(is_long) {
                    last
                } else {
                    last + 1
                };
                rest.get(..count)?
            }
            Some(last) => rest.get(..=last)?,
            None => rest,
        };
        let end = match (last, spans.last()) {
            (Some(_), Some(entry)) => entry.end_position.into(),
            // The open span is wanted as well.
            _ => extent.bytes,
        };
        Some(Window {
            start,
            end,
            start_offset,
            entries: spans.to_vec(),
        })
    }
}

/// Where the span of entry `number` begins, if not at the start of the segment.
pub(super) fn before(entries: &[IndexEntry], number: usize) -> Option<(u64, Offset)> {
    let entry = entries.get(number.checked_sub(1)?)?;
    Some((entry.end_position.into(), entry.end_offset))
}

/// What a map has of a wish.
#[derive(Debug)]
pub(super) enum Mapped {
    Part(Part),
    /// The wish begins within a span: the rest of that has to be copied, what follows need not be.
    WithinSpan,
    /// The segment has no map yet, or no whole span fits.
    Nothing,
}

/// Whole spans as a slice of the map, if the wish begins at one, they fit, and are in the page cache.
pub(super) fn mapped(segment: &Arc<Segment>, wish: &Wish) -> io::Result<Mapped> {
    let (start, end, end_offset, bytes) = {
        let contents = segment.contents.read();
        let (Some(held), Some(extent)) = (&contents.entries, contents.extent) else {
            return Ok(Mapped::Nothing);
        };
        if !contents.is_sealed {
            return Ok(Mapped::Nothing);
        }
        let entries = held.value.as_slice();
        let first = entries.partition_point(|entry| entry.end_offset <= wish.from);
        let (start, start_offset) = before(entries, first).unwrap_or((0, segment.base_offset));
        if start_offset != wish.from {
            return Ok(Mapped::WithinSpan);
        }
        let most = start.saturating_add(wish.room as u64);
        let fits = entries.partition_point(|entry| {
            u64::from(entry.end_position) <= most && entry.end_offset <= wish.until
        });
        let Some(last) = entries.get(..fits).and_then(<[_]>::last) else {
            return Ok(Mapped::Nothing);
        };
        if fits <= first {
            return Ok(Mapped::Nothing);
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
            return Ok(Mapped::Part(Part::WouldBlock));
        }
        at += PROBE_BYTES;
    }
    if !log.try_read_exact_at(&mut probe, end - 1)? {
        return Ok(Mapped::Part(Part::WouldBlock));
    }
    let (Ok(from), Ok(to)) = (usize::try_from(start), usize::try_from(end)) else {
        return Ok(Mapped::Nothing);
    };
    let map = segment.map(bytes)?.filter(|map| to <= map.len());
    Ok(map.map_or(Mapped::Nothing, |map| {
        Mapped::Part(Part::Found(map.slice(from..to), end_offset))
    }))
}

/// Whether offsets may be missing between batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gaps {
    Taken,
    Refused,
}

/// Whether a span is batches that are right by themselves and follow each other; else how many bytes are, and at which offset something is wrong.
fn parsed(span: &Bytes, mut offset: Offset, gaps: Gaps) -> Result<(), (usize, Offset, String)> {
    let mut rest = span.clone();
    while !rest.is_empty() {
        let good = span.len() - rest.len();
        let batch = RecordBatch::split_first(&mut rest).and_then(|b| b.verify_crc().map(|()| b));
        match batch {
            Ok(batch)
                if batch.header().base_offset == offset
                    || (gaps == Gaps::Taken && batch.header().base_offset > offset) =>
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
