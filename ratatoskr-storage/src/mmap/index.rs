//! The sparse index: one sidecar a segment, which finds offsets and times in the log file and
//! protects the bytes **and their place**.
//!
//! ```text
//! header, 64 bytes                          entry, 24 bytes, one each 4 KiB of log and at each sync
//! at  0 magic "RTSKIDX\0"        8 bytes     at  0 end offset - base offset  u32
//! at  8 version (1)              u16         at  4 end position              u32
//! at 10 zero                     2 bytes     at  8 maximum timestamp         i64
//! at 12 partition                u32         at 16 CRC-32 of the span        u32
//! at 16 topic id                 16 bytes    at 20 CRC-32 of this entry      u32
//! at 32 base offset              u64
//! at 40 durable end              u64        All numbers are big endian.
//! at 48 zero                     12 bytes
//! at 60 CRC-32 of bytes 0..60    u32
//! ```
//! An entry closes a **span**: the log bytes from the end position of the entry before it (0 for the
//! first) to its own. Spans hold whole batches. Invariants:
//! - end positions grow strictly, end offsets never fall;
//! - the span's CRC is seeded with topic id, partition and base offset, the entry's with its number
//!   as well, so bytes that belong elsewhere never fit;
//! - bytes after the last entry are zero, or an entry that was being written when the power failed:
//!   reading stops at the first entry that is not right, and what is missing is built from the log;
//! - a span known to be corrupt keeps the *complement* of its CRC, so that it never fits again.

use bytes::BufMut;
use crc32fast::Hasher;
use ratatoskr_core::{batch::BatchHeader, name::TopicId, offset::Offset, time::Timestamp};

use super::LogId;

/// Bytes of the header of an index file.
pub(super) const HEADER_BYTES: usize = 64;
/// Bytes of one entry.
pub(super) const ENTRY_BYTES: usize = 24;
/// The version of segment and index files that this code writes.
pub(super) const FORMAT_VERSION: u16 = 1;

const MAGIC: [u8; 8] = *b"RTSKIDX\0";
const HEADER_CRC_AT: usize = 60;
const ENTRY_CRC_AT: usize = 20;

/// What opens an index file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IndexHeader {
    pub(super) id: LogId,
    pub(super) base_offset: Offset,
    /// Up to here the log was known to be on disk when the segment was created: corruption below it
    /// is rot, never a torn tail.
    pub(super) durable_end: Offset,
}

/// Why an index file's header is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderFault {
    /// A later version of this program wrote it.
    Newer(u16),
    /// Cut short, damaged, or of another segment.
    Damaged,
}

impl IndexHeader {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.put_slice(&MAGIC);
        out.put_u16(FORMAT_VERSION);
        out.put_u16(0);
        out.put_u32(self.id.partition.get());
        out.put_slice(self.id.topic.as_bytes());
        out.put_u64(self.base_offset.get());
        out.put_u64(self.durable_end.get());
        out.put_bytes(0, 12);
        let crc = crc32fast::hash(&out);
        out.put_u32(crc);
        let mut header = [0; HEADER_BYTES];
        header.copy_from_slice(&out);
        header
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, HeaderFault> {
        let header: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(HeaderFault::Damaged)?;
        let sound = header.starts_with(&MAGIC)
            && crc32fast::hash(&header[..HEADER_CRC_AT])
                == u32::from_be_bytes(field(header, HEADER_CRC_AT));
        if !sound {
            return Err(HeaderFault::Damaged);
        }
        match u16::from_be_bytes(field(header, 8)) {
            FORMAT_VERSION => {}
            newer if newer > FORMAT_VERSION => return Err(HeaderFault::Newer(newer)),
            _ => return Err(HeaderFault::Damaged),
        }
        let topic = TopicId::from_bytes(field(header, 16)).ok_or(HeaderFault::Damaged)?;
        Ok(Self {
            id: LogId {
                topic,
                partition: u32::from_be_bytes(field(header, 12)).into(),
            },
            base_offset: u64::from_be_bytes(field(header, 32)).into(),
            durable_end: u64::from_be_bytes(field(header, 40)).into(),
        })
    }
}

/// What closes a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IndexEntry {
    /// One past the last offset of the span; the batch after it begins here or later.
    pub(super) end_offset: Offset,
    /// Where the span ends in the log file.
    pub(super) end_position: u32,
    /// The greatest timestamp in the span.
    pub(super) max_timestamp: Timestamp,
    /// Of the span's log bytes, seeded.
    pub(super) span_crc: u32,
}

/// A segment's identity, which every checksum of its index is seeded with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seed {
    crc: u32,
    base_offset: Offset,
}

