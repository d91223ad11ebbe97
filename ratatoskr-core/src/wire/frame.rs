//! The frame: everything that travels on a native connection.
//!
//! ```text
//! at  0 length       u32   bytes after this field
//! at  4 CRC-32       u32   of everything from `version` to the end of the body
//! at  8 version      u8    0 in a hello, else the version agreed on
//! at  9 kind         u8    see `Kind`; the top bit marks a response
//! at 10 flags        u16   0; a receiver refuses any other
//! at 12 correlation  u64   chosen by who asks, echoed by who answers
//! at 20 body length  u32
//! at 24 body               MessagePack
//!       record batches     up to the end of the frame
//! ```
//! All numbers are big endian. Invariants:
//! - the length is checked against the receiver's limit before anything is allocated for it;
//! - record batches lie outside the frame's CRC (each has a CRC-32C of its own), so a sender hands
//!   slices of its log to the operating system without ever looking at them.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Serialize, de::DeserializeOwned};

use super::kind::{Kind, RESPONSE};

/// Bytes of a frame before its body.
pub const FRAME_HEADER_BYTES: usize = 24;
/// Bytes of the length field, which the length does not count.
const LENGTH_BYTES: usize = 4;
/// Where the CRC's cover begins.
const CRC_COVER_START: usize = 8;

/// Why bytes are not a frame. After any of these the place of the next frame is not known, so the
/// connection ends; [`FrameError::Body`] and [`FrameError::Encode`] concern one frame alone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Longer than the receiver takes.
    #[error("frame of {length} bytes, {max} are allowed")]
    TooLarge {
        /// Bytes of the whole frame.
        length: u64,
        /// The limit.
        max: usize,
    },
    /// A length that cannot hold the header or the body.
    #[error("frame length {length} cannot be")]
    InvalidLength {
        /// As the frame has it.
        length: u32,
    },
    /// The bytes are not those that were sent.
    #[error("CRC-32 is {found:08x}, the frame says {expected:08x}")]
    CrcMismatch {
        /// As the frame has it.
        expected: u32,
        /// As computed.
        found: u32,
    },
    /// A flag that this version does not define.
    #[error("flags {0:04x} are unknown")]
    UnknownFlags(u16),
    /// The body is not what the kind has.
    #[error("body does not decode: {0}")]
    Body(String),
    /// The body cannot be written.
    #[error("body does not encode: {0}")]
    Encode(String),
}

/// A frame as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// 0 in a hello, else the version agreed on.
    pub version: u8,
    /// The kind's byte, response bit included; it need not be a known one.
    pub kind_code: u8,
    /// Chosen by who asks, echoed by who answers.
    pub correlation: u64,
    /// `MessagePack`.
    pub body: Bytes,
    /// Record batches, back to back.
    pub batches: Bytes,
}

impl Frame {
    /// Takes the first frame off `buffer`. `None` where more bytes are needed; the buffer then has
    /// room reserved for no more than that frame.
    ///
    /// # Errors
    /// [`FrameError`]; no later frame can be found after it.
    pub fn decode(buffer: &mut BytesMut, bytes_max: usize) -> Result<Option<Self>, FrameError> {
        let Some(total) = frame_bytes(buffer, bytes_max)? else {
            return Ok(None);
        };
        if buffer.len() < total {
            buffer.reserve(total - buffer.len());
            return Ok(None);
        }
        Self::parse(&buffer.split_to(total).freeze()).map(Some)
    }

    /// Views the frame that `bytes` is, from its length field to its end.
    fn parse(bytes: &Bytes) -> Result<Self, FrameError> {
        let invalid = FrameError::InvalidLength {
            length: u32::try_from(bytes.len().saturating_sub(LENGTH_BYTES)).unwrap_or(u32::MAX),
        };
        let mut header = bytes
            .get(LENGTH_BYTES..FRAME_HEADER_BYTES)
            .ok_or_else(|| invalid.clone())?;
        let expected = header.get_u32();
        let version = header.get_u8();
        let kind_code = header.get_u8();
        let flags = header.get_u16();
        let correlation = header.get_u64();
        let body_end = usize::try_from(header.get_u32())
            .ok()
            .and_then(|body| body.checked_add(FRAME_HEADER_BYTES))
            .ok_or_else(|| invalid.clone())?;
        let covered = bytes.get(CRC_COVER_START..body_end).ok_or(invalid)?;
        let found = crc32fast::hash(covered);
        if found != expected {
            return Err(FrameError::CrcMismatch { expected, found });
        }
        if flags != 0 {
            return Err(FrameError::UnknownFlags(flags));
        }
        Ok(Self {
            version,
            kind_code,
            correlation,
            body: bytes.slice(FRAME_HEADER_BYTES..body_end),
            batches: bytes.slice(body_end..),
        })
    }

