//! The main job itself, and what has to hold of it.

use std::collections::BTreeMap;

use ratatoskr_core::{
    bytes::Bytes,
    config::Compression,
    name::TopicName,
    offset::{Offset, PartitionIndex},
    record::{ConsumedRecord, Record},
    routing::partition_for_key,
};

use crate::{
    backend::End,
    corpus::{self, Corpus},
    door::{Door, PARTITIONS, Place, Restart},
};

/// One file that went into one topic.
struct Sent<'a> {
    corpus: &'a Corpus,
    compression: Compression,
    topic: TopicName,
    places: Option<Vec<Place>>,
}

/// Sends every file with every compression, reads all of it back and compares.
pub(crate) async fn check(mut door: impl Door) {
    let corpora = corpora();
    for sent in send_all(&mut door, &corpora).await {
        sent.read_and_compare(&mut door).await;
    }
}

/// The same with a restart of the broker in between.
pub(crate) async fn check_restarted(mut door: impl Door + Restart, end: End) {
    let corpora = corpora();
    let all = send_all(&mut door, &corpora).await;
    let mut door = door.restart(end).await;
    for sent in all {
        sent.read_and_compare(&mut door).await;
    }
}

/// Every file, and records as large as any should be, with what they are compressed with.
fn corpora() -> Vec<(Corpus, &'static [Compression])> {
    let files = corpus::all().into_iter();
    let mut corpora: Vec<_> = files
        .map(|corpus| (corpus, Compression::ALL.as_slice()))
        .collect();
    corpora.push((corpus::large(), &[Compression::None, Compression::Zstd]));
    corpora
}

async fn send_all<'a>(
    door: &mut impl Door,
    corpora: &'a [(Corpus, &'static [Compression])],
) -> Vec<Sent<'a>> {
    let mut all = Vec::new();
    for (corpus, compressions) in corpora {
        for &compression in *compressions {
            let name = format!("{}-{compression}", corpus.name);
            let topic = TopicName::parse(&name).expect("a legal name");
            let places = door.send(&topic, compression, &corpus.records).await;
            all.push(Sent {
                corpus,
                compression,
                topic,
                places,
            });
        }
    }
    all
}

impl Sent<'_> {
    async fn read_and_compare(&self, door: &mut impl Door) {
        let topic = &self.topic;
        let sent = &self.corpus.records;
        let read = door.read(topic, sent.len()).await;
        assert_eq!(read.len(), sent.len(), "{topic}");
        let logs = logs(topic, &read);

        assert_eq!(multiset(logs.values().flatten()), multiset(sent), "{topic}");
        assert_order_by_partition(topic, &logs, sent);
        assert_order_by_key(topic, &logs, sent);
        if let Some(places) = &self.places {
            assert_eq!(logs.len(), PARTITIONS as usize, "{topic}: partitions used");
            self.assert_same_bytes(places, &logs);
        }
        if let Some(codecs) = door.codecs(topic).await {
            assert!(codecs.contains(&self.compression), "{topic}: {codecs:?}");
            // A batch that would grow is left as it is.
            let allowed = [self.compression, Compression::None];
            assert!(
                codecs.iter().all(|codec| allowed.contains(codec)),
                "{topic}: {codecs:?}"
            );
        }
    }

    /// Puts the file together again from where each of its lines went.
    fn assert_same_bytes(&self, places: &[Place], logs: &Logs) {
        let lines = places.iter().map(|(partition, offset)| {
            let at = usize::try_from(offset.get()).expect("small");
            logs[partition][at].value.clone().expect("a value")
        });
        let mut bytes = lines.collect::<Vec<Bytes>>().join(&b'\n');
        if self.corpus.bytes.ends_with(b"\n") {
            bytes.push(b'\n');
        }
        assert!(
            bytes == self.corpus.bytes,
            "{}: the file is not what it was",
            self.topic
        );
    }
}

/// The records of each partition, by their offsets from 0.
type Logs = BTreeMap<PartitionIndex, Vec<Record>>;

/// Sorts what was read into partitions, each of which must have come gapless and in order.
fn logs(topic: &TopicName, read: &[ConsumedRecord]) -> Logs {
    let mut logs = Logs::new();
    for consumed in read {
        assert_eq!(consumed.topic, *topic);
        let log = logs.entry(consumed.partition).or_default();
        assert_eq!(consumed.offset, Offset::new(log.len() as u64), "{topic}");
        let record = Record {
            timestamp: None,
            ..consumed.record.clone()
        };
        log.push(record);
    }
    logs
}

/// How often each record, key and value and all, is there.
fn multiset<'a>(
    records: impl IntoIterator<Item = &'a Record>,
) -> BTreeMap<(Option<Bytes>, Option<Bytes>), usize> {
    let mut counts = BTreeMap::new();
    for Record {
        key,
        value,
        headers,
        ..
    } in records
    {
        assert!(headers.is_empty(), "nobody sent headers");
        *counts.entry((key.clone(), value.clone())).or_default() += 1;
    }
    counts
}

/// Each partition holds its lines in the order of the file.
fn assert_order_by_partition(topic: &TopicName, logs: &Logs, sent: &[Record]) {
    for (partition, log) in logs {
        let mut file = sent.iter();
        for record in log {
            assert!(
                file.any(|line| line == record),
                "{topic}/{partition}: {:?} is out of order",
                record.value
            );
        }
    }
}

/// The lines of each key are in one partition, the one that Kafka would take, in the order of the
/// file.
fn assert_order_by_key(topic: &TopicName, logs: &Logs, sent: &[Record]) {
    let mut expected = Logs::new();
    for record in sent {
        let Some(key) = &record.key else { return };
        let partition = partition_for_key(key, PARTITIONS);
        expected.entry(partition).or_default().push(record.clone());
    }
    assert!(*logs == expected, "{topic}: the order by key is not kept");
}
