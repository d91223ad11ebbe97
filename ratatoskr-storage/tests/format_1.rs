//! What a broker of format 1 left in its data directory: the state of groups and queues, dead letters
//! and compacted segments. Every later version must read it.
//!
//! `WRITE_FIXTURE=1` writes the directory anew, which is right only where no version was released
//! since.

mod support;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use ratatoskr_core::{
    Broker, BrokerConfig,
    broker::{
        AcquireOptions, Acquired, BrowsePosition, DeadLetterFilter, NewQueue, NewTopic, OffsetSpec,
        RecordState, StreamOptions,
    },
    config::TopicConfigChange,
    delivery::{ConsumerId, QueueConfigChange, SettleAction, Settlement},
    groups::{
        GroupHeartbeat, GroupKind, GroupState, InstanceId, MemberEpoch, MemberId, OffsetCommit,
    },
    name::{GroupId, TopicName},
    offset::{Offset, PartitionIndex},
    record::Record,
    time::{ManualClock, Timestamp},
};
use ratatoskr_storage::{MmapOptions, MmapStorage, WalOptions};

use support::copy;

const NOW: Timestamp = Timestamp::new(1_700_000_000_000);
const FIRST: PartitionIndex = PartitionIndex::new(0);
/// Records of each key of the compacted topic, and its keys.
const ROUNDS: usize = 40;
const KEYS: usize = 4;

/// A broker on a data directory, whose time stands still.
struct Running {
    broker: Broker,
    storage: Arc<MmapStorage>,
    clock: Arc<ManualClock>,
}

impl Running {
    async fn on(path: &Path) -> Self {
        let options = MmapOptions {
            wal: WalOptions {
                file_bytes: 8 << 10,
                first_file_bytes: 8 << 10,
                wal_bytes_max: 1 << 20,
                ..WalOptions::default()
            },
            ..MmapOptions::default()
        };
        let storage = Arc::new(MmapStorage::open(path, options).await.unwrap());
        let clock = Arc::new(ManualClock::at(NOW));
        let config = BrokerConfig {
            compaction_interval: Duration::from_secs(1),
            ..BrokerConfig::default()
        };
        let builder = Broker::builder(storage.clone(), clock.clone());
        let builder = builder.committer(storage.committer()).config(config);
        Self {
            broker: builder.open().await.unwrap(),
            storage,
            clock,
        }
    }

    async fn close(self) {
        let report = self.broker.shutdown(Duration::from_secs(10)).await;
        assert!(report.unwrap().is_clean());
        drop(self.broker);
        self.storage.close().await.unwrap();
    }

    async fn create(&self, topic: &TopicName, settings: &[(&str, &str)]) {
        let mut config = TopicConfigChange::default();
        for (key, value) in settings {
            config.set(key, value).unwrap();
        }
        let new = NewTopic {
            config,
            ..NewTopic::default()
        };
        self.broker.create_topic(topic, new).await.unwrap();
    }

    async fn acquire(&self, records_max: u32) -> Acquired {
        let options = AcquireOptions {
            records_max,
            ..AcquireOptions::default()
        };
        let (group, topic, consumer) = (workers(), jobs(), consumer());
        let acquired = self
            .broker
            .queue_acquire(&group, &topic, &consumer, &options);
        acquired.await.unwrap()
    }

    /// Settles one record that is held.
    async fn settle(&self, acquired: &Acquired, offset: u64, action: SettleAction) {
        let settlement = Settlement {
            partition: FIRST,
            first: Offset::new(offset),
            last: Offset::new(offset),
            token: acquired.partitions[0].token,
            action,
        };
        let (group, topic, consumer) = (workers(), jobs(), consumer());
        let settling = self
            .broker
            .queue_settle(&group, &topic, &consumer, vec![settlement]);
        let settled = settling.await.unwrap().wait().await.unwrap();
        assert_eq!(settled, [Ok(())]);
    }

    /// What a reader of the compacted topic finds: the offset and value of each record, by key.
    async fn compacted(&self) -> BTreeMap<String, Vec<(u64, Option<String>)>> {
        let topic = users();
        let end = self.broker.bounds(&topic, FIRST).unwrap().log_end;
        let stream = self.broker.stream(&topic, StreamOptions::default());
        let mut records = stream.await.unwrap();
        let mut found = BTreeMap::<_, Vec<_>>::new();
        loop {
            let read = records.next().await.unwrap().unwrap();
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let key = text(read.record.key.as_deref().unwrap());
            let value = read.record.value.as_deref().map(text);
            let value = value.map(|value| value.trim_end_matches('.').to_owned());
            found
                .entry(key)
                .or_default()
                .push((read.offset.get(), value));
            if read.offset.plus(1) >= end {
                return found;
            }
        }
    }

