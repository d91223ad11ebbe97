//! Each codec that is built: there and back, bombs, and bytes that are not its own.

use super::*;

/// The codecs of this build.
fn built() -> impl Iterator<Item = Compression> {
    let codecs = Compression::ALL.into_iter().skip(1);
    codecs.filter(|codec| codec.is_built())
}

/// Bytes that no codec makes smaller.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    })
    .take(bytes)
    .collect()
}

fn compressed(codec: Compression, records: &[u8]) -> Bytes {
    compress_always(codec, records).unwrap().into()
}

fn limits(decompressed_bytes_max: usize, decompression_ratio_max: usize) -> RecordLimits {
    RecordLimits {
        decompressed_bytes_max,
        decompression_ratio_max,
        ..RecordLimits::default()
    }
}

#[test]
fn records_come_back_from_every_codec() {
    for codec in built() {
        for records in [
            b"a".repeat(100),
            // More than one block of Snappy and LZ4.
            noise(1000).repeat(300),
        ] {
            let (used, bytes) = compress(codec, records.clone()).unwrap();
            assert_eq!(used, codec);
            assert!(bytes.len() < records.len());
            assert_eq!(
                decompress(codec, &bytes, &RecordLimits::default()).unwrap(),
                records
            );
        }
    }
}

#[test]
fn what_does_not_shrink_stays_as_it_is() {
    for codec in built() {
        let records = noise(500);
        let (used, bytes) = compress(codec, records.clone()).unwrap();
        assert_eq!((used, bytes), (Compression::None, Bytes::from(records)));
    }
}

#[test]
fn the_bound_on_decompressed_bytes_is_exact() {
    let records = b"0123456789".repeat(20_000);
    for codec in built() {
        let bytes = compressed(codec, &records);
        let within = |max| decompress(codec, &bytes, &limits(max, usize::MAX));
        assert_eq!(within(records.len()).unwrap(), records);
        assert_eq!(
            within(records.len() - 1),
            Err(BatchError::DecompressedTooLarge {
                compressed: bytes.len(),
                max: records.len() - 1
            }),
            "{codec}"
        );
    }
}

#[test]
fn the_bound_on_the_ratio_is_exact() {
    let records = b"x".repeat(3 * limits::DECOMPRESSION_RATIO_FREE_BYTES);
    for codec in built() {
        let bytes = compressed(codec, &records);
        let ratio = records.len().div_ceil(bytes.len());
        let within = |ratio| decompress(codec, &bytes, &limits(usize::MAX, ratio));
        assert_eq!(within(ratio).unwrap(), records);
        let max = (bytes.len() * (ratio - 1)).max(limits::DECOMPRESSION_RATIO_FREE_BYTES);
        assert_eq!(
            within(ratio - 1),
            Err(BatchError::DecompressedTooLarge {
                compressed: bytes.len(),
                max
            }),
            "{codec}"
        );
    }
}

#[test]
fn a_small_batch_may_compress_as_well_as_it_can() {
    let records = b"x".repeat(limits::DECOMPRESSION_RATIO_FREE_BYTES);
    for codec in built() {
        let bytes = compressed(codec, &records);
        assert_eq!(
            decompress(codec, &bytes, &limits(usize::MAX, 1)).unwrap(),
            records
        );
    }
}

#[test]
fn bombs_do_not_go_off() {
    let bomb = vec![0; limits::DECOMPRESSED_BYTES_MAX + 1];
    for codec in built() {
        let bytes = compressed(codec, &bomb);
        assert!(
            matches!(
                decompress(codec, &bytes, &RecordLimits::default()),
                Err(BatchError::DecompressedTooLarge { .. })
            ),
            "{codec}"
        );
    }
}

#[test]
fn what_readers_would_take_for_a_bomb_is_not_written() {
    let records = vec![0; 8 << 20];
    for codec in built() {
        let (used, bytes) = compress(codec, records.clone()).unwrap();
        let found = decompress(used, &bytes, &RecordLimits::default()).unwrap();
        assert_eq!(found, records, "{codec}");
    }
}

#[test]
fn bytes_cut_short_or_of_another_codec_do_not_pass() {
    let records = b"0123456789".repeat(100);
    for codec in built() {
        let bytes = compressed(codec, &records);
        // The last four bytes of an LZ4 frame are its end mark, which its library does not insist on.
        for cut in 0..bytes.len() - 4 {
            let found = decompress(codec, &bytes.slice(..cut), &RecordLimits::default());
            assert!(
                found.ok().is_none_or(|found| found != records),
                "{codec} cut to {cut}"
            );
        }
        for other in built().filter(|&other| other != codec) {
            let found = decompress(other, &bytes, &RecordLimits::default());
            assert!(found.is_err(), "{codec} read as {other}");
        }
    }
}

#[cfg(feature = "snappy")]
#[test]
fn bare_snappy_is_read_too() {
    let records = b"0123456789".repeat(100);
    let bare = snap::raw::Encoder::new().compress_vec(&records).unwrap();
    let found = decompress(Compression::Snappy, &bare.into(), &RecordLimits::default());
    assert_eq!(found.unwrap(), records);
}

#[cfg(feature = "snappy")]
#[test]
fn a_snappy_block_cannot_claim_what_it_cannot_hold() {
    // A length of 1,000,000 and nothing after it.
    let found = decompress(
        Compression::Snappy,
        &Bytes::from_static(&[0xc0, 0x84, 0x3d]),
        &RecordLimits::default(),
    );
    assert!(matches!(found, Err(BatchError::Codec { .. })));
}

#[test]
fn a_codec_that_is_not_built_says_so() {
    let codecs = Compression::ALL.into_iter().skip(1);
    for codec in codecs.filter(|codec| !codec.is_built()) {
        let missing = BatchError::CodecNotBuilt(codec);
        assert_eq!(compress(codec, vec![0]), Err(missing.clone()));
        assert_eq!(
            decompress(codec, &Bytes::new(), &RecordLimits::default()),
            Err(missing.clone())
        );
        assert!(missing.to_string().contains(codec.name()));
    }
}
