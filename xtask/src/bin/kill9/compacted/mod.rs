//! A compacted topic through all of the broker's lives: producers that write values and tombstones of
//! few keys, and readers that read it from its start again and again while it is compacted.
//!
//! What everybody was told is written down; at the end [`checker`] says what must not have been: a
//! latest value that is not found, one that comes back after its deletion, an offset that shows
//! another record than before.

mod checker;
mod reader;
mod record;
mod writer;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use ratatoskr_client::{Durability, TopicConfigChange, TopicName};
use ratatoskr_core::{
    config::{CleanupPolicy, Ratio},
    sync::Mutex,
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    history::Tag,
    load::{Topic, connect, stop},
};
use checker::{Outcome, Pass, Seen, Sent};
use writer::Writer;

/// Producers at work.
const WRITERS: u32 = 2;
/// Readers at work.
const READERS: u32 = 2;
/// How long tombstones stay: short, so that they go within the broker's lives.
const TOMBSTONE_RETENTION: Duration = Duration::from_millis(500);
/// Segments are this small, so that there is something to compact all the time.
const SEGMENT_BYTES: u64 = 16 << 10;
/// Partitions of the topic.
const PARTITIONS: u32 = 2;
/// How long writers may take to have every outcome, and the last reader to come to the end.
const SETTLE_MAX: Duration = Duration::from_mins(1);
/// Wait before another attempt of what a death of the broker has ended.
const AGAIN: Duration = Duration::from_millis(20);

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Report {
    /// Acknowledged records that compaction has removed by the end.
    pub(crate) removed: u64,
    /// Times that a reader found a key's latest record, or one after it.
    pub(crate) proved: u64,
    /// Times that a reader found nothing of a key, its tombstone having gone in its time.
    pub(crate) gone: u64,
}

/// Where everybody writes down what happens.
#[derive(Clone, Debug)]
struct Ledger {
    seen: Arc<Mutex<Seen>>,
    start: Instant,
}

impl Ledger {
    /// Time as the checker counts it.
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// A send begins.
    fn invoked(&self, tag: Tag) {
        let invoked = self.now();
        let outcome = Outcome::Unknown;
        let sent = Sent { invoked, outcome };
        self.seen.lock().sends.insert(tag, sent);
    }

    /// A send has come to its end.
    fn ended(&self, tag: Tag, outcome: Outcome) {
        if let Some(sent) = self.seen.lock().sends.get_mut(&tag) {
            sent.outcome = outcome;
        }
    }

    /// A reader has come to the end.
    fn passed(&self, pass: Pass) {
        self.seen.lock().passes.push(pass);
    }
}

/// The topic; its number is the history's, in which it does not occur.
pub(crate) fn topic() -> Result<Topic> {
    Ok(Topic {
        number: u32::MAX,
        name: TopicName::parse("compacted")?,
        partitions: PARTITIONS,
        config: TopicConfigChange {
            durability: Some(Durability::Fsync),
            segment_bytes: Some(SEGMENT_BYTES),
            cleanup_policy: Some(CleanupPolicy::Compact),
            dirty_ratio_min: Some(Ratio::from_thousandths(1).context("a ratio")?),
            tombstone_retention: Some(TOMBSTONE_RETENTION),
            ..TopicConfigChange::default()
        },
    })
}

/// A compacted topic at work.
pub(crate) struct Work {
    url: String,
    topic: Topic,
    ledger: Ledger,
    settling: watch::Sender<bool>,
    writers: JoinSet<Result<()>>,
    readers: JoinSet<Result<()>>,
}

impl Work {
    /// Puts writers and readers to work on a broker that need not be up yet.
    pub(crate) fn start(url: &str, topic: &Topic, random: &mut fastrand::Rng) -> Self {
        let (settling, told) = watch::channel(false);
        let mut work = Self {
            url: url.to_owned(),
            topic: topic.clone(),
            ledger: Ledger {
                seen: Arc::default(),
                start: Instant::now(),
            },
            settling,
            writers: JoinSet::new(),
            readers: JoinSet::new(),
        };
        for number in 0..WRITERS {
            let writer = Writer {
                number,
                sequence: 0,
                topic: work.topic.name.clone(),
                ledger: work.ledger.clone(),
                settling: told.clone(),
                random: random.fork(),
            };
            work.writers.spawn(writer.run(url.to_owned()));
        }
        for _ in 0..READERS {
            let reading = reader::run(
                url.to_owned(),
                work.topic.clone(),
                work.ledger.clone(),
                random.fork(),
            );
            work.readers.spawn(reading);
        }
        work
    }

    /// Waits, on a broker that is up for good, until every send has its outcome, and ends the readers.
    ///
    /// # Errors
    /// It does not come to that in time, or somebody was told what nobody should be.
    pub(crate) async fn settle(&mut self) -> Result<()> {
        self.settling.send_replace(true);
        let settled = async {
            while let Some(ended) = self.writers.join_next().await {
                ended??;
            }
            Ok::<_, anyhow::Error>(())
        };
        let settled = timeout(SETTLE_MAX, settled).await;
        settled.context("some writes of the compacted topic have no outcome")??;
        stop(&mut self.readers).await
    }

    /// Reads all once more, on a broker that is up for good, and checks what everybody saw. Where
    /// something is wrong, all of it is written into `directory`.
    ///
    /// # Errors
    /// A promise was broken, or somebody was told what nobody should be.
    pub(crate) async fn finish(self, directory: &Path) -> Result<Report> {
        let client = connect(&self.url).await?;
        let last = async {
            loop {
                if let Some(pass) = reader::pass(&client, &self.topic, &self.ledger).await? {
                    return Ok::<_, anyhow::Error>(pass);
                }
                sleep(AGAIN).await;
            }
        };
        let last = timeout(SETTLE_MAX, last).await;
        self.ledger
            .passed(last.context("the compacted topic cannot be read to its end")??);
        let seen = std::mem::take(&mut *self.ledger.seen.lock());
        let verdict = checker::check(&seen, TOMBSTONE_RETENTION);
        let Some(first) = verdict.wrong.first() else {
            return Ok(verdict.report);
        };
        let path = directory.join("compacted.txt");
        std::fs::write(&path, format!("{:#?}\n{seen:#?}\n", verdict.wrong))
            .with_context(|| path.display().to_string())?;
        bail!(
            "{} broken promises of the compacted topic, the first: {first}",
            verdict.wrong.len()
        )
    }
}
