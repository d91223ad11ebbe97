//! Reads one segment's log file from front to back and finds out how far it can be believed.
//!
//! Where the index has an entry, its checksum decides over the whole span: it covers what the batches'
//! own checksums do not, base offset and leader epoch. Beyond the last entry batches are parsed one by
//! one, and must follow each other without a gap. What is wrong **below the durable end is rot**: it
//! is quarantined up to the next place that can be trusted, and the scan goes on. What is wrong **at or
//! above it is a torn tail**: the scan ends at the first bad batch.

use std::io;

use bytes::Bytes;
use ratatoskr_core::{
    batch::{BatchHeader, HEADER_BYTES, RecordBatch},
    limits::BATCH_BYTES_MAX,
    offset::{LeaderEpoch, Offset},
    time::Timestamp,
};

use super::{
    Quarantined,
    index::{IndexEntry, OpenSpan, Seed},
    segment::Extent,
};
use crate::io::File;

/// Bytes read at first, so that looking at the end of a small log costs little.
const WINDOW_BYTES_FIRST: u64 = 16 << 10;
/// What is read at once doubles up to this, more for a batch that is larger.
const WINDOW_BYTES_MAX: u64 = 1 << 20;

/// A log file, read through a window.
#[derive(Debug)]
pub(super) struct LogReader<'a> {
    file: &'a dyn File,
    size: u64,
    window: Bytes,
    window_at: u64,
    window_bytes: u64,
    /// Bytes read from the file so far.
    pub(super) bytes_read: u64,
}

/// What lies at a position of a log file.
#[derive(Debug)]
pub(super) enum Found {
    /// A batch whose own checksum is right, and its bytes.
    Batch(BatchHeader, Bytes),
    /// Nothing, or nothing but zeros, up to the end of the file.
    End,
    /// Something else.
    Bad(String),
}

impl<'a> LogReader<'a> {
    pub(super) fn new(file: &'a dyn File) -> io::Result<Self> {
        Ok(Self {
            size: file.size()?,
            file,
            window: Bytes::new(),
            window_at: 0,
            window_bytes: WINDOW_BYTES_FIRST,
            bytes_read: 0,
        })
    }

    /// The file's size, zeros at the end included.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Up to `length` bytes from `position` on, fewer only where the file ends.
    pub(super) fn bytes(&mut self, position: u64, length: u64) -> io::Result<Bytes> {
        let end = position.saturating_add(length).min(self.size);
        let length = end.saturating_sub(position);
        let in_window = position
            .checked_sub(self.window_at)
            .is_some_and(|skip| skip + length <= self.window.len() as u64);
        if !in_window {
            let fill = length
                .max(self.window_bytes)
                .min(self.size.saturating_sub(position));
            let mut buffer = vec![0; to_usize(fill)?];
            self.file.read_exact_at(&mut buffer, position)?;
            self.bytes_read += fill;
            self.window_bytes = (self.window_bytes * 2).min(WINDOW_BYTES_MAX);
            self.window = buffer.into();
            self.window_at = position;
        }
        let skip = to_usize(position - self.window_at)?;
        Ok(self.window.slice(skip..skip + to_usize(length)?))
    }

    /// What lies at `position`; the batch's own checksum is verified, its place is not.
    pub(super) fn find(&mut self, position: u64) -> io::Result<Found> {
        let head = self.bytes(position, HEADER_BYTES as u64)?;
        let Some(total) = head.get(8..12).and_then(|length| length.first_chunk()) else {
            return self.end_or(position, "fewer bytes than a batch has".into());
        };
        let total = u64::from(u32::from_be_bytes(*total)) + 12;
        if total > u64::from(BATCH_BYTES_MAX) || position + total > self.size {
            return self.end_or(
                position,
                format!("a batch of {total} bytes cannot lie here"),
            );
        }
        let mut bytes = self.bytes(position, total)?;
        let whole = bytes.clone();
        let batch = RecordBatch::split_first(&mut bytes)
            .and_then(|batch| batch.verify_crc().map(|()| batch));
        match batch {
            Ok(batch) => Ok(Found::Batch(*batch.header(), whole)),
            Err(error) => self.end_or(position, error.to_string()),
        }
    }

    fn end_or(&mut self, position: u64, detail: String) -> io::Result<Found> {
        Ok(if self.end_of_data(position)? == position {
            Found::End
        } else {
            Found::Bad(detail)
        })
    }

