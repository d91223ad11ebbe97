//! What holds for any records, any codec and any damage.

use bytes::Bytes;
use proptest::{collection::vec, option, prelude::*, sample::Index};
use ratatoskr_core::{
    batch::{BatchBuilder, HEADER_BYTES, RecordBatch, RecordLimits, batches},
    config::Compression,
    limits,
    offset::{LeaderEpoch, Offset},
    producer::{ProducerEpoch, ProducerId, ProducerStamp, Sequence},
    record::{Header, Record},
    time::Timestamp,
};

const NOW: Timestamp = Timestamp::new(1_700_000_000_000);

/// The codecs of this build.
fn codec() -> impl Strategy<Value = Compression> {
    let built: Vec<_> = Compression::ALL
        .into_iter()
        .filter(|codec| codec.is_built())
        .collect();
    prop::sample::select(built)
}

/// Short and random, or long and well compressible.
fn bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        4 => vec(any::<u8>(), 0..40).prop_map(Bytes::from),
        1 => (any::<u8>(), 0..50_000_usize).prop_map(|(byte, len)| vec![byte; len].into()),
    ]
}

fn record() -> impl Strategy<Value = Record> {
    let header = (any::<String>(), option::of(bytes()));
    let header = header.prop_map(|(key, value)| Header { key, value });
    (
        option::of(bytes()),
        option::of(bytes()),
        vec(header, 0..4),
        option::of(any::<i64>().prop_map(Timestamp::new)),
    )
        .prop_map(|(key, value, headers, timestamp)| Record {
            key,
            value,
            headers,
            timestamp,
        })
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    vec(record(), 1..20)
}

fn stamp() -> impl Strategy<Value = ProducerStamp> {
    (0..=i64::MAX, 0..=i16::MAX, 0..=i32::MAX).prop_map(|(id, epoch, sequence)| ProducerStamp {
        id: ProducerId::new(id),
        epoch: ProducerEpoch::new(epoch),
        base_sequence: Sequence::new(sequence),
    })
}

fn build(records: &[Record], codec: Compression, stamp: Option<ProducerStamp>) -> RecordBatch {
    let mut builder = BatchBuilder::new(codec);
    if let Some(stamp) = stamp {
        builder = builder.with_producer(stamp);
    }
    for record in records {
        let at_most = builder.total_bytes_with(record);
        builder.push(record, NOW).unwrap();
        assert!(builder.total_bytes() <= at_most, "estimated too small");
    }
    builder.build().unwrap()
}

/// Reads every record of every batch in `bytes`, whatever comes of it.
fn read_all(bytes: Bytes) {
    for batch in batches(bytes).flatten() {
        let _ = batch.validate_from_producer(limits::BATCH_BYTES_MAX);
        let records = batch.records(&RecordLimits::default());
        for view in records.into_iter().flatten().flatten() {
            let record = view.into_record();
            assert!(record.headers.len() <= limits::HEADERS_MAX);
        }
    }
}

/// The batch as it would be without the place in a log that its CRC does not cover.
fn unplaced(mut batch: RecordBatch) -> RecordBatch {
    batch.assign(Offset::ZERO, LeaderEpoch::new(-1));
    batch
}

proptest! {
    #[test]
    fn records_come_back_as_they_were_pushed(
        records in records(),
        codec in codec(),
        stamp in option::of(stamp()),
        base in 0..=1_u64 << 62,
    ) {
        let mut batch = build(&records, codec, stamp);
        prop_assert_eq!(batch.validate_from_producer(limits::BATCH_BYTES_MAX), Ok(()));
        batch.assign(Offset::new(base), LeaderEpoch::new(5));

        let parsed = RecordBatch::parse(batch.to_bytes()).unwrap();
        prop_assert_eq!(&parsed, &batch);
        prop_assert_eq!(parsed.header().producer(), stamp);
        let found: Vec<_> = parsed
            .records(&RecordLimits::default())
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();

        let offsets: Vec<_> = found.iter().map(|view| view.offset.get()).collect();
        let dense: Vec<_> = (base..).take(records.len()).collect();
        prop_assert_eq!(offsets, dense);
        let latest = found.iter().map(|view| view.timestamp).max();
        prop_assert_eq!(Some(parsed.header().max_timestamp), latest);
        for (view, record) in found.into_iter().zip(records) {
            let timed = Record { timestamp: record.timestamp.or(Some(NOW)), ..record };
            prop_assert_eq!(view.into_record(), timed);
        }
    }

    #[test]
    fn a_batch_cut_short_is_never_taken(
        records in records(),
        codec in codec(),
        cut in any::<Index>(),
    ) {
        let bytes = build(&records, codec, None).to_bytes();
        let cut = cut.index(bytes.len());
        prop_assert!(RecordBatch::parse(bytes.slice(..cut)).is_err());
    }

    #[test]
    fn a_flipped_bit_is_found_or_only_moves_the_batch(
        records in records(),
        codec in codec(),
        at in any::<Index>(),
        bit in 0..8_u8,
    ) {
        let batch = build(&records, codec, None);
        let mut bytes = batch.to_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        if let Ok(found) = RecordBatch::parse(bytes.into()) {
            prop_assert!(at < 16, "byte {} was not missed", at);
            prop_assert_eq!(unplaced(found), unplaced(batch));
        }
    }

    #[test]
    fn damage_that_no_checksum_covers_never_panics(
        records in records(),
        codec in codec(),
        damage in vec((any::<Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = build(&records, codec, None).to_bytes().to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        read_all(bytes.into());
    }

    #[test]
    fn any_bytes_in_place_of_records_never_panic(
        codec in codec(),
        garbage in vec(any::<u8>(), 0..300),
        count in 0..=i32::MAX,
    ) {
        let mut bytes = build(&[Record::new("x")], Compression::None, None).to_bytes().to_vec();
        bytes.truncate(HEADER_BYTES);
        bytes.extend_from_slice(&garbage);
        let length = u32::try_from(bytes.len() - 12).unwrap();
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[22] = codec as u8;
        bytes[23..27].copy_from_slice(&(count - 1).max(0).to_be_bytes());
        bytes[57..61].copy_from_slice(&count.to_be_bytes());
        read_all(bytes.into());
    }

    #[test]
    fn any_bytes_never_panic(garbage in vec(any::<u8>(), 0..300)) {
        read_all(garbage.into());
    }
}
