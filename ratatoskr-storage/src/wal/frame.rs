//! The bytes of one frame: a header of 80 bytes, then the payload.
//!
//! ```text
//! at  0 kind             u8     at 32 durable LSN   u64
//! at  1 flags            u8     at 40 topic id      16 bytes
//! at  2 zero             u16    at 56 partition     u32
//! at  4 stream id        u32    at 60 leader epoch  i32
//! at  8 payload bytes    u32    at 64 base offset   u64
//! at 12 CRC-32           u32    at 72 append time   i64
//! at 16 file id          u64    at 80 payload
//! at 24 LSN              u64
//! ```
//! All numbers are big endian, as in the batches. The CRC covers the header (without itself) and the
//! first 21 bytes of the payload, or the whole payload where flag 2 is set. The first 21 bytes of a
//! batch are what its own CRC-32C does not cover, so together they cover all of it.
//!
//! The CRC starts from a seed that belongs to the data directory. Records come from strangers, and
//! recovery looks for frames at every 4 KiB: without the seed a record could pose as a frame.
//!
//! All-zero bytes are never a frame (kind 0 is none), nor is any frame of another file.

use bytes::{Buf, BufMut, Bytes};
use ratatoskr_core::{
    batch::{BatchError, RecordBatch},
    name::TopicId,
    offset::{LeaderEpoch, Offset, PartitionIndex},
    time::Timestamp,
};

use super::{Lsn, WalFileId};
use crate::planted::{self, Bug};

/// Bytes of a frame before its payload.
pub(crate) const HEADER_BYTES: usize = 80;
/// The only stream there is; the others are kept for replicated logs.
const STREAM: u32 = 0;
/// Bytes at the start of a batch that its own CRC-32C does not cover.
const BATCH_COVER_BYTES: usize = 21;
const CRC_AT: usize = 12;
const FLAG_LAST_OF_GROUP: u8 = 1;
const FLAG_WHOLE_PAYLOAD: u8 = 2;
const FLAGS_KNOWN: u8 = FLAG_LAST_OF_GROUP | FLAG_WHOLE_PAYLOAD;

/// What a frame's payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameKind {
    /// A record batch, byte for byte.
    Batch = 1,
    /// A topic's description.
    TopicCreated = 2,
    /// A topic's new description.
    TopicUpdated = 3,
    /// Nothing: the topic named in the header is gone.
    TopicDeleted = 4,
    /// Nothing: the partition named in the header starts at the base offset.
    LogStartMoved = 5,
}

impl FrameKind {
    const ALL: [Self; 5] = [
        Self::Batch,
        Self::TopicCreated,
        Self::TopicUpdated,
        Self::TopicDeleted,
        Self::LogStartMoved,
    ];

    fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|&kind| kind as u8 == code)
    }
}

/// A frame's header, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// What follows.
    pub kind: FrameKind,
    /// Whether the next group starts after this frame, on the next boundary.
    pub last_of_group: bool,
    /// Bytes that follow the header.
    pub payload_bytes: u32,
    /// The file it was written for.
    pub file: WalFileId,
    /// Its number.
    pub lsn: Lsn,
    /// The highest number that was known to be durable when this frame was written.
    pub durable: Lsn,
    /// The topic concerned.
    pub topic: TopicId,
    /// The partition concerned; 0 where the topic is.
    pub partition: PartitionIndex,
    /// The batch's leader epoch; -1 where there is no batch.
    pub leader_epoch: LeaderEpoch,
    /// The batch's base offset, or the new log start; 0 where the topic is concerned.
    pub base_offset: Offset,
    /// When the engine took it.
    pub append_time: Timestamp,
}

