//! rdkafka, which is librdkafka in Rust's clothes.

use std::{collections::HashSet, time::Duration};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use interop::*;
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    admin::{
        AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier,
        TopicReplication,
    },
    client::DefaultClientContext,
    consumer::{BaseConsumer, CommitMode, Consumer, StreamConsumer},
    error::RDKafkaErrorCode,
    message::{Header, Headers, OwnedHeaders, OwnedMessage},
    producer::{FutureProducer, FutureRecord},
};
use tokio::time::timeout;

/// Names of settings and their values.
type Settings<'a> = &'a [(&'a str, &'a str)];

#[derive(Default)]
struct Sent {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: OwnedHeaders,
    timestamp: Option<i64>,
}

fn plain(values: Vec<Vec<u8>>) -> Vec<Sent> {
    let plain = |value| Sent {
        value: Some(value),
        ..Sent::default()
    };
    values.into_iter().map(plain).collect()
}

fn values_of(found: &[OwnedMessage]) -> Vec<Vec<u8>> {
    found
        .iter()
        .filter_map(|message| message.payload().map(<[u8]>::to_vec))
        .collect()
}

struct Checks(Place);

impl Checks {
    fn topic(&self, name: &str) -> String {
        self.0.topic(name)
    }

    fn config(&self, settings: Settings<'_>) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.0.bootstrap);
        for (name, value) in settings {
            config.set(*name, *value);
        }
        config
    }

