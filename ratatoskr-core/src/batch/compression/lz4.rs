//! LZ4 frames, written as Kafka's Java client writes them: independent blocks of 64 KiB.

use std::io::Write;

use lz4_flex::frame::{BlockSize, FrameDecoder, FrameEncoder, FrameInfo};

use super::{BatchError, gave_up, read_at_most};
use crate::config::Compression::Lz4;

/// Opens a frame. The library would also read the older "legacy" framing, which Kafka never had.
const MAGIC: [u8; 4] = 0x184d_2204_u32.to_le_bytes();

pub(super) fn compress(records: &[u8]) -> Result<Vec<u8>, BatchError> {
    let frame = FrameInfo::new().block_size(BlockSize::Max64KB);
    let mut encoder = FrameEncoder::with_frame_info(frame, Vec::new());
    encoder
        .write_all(records)
        .map_err(|error| gave_up(Lz4, &error))?;
    encoder.finish().map_err(|error| gave_up(Lz4, &error))
}

pub(super) fn decompress(compressed: &[u8], max: usize) -> Result<Vec<u8>, BatchError> {
    if !compressed.starts_with(&MAGIC) {
        return Err(gave_up(Lz4, &"not an LZ4 frame"));
    }
    let mut decoder = FrameDecoder::new(compressed);
    let records = read_at_most(max, compressed.len(), Lz4, &mut decoder)?;
    if decoder.get_ref().is_empty() {
        Ok(records)
    } else {
        Err(gave_up(Lz4, &"bytes follow the frame"))
    }
}