impl FrameHeader {
    /// The header's bytes, with the CRC over them and `payload_start`, the first bytes (at least 21,
    /// if there are so many) of a batch or else the whole payload.
    pub(crate) fn encode(&self, seed: u32, payload_start: &[u8]) -> [u8; HEADER_BYTES] {
        let mut flags = 0;
        if self.last_of_group {
            flags |= FLAG_LAST_OF_GROUP;
        }
        if self.kind != FrameKind::Batch {
            flags |= FLAG_WHOLE_PAYLOAD;
        }
        let mut bytes = [0; HEADER_BYTES];
        let mut out = &mut bytes[..];
        out.put_u8(self.kind as u8);
        out.put_u8(flags);
        out.put_u16(0);
        out.put_u32(STREAM);
        out.put_u32(self.payload_bytes);
        out.put_u32(0);
        out.put_u64(self.file.get());
        out.put_u64(self.lsn.get());
        out.put_u64(self.durable.get());
        out.put_slice(self.topic.as_bytes());
        out.put_u32(self.partition.get());
        out.put_i32(self.leader_epoch.get());
        out.put_u64(self.base_offset.get());
        out.put_i64(self.append_time.get());
        let crc = checksum(seed, &bytes, cover(flags, payload_start));
        bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    /// Reads the header of the frame that opens `bytes`, which must reach at least to the end of
    /// what its CRC covers ([`decode_needs`] tells how far that is).
    ///
    /// # Errors
    /// [`FrameError`] where no frame of `file` starts here.
    pub(crate) fn decode(bytes: &[u8], seed: u32, file: WalFileId) -> Result<Self, FrameError> {
        let header: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(FrameError::Truncated)?;
        let covered = decode_needs(header).ok_or(FrameError::Absent)?;
        let payload = bytes
            .get(HEADER_BYTES..covered)
            .ok_or(FrameError::Truncated)?;
        let fields = Fields::read(header).ok_or(FrameError::Truncated)?;
        if checksum(seed, header, payload) != fields.crc {
            return Err(FrameError::Checksum);
        }
        if fields.file != file && !planted::is(Bug::StaleFrameAccepted) {
            return Err(FrameError::Stale { file: fields.file });
        }
        // From here on the bytes are as they were written: what is not known is of a newer version.
        fields.into_header()
    }
}

/// The file that the header of a frame names, whether or not it is right in anything else.
pub(super) fn file_named_by(header: &[u8]) -> Option<WalFileId> {
    Fields::read(header).map(|fields| fields.file)
}

/// How many bytes of a frame [`FrameHeader::decode`] looks at, by the first bytes of its header;
/// `None` where they cannot be a frame's.
pub(super) fn decode_needs(header: &[u8]) -> Option<usize> {
    let mut rest = header.get(..CRC_AT)?;
    let kind = rest.try_get_u8().ok()?;
    let flags = rest.try_get_u8().ok()?;
    rest.advance(6);
    let payload_bytes = rest.try_get_u32().ok()? as usize;
    if kind == 0 {
        return None;
    }
    let covered = if flags & FLAG_WHOLE_PAYLOAD == 0 {
        payload_bytes.min(BATCH_COVER_BYTES)
    } else {
        payload_bytes
    };
    Some(HEADER_BYTES + covered)
}

/// A whole frame, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Its header.
    pub header: FrameHeader,
    /// What it carries.
    pub payload: Bytes,
}

impl Frame {
    /// Reads the frame that is `bytes`: header, payload and nothing else.
    ///
    /// # Errors
    /// [`FrameError`]; among them a batch whose own CRC or place is not what it should be.
    pub(crate) fn decode(bytes: &Bytes, seed: u32, file: WalFileId) -> Result<Self, FrameError> {
        let header = FrameHeader::decode(bytes, seed, file)?;
        if bytes.len() != HEADER_BYTES + header.payload_bytes as usize {
            return Err(FrameError::Truncated);
        }
        let frame = Self {
            header,
            payload: bytes.slice(HEADER_BYTES..),
        };
        if header.kind == FrameKind::Batch {
            let batch = frame.batch()?;
            if batch.header().base_offset != header.base_offset
                || batch.header().leader_epoch != header.leader_epoch
            {
                return Err(FrameError::Misplaced);
            }
        }
        Ok(frame)
    }

    /// The batch that is the payload of a frame of that kind.
    ///
    /// # Errors
    /// [`FrameError::Batch`].
    pub(crate) fn batch(&self) -> Result<RecordBatch, FrameError> {
        let bytes = self.payload.clone();
        if planted::is(Bug::BatchCrcSkipped) {
            return Ok(RecordBatch::view(bytes)?);
        }
        Ok(RecordBatch::parse(bytes)?)
    }
}