impl Seed {
    pub(super) fn new(id: LogId, base_offset: Offset) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(id.topic.as_bytes());
        hasher.update(&id.partition.get().to_be_bytes());
        hasher.update(&base_offset.get().to_be_bytes());
        let crc = hasher.finalize();
        Self { crc, base_offset }
    }

    fn hasher(self) -> Hasher {
        Hasher::new_with_initial(self.crc)
    }

    /// The CRC that an entry keeps of these log bytes.
    pub(super) fn span_crc(self, bytes: &[u8]) -> u32 {
        let mut hasher = self.hasher();
        hasher.update(bytes);
        hasher.finalize()
    }

    /// The bytes of entry `number` (from 0).
    pub(super) fn encode_entry(self, number: usize, entry: &IndexEntry) -> [u8; ENTRY_BYTES] {
        let relative = entry.end_offset.distance_from(self.base_offset);
        let relative = u32::try_from(relative).expect("a segment spans fewer than 2^32 offsets");
        let mut out = [0; ENTRY_BYTES];
        out[0..4].copy_from_slice(&relative.to_be_bytes());
        out[4..8].copy_from_slice(&entry.end_position.to_be_bytes());
        out[8..16].copy_from_slice(&entry.max_timestamp.get().to_be_bytes());
        out[16..20].copy_from_slice(&entry.span_crc.to_be_bytes());
        let crc = self.entry_crc(number, &out);
        out[ENTRY_CRC_AT..].copy_from_slice(&crc.to_be_bytes());
        out
    }

    fn entry_crc(self, number: usize, entry: &[u8; ENTRY_BYTES]) -> u32 {
        let mut hasher = self.hasher();
        hasher.update(&(number as u64).to_be_bytes());
        hasher.update(&entry[..ENTRY_CRC_AT]);
        hasher.finalize()
    }

    /// The entries at the start of `bytes` that are right, each following from the one before.
    pub(super) fn decode_entries(self, bytes: &[u8]) -> Vec<IndexEntry> {
        let mut entries: Vec<IndexEntry> = Vec::new();
        let (chunks, _) = bytes.as_chunks::<ENTRY_BYTES>();
        for chunk in chunks {
            let Some(entry) = self.decode_entry(entries.len(), chunk) else {
                break;
            };
            let (offset, position) = entries.last().map_or((self.base_offset, 0), |last| {
                (last.end_offset, last.end_position)
            });
            if entry.end_position <= position || entry.end_offset < offset {
                break;
            }
            entries.push(entry);
        }
        entries
    }

    /// Entry `number`, if its checksum is right.
    pub(super) fn decode_entry(
        self,
        number: usize,
        chunk: &[u8; ENTRY_BYTES],
    ) -> Option<IndexEntry> {
        if self.entry_crc(number, chunk) != u32::from_be_bytes(field(chunk, ENTRY_CRC_AT)) {
            return None;
        }
        let relative = u32::from_be_bytes(field(chunk, 0));
        Some(IndexEntry {
            end_offset: self.base_offset.plus(relative.into()),
            end_position: u32::from_be_bytes(field(chunk, 4)),
            max_timestamp: i64::from_be_bytes(field(chunk, 8)).into(),
            span_crc: u32::from_be_bytes(field(chunk, 16)),
        })
    }
}

/// The span that is being filled: what was appended since the last entry.
#[derive(Clone, Debug)]
pub(super) struct OpenSpan {
    seed: Seed,
    hasher: Hasher,
    start_position: u64,
    position: u64,
    end_offset: Offset,
    max_timestamp: Timestamp,
}

impl OpenSpan {
    /// An empty span at `position`, before which the log ends at `end_offset`.
    pub(super) fn new(seed: Seed, position: u64, end_offset: Offset) -> Self {
        Self {
            seed,
            hasher: seed.hasher(),
            start_position: position,
            position,
            end_offset,
            max_timestamp: Timestamp::NONE,
        }
    }

    /// Takes in a batch that lies next in the log file.
    pub(super) fn push(&mut self, header: &BatchHeader, parts: &[&[u8]]) {
        for part in parts {
            self.hasher.update(part);
            self.position += part.len() as u64;
        }
        self.end_offset = header.end_offset();
        self.max_timestamp = self.max_timestamp.max(header.max_timestamp);
    }

    /// Where the span ends so far.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// One past the last offset so far.
    pub(super) fn end_offset(&self) -> Offset {
        self.end_offset
    }

    /// The greatest timestamp so far, `NONE` in an empty span.
    pub(super) fn max_timestamp(&self) -> Timestamp {
        self.max_timestamp
    }

    /// The entry for the span if it has reached `bytes_min` (and is not empty); the next one is then
    /// begun.
    pub(super) fn close(&mut self, bytes_min: u64) -> Option<IndexEntry> {
        let bytes = self.position - self.start_position;
        if bytes == 0 || bytes < bytes_min {
            return None;
        }
        let next = Self::new(self.seed, self.position, self.end_offset);
        let full = std::mem::replace(self, next);
        Some(IndexEntry {
            end_offset: full.end_offset,
            end_position: u32::try_from(full.position)
                .expect("a segment has fewer than 2^32 bytes"),
            max_timestamp: full.max_timestamp,
            span_crc: full.hasher.finalize(),
        })
    }
}

fn field<const N: usize, const SIZE: usize>(bytes: &[u8; SIZE], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}
