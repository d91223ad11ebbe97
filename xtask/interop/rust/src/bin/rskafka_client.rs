//! rskafka, which is written in Rust alone. It knows partitions, not groups.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use chrono::{DateTime, Utc};
use interop::*;
use rskafka::{
    client::{
        Client, ClientBuilder,
        error::{Error, ProtocolError},
        partition::{Compression, OffsetAt, PartitionClient, UnknownTopicHandling},
    },
    record::{Record, RecordAndOffset},
};

const TIMEOUT_MS: i32 = 10_000;

struct Checks {
    place: Place,
    client: Client,
}

fn record(value: Vec<u8>) -> Record {
    Record {
        key: None,
        value: Some(value),
        headers: BTreeMap::new(),
        timestamp: Utc::now(),
    }
}

fn plain(values: Vec<Vec<u8>>) -> Vec<Record> {
    values.into_iter().map(record).collect()
}

fn values_of(records: Vec<RecordAndOffset>) -> Vec<Vec<u8>> {
    records
        .into_iter()
        .filter_map(|record| record.record.value)
        .collect()
}

impl Checks {
    fn topic(&self, name: &str) -> String {
        self.place.topic(name)
    }

    async fn create(&self, name: &str, partitions: i32) -> Result<()> {
        let controller = self.client.controller_client()?;
        Ok(controller
            .create_topic(name, partitions, 1, TIMEOUT_MS)
            .await?)
    }

    async fn partition(&self, topic: &str) -> Result<PartitionClient> {
        let client = self
            .client
            .partition_client(topic, 0, UnknownTopicHandling::Retry);
        Ok(client.await?)
    }

    /// A new topic of one partition.
    async fn new_topic(&self, name: &str) -> Result<PartitionClient> {
        self.create(&self.topic(name), 1).await?;
        self.partition(&self.topic(name)).await
    }

    async fn consume(
        &self,
        client: &PartitionClient,
        count: usize,
        mut offset: i64,
    ) -> Result<Vec<RecordAndOffset>> {
        let mut found = Vec::new();
        while found.len() < count {
            let (some, _) = client
                .fetch_records(offset, 1..4 * MEBIBYTE as i32, 1_000)
                .await?;
            offset = some.last().map_or(offset, |last| last.offset + 1);
            found.extend(some);
        }
        equal(found.len(), count)?;
        Ok(found)
    }

    async fn codecs(&self) -> Result<()> {
        for (name, codec) in [
            ("none", Compression::NoCompression),
            ("gzip", Compression::Gzip),
            ("snappy", Compression::Snappy),
            ("lz4", Compression::Lz4),
            ("zstd", Compression::Zstd),
        ] {
            let topic = self.new_topic(&format!("codec-{name}")).await?;
            let offsets = topic.produce(plain(values(RECORDS)), codec).await?;
            equal(offsets, (0..RECORDS as i64).collect())?;
            equal(
                values_of(self.consume(&topic, RECORDS, 0).await?),
                values(RECORDS),
            )?;
        }
        Ok(())
    }

    async fn headers(&self) -> Result<()> {
        let topic = self.new_topic("headers").await?;
        let headers = [
            ("a".to_owned(), b"1".to_vec()),
            ("empty".to_owned(), Vec::new()),
        ];
        let sent = Record {
            headers: headers.into(),
            ..record(b"v".to_vec())
        };
        topic
            .produce(vec![sent.clone()], Compression::NoCompression)
            .await?;
        equal(
            self.consume(&topic, 1, 0).await?.remove(0).record.headers,
            sent.headers,
        )
    }

    async fn tombstones(&self) -> Result<()> {
        let topic = self.new_topic("tombstones").await?;
        let sent = Record {
            key: Some(b"k".to_vec()),
            value: None,
            ..record(Vec::new())
        };
        topic
            .produce(vec![sent], Compression::NoCompression)
            .await?;
        let found = self.consume(&topic, 1, 0).await?.remove(0).record;
        equal((found.key, found.value), (Some(b"k".to_vec()), None))
    }

