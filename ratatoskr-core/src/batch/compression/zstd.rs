//! Zstandard (RFC 8878).
//!
//! Frames are decompressed in one go, straight into the output: the streaming decoder would first
//! allocate the window that the frame asks for, up to 128 MiB for a frame of a few bytes.

use std::cell::RefCell;

use zstd::zstd_safe::{
    CCtx, CLEVEL_DEFAULT, DCtx, ErrorCode, compress_bound, decompress_bound, get_error_name,
    is_error_kind, zstd_sys::ZSTD_ErrorCode,
};

use super::{BatchError, gave_up};
use crate::config::Compression::Zstd;

thread_local! {
    // Setting one up takes ten times as long as a small batch does. Each is dropped with its thread.
    static COMPRESSOR: RefCell<CCtx<'static>> = RefCell::default();
    static DECOMPRESSOR: RefCell<DCtx<'static>> = RefCell::default();
}

pub(super) fn compress(records: &[u8]) -> Result<Vec<u8>, BatchError> {
    let mut out = Vec::with_capacity(compress_bound(records.len()));
    COMPRESSOR
        .with_borrow_mut(|compressor| compressor.compress(&mut out, records, CLEVEL_DEFAULT))
        .map_err(failure)?;
    Ok(out)
}

pub(super) fn decompress(compressed: &[u8], max: usize) -> Result<Vec<u8>, BatchError> {
    // From the frames' own sizes or from their number of blocks; either may claim too much.
    let bound = decompress_bound(compressed).map_err(failure)?;
    let capacity = usize::try_from(bound).map_or(max, |bound| bound.min(max));
    let mut out = Vec::with_capacity(capacity);
    let outcome =
        DECOMPRESSOR.with_borrow_mut(|decompressor| decompressor.decompress(&mut out, compressed));
    match outcome {
        Ok(_) => Ok(out),
        Err(code) if is_error_kind(code, ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall) => {
            Err(BatchError::DecompressedTooLarge {
                compressed: compressed.len(),
                max,
            })
        }
        Err(code) => Err(failure(code)),
    }
}

fn failure(code: ErrorCode) -> BatchError {
    gave_up(Zstd, &get_error_name(code))
}
