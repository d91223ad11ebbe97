//! A thousand topics and a thousand producers lose nothing.

use std::{collections::BTreeSet, sync::Arc};

use ratatoskr_core::{
    Broker,
    broker::{NewTopic, RecordStream, StreamOptions},
    config::{Durability, TopicConfigChange},
    name::TopicName,
    record::Record,
};
use ratatoskr_storage::{MemoryStorage, MmapOptions, MmapStorage};
use tokio::task::JoinSet;

const TOPICS: usize = 1_000;
const PRODUCERS: usize = 1_000;
/// Records of each producer, each to another topic.
const RECORDS: usize = 20;

fn topic(number: usize) -> TopicName {
    TopicName::parse(&format!("topic-{number}")).unwrap()
}

/// Where a producer sends its record of this number: over all producers, as many to each topic.
fn target(producer: usize, number: usize) -> usize {
    (producer + number * (TOPICS / RECORDS + 1)) % TOPICS
}

fn value(producer: usize, number: usize) -> Vec<u8> {
    format!("{producer}/{number}").into_bytes()
}

async fn nothing_is_lost(broker: Broker, durability: Durability) {
    let new = NewTopic {
        config: TopicConfigChange {
            durability: Some(durability),
            ..TopicConfigChange::default()
        },
        ..NewTopic::default()
    };
    for number in 0..TOPICS {
        broker
            .create_topic(&topic(number), new.clone())
            .await
            .unwrap();
    }
    let mut producers = JoinSet::new();
    for producer in 0..PRODUCERS {
        let broker = broker.clone();
        producers.spawn(async move {
            for number in 0..RECORDS {
                let record = Record::new(value(producer, number));
                let sent = broker
                    .publish(&topic(target(producer, number)), record)
                    .await;
                sent.unwrap();
            }
        });
    }
    producers.join_all().await;

    let mut expected: Vec<BTreeSet<Vec<u8>>> = vec![BTreeSet::new(); TOPICS];
    for producer in 0..PRODUCERS {
        for number in 0..RECORDS {
            expected[target(producer, number)].insert(value(producer, number));
        }
    }
    for (number, expected) in expected.into_iter().enumerate() {
        let options = StreamOptions::default();
        let mut stream: RecordStream = broker.stream(&topic(number), options).await.unwrap();
        let mut found = BTreeSet::new();
        for offset in 0..expected.len() {
            let record = stream.next().await.unwrap().unwrap();
            assert_eq!(record.offset.get(), offset as u64);
            found.insert(record.record.value.unwrap().to_vec());
        }
        assert_eq!(found, expected, "topic {number}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_topics_and_producers_lose_nothing_in_memory() {
    let broker = MemoryStorage::new().broker().open().await.unwrap();
    nothing_is_lost(broker, Durability::Memory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_topics_and_producers_lose_nothing_on_disk() {
    for durability in [Durability::Os, Durability::Fsync] {
        let directory = tempfile::tempdir().unwrap();
        let storage = MmapStorage::open(directory.path(), MmapOptions::default()).await;
        let storage = Arc::new(storage.unwrap());
        nothing_is_lost(storage.broker().open().await.unwrap(), durability).await;
    }
}