    /// Lets rounds of compaction go by until something was removed, and there is no more.
    async fn compact(&self) {
        let removed = || self.broker.stats().total.records_compacted;
        let begin = removed();
        let mut last = begin;
        while last == begin || last < removed() {
            last = removed();
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    }
}

fn topic(name: &str) -> TopicName {
    TopicName::parse(name).unwrap()
}

fn jobs() -> TopicName {
    topic("jobs")
}

fn users() -> TopicName {
    topic("users")
}

fn group(name: &str) -> GroupId {
    GroupId::parse(name).unwrap()
}

fn workers() -> GroupId {
    group("workers")
}

fn consumer() -> ConsumerId {
    ConsumerId::parse("worker-1").unwrap()
}

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1/engine")
}

/// What the member of the group says.
fn heartbeat(epoch: MemberEpoch) -> GroupHeartbeat {
    GroupHeartbeat {
        group: group("readers"),
        member: MemberId::parse("reader-1").unwrap(),
        epoch,
        instance: Some(InstanceId::parse("one").unwrap()),
        client: "fixture".to_owned(),
        topics: (epoch == MemberEpoch::JOIN).then(|| vec![jobs()]),
        assignor: None,
        rebalance_timeout: Duration::from_mins(5),
        owned: None,
        pattern: None,
    }
}

/// A value of the compacted topic, long enough that there are several segments.
async fn publish(broker: &Broker, rounds: std::ops::Range<usize>) {
    for round in rounds {
        let records = (0..KEYS).map(|key| {
            let value = format!("{round}{}", ".".repeat(60));
            Record::new(value).with_key(format!("key {key}"))
        });
        broker
            .publish_many(&users(), records.collect())
            .await
            .unwrap();
    }
}

async fn write(path: &Path) {
    let running = Running::on(path).await;
    let broker = &running.broker;
    running.create(&jobs(), &[]).await;
    for number in 0..6 {
        let record = Record::new(format!("job {number}"));
        broker.publish(&jobs(), record).await.unwrap();
    }
    write_groups(broker).await;
    write_queue(&running).await;
    write_compacted(&running).await;
    running.close().await;
    cut(path);
}

/// Cuts the zeros off that a log has behind its end, as far as whole pages go: they say nothing, and
/// are most of what there is.
fn cut(path: &Path) {
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            cut(&path);
        } else if path.extension().is_some_and(|found| found == "log") {
            let bytes = fs::read(&path).unwrap();
            let used = bytes
                .iter()
                .rposition(|byte| *byte != 0)
                .map_or(0, |at| at + 1);
            let pages = used.next_multiple_of(4 << 10).min(bytes.len());
            fs::write(&path, &bytes[..pages]).unwrap();
        }
    }
}

async fn write_groups(broker: &Broker) {
    let joined = broker.group_heartbeat(&heartbeat(MemberEpoch::JOIN)).await;
    let member = MemberId::parse("reader-1").unwrap();
    let of_member = Some((&member, joined.unwrap().epoch));
    let commit = |offset, metadata: &str| OffsetCommit {
        topic: jobs(),
        partition: FIRST,
        offset: Offset::new(offset),
        metadata: metadata.to_owned(),
    };
    let offsets = [commit(2, "line 7")];
    let (readers, tool, gone) = (group("readers"), group("tool"), group("gone"));
    let committed = broker.commit_offsets(&readers, of_member, &offsets);
    committed.await.unwrap();
    let offsets = [commit(4, "")];
    broker.commit_offsets(&tool, None, &offsets).await.unwrap();
    // One that came and went.
    broker.commit_offsets(&gone, None, &offsets).await.unwrap();
    broker.delete_group(&gone).await.unwrap();
}

