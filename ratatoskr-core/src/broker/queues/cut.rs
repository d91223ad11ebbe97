//! What of a batch is sent to who has acquired a part of it.
//!
//! Consumers that take a record or two at a time would be sent every large batch as often as it has
//! records. So where they have acquired less than half of one, the rest is left out of what they are
//! sent. A compressed batch is sent as it lies: to cut it would cost more than it saves.

use super::scan::Piece;
use crate::{
    batch::{BatchError, RecordBatch},
    config::Compression,
};

/// Bytes of a batch that is sent whole, whatever was acquired of it. On one machine to send so much is no
/// dearer than to cut it.
const WHOLE_BYTES_MAX: usize = 16 << 10;

/// The batch with those of its records alone that are in these ranges, which are ascending and hold
/// nothing but records, or as it is.
pub(super) fn cut_to(piece: Piece, ranges: &[(u64, u64, u32)]) -> Piece {
    if piece.bytes.len() <= WHOLE_BYTES_MAX {
        return piece;
    }
    match cut(&piece, ranges) {
        Ok(Some(batch)) => Piece {
            bytes: batch.to_bytes(),
            ..piece
        },
        // Its reader will find what is wrong with it.
        Ok(None) | Err(_) => piece,
    }
}

fn cut(piece: &Piece, ranges: &[(u64, u64, u32)]) -> Result<Option<RecordBatch>, BatchError> {
    let batch = RecordBatch::view(piece.bytes.clone())?;
    let (first, last) = (piece.first, piece.last);
    let within = ranges.iter().take_while(|range| range.0 <= last);
    let acquired: u64 = within
        .map(|range| (range.1.min(last) + 1).saturating_sub(range.0.max(first)))
        .sum();
    let records = u64::from(batch.header().record_count.unsigned_abs());
    if batch.header().codec()? != Compression::None || acquired * 2 >= records {
        return Ok(None);
    }
    // What is cut gets a checksum of its own, which must not make damage look sound.
    batch.verify_crc()?;
    batch.cut_to(ranges.iter().map(|range| (range.0, range.1)))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{
        batch::BatchBuilder,
        offset::{LeaderEpoch, Offset},
        record::Record,
        time::Timestamp,
    };

    const FIRST: u64 = 1_000;
    const RECORDS: u64 = 100;

    /// Records of `size` bytes that compress to half of that.
    fn piece(compression: Compression, size: usize) -> Piece {
        let mut builder = BatchBuilder::new(compression);
        let mut state = 1_u64;
        for _ in 0..RECORDS {
            let random = std::iter::repeat_with(|| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()[0]
            });
            let mut value: Vec<u8> = random.take(size / 2).collect();
            value.resize(size, 0);
            let now = Timestamp::new(7);
            builder.push(&Record::new(value), now).unwrap();
        }
        let mut batch = builder.build().unwrap();
        batch.assign(Offset::new(FIRST), LeaderEpoch::new(0));
        Piece {
            first: FIRST,
            last: FIRST + RECORDS - 1,
            bytes: batch.to_bytes(),
        }
    }

    fn offsets(piece: &Piece) -> Vec<u64> {
        let batch = RecordBatch::parse(piece.bytes.clone()).unwrap();
        let mut offsets = Vec::new();
        let looked = batch.look_at_keys(|record| {
            offsets.push(record.offset.get() - FIRST);
            true
        });
        assert!(looked.unwrap());
        assert_eq!(batch.header().base_offset.get(), FIRST);
        offsets
    }

    #[test]
    fn what_was_not_acquired_is_left_out() {
        let whole = piece(Compression::None, 200);
        // The first range begins before the batch, the last ends behind it.
        let ranges = [
            (900, FIRST, 1),
            (FIRST + 3, FIRST + 3, 1),
            (FIRST + 97, 2_000, 2),
        ];
        let cut = cut_to(whole.clone(), &ranges);
        assert_eq!(offsets(&cut), [0, 3, 97, 98, 99]);
        assert!(cut.bytes.len() < whole.bytes.len() / 10);
        assert_eq!((cut.first, cut.last), (whole.first, whole.last));
    }

    fn stays(whole: &Piece, last: u64) -> bool {
        cut_to(whole.clone(), &[(FIRST, FIRST + last, 1)]).bytes == whole.bytes
    }

    #[test]
    fn what_would_save_little_is_left_as_it_is() {
        let whole = piece(Compression::None, 200);
        assert!(stays(&whole, 49) && !stays(&whole, 48));
        let small = piece(Compression::None, 100);
        assert!(small.bytes.len() <= WHOLE_BYTES_MAX && stays(&small, 0));
        // What counts is records, not offsets.
        let batch = RecordBatch::parse(piece(Compression::None, 2_000).bytes).unwrap();
        let sparse = batch.retain(|record| record.offset.get() % 10 == 0, || None);
        let sparse = Piece {
            bytes: sparse.unwrap().unwrap().to_bytes(),
            ..whole
        };
        let ranges: Vec<_> = (0..10)
            .map(|n| (FIRST + n * 10, FIRST + n * 10, 1))
            .collect();
        assert_eq!(cut_to(sparse.clone(), &ranges).bytes, sparse.bytes);
        assert_eq!(offsets(&cut_to(sparse, &ranges[..4])), [0, 10, 20, 30]);
    }

    #[cfg(feature = "lz4")]
    #[test]
    fn what_is_compressed_is_left_as_it_is() {
        let compressed = piece(Compression::Lz4, 500);
        let batch = RecordBatch::view(compressed.bytes.clone()).unwrap();
        assert_eq!(batch.header().codec(), Ok(Compression::Lz4));
        assert!(compressed.bytes.len() > WHOLE_BYTES_MAX && stays(&compressed, 0));
    }

    /// A checksum that fits would hide it from who reads it.
    #[test]
    fn damage_is_passed_on_as_it_is() {
        let whole = piece(Compression::None, 200);
        let mut bytes = whole.bytes.to_vec();
        bytes[1_000] ^= 1;
        let damaged = Piece {
            bytes: Bytes::from(bytes),
            ..whole
        };
        assert!(stays(&damaged, 0));
    }
}