/// Why bytes are not a frame of this file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    /// Nothing was ever written here.
    #[error("no frame")]
    Absent,
    /// The bytes end before the frame does.
    #[error("frame is cut short")]
    Truncated,
    /// The bytes are not those that were written.
    #[error("frame checksum does not match")]
    Checksum,
    /// It was written when the file had another id.
    #[error("frame of file {file}")]
    Stale {
        /// That id.
        file: WalFileId,
    },
    /// It was written by a version that knows more.
    #[error("frame of an unknown kind: kind {kind}, flags {flags:#04x}, stream {stream}")]
    Unknown {
        /// Its kind.
        kind: u8,
        /// Its flags.
        flags: u8,
        /// Its stream.
        stream: u32,
    },
    /// It is not the next one.
    #[error("frame {lsn} is out of sequence")]
    OutOfSequence {
        /// Its number.
        lsn: Lsn,
    },
    /// Header and batch name different places.
    #[error("frame and its batch name different offsets or epochs")]
    Misplaced,
    /// The payload is not a batch.
    #[error(transparent)]
    Batch(#[from] BatchError),
}

/// A header's fields before they mean anything.
struct Fields {
    kind: u8,
    flags: u8,
    zero: u16,
    stream: u32,
    payload_bytes: u32,
    crc: u32,
    file: WalFileId,
    lsn: Lsn,
    durable: Lsn,
    topic: [u8; 16],
    partition: u32,
    leader_epoch: i32,
    base_offset: u64,
    append_time: i64,
}

impl Fields {
    fn read(mut bytes: &[u8]) -> Option<Self> {
        Some(Self {
            kind: bytes.try_get_u8().ok()?,
            flags: bytes.try_get_u8().ok()?,
            zero: bytes.try_get_u16().ok()?,
            stream: bytes.try_get_u32().ok()?,
            payload_bytes: bytes.try_get_u32().ok()?,
            crc: bytes.try_get_u32().ok()?,
            file: WalFileId::new(bytes.try_get_u64().ok()?),
            lsn: Lsn::new(bytes.try_get_u64().ok()?),
            durable: Lsn::new(bytes.try_get_u64().ok()?),
            topic: {
                let mut topic = [0; 16];
                bytes.try_copy_to_slice(&mut topic).ok()?;
                topic
            },
            partition: bytes.try_get_u32().ok()?,
            leader_epoch: bytes.try_get_i32().ok()?,
            base_offset: bytes.try_get_u64().ok()?,
            append_time: bytes.try_get_i64().ok()?,
        })
    }

    fn into_header(self) -> Result<FrameHeader, FrameError> {
        let unknown = FrameError::Unknown {
            kind: self.kind,
            flags: self.flags,
            stream: self.stream,
        };
        let kind = FrameKind::from_code(self.kind);
        let (Some(kind), Some(topic)) = (kind, TopicId::from_bytes(self.topic)) else {
            return Err(unknown);
        };
        if self.flags & !FLAGS_KNOWN != 0 || self.zero != 0 || self.stream != STREAM {
            return Err(unknown);
        }
        Ok(FrameHeader {
            kind,
            last_of_group: self.flags & FLAG_LAST_OF_GROUP != 0,
            payload_bytes: self.payload_bytes,
            file: self.file,
            lsn: self.lsn,
            durable: self.durable,
            topic,
            partition: self.partition.into(),
            leader_epoch: self.leader_epoch.into(),
            base_offset: Offset::new(self.base_offset).min(Offset::MAX),
            append_time: self.append_time.into(),
        })
    }
}

/// The part of a payload that the frame's CRC covers.
fn cover(flags: u8, payload: &[u8]) -> &[u8] {
    if flags & FLAG_WHOLE_PAYLOAD == 0 {
        payload.get(..BATCH_COVER_BYTES).unwrap_or(payload)
    } else {
        payload
    }
}

fn checksum(seed: u32, header: &[u8; HEADER_BYTES], covered: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new_with_initial(seed);
    crc.update(&header[..CRC_AT]);
    crc.update(&header[CRC_AT + 4..]);
    crc.update(covered);
    crc.finalize()
}