async fn write_queue(running: &Running) {
    let mut config = QueueConfigChange::default();
    for (key, value) in [("lease_ms", "1m"), ("attempts_max", "3")] {
        config.set(key, value).unwrap();
    }
    let new = NewQueue { config };
    running.broker.queue_create(&workers(), new).await.unwrap();
    let held = running.acquire(5).await;
    running.settle(&held, 0, SettleAction::Acknowledge).await;
    let cause = "unreadable".to_owned();
    running
        .settle(&held, 1, SettleAction::Reject { cause })
        .await;
    let later = SettleAction::Retry {
        after: Some(Duration::from_hours(1)),
        cause: None,
    };
    running.settle(&held, 2, later).await;
    running.settle(&held, 3, SettleAction::Release).await;
    // 4 is held, and 5 was never looked at.
    let dying = || running.broker.queue_counters()[0].1.dying;
    while dying() > 0 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn write_compacted(running: &Running) {
    let settings = [
        ("cleanup_policy", "compact"),
        ("segment_bytes", "4KiB"),
        ("dirty_ratio_min", "0.01"),
    ];
    running.create(&users(), &settings).await;
    publish(&running.broker, 0..ROUNDS / 2).await;
    let mut gone = Record::new("").with_key("key 0");
    gone.value = None;
    running.broker.publish(&users(), gone).await.unwrap();
    // All segments but the last are compacted.
    let others = (0..ROUNDS / 2).map(|round| {
        let value = format!("{round}{}", ".".repeat(60));
        Record::new(value).with_key("key 1")
    });
    for record in others {
        running.broker.publish(&users(), record).await.unwrap();
    }
    running.compact().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_broker_of_format_1_left_is_read() {
    if std::env::var_os("WRITE_FIXTURE").is_some() {
        write(&fixture()).await;
    }
    let directory = tempfile::tempdir().unwrap();
    copy(&fixture(), directory.path());
    for empty in ["trash", "orphaned"] {
        // Version control keeps no empty directories.
        fs::create_dir_all(directory.path().join(empty)).unwrap();
    }
    let running = Running::on(directory.path()).await;
    groups_are_there(&running).await;
    the_queue_goes_on(&running).await;
    the_compacted_log_goes_on(&running).await;
    running.close().await;
}

async fn groups_are_there(running: &Running) {
    let broker = &running.broker;
    let listed = broker.list_groups().await.unwrap();
    let listed: Vec<_> = listed
        .iter()
        .map(|group| (group.group.as_str(), group.kind, group.members))
        .collect();
    assert_eq!(
        listed,
        [
            ("readers", GroupKind::Consumer, 1),
            ("tool", GroupKind::Simple, 0)
        ]
    );
    let described = broker.describe_group(&group("readers")).await.unwrap();
    assert_eq!(described.state, GroupState::Stable);
    let member = &described.members[0];
    assert_eq!(
        member.instance.as_ref().map(InstanceId::as_str),
        Some("one")
    );
    assert_eq!(member.client, "fixture");
    assert_eq!(member.assigned[0].topic, jobs());
    assert_eq!(member.assigned[0].partitions, [FIRST]);
    for (name, offset, metadata) in [("readers", 2, "line 7"), ("tool", 4, "")] {
        let found = broker.fetch_offsets(&group(name), None).await.unwrap();
        let committed = found[0].committed.as_ref().unwrap();
        assert_eq!(committed.offset, Offset::new(offset));
        assert_eq!((committed.metadata.as_str(), committed.at), (metadata, NOW));
    }
    // The member goes on where it was, and the group can be changed.
    let goes_on = broker.group_heartbeat(&heartbeat(member.epoch)).await;
    assert_eq!(goes_on.unwrap().epoch, member.epoch);
    let tool = group("tool");
    let reset = broker.reset_offsets(&tool, &[], OffsetSpec::Start, false);
    assert_eq!(reset.await.unwrap()[0].from, Some(Offset::new(4)));
}

async fn the_queue_goes_on(running: &Running) {
    let broker = &running.broker;
    let described = broker.queue_describe(&workers()).await.unwrap();
    assert_eq!(described.config.lease, Duration::from_mins(1));
    assert_eq!(described.config.attempts_max, 3);
    let peeked = broker.queue_peek(&workers(), &jobs(), 10).await.unwrap();
    let peeked: Vec<_> = peeked
        .iter()
        .map(|it| (it.record.offset.get(), it.delivery_count, it.state.clone()))
        .collect();
    let due = NOW.plus(Duration::from_hours(1));
    assert_eq!(
        peeked,
        [
            (2, 1, RecordState::Delayed(due)),
            (3, 1, RecordState::Available),
            (4, 0, RecordState::Available),
            (5, 0, RecordState::Available),
        ]
    );
    let letters = topic("jobs.dlq");
    let filter = DeadLetterFilter::default();
    let page = broker.dead_letters_browse(&letters, BrowsePosition::default(), 10, &filter);
    let letter = page.await.unwrap().letters.remove(0);
    assert_eq!((letter.cause.as_str(), letter.attempts), ("unreadable", 1));
    assert_eq!(letter.origin_offset, Offset::new(1));

    running.clock.advance(Duration::from_hours(1));
    let held = running.acquire(10).await;
    assert_eq!(held.record_count(), 4);
    for offset in 2..6 {
        running
            .settle(&held, offset, SettleAction::Acknowledge)
            .await;
    }
    let left = broker.queue_peek(&workers(), &jobs(), 10).await.unwrap();
    assert_eq!(left, []);
}

async fn the_compacted_log_goes_on(running: &Running) {
    let latest = |found: &BTreeMap<String, Vec<(u64, Option<String>)>>| {
        let keys = found.iter();
        let latest = keys.map(|(key, records)| (key.clone(), records[records.len() - 1].clone()));
        latest.collect::<Vec<_>>()
    };
    let last = format!("{}", ROUNDS / 2 - 1);
    let records = (ROUNDS / 2 * KEYS) as u64;
    let expected = [
        ("key 0", records, None),
        ("key 1", records + ROUNDS as u64 / 2, Some(last.clone())),
        ("key 2", records - 2, Some(last.clone())),
        ("key 3", records - 1, Some(last)),
    ];
    let expected = expected.map(|(key, offset, value)| (key.to_owned(), (offset, value)));
    let before = running.compacted().await;
    assert_eq!(latest(&before), expected);
    assert_eq!(before["key 2"].len(), 1, "it was compacted");

    publish(&running.broker, 0..ROUNDS).await;
    running.compact().await;
    let after = running.compacted().await;
    assert!(after["key 2"].len() < ROUNDS / 2);
    assert!(after["key 2"].iter().all(|(offset, _)| *offset >= records));
}