    /// One past the last byte from `position` on that is not zero.
    pub(super) fn end_of_data(&mut self, position: u64) -> io::Result<u64> {
        let mut end = position;
        let mut at = self.file.next_data(position)?;
        while at < self.size {
            let piece = self.bytes(at, self.window_bytes)?;
            if let Some(last) = piece.iter().rposition(|&byte| byte != 0) {
                end = at + last as u64 + 1;
            }
            at = self.file.next_data(at + piece.len() as u64)?;
        }
        Ok(end)
    }
}

fn to_usize(length: u64) -> io::Result<usize> {
    usize::try_from(length).map_err(|_| io::ErrorKind::FileTooLarge.into())
}

/// Where to begin and what is known before.
#[derive(Clone, Copy, Debug)]
pub(super) struct ScanFrom {
    /// Entries of the index file that were right, those that end beyond `trusted` left out by the
    /// caller if they are not to be used.
    pub(super) base_offset: Offset,
    pub(super) seed: Seed,
    /// Position and offset up to which the log was on disk.
    pub(super) trusted: Option<(u64, Offset)>,
    /// The first position from which on bytes are compared with the index.
    pub(super) verified_from: u64,
    /// What is bad below it is rot.
    pub(super) durable_end: Offset,
    /// Where the next segment begins, if there is one.
    pub(super) next_base: Option<Offset>,
    /// Bytes of log after which an entry is built.
    pub(super) index_span_bytes: u64,
}

/// What a scan found.
#[derive(Debug)]
pub(super) struct Scan {
    /// All entries, those that were built from the log included.
    pub(super) entries: Vec<IndexEntry>,
    /// How many of them the index file has already.
    pub(super) entries_on_disk: usize,
    /// What lies after the last entry.
    pub(super) open: OpenSpan,
    pub(super) max_timestamp: Timestamp,
    /// Of the last batch that was parsed, if one was.
    pub(super) leader_epoch: Option<LeaderEpoch>,
    pub(super) quarantined: Vec<Quarantined>,
    /// The first bad batch above the durable end, if there is one.
    pub(super) torn: Option<String>,
    pub(super) bytes_read: u64,
}

impl Scan {
    /// How far the segment reaches.
    pub(super) fn extent(&self) -> Extent {
        Extent {
            bytes: self.open.position(),
            end_offset: self.open.end_offset(),
            max_timestamp: self.max_timestamp,
        }
    }
}

/// Scans a log file; `on_disk` are the entries that its index file has.
///
/// # Errors
/// Of the file, where it cannot be read at all.
pub(super) fn scan(from: ScanFrom, log: &dyn File, on_disk: &[IndexEntry]) -> io::Result<Scan> {
    let mut reader = LogReader::new(log)?;
    let mut scan = Scan {
        entries: Vec::new(),
        entries_on_disk: 0,
        open: OpenSpan::new(from.seed, 0, from.base_offset),
        max_timestamp: Timestamp::NONE,
        leader_epoch: None,
        quarantined: Vec::new(),
        torn: None,
        bytes_read: 0,
    };
    let mut walk = Walk {
        from: &from,
        reader: &mut reader,
        scan: &mut scan,
    };
    if walk.indexed(on_disk)? {
        walk.parsed()?;
    }
    scan.bytes_read = reader.bytes_read;
    Ok(scan)
}

struct Walk<'s, 'f> {
    from: &'s ScanFrom,
    reader: &'s mut LogReader<'f>,
    scan: &'s mut Scan,
}

impl Walk<'_, '_> {
    /// Goes along the entries of the index file. Whether to go on after them.
    fn indexed(&mut self, on_disk: &[IndexEntry]) -> io::Result<bool> {
        for entry in on_disk {
            let start = self.scan.open.position();
            let end = u64::from(entry.end_position);
            if end > self.reader.size() || self.from.next_base.is_some_and(|n| entry.end_offset > n)
            {
                break;
            }
            if end > self.from.verified_from {
                let span = self.reader.bytes(start, end - start)?;
                if self.from.seed.span_crc(&span) != entry.span_crc && !self.bad_span(entry)? {
                    return Ok(false);
                }
            }
            self.take(*entry);
            self.scan.entries_on_disk += 1;
        }
        Ok(true)
    }