    /// Sends records and gives the partition and offset of each.
    async fn produce(
        &self,
        topic: &str,
        records: &[Sent],
        settings: Settings<'_>,
    ) -> Result<Vec<(i32, i64)>> {
        let mut config = self.config(&[("linger.ms", "5"), ("partitioner", "murmur2_random")]);
        config.extend(
            settings
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string())),
        );
        let producer: FutureProducer = config.create()?;
        let mut sent = Vec::new();
        for record in records {
            let mut to = FutureRecord::<[u8], [u8]>::to(topic);
            to.key = record.key.as_deref();
            to.payload = record.value.as_deref();
            to.timestamp = record.timestamp;
            to.headers = Some(record.headers.clone());
            sent.push(producer.send_result(to).map_err(|(error, _)| error)?);
        }
        let places = try_join_all(sent).await?.into_iter().map(|told| {
            let place = told.map_err(|(error, _)| error)?;
            Ok((place.partition, place.offset))
        });
        places.collect()
    }

    async fn consume(&self, topic: &str, count: usize, offset: i64) -> Result<Vec<OwnedMessage>> {
        let settings = [
            ("group.id", "unused"),
            ("enable.auto.commit", "false"),
            ("check.crcs", "true"),
        ];
        let consumer: StreamConsumer = self.config(&settings).create()?;
        let mut places = TopicPartitionList::new();
        places.add_partition_offset(topic, 0, Offset::Offset(offset))?;
        consumer.assign(&places)?;
        let mut found = Vec::new();
        while found.len() < count {
            let message = timeout(PATIENCE, consumer.recv()).await;
            found.push(message.context("records are missing")??.detach());
        }
        Ok(found)
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>> {
        Ok(self.config(&[]).create()?)
    }

    async fn create(&self, name: &str, partitions: i32, config: Settings<'_>) -> Result<()> {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (name, value) in config {
            topic = topic.set(name, value);
        }
        let answer = self
            .admin()?
            .create_topics([&topic], &AdminOptions::new())
            .await?;
        single(answer)
    }

    async fn acks(&self) -> Result<()> {
        for acks in ["0", "1", "all"] {
            let name = self.topic(&format!("acks-{acks}"));
            self.produce(&name, &plain(values(RECORDS)), &[("acks", acks)])
                .await?;
            equal(
                values_of(&self.consume(&name, RECORDS, 0).await?),
                values(RECORDS),
            )?;
        }
        Ok(())
    }

    async fn codecs(&self) -> Result<()> {
        for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
            let name = self.topic(&format!("codec-{codec}"));
            self.produce(
                &name,
                &plain(values(RECORDS)),
                &[("compression.type", codec)],
            )
            .await?;
            equal(
                values_of(&self.consume(&name, RECORDS, 0).await?),
                values(RECORDS),
            )?;
        }
        Ok(())
    }

    async fn headers(&self) -> Result<()> {
        let sent: [(&str, Option<&[u8]>); 4] = [
            ("a", Some(b"1")),
            ("a", Some(b"2")),
            ("none", None),
            ("empty", Some(b"")),
        ];
        let headers = sent.iter().fold(OwnedHeaders::new(), |all, (key, value)| {
            all.insert(Header { key, value: *value })
        });
        let record = Sent {
            value: Some(b"v".to_vec()),
            headers,
            ..Sent::default()
        };
        self.produce(&self.topic("headers"), &[record], &[]).await?;
        let found = self.consume(&self.topic("headers"), 1, 0).await?.remove(0);
        let found = found.headers().context("no headers")?;
        equal(
            found
                .iter()
                .map(|header| (header.key, header.value))
                .collect(),
            sent.to_vec(),
        )
    }

    async fn tombstones(&self) -> Result<()> {
        let name = self.topic("tombstones");
        let record = Sent {
            key: Some(b"k".to_vec()),
            ..Sent::default()
        };
        self.produce(&name, &[record], &[]).await?;
        let found = self.consume(&name, 1, 0).await?.remove(0);
        equal(
            (found.key(), found.payload()),
            (Some(b"k".as_slice()), None),
        )
    }

    async fn large_records(&self) -> Result<()> {
        let (name, limit) = (self.topic("large"), (2 * MEBIBYTE).to_string());
        self.create(&name, 1, &[("max.message.bytes", &limit)])
            .await?;
        let sent: Vec<_> = (0..3).map(large).collect();
        self.produce(
            &name,
            &plain(sent.clone()),
            &[("message.max.bytes", &limit)],
        )
        .await?;
        equal(values_of(&self.consume(&name, 3, 0).await?), sent)
    }

    async fn idempotent_producer(&self) -> Result<()> {
        let name = self.topic("idempotent");
        let places = self
            .produce(
                &name,
                &plain(values(RECORDS)),
                &[("enable.idempotence", "true")],
            )
            .await?;
        equal(
            places,
            (0..RECORDS as i64).map(|offset| (0, offset)).collect(),
        )?;
        equal(
            values_of(&self.consume(&name, RECORDS, 0).await?),
            values(RECORDS),
        )
    }

    async fn seek(&self) -> Result<()> {
        let name = self.topic("seek");
        self.produce(&name, &plain(values(RECORDS)), &[]).await?;
        let found = self.consume(&name, 7, RECORDS as i64 - 7).await?;
        equal(values_of(&found), values(RECORDS).split_off(RECORDS - 7))
    }

    async fn seek_by_time(&self) -> Result<()> {
        let (name, start) = (self.topic("time"), now_ms() - 1_000_000);
        let mut sent = plain(values(100));
        for (n, record) in (0..).zip(&mut sent) {
            record.timestamp = Some(start + 1_000 * n);
        }
        self.produce(&name, &sent, &[]).await?;
        let consumer: BaseConsumer = self.config(&[("group.id", "unused")]).create()?;
        let offset_at = |time| {
            let mut times = TopicPartitionList::new();
            times.add_partition_offset(&name, 0, Offset::Offset(time))?;
            let found = consumer.offsets_for_times(times, PATIENCE)?;
            anyhow::Ok(
                found
                    .find_partition(&name, 0)
                    .context("no answer")?
                    .offset(),
            )
        };
        equal(offset_at(start + 41_500)?, Offset::Offset(42))?;
        equal(offset_at(start + 10_000_000)?, Offset::End)?;
        equal(consumer.fetch_watermarks(&name, 0, PATIENCE)?, (0, 100))?;
        equal(
            values_of(&self.consume(&name, 58, 42).await?),
            values(100).split_off(42),
        )
    }

    async fn keys(&self) -> Result<()> {
        let name = self.topic("keys");
        self.create(&name, 3, &[]).await?;
        let mut sent = plain(vec![b"v".to_vec(); 30]);
        for (n, record) in sent.iter_mut().enumerate() {
            record.key = Some(format!("key-{n}").into_bytes());
        }
        self.produce(&name, &sent, &[]).await?;
        Ok(())
    }

    async fn native_records(&self) -> Result<()> {
        equal(
            values_of(&self.consume(NATIVE_TOPIC, NATIVE_RECORDS, 0).await?),
            native_values(),
        )
    }

    async fn administration(&self) -> Result<()> {
        let (name, kafka, options) = (self.topic("admin"), self.admin()?, AdminOptions::new());
        self.create(&name, 2, &[("retention.ms", "1000000")])
            .await?;
        let partitions = || {
            let found = kafka.inner().fetch_metadata(Some(&name), PATIENCE)?;
            anyhow::Ok(found.topics()[0].partitions().len())
        };
        equal(partitions()?, 2)?;
        let topic = ResourceSpecifier::Topic(&name);
        let retention = async || {
            let described = kafka.describe_configs([&topic], &options).await?.remove(0);
            anyhow::Ok(
                described?
                    .get("retention.ms")
                    .context("not described")?
                    .value
                    .clone(),
            )
        };
        equal(retention().await?.as_deref(), Some("1000000"))?;
        let change = AlterConfig::new(topic).set("retention.ms", "-1");
        let changed = kafka.alter_configs([&change], &options).await?.remove(0);
        changed.map_err(|(_, code)| code)?;
        equal(retention().await?.as_deref(), Some("-1"))?;
        single(
            kafka
                .create_partitions([&NewPartitions::new(&name, 5)], &options)
                .await?,
        )?;
        equal(partitions()?, 5)?;
        let trimmed = self.topic("trimmed");
        self.produce(&trimmed, &plain(values(10)), &[]).await?;
        let mut before = TopicPartitionList::new();
        before.add_partition_offset(&trimmed, 0, Offset::Offset(4))?;
        let deleted = kafka.delete_records(&before, &options).await?;
        let place = deleted.find_partition(&trimmed, 0).context("no answer")?;
        equal(place.offset(), Offset::Offset(4))?;
        single(kafka.delete_topics(&[&name], &options).await?)?;
        let left = kafka.inner().fetch_metadata(None, PATIENCE)?;
        ensure!(
            left.topics().iter().all(|topic| topic.name() != name),
            "it is still listed"
        );
        Ok(())
    }

    async fn refusals(&self) -> Result<()> {
        let answer = self
            .create(&self.topic("refused"), 1, &[("colour", "red")])
            .await;
        refused_with(answer, RDKafkaErrorCode::InvalidConfig)?;
        let name = self.topic("small");
        self.produce(&name, &plain(vec![b"x".to_vec()]), &[])
            .await?;
        let limit = (2 * MEBIBYTE).to_string();
        let sent = self
            .produce(
                &name,
                &plain(vec![large(1)]),
                &[("message.max.bytes", &limit)],
            )
            .await;
        refused_with(sent, RDKafkaErrorCode::MessageSizeTooLarge)
    }

    /// A consumer of the group and the topic of this name.
    fn member(&self, name: &str, settings: Settings<'_>) -> Result<StreamConsumer> {
        let group = self.topic(name);
        let mut config = self.config(&[
            ("group.id", &group),
            ("auto.offset.reset", "earliest"),
            ("enable.auto.commit", "false"),
            ("session.timeout.ms", "6000"),
            ("heartbeat.interval.ms", "300"),
        ]);
        config.extend(
            settings
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string())),
        );
        let consumer: StreamConsumer = config.create()?;
        consumer.subscribe(&[&group])?;
        Ok(consumer)
    }

    async fn group_consume(&self) -> Result<()> {
        let (name, kafka) = (self.topic("consume"), self.admin()?);
        self.create(&name, PARTITIONS, &[]).await?;
        self.produce(&name, &plain(values(RECORDS)), &[]).await?;
        let reader = self.member("consume", &[])?;
        same_set(
            read(&[&reader], |found| found.len() >= RECORDS).await?,
            values(RECORDS),
        )?;
        let state = || {
            let groups = kafka.inner().fetch_group_list(Some(&name), PATIENCE)?;
            let group = groups.groups().first().context("the group is not there")?;
            anyhow::Ok((group.state().to_owned(), group.members().len()))
        };
        equal(state()?, ("Stable".to_owned(), 1))?;
        drop(reader);
        equal(state()?, ("Empty".to_owned(), 0))?;
        single(kafka.delete_groups(&[&name], &AdminOptions::new()).await?)
    }

    async fn group_rebalance(&self) -> Result<()> {
        for strategy in ["range", "cooperative-sticky"] {
            let name = format!("rebalance-{strategy}");
            self.create(&self.topic(&name), PARTITIONS, &[]).await?;
            let settings = [("partition.assignment.strategy", strategy)];
            let first = self.member(&name, &settings)?;
            read(&[&first], |_| shares(&[&first]) == [3]).await?;
            let second = self.member(&name, &settings)?;
            let both = [&first, &second];
            read(&both, |_| shares(&both) == [1, 2]).await?;
            self.produce(&self.topic(&name), &plain(values(RECORDS)), &[])
                .await?;
            same_set(
                read(&both, |found| found.len() >= RECORDS).await?,
                values(RECORDS),
            )?;
            for member in both {
                member.commit_consumer_state(CommitMode::Sync)?;
            }
            drop(first);
            read(&[&second], |_| shares(&[&second]) == [3]).await?;
            self.produce(&self.topic(&name), &plain(values(10)), &[])
                .await?;
            same_set(
                read(&[&second], |found| found.len() >= 10).await?,
                values(10),
            )?;
        }
        self.static_members().await
    }

    /// One that is back in time gets what it had.
    async fn static_members(&self) -> Result<()> {
        self.create(&self.topic("static"), PARTITIONS, &[]).await?;
        let member = |instance| self.member("static", &[("group.instance.id", instance)]);
        let (first, second) = (member("1")?, member("2")?);
        let both = [&first, &second];
        read(&both, |_| shares(&both) == [1, 2]).await?;
        let had = assigned(&first);
        drop(first);
        let again = member("1")?;
        read(&[&again, &second], |_| !assigned(&again).is_empty()).await?;
        equal(assigned(&again), had)
    }

    async fn commit_and_resume(&self) -> Result<()> {
        let name = self.topic("resume");
        self.create(&name, PARTITIONS, &[]).await?;
        self.produce(&name, &plain(values(RECORDS)), &[]).await?;
        let reader = self.member("resume", &[])?;
        let mut found = read(&[&reader], |found| found.len() >= RECORDS / 2).await?;
        reader.commit_consumer_state(CommitMode::Sync)?;
        drop(reader);
        let reader = self.member("resume", &[])?;
        let rest = RECORDS - found.len();
        found.extend(read(&[&reader], |more| more.len() >= rest).await?);
        same_set(found, values(RECORDS))?;
        let mut places = TopicPartitionList::new();
        let mut place = places.add_partition(&name, 0);
        place.set_offset(Offset::Offset(0))?;
        place.set_metadata("half way");
        reader.commit(&places, CommitMode::Sync)?;
        let committed = reader.committed_offsets(places, PATIENCE)?;
        let place = committed.find_partition(&name, 0).context("no answer")?;
        equal(
            (place.offset(), place.metadata()),
            (Offset::Offset(0), "half way"),
        )
    }
}

