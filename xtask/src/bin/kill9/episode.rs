//! One data directory from its birth to its judgement: the broker works, is killed, starts again on
//! what it left, and so on; at the end everything is read back.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result};
use ratatoskr_client::{Durability, TopicConfigChange, TopicName};
use tokio::time::sleep;

use crate::{
    compacted,
    group::Group,
    history::{Event, History, Recorder},
    kafka,
    ledger::Totals,
    load::{self, Load, Topic},
    queue,
    server::Site,
};

/// Most kills of one data directory.
const KILLS_MAX: u64 = 8;
/// A broker that is killed while it starts lives shorter than this.
const START_LIFE_MAX: Duration = Duration::from_millis(120);
/// A broker works shorter than this before it is killed.
const WORK_LIFE_MAX: Duration = Duration::from_millis(1_500);
/// A broker that is asked to end is killed within this.
const END_MAX: Duration = Duration::from_millis(60);
/// Segments are this small, so that every life crosses several.
const SEGMENT_BYTES: u64 = 64 << 10;
/// The topic that is worked off as a queue.
const QUEUED: &str = "queued";
/// Partitions of each topic.
const PARTITIONS: u32 = 3;

/// When a broker dies.
#[derive(Clone, Copy, Debug)]
enum Death {
    /// So long after its process was started.
    Starting(Duration),
    /// So long after it said that it serves.
    Working(Duration),
    /// As the one before, but it is asked to end, and killed so long after that.
    Ending(Duration, Duration),
}

/// What was seen to happen in an episode, beside its history.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    pub(crate) compacted: compacted::Report,
    pub(crate) kafka: kafka::Report,
}

/// All choices of an episode that are not the load's.
#[derive(Debug)]
pub(crate) struct Plan {
    seed: u64,
    deaths: Vec<Death>,
    /// Whether the broker is stopped in good order and started once more before the reading back.
    restarts_in_order: bool,
}

impl Plan {
    /// The plan of this seed, of at most `kills_max` kills.
    pub(crate) fn new(seed: u64, kills_max: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let restarts_in_order = random.bool();
        let kills = random.u64(1..=KILLS_MAX).min(kills_max);
        let deaths = (0..kills).map(|_| {
            let works = up_to(WORK_LIFE_MAX, &mut random);
            match random.u32(..6) {
                0 | 1 => Death::Starting(up_to(START_LIFE_MAX, &mut random)),
                2 => Death::Ending(works, up_to(END_MAX, &mut random)),
                _ => Death::Working(works),
            }
        });
        Self {
            seed,
            deaths: deaths.collect(),
            restarts_in_order,
        }
    }

    pub(crate) fn kills(&self) -> usize {
        self.deaths.len()
    }

    /// The seed of the episode after this one.
    pub(crate) fn next_seed(&self) -> u64 {
        fastrand::Rng::with_seed(!self.seed).u64(..)
    }

    /// What an episode of this plan, with this history, adds to a run.
    pub(crate) fn totals(&self, history: &History) -> Totals {
        let mut totals = Totals {
            kills: self.deaths.len() as u64,
            episodes: 1,
            ..Totals::default()
        };
        for death in &self.deaths {
            match death {
                Death::Starting(_) => totals.kills_starting += 1,
                Death::Ending(..) => totals.kills_ending += 1,
                Death::Working(_) => {}
            }
        }
        for event in &history.events {
            match event {
                Event::Invoked { .. } => totals.invoked += 1,
                Event::Acknowledged { .. } => totals.acknowledged += 1,
                Event::Failed { .. } => totals.failed += 1,
                Event::Unknown { .. } => totals.unknown += 1,
                Event::Read { .. } => totals.read += 1,
                Event::Positioned { .. } | Event::EndAsked { .. } | Event::EndAnswered { .. } => {}
            }
        }
        totals
    }
}

fn up_to(max: Duration, random: &mut fastrand::Rng) -> Duration {
    max.mul_f64(random.f64())
}

/// The topics: each durability that outlives a killed process.
fn topics() -> Vec<Topic> {
    let durabilities = [
        ("synced", Durability::Fsync),
        ("buffered", Durability::Os),
        ("periodic", Durability::Interval(Duration::from_millis(20))),
        (QUEUED, Durability::Fsync),
    ];
    durabilities
        .into_iter()
        .zip(0..)
        .map(|((name, durability), number)| Topic {
            number,
            name: TopicName::parse(name).expect("a legal name"),
            partitions: PARTITIONS,
            config: TopicConfigChange {
                durability: Some(durability),
                segment_bytes: Some(SEGMENT_BYTES),
                ..TopicConfigChange::default()
            },
        })
        .collect()
}

/// Runs an episode in an empty directory. The history is as whole as the episode was.
pub(crate) async fn run(
    plan: &Plan,
    program: &Path,
    directory: &Path,
) -> (History, Result<Report>) {
    let recorder = Recorder::default();
    let ran = run_recorded(plan, program, directory, &recorder).await;
    (recorder.take(), ran)
}

async fn run_recorded(
    plan: &Plan,
    program: &Path,
    directory: &Path,
    recorder: &Recorder,
) -> Result<Report> {
    let mut random = fastrand::Rng::with_seed(plan.seed.rotate_left(32));
    let site = Site::new(program, directory, &mut random)?;
    let topics = topics();
    let keyed = compacted::topic()?;
    // Topics are durable on return: the first life ends as soon as they are created.
    let first = site.start(0).await?.ready().await?;
    load::create(&site.url(), &topics).await?;
    load::create(&site.url(), std::slice::from_ref(&keyed)).await?;
    queue::create(&site.url()).await?;
    first.kill().await?;

    let load = Load::start(&site.url(), &topics, recorder, &mut random);
    let queued = topics.iter().find(|topic| topic.name.as_str() == QUEUED);
    let queued = queued.context("no topic is worked off as a queue")?;
    let work = queue::Work::start(&site.url(), queued, &mut random)?;
    let read = topics.first().context("no topic is read by a group")?;
    let group = Group::start(&site.url(), read, &mut random)?;
    let mut kafka = kafka::Work::start(&site.url(), site.kafka, read, recorder, &mut random);
    let mut compacting = compacted::Work::start(&site.url(), &keyed, &mut random);
    for (life, death) in (1..).zip(&plan.deaths) {
        let starting = site.start(life).await?;
        match *death {
            Death::Starting(after) => {
                sleep(after).await;
                starting.kill().await?;
            }
            Death::Working(after) => {
                let server = starting.ready().await?;
                sleep(after).await;
                server.kill().await?;
            }
            Death::Ending(works, after) => {
                let mut server = starting.ready().await?;
                sleep(works).await;
                server.ask_to_end().await?;
                sleep(after).await;
                server.kill_ending().await?;
            }
        }
    }
    let life = plan.deaths.len() as u64 + 1;
    let mut server = site.start(life).await?.ready().await?;
    // The others are done when no more records come.
    kafka.settle().await?;
    load.finish().await?;
    compacting.settle().await?;
    work.finish(directory).await?;
    group.finish().await?;
    let kafka = kafka.finish().await?;
    if plan.restarts_in_order {
        server.stop().await?;
        server = site.start(life + 1).await?.ready().await?;
    }
    load::read_back(&site.url(), &topics, recorder).await?;
    let compacted = compacting.finish(directory).await?;
    server.stop().await?;
    Ok(Report { compacted, kafka })
}