    /// The kind, of request and response alike; `None` for one that this version does not know.
    pub const fn kind(&self) -> Option<Kind> {
        Kind::from_code(self.kind_code & !RESPONSE)
    }

    /// Whether the frame answers a request.
    pub const fn is_response(&self) -> bool {
        self.kind_code & RESPONSE != 0
    }

    /// The body, decoded.
    ///
    /// # Errors
    /// [`FrameError::Body`].
    pub fn decode_body<T: DeserializeOwned>(&self) -> Result<T, FrameError> {
        decode_body(&self.body)
    }
}

/// Decodes a body, which must be one `MessagePack` value and nothing after it.
fn decode_body<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    let mut rest = rmp_serde::Deserializer::new(body);
    rest.set_max_depth(BODY_DEPTH_MAX);
    let value = T::deserialize(&mut rest).map_err(|error| FrameError::Body(error.to_string()))?;
    if rest.get_ref().is_empty() {
        Ok(value)
    } else {
        Err(FrameError::Body("bytes after the value".into()))
    }
}

/// Deepest nesting that a body may have; without a bound, nesting could exhaust the stack.
pub const BODY_DEPTH_MAX: usize = 16;

/// Bytes of the frame that opens `buffer`, its length field included; `None` where the length field
/// is not there yet.
fn frame_bytes(buffer: &[u8], bytes_max: usize) -> Result<Option<usize>, FrameError> {
    let Some(field) = buffer.first_chunk() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*field);
    let total = u64::from(length) + LENGTH_BYTES as u64;
    match usize::try_from(total) {
        Ok(total) if total <= bytes_max && total >= FRAME_HEADER_BYTES => Ok(Some(total)),
        Ok(total) if total < FRAME_HEADER_BYTES => Err(FrameError::InvalidLength { length }),
        _ => Err(FrameError::TooLarge {
            length: total,
            max: bytes_max,
        }),
    }
}

/// What a frame to be sent says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// 0 in a hello, else the version agreed on.
    pub version: u8,
    /// The kind's byte, response bit included.
    pub kind_code: u8,
    /// Chosen by who asks, echoed by who answers.
    pub correlation: u64,
}

impl FrameHead {
    /// Appends the frame to `out`, up to the end of its body; the caller sends `batches_bytes` of
    /// record batches after it. On an error `out` is as it was.
    ///
    /// # Errors
    /// [`FrameError::TooLarge`] where the frame's length does not fit its field;
    /// [`FrameError::Encode`].
    pub fn encode(
        self,
        body: &impl Serialize,
        batches_bytes: usize,
        out: &mut BytesMut,
    ) -> Result<(), FrameError> {
        let start = out.len();
        let outcome = self.encode_at(start, body, batches_bytes, out);
        if outcome.is_err() {
            out.truncate(start);
        }
        outcome
    }

    fn encode_at(
        self,
        start: usize,
        body: &impl Serialize,
        batches_bytes: usize,
        out: &mut BytesMut,
    ) -> Result<(), FrameError> {
        out.put_bytes(0, FRAME_HEADER_BYTES);
        rmp_serde::encode::write(&mut out.writer(), body)
            .map_err(|error| FrameError::Encode(error.to_string()))?;
        let body_bytes = out.len() - start - FRAME_HEADER_BYTES;
        let total = FRAME_HEADER_BYTES + body_bytes + batches_bytes;
        let too_large = || FrameError::TooLarge {
            length: total as u64,
            max: u32::MAX as usize,
        };
        let length = u32::try_from(total - LENGTH_BYTES).map_err(|_| too_large())?;
        let body_length = u32::try_from(body_bytes).map_err(|_| too_large())?;
        let frame = &mut out[start..];
        let mut fields = &mut frame[CRC_COVER_START..FRAME_HEADER_BYTES];
        fields.put_u8(self.version);
        fields.put_u8(self.kind_code);
        fields.put_u16(0);
        fields.put_u64(self.correlation);
        fields.put_u32(body_length);
        let crc = crc32fast::hash(&frame[CRC_COVER_START..]);
        let mut fields = &mut frame[..CRC_COVER_START];
        fields.put_u32(length);
        fields.put_u32(crc);
        Ok(())
    }
}
