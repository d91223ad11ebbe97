//! What a dead letter is made of: the record it was, with headers that say where it was and why it
//! was given up.
//!
//! | header | is |
//! |---|---|
//! | `_rt.dlq.id` | the same however often the letter is written: group, topic id, partition, offset, with `/` between |
//! | `_rt.dlq.topic`, `_rt.dlq.partition`, `_rt.dlq.offset` | where the record was |
//! | `_rt.dlq.timestamp` | its timestamp there |
//! | `_rt.dlq.group` | the group that gave it up |
//! | `_rt.dlq.cause` | why |
//! | `_rt.dlq.attempts` | how often it was delivered |
//! | `_rt.dlq.first_failure`, `_rt.dlq.last_failure` | when, in milliseconds since the epoch |
//!
//! All are text. Headers that bound or delay the delivery of the record are left out, since they would
//! do so to the letter.

use super::DeadLetter;
use crate::{
    delivery::Dead,
    name::{GroupId, TopicId, TopicName},
    offset::{Offset, PartitionIndex},
    record::{ConsumedRecord, DELAY_HEADER, DELIVER_AT_HEADER, Header, Record, TTL_HEADER},
    time::Timestamp,
};

const PREFIX: &str = "_rt.dlq.";

/// Where a record was.
pub(super) struct Origin<'a> {
    pub(super) group: &'a GroupId,
    pub(super) topic: &'a TopicName,
    pub(super) topic_id: TopicId,
    pub(super) partition: PartitionIndex,
    pub(super) offset: Offset,
}

/// The letter of a record. A record that was a letter before is one of its new origin.
pub(super) fn write(mut record: Record, origin: &Origin<'_>, dead: &Dead) -> Record {
    let Origin {
        group,
        topic,
        topic_id,
        partition,
        offset,
    } = origin;
    let own = [TTL_HEADER, DELAY_HEADER, DELIVER_AT_HEADER];
    record
        .headers
        .retain(|header| !header.key.starts_with(PREFIX) && !own.contains(&header.key.as_str()));
    let timestamp = record.timestamp.unwrap_or(Timestamp::NONE);
    let headers = [
        ("id", format!("{group}/{topic_id}/{partition}/{offset}")),
        ("topic", topic.to_string()),
        ("partition", partition.to_string()),
        ("offset", offset.to_string()),
        ("timestamp", timestamp.to_string()),
        ("group", group.to_string()),
        ("cause", dead.cause.clone()),
        ("attempts", dead.count.to_string()),
        ("first_failure", dead.first_failure.to_string()),
        ("last_failure", dead.last_failure.to_string()),
    ];
    record.headers.extend(headers.map(|(key, value)| Header {
        key: format!("{PREFIX}{key}"),
        value: Some(value.into()),
    }));
    // Its age counts from when it was given up.
    record.timestamp = None;
    record
}

/// The letter that a record is; `None` where it is none.
pub(super) fn read(mut record: ConsumedRecord) -> Option<DeadLetter> {
    let headers = std::mem::take(&mut record.record.headers);
    let (of_letter, own) = headers
        .into_iter()
        .partition(|header: &Header| header.key.starts_with(PREFIX));
    record.record.headers = own;
    let of_letter: Vec<Header> = of_letter;
    let text = |key: &str| {
        let header = of_letter
            .iter()
            .find(|header| header.key[PREFIX.len()..] == *key)?;
        std::str::from_utf8(header.value.as_deref()?).ok()
    };
    let number = |key| text(key)?.parse::<i64>().ok();
    Some(DeadLetter {
        origin_topic: TopicName::parse(text("topic")?).ok()?,
        origin_partition: PartitionIndex::new(number("partition")?.try_into().ok()?),
        origin_offset: Offset::from_wire(number("offset")?)?,
        group: GroupId::parse(text("group")?).ok()?,
        cause: text("cause")?.to_owned(),
        attempts: number("attempts")?.try_into().ok()?,
        first_failure: Timestamp::new(number("first_failure")?),
        last_failure: Timestamp::new(number("last_failure")?),
        record,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_reads_as_it_was_written() {
        let topic = TopicName::parse("orders").unwrap();
        let group = GroupId::parse("billing/eu").unwrap();
        let origin = Origin {
            group: &group,
            topic: &topic,
            topic_id: TopicId::from_bytes([7; 16]).unwrap(),
            partition: PartitionIndex::new(3),
            offset: Offset::new(41),
        };
        let dead = Dead {
            count: 5,
            first_failure: Timestamp::new(10),
            last_failure: Timestamp::new(20),
            cause: "no such customer".to_owned(),
        };
        let record = Record::new("x")
            .with_key("k")
            .with_header("trace", "1")
            .with_header(TTL_HEADER, "5")
            .with_header("_rt.dlq.cause", "another time");
        let written = write(record, &origin, &dead);
        let consumed = ConsumedRecord {
            topic: TopicName::parse("orders.dlq").unwrap(),
            partition: PartitionIndex::new(0),
            offset: Offset::new(0),
            record: written,
        };
        let letter = read(consumed).unwrap();
        assert_eq!(
            letter.record.record,
            Record::new("x").with_key("k").with_header("trace", "1")
        );
        assert_eq!(
            (letter.origin_topic, letter.origin_offset),
            (topic, Offset::new(41))
        );
        assert_eq!((letter.group, letter.attempts), (group, 5));
        assert_eq!(letter.cause, "no such customer");
        assert_eq!(letter.first_failure, Timestamp::new(10));
        let plain = ConsumedRecord {
            topic: TopicName::parse("orders").unwrap(),
            partition: PartitionIndex::new(0),
            offset: Offset::new(0),
            record: Record::new("x"),
        };
        assert_eq!(read(plain), None);
    }
}
