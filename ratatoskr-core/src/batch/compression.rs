//! The codecs of a batch's records.

use bytes::Bytes;

use super::{BatchError, RecordLimits};
use crate::config::Compression;

/// The codec's number in a batch's attributes.
pub(super) fn code(codec: Compression) -> i16 {
    codec as i16
}

/// Compresses `records`; answers with the codec that was used in the end.
pub(super) fn compress(
    codec: Compression,
    records: Vec<u8>,
) -> Result<(Compression, Bytes), BatchError> {
    match codec {
        Compression::None => Ok((Compression::None, records.into())),
        other => Err(BatchError::CodecNotBuilt(other)),
    }
}

/// The records of a batch as they were before compression.
pub(super) fn decompress(
    codec: Compression,
    compressed: &Bytes,
    _limits: &RecordLimits,
) -> Result<Bytes, BatchError> {
    match codec {
        Compression::None => Ok(compressed.clone()),
        other => Err(BatchError::CodecNotBuilt(other)),
    }
}