    async fn seek(&self) -> Result<()> {
        let topic = self.new_topic("seek").await?;
        topic
            .produce(plain(values(RECORDS)), Compression::NoCompression)
            .await?;
        let found = self.consume(&topic, 7, RECORDS as i64 - 7).await?;
        equal(values_of(found), values(RECORDS).split_off(RECORDS - 7))
    }

    async fn seek_by_time(&self) -> Result<()> {
        let topic = self.new_topic("time").await?;
        let start = now_ms() - 1_000_000;
        let at = |ms: i64| DateTime::from_timestamp_millis(start + ms).context("a time");
        let mut sent = plain(values(100));
        for (n, record) in (0..).zip(&mut sent) {
            record.timestamp = at(1_000 * n)?;
        }
        topic.produce(sent, Compression::NoCompression).await?;
        let offset = topic.get_offset(OffsetAt::Timestamp(at(41_500)?)).await?;
        equal(offset, 42)?;
        equal(topic.get_offset(OffsetAt::Earliest).await?, 0)?;
        equal(topic.get_offset(OffsetAt::Latest).await?, 100)?;
        equal(
            values_of(self.consume(&topic, 58, offset).await?),
            values(100).split_off(42),
        )
    }

    async fn native_records(&self) -> Result<()> {
        let topic = self.partition(NATIVE_TOPIC).await?;
        equal(
            values_of(self.consume(&topic, NATIVE_RECORDS, 0).await?),
            native_values(),
        )
    }

    async fn administration(&self) -> Result<()> {
        let name = self.topic("admin");
        self.create(&name, 2).await?;
        let topics = self.client.list_topics().await?;
        let listed = topics
            .iter()
            .find(|topic| topic.name == name)
            .context("not listed")?;
        equal(listed.partitions.len(), 2)?;
        let topic = self.partition(&name).await?;
        topic
            .produce(plain(values(10)), Compression::NoCompression)
            .await?;
        topic.delete_records(4, TIMEOUT_MS).await?;
        equal(topic.get_offset(OffsetAt::Earliest).await?, 4)?;
        self.client
            .controller_client()?
            .delete_topic(&name, TIMEOUT_MS)
            .await?;
        let topics = self.client.list_topics().await?;
        ensure!(
            topics.iter().all(|topic| topic.name != name),
            "it is still listed"
        );
        Ok(())
    }

    async fn refusals(&self) -> Result<()> {
        let topic = self.new_topic("refused").await?;
        let again = self.create(&self.topic("refused"), 1).await;
        refused_with(again, ProtocolError::TopicAlreadyExists)?;
        let large = vec![record(large(1)), record(large(2))];
        let sent = topic.produce(large, Compression::NoCompression).await;
        refused_with(sent.map_err(Into::into), ProtocolError::MessageTooLarge)
    }
}

fn refused_with<T>(answer: Result<T>, expected: ProtocolError) -> Result<()> {
    let Err(error) = answer else {
        bail!("it was not refused")
    };
    match error.downcast::<Error>()? {
        Error::ServerError { protocol_error, .. } => equal(protocol_error, expected),
        other => Err(other.into()),
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let place = Place::from_words()?;
    let builder = ClientBuilder::new(vec![place.bootstrap.clone()]);
    let checks = Checks {
        client: builder.build().await?,
        place,
    };
    skip("acks", "it waits for all, always");
    run("codecs", checks.codecs()).await;
    run("headers", checks.headers()).await;
    run("tombstones", checks.tombstones()).await;
    skip("large-records", "it sets no configuration of topics");
    skip("idempotent-producer", "it has none");
    run("seek", checks.seek()).await;
    run("seek-by-time", checks.seek_by_time()).await;
    skip("keys", "it has no partitioner");
    run("native-records", checks.native_records()).await;
    run("administration", checks.administration()).await;
    run("refusals", checks.refusals()).await;
    skip("group-consume", "it has no groups");
    Ok(())
}
