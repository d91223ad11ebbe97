//! The codecs of a batch's records, each behind its feature.
//!
//! What comes out of a decompressor is bounded *while* it runs, by [`RecordLimits`]: no more bytes in
//! all, and no more for each compressed byte, than they allow. No claim of the compressed bytes
//! about their size is believed beyond that. Beside its output a decompressor takes a constant amount of
//! memory: at most 16 MiB (LZ4 with the largest blocks), usually far less.

#[cfg(feature = "gzip")]
mod gzip;
#[cfg(feature = "lz4")]
mod lz4;
#[cfg(feature = "snappy")]
mod snappy;
#[cfg(feature = "zstd")]
mod zstd;

#[cfg(test)]
mod tests;

use bytes::Bytes;

use super::{BatchError, RecordLimits};
use crate::{config::Compression, limits};

impl Compression {
    /// Whether this build can compress and decompress so (each codec is a cargo feature).
    pub const fn is_built(self) -> bool {
        match self {
            Self::None => true,
            Self::Gzip => cfg!(feature = "gzip"),
            Self::Snappy => cfg!(feature = "snappy"),
            Self::Lz4 => cfg!(feature = "lz4"),
            Self::Zstd => cfg!(feature = "zstd"),
        }
    }
}

/// Calls a codec, or answers that this build lacks it.
macro_rules! if_built {
    ($feature:literal, $codec:ident, $module:ident::$function:ident($($argument:expr),+)) => {{
        #[cfg(feature = $feature)]
        {
            $module::$function($($argument),+)
        }
        #[cfg(not(feature = $feature))]
        {
            let _ = ($($argument),+);
            Err(BatchError::CodecNotBuilt(Compression::$codec))
        }
    }};
}

/// Compresses `records`; answers with the codec that was used in the end: none where the chosen one
/// would not make them smaller, or so small that readers would take them for a bomb.
pub(super) fn compress(
    codec: Compression,
    records: Vec<u8>,
) -> Result<(Compression, Bytes), BatchError> {
    if codec != Compression::None {
        let compressed = compress_always(codec, &records)?;
        let readable = decompressed_max(compressed.len(), &RecordLimits::default());
        if compressed.len() < records.len() && records.len() <= readable {
            return Ok((codec, into_bytes(compressed)));
        }
    }
    // With its spare room: giving that back costs more than all the rest of building a large batch.
    Ok((Compression::None, records.into()))
}

fn compress_always(codec: Compression, records: &[u8]) -> Result<Vec<u8>, BatchError> {
    match codec {
        Compression::None => Ok(records.to_vec()),
        Compression::Gzip => if_built!("gzip", Gzip, gzip::compress(records)),
        Compression::Snappy => if_built!("snappy", Snappy, snappy::compress(records)),
        Compression::Lz4 => if_built!("lz4", Lz4, lz4::compress(records)),
        Compression::Zstd => if_built!("zstd", Zstd, zstd::compress(records)),
    }
}

/// The records of a batch as they were before compression.
pub(super) fn decompress(
    codec: Compression,
    compressed: &Bytes,
    limits: &RecordLimits,
) -> Result<Bytes, BatchError> {
    let max = decompressed_max(compressed.len(), limits);
    let records: Result<Vec<u8>, BatchError> = match codec {
        Compression::None => return Ok(compressed.clone()),
        Compression::Gzip => if_built!("gzip", Gzip, gzip::decompress(compressed, max)),
        Compression::Snappy => if_built!("snappy", Snappy, snappy::decompress(compressed, max)),
        Compression::Lz4 => if_built!("lz4", Lz4, lz4::decompress(compressed, max)),
        Compression::Zstd => if_built!("zstd", Zstd, zstd::decompress(compressed, max)),
    };
    records.map(into_bytes)
}

/// Most bytes that so many compressed bytes may become.
fn decompressed_max(compressed: usize, limits: &RecordLimits) -> usize {
    compressed
        .saturating_mul(limits.decompression_ratio_max)
        .max(limits::DECOMPRESSION_RATIO_FREE_BYTES)
        .min(limits.decompressed_bytes_max)
}

/// Without the spare room, which a codec's worst case may have made many times larger than the bytes.
fn into_bytes(bytes: Vec<u8>) -> Bytes {
    bytes.into_boxed_slice().into()
}

/// Everything that `reader` makes of `compressed` bytes, if that is not more than `max`.
#[cfg(any(feature = "gzip", feature = "lz4"))]
fn read_at_most(
    max: usize,
    compressed: usize,
    codec: Compression,
    reader: &mut impl std::io::Read,
) -> Result<Vec<u8>, BatchError> {
    use std::io::Read;

    let mut out = Vec::new();
    let one_more = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    reader
        .take(one_more)
        .read_to_end(&mut out)
        .map_err(|error| gave_up(codec, &error))?;
    if out.len() > max {
        Err(BatchError::DecompressedTooLarge { compressed, max })
    } else {
        Ok(out)
    }
}

#[cfg(any(
    feature = "gzip",
    feature = "snappy",
    feature = "lz4",
    feature = "zstd"
))]
fn gave_up(codec: Compression, reason: &impl ToString) -> BatchError {
    BatchError::Codec {
        codec,
        reason: reason.to_string(),
    }
}
