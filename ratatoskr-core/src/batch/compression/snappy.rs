//! Snappy in the framing of xerial's snappy-java, which Kafka's clients write: a header, then blocks
//! of at most 32 KiB. Without that header the bytes are one bare block, as some clients send them.
//!
//! ```text
//! header  82 'S' 'N' 'A' 'P' 'P' 'Y' 00, version i32, least compatible version i32
//! block   length i32, that many bytes of bare Snappy
//! ```

use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

use super::{BatchError, gave_up};
use crate::config::Compression::Snappy;

const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
/// Version 1, compatible with version 1.
const VERSIONS: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 1];
/// Bytes of records in a block, as xerial has it.
const BLOCK_BYTES: usize = 32 << 10;
/// Most bytes that one byte of bare Snappy can stand for: three bytes copy at most 64.
const EXPANSION_MAX: usize = 22;

pub(super) fn compress(records: &[u8]) -> Result<Vec<u8>, BatchError> {
    let mut encoder = Encoder::new();
    let mut block = vec![0; max_compress_len(records.len().min(BLOCK_BYTES))];
    let mut out = [MAGIC, VERSIONS].concat();
    for records in records.chunks(BLOCK_BYTES) {
        let length = encoder
            .compress(records, &mut block)
            .map_err(|error| gave_up(Snappy, &error))?;
        let length_on_wire = u32::try_from(length).expect("a block is smaller than 64 KiB");
        out.extend_from_slice(&length_on_wire.to_be_bytes());
        out.extend_from_slice(&block[..length]);
    }
    Ok(out)
}

pub(super) fn decompress(compressed: &[u8], max: usize) -> Result<Vec<u8>, BatchError> {
    let mut out = Vec::new();
    let Some(framed) = compressed.strip_prefix(&MAGIC) else {
        append_block(&mut out, compressed, max, compressed.len())?;
        return Ok(out);
    };
    let cut_short = || gave_up(Snappy, &"a frame is cut short");
    let mut rest = framed.get(VERSIONS.len()..).ok_or_else(cut_short)?;
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk().ok_or_else(cut_short)?;
        let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| cut_short())?;
        let (block, after) = after.split_at_checked(length).ok_or_else(cut_short)?;
        append_block(&mut out, block, max, compressed.len())?;
        rest = after;
    }
    Ok(out)
}

/// Appends what `block`, a part of `compressed` bytes, decompresses to, having looked at the length
/// that it claims.
fn append_block(
    out: &mut Vec<u8>,
    block: &[u8],
    max: usize,
    compressed: usize,
) -> Result<(), BatchError> {
    let length = decompress_len(block).map_err(|error| gave_up(Snappy, &error))?;
    if length > block.len().saturating_mul(EXPANSION_MAX) {
        return Err(gave_up(Snappy, &"a block claims more than it can hold"));
    }
    if length > max.saturating_sub(out.len()) {
        return Err(BatchError::DecompressedTooLarge { compressed, max });
    }
    let start = out.len();
    out.resize(start + length, 0);
    Decoder::new()
        .decompress(block, &mut out[start..])
        .map_err(|error| gave_up(Snappy, &error))?;
    Ok(())
}
