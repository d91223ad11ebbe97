//! A queue worked off through all of the broker's lives, by consumers that come and go.
//!
//! Some records are acknowledged, some asked for again, some rejected, and now and then a consumer is
//! gone in the middle of its work, as if it had been killed. What each was told is written down; at
//! the end nothing may be lost, stuck, or delivered after it was done.

mod checker;
mod worker;

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use ratatoskr_client::{
    BrowsePosition, Client, DeadLetterFilter, GroupId, NewQueue, Offset, PartitionIndex,
    QueueConfigChange, QueueDescription, TopicName,
};
use ratatoskr_core::sync::Mutex;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::load::{Topic, connect, stop, through_deaths};
use worker::Worker;

/// Consumers at work.
const WORKERS: u32 = 3;
/// How long a record may be held.
pub(crate) const LEASE: Duration = Duration::from_secs(1);
/// Deliveries after which a record is a dead letter.
const ATTEMPTS_MAX: u32 = 10;
/// How long the queue may take to be worked off, once the broker is up for good and every consumer
/// works as it should: all leases and waits have passed by then many times over.
const WORK_OFF_MAX: Duration = Duration::from_mins(1);
/// Wait between two looks at what is left.
const LOOK: Duration = Duration::from_millis(20);
/// Dead letters looked at at a time.
const PAGE: usize = 1_000;

/// A record's place; a record that was delivered is durable, so it keeps its place.
pub(crate) type At = (PartitionIndex, Offset);

/// What consumers were told of one record, and said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fate {
    /// The token of each delivery, as they came.
    pub(crate) deliveries: Vec<u64>,
    /// The token of the delivery that was acknowledged, where that was answered.
    pub(crate) acknowledged: Option<u64>,
    /// Whether an acknowledgement or a rejection had no answer, so that it may have been kept.
    pub(crate) unknown: bool,
    /// Whether a rejection was answered.
    pub(crate) rejected: bool,
    /// Dead letters of it.
    pub(crate) dead: u32,
}

/// What became of each record.
pub(crate) type Fates = BTreeMap<At, Fate>;

/// Where consumers write down what they see.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger(Arc<Mutex<Fates>>);

impl Ledger {
    fn note(&self, at: At, change: impl FnOnce(&mut Fate)) {
        change(self.0.lock().entry(at).or_default());
    }

    fn take(&self) -> Fates {
        std::mem::take(&mut self.0.lock())
    }
}

/// A queue at work.
pub(crate) struct Work {
    url: String,
    topic: Topic,
    group: GroupId,
    ledger: Ledger,
    working_off: watch::Sender<bool>,
    workers: JoinSet<Result<()>>,
}

fn group() -> Result<GroupId> {
    Ok(GroupId::parse("workers")?)
}

/// Creates the queue group.
///
/// # Errors
/// The broker cannot be reached or does not take it.
pub(crate) async fn create(url: &str) -> Result<()> {
    let client = connect(url).await?;
    let config = QueueConfigChange {
        lease: Some(LEASE),
        attempts_max: Some(ATTEMPTS_MAX),
        backoff_min: Some(Duration::from_millis(10)),
        backoff_max: Some(Duration::from_millis(100)),
        ..QueueConfigChange::default()
    };
    client
        .create_queue(&group()?, NewQueue { config })
        .await
        .context("cannot create the queue group")?;
    Ok(())
}

impl Work {
    /// Puts consumers to work on a broker that need not be up yet.
    ///
    /// # Errors
    /// None that a broker could cause.
    pub(crate) fn start(url: &str, topic: &Topic, random: &mut fastrand::Rng) -> Result<Self> {
        let (working_off, told) = watch::channel(false);
        let mut work = Self {
            url: url.to_owned(),
            topic: topic.clone(),
            group: group()?,
            ledger: Ledger::default(),
            working_off,
            workers: JoinSet::new(),
        };
        for _ in 0..WORKERS {
            let worker = Worker {
                topic: work.topic.name.clone(),
                group: work.group.clone(),
                ledger: work.ledger.clone(),
                working_off: told.clone(),
                random: random.fork(),
            };
            work.workers.spawn(worker.run(url.to_owned()));
        }
        Ok(work)
    }

