//! Records that prove by themselves who sent them and that they are whole.
//!
//! Key and value are a function of the tag alone, so a record that was read is compared to the very
//! bytes that were sent, without keeping them.
//!
//! ```text
//! value:  producer u32 | sequence u64 | filler … | CRC-32 of all before u32      (big endian)
//! key:    "<producer>-<sequence % KEYS>"
//! ```

use ratatoskr_core::{bytes::Bytes, record::Record};

use super::{Found, Tag};

/// Keys a producer uses; few, so that each comes often, and enough to reach every partition.
const KEYS: u64 = 16;
/// Bytes of a value without its filler.
const FIXED: usize = 4 + 8 + 4;
/// Fillers are shorter than this.
const FILLER_BYTES_MAX: u64 = 700;

/// The record of this tag.
pub(crate) fn record(tag: Tag) -> Record {
    Record::new(value(tag)).with_key(key(tag))
}

/// What a record that was read is.
pub(crate) fn found(record: &Record) -> Found {
    let tag = record.value.as_ref().and_then(tag_of);
    match tag {
        Some(tag) if is_of(record, tag) => Found::Record(tag),
        _ => Found::Changed,
    }
}

fn is_of(record: &Record, tag: Tag) -> bool {
    record.key.as_deref() == Some(key(tag).as_bytes())
        && record.value.as_deref() == Some(value(tag).as_slice())
        && record.headers.is_empty()
}

fn key(tag: Tag) -> String {
    format!("{}-{}", tag.producer, tag.sequence % KEYS)
}

/// The value of this tag's record.
pub(crate) fn value(tag: Tag) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed((u64::from(tag.producer) << 40) ^ tag.sequence);
    let filler = usize::try_from(random.u64(..FILLER_BYTES_MAX)).unwrap_or_default();
    let mut value = Vec::with_capacity(FIXED + filler);
    value.extend(tag.producer.to_be_bytes());
    value.extend(tag.sequence.to_be_bytes());
    value.extend(std::iter::repeat_with(|| random.u8(..)).take(filler));
    let sum = crc32fast::hash(&value);
    value.extend(sum.to_be_bytes());
    value
}

fn tag_of(value: &Bytes) -> Option<Tag> {
    let (producer, rest) = value.split_first_chunk()?;
    let (sequence, _) = rest.split_first_chunk()?;
    Some(Tag {
        producer: u32::from_be_bytes(*producer),
        sequence: u64::from_be_bytes(*sequence),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: Tag = Tag {
        producer: 3,
        sequence: 70_000,
    };

    #[test]
    fn a_record_is_known_by_its_bytes() {
        assert_eq!(found(&record(TAG)), Found::Record(TAG));
    }

    #[test]
    fn any_changed_byte_is_seen() {
        let sent = value(TAG);
        for at in 0..sent.len() {
            let mut bytes = sent.clone();
            bytes[at] ^= 0x10;
            let read = Record::new(bytes).with_key(key(TAG));
            assert_eq!(found(&read), Found::Changed, "byte {at}");
        }
        for length in 0..sent.len() {
            let read = Record::new(sent[..length].to_vec()).with_key(key(TAG));
            assert_eq!(found(&read), Found::Changed, "cut to {length}");
        }
    }

    #[test]
    fn a_lost_or_other_key_and_an_added_header_are_seen() {
        assert_eq!(found(&Record::new(value(TAG))), Found::Changed);
        assert_eq!(found(&record(TAG).with_key("3-1")), Found::Changed);
        assert_eq!(found(&record(TAG).with_header("a", "b")), Found::Changed);
    }
}
