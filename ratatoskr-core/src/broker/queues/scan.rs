//! What a part of the log holds for a queue group: which offsets are records, which of them have a
//! key, a time before which they are not delivered, or one after which they are not delivered any
//! more.
//!
//! Batches are walked only where they have to be: an uncompressed batch without gaps, in which the
//! prefix of the headers is not found, is one range, unless the group wants keys or the topic has a
//! time to live.

use std::time::Duration;

use bytes::Bytes;
use memchr::memmem;

use crate::{
    batch::{BatchHeader, RecordBatch, RecordLimits, RecordView},
    config::Compression,
    delivery::{Scan, ScanKind},
    error::Error,
    limits,
    name::INTERNAL_PREFIX,
    record::{DELAY_HEADER, DELIVER_AT_HEADER, TTL_HEADER},
    time::Timestamp,
};

/// The hash of a key.
pub(super) type KeyHash<'a> = dyn Fn(&[u8]) -> u64 + Sync + 'a;

/// What is looked for.
pub(super) struct Scanner<'a> {
    /// The hash of a key, where the group wants order by key.
    pub(super) key_hash: Option<&'a KeyHash<'a>>,
    /// The time to live of records that name none.
    pub(super) ttl_default: Option<Duration>,
    pub(super) now: Timestamp,
}

/// A batch as it lies in the log.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) bytes: Bytes,
}

/// What was found.
#[derive(Debug)]
pub(super) struct Scanned {
    pub(super) scan: Scan,
    /// Batches with records.
    pub(super) pieces: Vec<Piece>,
    /// Records whose time to live has passed.
    pub(super) expired: Vec<(u64, u64)>,
}

impl Scanner<'_> {
    /// Looks at the batches in `slices`, from this offset on.
    ///
    /// # Errors
    /// [`Error::InvalidBatch`] where the bytes are no batches.
    pub(super) fn scan(&self, from: u64, slices: Vec<Bytes>) -> Result<Scanned, Error> {
        let mut scanned = Scanned {
            scan: Scan {
                from,
                keyed: self.key_hash.is_some(),
                items: Vec::new(),
            },
            pieces: Vec::new(),
            expired: Vec::new(),
        };
        for mut rest in slices {
            while !rest.is_empty() {
                let whole = rest.clone();
                let batch = RecordBatch::split_first(&mut rest)?;
                let bytes = whole.slice(..whole.len() - rest.len());
                self.batch(&batch, bytes, &mut scanned);
            }
        }
        Ok(scanned)
    }

    fn batch(&self, batch: &RecordBatch, bytes: Bytes, out: &mut Scanned) {
        let header = batch.header();
        let next = out.scan.end();
        let last = header.end_offset().get().saturating_sub(1);
        if last < next {
            return;
        }
        let first = header.base_offset.get();
        // Compaction may have taken whole batches.
        if first > next {
            out.scan.push(next, first - 1, ScanKind::Gap);
        }
        let from = first.max(next);
        if header.is_control() {
            out.scan.push(from, last, ScanKind::Gap);
            return;
        }
        out.pieces.push(Piece { first, last, bytes });
        if self.must_walk(batch) && self.walk(batch, from, last, out).is_ok() {
            return;
        }
        // A batch that cannot be read is delivered as it is: its reader will find the same.
        let end = out.scan.end().max(from);
        if end <= last {
            out.scan.push(end, last, PLAIN);
        }
    }

    fn must_walk(&self, batch: &RecordBatch) -> bool {
        let header = batch.header();
        self.key_hash.is_some()
            || self.ttl_default.is_some()
            || has_gaps(header)
            || header.codec() != Ok(Compression::None)
            || memmem::find(batch.records_bytes(), INTERNAL_PREFIX.as_bytes()).is_some()
    }

    fn walk(
        &self,
        batch: &RecordBatch,
        from: u64,
        last: u64,
        out: &mut Scanned,
    ) -> Result<(), Error> {
        for record in batch.records(&RecordLimits::default())? {
            let record = record?;
            let offset = record.offset.get();
            if offset < from {
                continue;
            }
            let next = out.scan.end().max(from);
            if offset > next {
                out.scan.push(next, offset - 1, ScanKind::Gap);
            }
            let times = Times::of(&record, self.ttl_default, self.now);
            if times.expires.is_some_and(|at| at <= self.now) {
                match out.expired.last_mut() {
                    Some((_, last)) if *last + 1 == offset => *last = offset,
                    _ => out.expired.push((offset, offset)),
                }
            }
            let key = self.key_hash.zip(record.key.as_deref());
            let kind = ScanKind::Record {
                key: key.map(|(hash, key)| hash(key)),
                due: times.due.filter(|&due| due > self.now),
            };
            out.scan.push(offset, offset, kind);
        }
        let next = out.scan.end().max(from);
        if next <= last {
            out.scan.push(next, last, ScanKind::Gap);
        }
        Ok(())
    }
}

const PLAIN: ScanKind = ScanKind::Record {
    key: None,
    due: None,
};

fn has_gaps(header: &BatchHeader) -> bool {
    i64::from(header.record_count) != i64::from(header.last_offset_delta) + 1
}

/// When a record may be delivered.
struct Times {
    /// Not before this.
    due: Option<Timestamp>,
    /// Not from here on.
    expires: Option<Timestamp>,
}

impl Times {
    /// Headers that are no numbers say nothing. Of a record without a time nothing is known that is
    /// counted from there.
    fn of(record: &RecordView, ttl_default: Option<Duration>, now: Timestamp) -> Self {
        let mut due = None;
        let mut ttl = ttl_default;
        if !record.headers.is_empty() {
            for header in record.headers.iter() {
                if !header.key.starts_with(INTERNAL_PREFIX.as_bytes()) {
                    continue;
                }
                let number = header.value.as_deref().and_then(number);
                let millis = number.and_then(|number| u64::try_from(number).ok());
                let span = millis.map(Duration::from_millis);
                if header.key == TTL_HEADER {
                    ttl = span.or(ttl);
                } else if header.key == DELAY_HEADER {
                    due = due.max(span.and_then(|span| since(record.timestamp, span)));
                } else if header.key == DELIVER_AT_HEADER {
                    due = due.max(number.map(Timestamp::new));
                }
            }
        }
        let latest = record.timestamp.max(now).plus(limits::QUEUE_DELAY_MAX);
        Self {
            due: due.map(|due| due.min(latest)),
            expires: ttl.and_then(|ttl| since(record.timestamp, ttl)),
        }
    }
}

fn since(timestamp: Timestamp, span: Duration) -> Option<Timestamp> {
    (timestamp >= Timestamp::new(0)).then(|| timestamp.plus(span))
}

fn number(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