/// What came of the only one that was asked for.
fn single(mut answer: Vec<Result<String, (String, RDKafkaErrorCode)>>) -> Result<()> {
    let told = answer.pop().context("no answer")?;
    told.map_err(|(_, code)| code)?;
    Ok(())
}

fn refused_with<T>(answer: Result<T>, expected: RDKafkaErrorCode) -> Result<()> {
    let error = answer.err().context("it was not refused")?;
    let produced = error
        .downcast_ref()
        .and_then(rdkafka::error::KafkaError::rdkafka_error_code);
    equal(error.downcast_ref().copied().or(produced), Some(expected))
}

/// Lets members read until it is done; the values that they read.
async fn read(
    members: &[&StreamConsumer],
    is_done: impl Fn(&[Vec<u8>]) -> bool,
) -> Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    let reading = async {
        while !is_done(&found) {
            for reader in members {
                // Nothing is there yet: the next member's turn.
                if let Ok(message) = timeout(Duration::from_millis(50), reader.recv()).await {
                    found.extend(message?.payload().map(<[u8]>::to_vec));
                }
            }
        }
        anyhow::Ok(())
    };
    timeout(PATIENCE, reading)
        .await
        .context("members do not agree")??;
    Ok(found)
}

fn assigned(member: &StreamConsumer) -> HashSet<i32> {
    let places = member.assignment().unwrap_or_default();
    places
        .elements()
        .iter()
        .map(|place| place.partition())
        .collect()
}

/// How many partitions each has, the least first.
fn shares(members: &[&StreamConsumer]) -> Vec<usize> {
    let mut counts: Vec<_> = members
        .iter()
        .map(|member| assigned(member).len())
        .collect();
    counts.sort_unstable();
    counts
}

#[tokio::main]
async fn main() -> Result<()> {
    let checks = Checks(Place::from_words()?);
    run("acks", checks.acks()).await;
    run("codecs", checks.codecs()).await;
    run("headers", checks.headers()).await;
    run("tombstones", checks.tombstones()).await;
    run("large-records", checks.large_records()).await;
    run("idempotent-producer", checks.idempotent_producer()).await;
    run("seek", checks.seek()).await;
    run("seek-by-time", checks.seek_by_time()).await;
    run("keys", checks.keys()).await;
    run("native-records", checks.native_records()).await;
    run("administration", checks.administration()).await;
    run("refusals", checks.refusals()).await;
    run("group-consume", checks.group_consume()).await;
    run("group-rebalance", checks.group_rebalance()).await;
    run("commit-and-resume", checks.commit_and_resume()).await;
    Ok(())
}
