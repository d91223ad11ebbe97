//! What Kafka's consumers write in their bytes: the topics that they want, and the partitions that the
//! leader gives them. It is read for people, and decides on nothing but whose offsets are in use.
//!
//! ```text
//! subscription   version i16, [topic string], whatever else
//! assignment     version i16, [topic string, [partition i32]], whatever else
//! ```
//! A string is an i16 and its bytes, an array an i32 and its elements.

use crate::{name::TopicName, offset::PartitionIndex};

/// The topics; `None` where the bytes are not what they should be.
pub(super) fn subscribed_topics(bytes: &[u8]) -> Option<Vec<TopicName>> {
    let mut reader = Reader(bytes);
    reader.skip_version()?;
    let mut topics = Vec::new();
    for _ in 0..reader.count()? {
        topics.push(reader.topic()?);
    }
    Some(topics)
}

/// The partitions; `None` where the bytes are not what they should be.
pub(super) fn assigned_partitions(bytes: &[u8]) -> Option<Vec<(TopicName, PartitionIndex)>> {
    let mut reader = Reader(bytes);
    reader.skip_version()?;
    let mut partitions = Vec::new();
    for _ in 0..reader.count()? {
        let topic = reader.topic()?;
        for _ in 0..reader.count()? {
            let index = u32::from_be_bytes(reader.fixed()?);
            partitions.push((topic.clone(), PartitionIndex::new(index)));
        }
    }
    Some(partitions)
}

/// Never allocates by a number that it reads.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn skip_version(&mut self) -> Option<()> {
        self.fixed::<2>().map(drop)
    }

    fn count(&mut self) -> Option<u32> {
        u32::try_from(i32::from_be_bytes(self.fixed()?)).ok()
    }

    fn topic(&mut self) -> Option<TopicName> {
        let bytes = usize::try_from(i16::from_be_bytes(self.fixed()?)).ok()?;
        let (name, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        TopicName::parse(std::str::from_utf8(name).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_consumers_write_is_read() {
        let subscription = b"\0\x03\0\0\0\x02\0\x01a\0\x02bc\xff\xff\xff\xff";
        let topics: Vec<_> = ["a", "bc"]
            .map(|name| TopicName::parse(name).unwrap())
            .into();
        assert_eq!(subscribed_topics(subscription), Some(topics));
        let assignment = b"\0\x01\0\0\0\x01\0\x01a\0\0\0\x02\0\0\0\0\0\0\0\x07\xff\xff\xff\xff";
        let a = TopicName::parse("a").unwrap();
        let partitions = [0, 7].map(|index| (a.clone(), PartitionIndex::new(index)));
        assert_eq!(assigned_partitions(assignment), Some(partitions.into()));
        assert_eq!(assigned_partitions(b""), None);
    }

    proptest! {
        #[test]
        fn garbage_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = subscribed_topics(&bytes);
            let _ = assigned_partitions(&bytes);
        }
    }
}
