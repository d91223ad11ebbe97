//! What of a batch is sent to who has acquired a part of it.
//!
//! Consumers that take a record or two at a time would be sent every large batch as often as it has
//! records. So where they have acquired less than half of one, the rest is left out of what they are
//! sent. A compressed batch is sent as it lies: to cut it would cost more than it saves.

use super::scan::Piece;
use crate::batch::{BatchError, RecordBatch};

/// Bytes of a batch that is sent whole, whatever was acquired of it: as much as producers send by default.
/// On one machine to send so much is no dearer than to cut it.
const WHOLE_BYTES_MAX: usize = 16 << 10;

/// The batch with those of its records alone that are in these ranges, which are ascending, or as it
/// is.
pub(super) fn cut_to(piece: Piece, ranges: &[(u64, u64, u32)]) -> Piece {
    if piece.bytes.len() <= WHOLE_BYTES_MAX {
        return piece;
    }
    let (first, last) = (piece.first, piece.last);
    let within = ranges.iter().take_while(|range| range.0 <= last);
    let acquired: u64 = within
        .map(|range| (range.1.min(last) + 1).saturating_sub(range.0.max(first)))
        .sum();
    if acquired > (last - first) / 2 {
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
    // What is cut gets a checksum of its own, which must not make damage look sound.
    batch.verify_crc()?;
    batch.cut_to(ranges.iter().map(|range| (range.0, range.1)))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{batch::BatchBuilder, config::Compression, record::Record, time::Timestamp};

    const RECORDS: u64 = 100;

    fn piece(compression: Compression) -> Piece {
        let mut builder = BatchBuilder::new(compression);
        for n in 0..RECORDS {
            // Nothing that would compress to next to nothing.
            let value: Vec<u8> = (0..200)
                .map(|at: u64| ((at * 31 + n * 17) % 251) as u8)
                .collect();
            builder
                .push(&Record::new(value), Timestamp::new(7))
                .unwrap();
        }
        Piece {
            first: 0,
            last: RECORDS - 1,
            bytes: builder.build().unwrap().to_bytes(),
        }
    }

    fn offsets(piece: &Piece) -> Vec<u64> {
        let batch = RecordBatch::parse(piece.bytes.clone()).unwrap();
        let mut offsets = Vec::new();
        let look = |offset| {
            offsets.push(offset);
            true
        };
        let mut look = look;
        batch
            .look_at_keys(|record| look(record.offset.get()))
            .unwrap();
        offsets
    }

    #[test]
    fn what_was_not_acquired_is_left_out() {
        let whole = piece(Compression::None);
        let cut = cut_to(whole.clone(), &[(3, 3, 1), (97, 200, 2)]);
        assert_eq!(offsets(&cut), [3, 97, 98, 99]);
        assert!(cut.bytes.len() < whole.bytes.len() / 10);
        assert_eq!((cut.first, cut.last), (0, RECORDS - 1));
    }

    #[test]
    fn what_would_save_little_is_left_as_it_is() {
        let whole = piece(Compression::None);
        assert_eq!(cut_to(whole.clone(), &[(0, 49, 1)]).bytes, whole.bytes);
        assert_eq!(cut_to(whole.clone(), &[(0, 500, 1)]).bytes, whole.bytes);
        let small = Piece {
            bytes: whole.bytes.slice(..WHOLE_BYTES_MAX),
            ..whole
        };
        assert_eq!(cut_to(small.clone(), &[(0, 0, 1)]).bytes, small.bytes);
        #[cfg(feature = "lz4")]
        {
            let compressed = piece(Compression::Lz4);
            let cut = cut_to(compressed.clone(), &[(0, 0, 1)]);
            assert_eq!(cut.bytes, compressed.bytes);
        }
    }

    /// A checksum that fits would hide it from who reads it.
    #[test]
    fn damage_is_passed_on_as_it_is() {
        let whole = piece(Compression::None);
        let mut bytes = whole.bytes.to_vec();
        bytes[1_000] ^= 1;
        let damaged = Piece {
            bytes: Bytes::from(bytes),
            ..whole
        };
        assert_eq!(cut_to(damaged.clone(), &[(0, 0, 1)]).bytes, damaged.bytes);
    }
}
