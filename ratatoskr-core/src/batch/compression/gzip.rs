//! Gzip (RFC 1952); members may follow one another.

use std::io::Write;

use flate2::{read::MultiGzDecoder, write::GzEncoder};

use super::{BatchError, gave_up, read_at_most};
use crate::config::Compression::Gzip;

pub(super) fn compress(records: &[u8]) -> Result<Vec<u8>, BatchError> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder
        .write_all(records)
        .and_then(|()| encoder.finish())
        .map_err(|error| gave_up(Gzip, &error))
}

pub(super) fn decompress(compressed: &[u8], max: usize) -> Result<Vec<u8>, BatchError> {
    let mut decoder = MultiGzDecoder::new(compressed);
    read_at_most(max, compressed.len(), Gzip, &mut decoder)
}