    /// A span whose checksum is wrong. Whether to go on behind it.
    fn bad_span(&mut self, entry: &IndexEntry) -> io::Result<bool> {
        let end = u64::from(entry.end_position);
        let mut good = self.scan.open.clone();
        let mut detail = "a checksum of the index".to_owned();
        while good.position() < end {
            match self.next(&good)? {
                Ok((header, bytes)) if good.position() + bytes.len() as u64 <= end => {
                    good.push(&header, &[&bytes]);
                }
                Ok(_) => break,
                Err(Some(bad)) => {
                    detail = bad;
                    break;
                }
                Err(None) => {
                    "zeros".clone_into(&mut detail);
                    break;
                }
            }
        }
        if good.position() >= end {
            // Every batch is right by itself, so what is wrong is a place or an epoch, nobody knows whose.
            good = self.scan.open.clone();
        }
        if good.end_offset() >= self.from.durable_end {
            self.scan.max_timestamp = self.scan.max_timestamp.max(good.max_timestamp());
            self.scan.open = good;
            self.scan.torn = Some(detail);
            return Ok(false);
        }
        self.scan.quarantined.push(Quarantined {
            from: good.end_offset(),
            until: entry.end_offset,
            detail,
        });
        Ok(true)
    }

    /// Parses batch by batch from where the entries end.
    fn parsed(&mut self) -> io::Result<()> {
        loop {
            let open = &self.scan.open;
            if self
                .from
                .next_base
                .is_some_and(|next| open.end_offset() >= next)
            {
                return Ok(());
            }
            match self.next(&open.clone())? {
                Ok((header, bytes)) => {
                    self.scan.open.push(&header, &[&bytes]);
                    self.scan.leader_epoch = Some(header.leader_epoch);
                    self.scan.max_timestamp = self.scan.max_timestamp.max(header.max_timestamp);
                    // The checkpoint's place is a sync's, where an entry belongs.
                    let is_synced = self
                        .from
                        .trusted
                        .is_some_and(|(position, _)| position == self.scan.open.position());
                    let bytes_min = if is_synced {
                        0
                    } else {
                        self.from.index_span_bytes
                    };
                    if let Some(entry) = self.scan.open.close(bytes_min) {
                        self.scan.entries.push(entry);
                    }
                }
                Err(None) if self.scan.open.end_offset() >= self.from.durable_end => return Ok(()),
                Err(bad) if self.scan.open.end_offset() < self.from.durable_end => {
                    let detail = bad.unwrap_or_else(|| "records are missing".into());
                    if !self.rot(detail)? {
                        return Ok(());
                    }
                }
                Err(bad) => {
                    self.scan.torn = bad;
                    return Ok(());
                }
            }
        }
    }

    /// Quarantines from here to the next place that is known. Whether there is one in this file.
    fn rot(&mut self, detail: String) -> io::Result<bool> {
        let start = self.scan.open.position();
        let from = self.scan.open.end_offset();
        let known = self.from.trusted.filter(|&(position, offset)| {
            position > start && position <= self.reader.size() && offset > from
        });
        let end_of_data = self.reader.end_of_data(start)?;
        let (position, until) = match (known, self.from.next_base) {
            (Some(known), _) => known,
            (None, Some(next)) => (end_of_data, next),
            (None, None) => (end_of_data, self.from.durable_end),
        };
        self.scan.quarantined.push(Quarantined {
            from,
            until,
            detail,
        });
        if let Some(entry) = self.scan.open.close(0) {
            self.scan.entries.push(entry);
        }
        if position > start {
            // The complement never fits, so that these bytes stay quarantined when they are read again.
            let bytes = self.reader.bytes(start, position - start)?;
            self.take(IndexEntry {
                end_offset: until,
                end_position: u32::try_from(position).map_err(|_| io::ErrorKind::FileTooLarge)?,
                max_timestamp: Timestamp::NONE,
                span_crc: !self.from.seed.span_crc(&bytes),
            });
        }
        Ok(known.is_some())
    }

    fn take(&mut self, entry: IndexEntry) {
        self.scan.max_timestamp = self.scan.max_timestamp.max(entry.max_timestamp);
        self.scan.open = OpenSpan::new(self.from.seed, entry.end_position.into(), entry.end_offset);
        self.scan.entries.push(entry);
    }

    /// The batch that follows `open`; `Err(None)` for nothing, `Err(Some)` for what is wrong.
    fn next(
        &mut self,
        open: &OpenSpan,
    ) -> io::Result<Result<(BatchHeader, Bytes), Option<String>>> {
        Ok(match self.reader.find(open.position())? {
            Found::End => Err(None),
            Found::Bad(detail) => Err(Some(detail)),
            Found::Batch(header, _) if header.base_offset != open.end_offset() => {
                Err(Some(format!(
                    "a batch at offset {} where {} is due",
                    header.base_offset,
                    open.end_offset()
                )))
            }
            Found::Batch(header, _)
                if self
                    .from
                    .next_base
                    .is_some_and(|next| header.end_offset() > next) =>
            {
                Err(Some("a batch reaches into the next segment".into()))
            }
            Found::Batch(header, bytes) => Ok((header, bytes)),
        })
    }
}
