//! Damaged batches of real clients: each byte of a fixture is overwritten in turn, and its records
//! cut short at each byte. Nothing panics, and no length or count that a batch claims makes reading
//! it take more memory than its codec may.
//!
//! The test is alone in its file since it measures what the whole process allocates.

use std::{fs, path::PathBuf};

use bytes::Bytes;
use peak_alloc::PeakAlloc;
use ratatoskr_core::{
    batch::{HEADER_BYTES, RecordBatch, RecordLimits},
    config::Compression,
    limits,
};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Fixtures that differ in framing; beyond this byte a batch only repeats itself.
const CLIENTS: [&str; 3] = ["java-client", "librdkafka", "kafka-python"];
const BYTES_DAMAGED: usize = 400;

/// Most bytes that reading a small batch may allocate. What it decompresses to is below the bytes
/// that any batch may, held in a buffer that grows by doubling; LZ4 adds its blocks.
fn memory_max(codec: Compression) -> usize {
    let records = 2 * limits::DECOMPRESSION_RATIO_FREE_BYTES + (64 << 10);
    match codec {
        Compression::Lz4 => records + (16 << 20),
        _ => records,
    }
}

/// Looks at a batch in every way there is, whatever comes of it.
fn read(bytes: Bytes) {
    let _ = RecordBatch::parse(bytes.clone());
    let Ok(batch) = RecordBatch::view(bytes) else {
        return;
    };
    let _ = batch.validate_from_producer(limits::BATCH_BYTES_DEFAULT);
    let records = batch.records(&RecordLimits::default());
    for view in records.into_iter().flatten().flatten() {
        let _ = view.into_record();
    }
}

/// Every damaged form of `batch`.
fn damaged(batch: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let overwritten = (0..batch.len().min(BYTES_DAMAGED)).flat_map(|at| {
        [0x00, 0x7f, 0x80, 0xff, batch[at] ^ 1].map(|byte| {
            let mut damaged = batch.to_vec();
            damaged[at] = byte;
            damaged
        })
    });
    let cut = (HEADER_BYTES..batch.len().min(BYTES_DAMAGED)).map(|end| {
        let mut damaged = batch[..end].to_vec();
        let length = u32::try_from(end - 12).unwrap();
        damaged[8..12].copy_from_slice(&length.to_be_bytes());
        damaged
    });
    overwritten.chain(cut)
}

#[test]
fn damaged_batches_neither_panic_nor_take_memory() {
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kafka");
    for client in CLIENTS {
        for codec in Compression::ALL
            .into_iter()
            .filter(|codec| codec.is_built())
        {
            let path = fixtures.join(client).join(format!("{codec}.batch"));
            let batch = fs::read(&path).unwrap();
            for bytes in damaged(&batch) {
                let shown = bytes[..bytes.len().min(BYTES_DAMAGED)].to_vec();
                let before = ALLOCATOR.current_usage();
                ALLOCATOR.reset_peak_usage();
                read(bytes.into());
                let taken = ALLOCATOR.peak_usage().saturating_sub(before);
                assert!(
                    taken <= memory_max(codec),
                    "{client}, {codec}: {taken} bytes taken by {shown:02x?}"
                );
            }
        }
    }
}
