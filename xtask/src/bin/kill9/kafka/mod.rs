//! Clients of Kafka's protocol, through all of the broker's lives: idempotent producers that send again
//! what was not acknowledged, and a group of the classic protocol that reads what they and the native
//! clients send.
//!
//! What producers are told and members read goes into the history; what the group commits, into the
//! ledger that native groups have. Both are judged by the checkers that there are.

mod calls;
mod connection;
mod member;
mod pipeline;
mod producer;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use ratatoskr_client::{Offset, PartitionIndex};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{
    group::ledger::Ledger,
    history::{Delivery, Recorder},
    load::{Topic, connect, stop},
};
use connection::{Connection, is_down};
use member::Member;
use pipeline::Pipeline;
use producer::Producer;

/// Producers at work.
const PRODUCERS: u32 = 2;
/// Members at work; the last one is dynamic, the others are static.
const MEMBERS: u32 = 3;
/// Producers and readers of the history have numbers from here on.
const NUMBERS: u32 = 1_000;
/// Wait between two attempts of what a death of the broker has ended.
const AGAIN: Duration = Duration::from_millis(20);
/// Two questions are less far apart than this.
const PAUSE_MAX: Duration = Duration::from_millis(20);
/// How long the producers may take to have everything acknowledged, once the broker is up for good,
/// and then the group to be stable and at the end.
const SETTLE_MAX: Duration = Duration::from_mins(1);

/// What was seen to happen: a test in which nothing of it does proves nothing.
#[derive(Clone, Debug, Default)]
struct Seen(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    resent: AtomicU64,
    generation: AtomicU64,
    commits: AtomicU64,
}

impl Seen {
    fn resent(&self, batches: usize) {
        self.0.resent.fetch_add(batches as u64, Ordering::Relaxed);
    }

    fn joined(&self, generation: i32) {
        let generation = generation.unsigned_abs().into();
        self.0.generation.fetch_max(generation, Ordering::Relaxed);
    }

