//! Records that prove by themselves who sent them: key, value and header are a function of the tag.

use ratatoskr_client::Record;

use crate::history::{Found, Tag, payload};

/// Keys that are written all the time.
const HOT_KEYS: u64 = 16;
/// Keys that are written now and then, so that tombstones of theirs stay the latest until they go.
const COLD_KEYS: u64 = 200;
/// One record in so many is of a cold key.
const COLD_EVERY: u64 = 8;
/// One record in so many is a tombstone.
const TOMBSTONE_EVERY: u64 = 6;
/// Where a record says who sent it, since a tombstone has no value to say it with.
const HEADER: &str = "tag";

/// The key that this tag's record has.
pub(super) fn key_of(tag: Tag) -> u64 {
    choose(tag).0
}

/// Whether this tag's record deletes its key.
pub(super) fn is_tombstone(tag: Tag) -> bool {
    choose(tag).1
}

fn choose(tag: Tag) -> (u64, bool) {
    let mut random = fastrand::Rng::with_seed((u64::from(tag.producer) << 40) ^ tag.sequence);
    let key = if random.u64(..COLD_EVERY) == 0 {
        HOT_KEYS + random.u64(..COLD_KEYS)
    } else {
        random.u64(..HOT_KEYS)
    };
    (key, random.u64(..TOMBSTONE_EVERY) == 0)
}

/// The record of this tag.
pub(super) fn record(tag: Tag) -> Record {
    let mut record = Record::new(payload::value(tag))
        .with_key(format!("key {}", key_of(tag)))
        .with_header(HEADER, tag.to_string());
    if is_tombstone(tag) {
        record.value = None;
    }
    record
}

/// What a record that was read is.
pub(super) fn found(record: &Record) -> Found {
    let Some(tag) = tag_of(record) else {
        return Found::Changed;
    };
    let sent = self::record(tag);
    let same =
        (&sent.key, &sent.value, &sent.headers) == (&record.key, &record.value, &record.headers);
    if same {
        Found::Record(tag)
    } else {
        Found::Changed
    }
}

fn tag_of(record: &Record) -> Option<Tag> {
    let header = record.headers.first()?;
    let text = std::str::from_utf8(header.value.as_deref()?).ok()?;
    let (producer, sequence) = text.split_once(':')?;
    Some(Tag {
        producer: producer.parse().ok()?,
        sequence: sequence.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags() -> impl Iterator<Item = Tag> {
        (0..50_000).map(|sequence| Tag {
            producer: 1,
            sequence,
        })
    }

    #[test]
    fn a_record_is_known_by_its_bytes_and_any_change_is_seen() {
        for tag in tags().take(200) {
            let sent = record(tag);
            assert_eq!(found(&sent), Found::Record(tag));
            let mut deleted = sent.clone();
            deleted.value = sent.value.is_none().then(|| "back".into());
            assert_eq!(found(&deleted), Found::Changed);
            assert_eq!(found(&sent.clone().with_key("other")), Found::Changed);
            assert_eq!(found(&sent.with_header("a", "b")), Found::Changed);
        }
        assert_eq!(found(&Record::new("x")), Found::Changed);
    }

    #[test]
    fn there_are_values_and_tombstones_of_every_key() {
        let keys = |tombstone| {
            let tags = tags().filter(move |tag| is_tombstone(*tag) == tombstone);
            tags.map(key_of).collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(keys(false).len() as u64, HOT_KEYS + COLD_KEYS);
        assert!(keys(true).len() as u64 > HOT_KEYS + COLD_KEYS / 2);
    }
}