    /// Works the queue off on a broker that is up for good and takes no more records, and checks what
    /// became of each. Where something is wrong, all of it is written into `directory`.
    ///
    /// # Errors
    /// A promise was broken, something is stuck, or a consumer was told what none should be.
    pub(crate) async fn finish(mut self, directory: &Path) -> Result<()> {
        self.working_off.send_replace(true);
        let client = connect(&self.url).await?;
        self.worked_off(&client).await?;
        stop(&mut self.workers).await?;
        self.note_dead_letters(&client).await?;
        let mut ends = Vec::new();
        for place in self.topic.places() {
            ends.push((
                place.partition,
                self.end_of(&client, place.partition).await?,
            ));
        }
        let fates = self.ledger.take();
        let wrong = checker::check(&fates, &ends);
        let Some(first) = wrong.first() else {
            return Ok(());
        };
        let path = directory.join("queue.txt");
        std::fs::write(&path, format!("{wrong:#?}\n{fates:#?}\n"))
            .with_context(|| path.display().to_string())?;
        bail!(
            "{} broken promises of the queue, the first: {first}",
            wrong.len()
        )
    }

    async fn end_of(&self, client: &Client, partition: PartitionIndex) -> Result<Offset> {
        let bounds = through_deaths(|| client.bounds(&self.topic.name, partition)).await?;
        Ok(bounds.high_watermark)
    }

    /// Waits until the group is done with every record.
    async fn worked_off(&mut self, client: &Client) -> Result<()> {
        let by = Instant::now() + WORK_OFF_MAX;
        loop {
            let queue = through_deaths(|| client.describe_queue(&self.group)).await?;
            let mut left = left_of(&queue, &self.topic);
            for place in self.topic.places() {
                let end = self.end_of(client, place.partition).await?;
                // A partition that the group has not looked at yet.
                if end > Offset::ZERO && !is_known(&queue, place.partition) {
                    left += end.get();
                }
            }
            if left == 0 {
                return Ok(());
            }
            ensure!(
                Instant::now() < by,
                "{left} records are stuck after {WORK_OFF_MAX:?}: {queue:?}"
            );
            tokio::select! {
                () = sleep(LOOK) => {}
                Some(ended) = self.workers.join_next() => {
                    ended??;
                }
            }
        }
    }

    async fn note_dead_letters(&self, client: &Client) -> Result<()> {
        let dead = TopicName::parse(&format!("{}.dlq", self.topic.name))?;
        if client
            .list_topics()
            .await?
            .iter()
            .all(|topic| topic.name != dead)
        {
            return Ok(());
        }
        let (mut from, filter) = (BrowsePosition::default(), DeadLetterFilter::default());
        loop {
            let page = client
                .browse_dead_letters(&dead, from, PAGE, &filter)
                .await
                .context("the dead letters cannot be read")?;
            for letter in page.letters {
                let at = (letter.origin_partition, letter.origin_offset);
                self.ledger.note(at, |fate| fate.dead += 1);
            }
            match page.next {
                Some(next) => from = next,
                None => return Ok(()),
            }
        }
    }
}

/// Records that the group is not done with.
fn left_of(queue: &QueueDescription, topic: &Topic) -> u64 {
    let topics = queue.topics.iter();
    let partitions = topics
        .filter(|found| found.topic == topic.name)
        .flat_map(|found| &found.partitions);
    partitions
        .map(|partition| {
            let counters = &partition.counters;
            let waiting = counters.in_flight + counters.delayed + counters.blocked;
            partition.available + waiting + counters.dying
        })
        .sum()
}

fn is_known(queue: &QueueDescription, partition: PartitionIndex) -> bool {
    let mut partitions = queue.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.any(|known| known.partition == partition)
}