    fn committed(&self) {
        self.0.commits.fetch_add(1, Ordering::Relaxed);
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Report {
    /// Batches that were sent again.
    pub(crate) resent: u64,
    /// Generations that the group has had.
    pub(crate) generations: u64,
    /// Commits of the group's members that were acknowledged.
    pub(crate) commits: u64,
}

/// Kafka's clients at work.
pub(crate) struct Work {
    url: String,
    address: SocketAddr,
    topic: Topic,
    ledger: Ledger,
    seen: Seen,
    settling: watch::Sender<bool>,
    catching_up: watch::Sender<bool>,
    producers: JoinSet<Result<()>>,
    readers: JoinSet<Result<()>>,
}

impl Work {
    /// Puts clients to work on a broker that need not be up yet. `url` is where it speaks its own
    /// protocol, `address` where it speaks Kafka's.
    pub(crate) fn start(
        url: &str,
        address: SocketAddr,
        topic: &Topic,
        recorder: &Recorder,
        random: &mut fastrand::Rng,
    ) -> Self {
        let (settling, told_to_settle) = watch::channel(false);
        let (catching_up, told_to_catch_up) = watch::channel(false);
        let mut work = Self {
            url: url.to_owned(),
            address,
            topic: topic.clone(),
            ledger: Ledger::default(),
            seen: Seen::default(),
            settling,
            catching_up,
            producers: JoinSet::new(),
            readers: JoinSet::new(),
        };
        for number in NUMBERS..NUMBERS + PRODUCERS {
            recorder.producer(number, Delivery::Idempotent);
            let producer = Producer {
                number,
                address,
                topic: topic.clone(),
                recorder: recorder.clone(),
                seen: work.seen.clone(),
                settling: told_to_settle.clone(),
                random: random.fork(),
                sequence: 0,
                identity: None,
                pipeline: Pipeline::default(),
            };
            work.producers.spawn(producer.run());
        }
        for at in 0..MEMBERS {
            let member = Member {
                number: NUMBERS + at,
                address,
                topic: topic.clone(),
                recorder: recorder.clone(),
                ledger: work.ledger.clone(),
                seen: work.seen.clone(),
                catching_up: told_to_catch_up.clone(),
                random: random.fork(),
                instance: (at + 1 < MEMBERS).then(|| format!("member-{at}")),
                id: String::new(),
                seat: None,
            };
            work.readers.spawn(member.run());
        }
        let (topic, ledger) = (work.topic.clone(), work.ledger.clone());
        let asking = ask(address, topic, ledger, random.fork());
        work.readers.spawn(asking);
        work
    }

    /// Lets the producers have everything acknowledged, on a broker that is up for good. Nothing is
    /// sent any more when this returns.
    ///
    /// # Errors
    /// They were answered what no producer should be, or take too long.
    pub(crate) async fn settle(&mut self) -> Result<()> {
        self.settling.send_replace(true);
        let settled = timeout(SETTLE_MAX, async {
            while let Some(ended) = self.producers.join_next().await {
                ended??;
            }
            anyhow::Ok(())
        });
        let settled = settled.await;
        settled.with_context(|| format!("some batches have no answer after {SETTLE_MAX:?}"))?
    }

    /// Lets the group read to the end, on a broker that is up for good and takes no more records, and
    /// checks what it read and committed.
    ///
    /// # Errors
    /// A promise was broken, the group is not stable and at the end in time, or a member was told what
    /// none should be.
    pub(crate) async fn finish(mut self) -> Result<Report> {
        self.catching_up.send_replace(true);
        let client = connect(&self.url).await?;
        let ends = self.topic.ends(&client).await?;
        let by = Instant::now() + SETTLE_MAX;
        let mut connection = Connection::open(self.address).await?;
        while let Some(missing) = self.missing(&mut connection, &ends).await? {
            ensure!(
                Instant::now() < by,
                "after {SETTLE_MAX:?} Kafka's group is not where it should be: {missing}"
            );
            tokio::select! {
                () = sleep(AGAIN) => {}
                Some(ended) = self.readers.join_next() => ended??,
            }
        }
        stop(&mut self.readers).await?;
        self.ledger.check(&ends)?;
        let counts = &self.seen.0;
        Ok(Report {
            resent: counts.resent.load(Ordering::Relaxed),
            generations: counts.generation.load(Ordering::Relaxed),
            commits: counts.commits.load(Ordering::Relaxed),
        })
    }

    /// What keeps the group from being stable, with all its members, and at the end.
    async fn missing(
        &self,
        connection: &mut Connection,
        ends: &[(PartitionIndex, Offset)],
    ) -> Result<Option<String>> {
        let (state, members) = calls::describe(connection).await?;
        if state != "Stable" || members != MEMBERS as usize {
            return Ok(Some(format!("{state} with {members} members")));
        }
        let partitions: Vec<_> = ends.iter().map(|(partition, _)| *partition).collect();
        let found = calls::offsets(connection, self.topic.name.as_str(), &partitions).await?;
        let at_end = found
            .iter()
            .zip(ends)
            .all(|((_, committed), (_, end))| *committed == Ok(*end));
        Ok((!at_end).then(|| format!("{found:?} of {ends:?}")))
    }
}

/// Asks for the committed offsets until it is aborted. A question without an answer is asked for
/// nothing.
async fn ask(
    address: SocketAddr,
    topic: Topic,
    ledger: Ledger,
    mut random: fastrand::Rng,
) -> Result<()> {
    let partitions: Vec<_> = topic.places().map(|place| place.partition).collect();
    loop {
        let asking = ask_on(address, &topic, &partitions, &ledger, &mut random);
        match asking.await {
            Err(error) if is_down(&error) => sleep(AGAIN).await,
            ended => return ended.context("what Kafka's group has committed"),
        }
    }
}

/// Asks as long as a connection lasts.
async fn ask_on(
    address: SocketAddr,
    topic: &Topic,
    partitions: &[PartitionIndex],
    ledger: &Ledger,
    random: &mut fastrand::Rng,
) -> Result<()> {
    let mut connection = Connection::open(address).await?;
    loop {
        let asked = ledger.ask();
        let found = calls::offsets(&mut connection, topic.name.as_str(), partitions).await?;
        for (partition, committed) in found {
            match committed {
                Ok(committed) => ledger.answered(&asked, partition, committed),
                Err(code) if member::RETRIED.contains(&code) => {}
                Err(code) => anyhow::bail!("committed offsets were answered with {code}"),
            }
        }
        sleep(PAUSE_MAX.mul_f64(random.f64())).await;
    }
}
