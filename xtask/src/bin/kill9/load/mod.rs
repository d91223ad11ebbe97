//! Producers and readers that work a broker through all its lives, and write down what they are told.
//!
//! Each has a client of its own, that is a connection of its own, which it keeps: that a client finds
//! its way back to a broker that was killed is part of what is tested.

mod bursts;
mod ends;
mod producing;
mod reading;

use std::{collections::BTreeMap, future::Future, time::Duration};

use anyhow::{Context, Result, ensure};
use ratatoskr_client::{
    Client, ConnectOptions, Error, NewTopic, Offset, PartitionIndex, TopicConfigChange, TopicName,
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::history::{Delivery, Place, Recorder};
pub(crate) use bursts::{Bursts, Sends};

/// How long the producers may take, once the broker is up for good, to have every outcome.
const SETTLE_MAX: Duration = Duration::from_mins(1);
/// How long the readers may take to come to the end of what is there.
const CATCH_UP_MAX: Duration = Duration::from_mins(1);
/// Wait between two attempts to reach a broker that is down.
const AGAIN: Duration = Duration::from_millis(20);
/// How long an answer may take, through all the deaths that the broker dies meanwhile.
const ANSWER_MAX: Duration = Duration::from_mins(1);

/// The producers of each topic.
const PRODUCERS: [Delivery; 3] = [Delivery::Idempotent, Delivery::Idempotent, Delivery::Plain];

/// A topic under load.
#[derive(Clone, Debug)]
pub(crate) struct Topic {
    /// Its number in the history.
    pub(crate) number: u32,
    pub(crate) name: TopicName,
    pub(crate) partitions: u32,
    pub(crate) config: TopicConfigChange,
}

impl Topic {
    pub(crate) fn places(&self) -> impl Iterator<Item = Place> + use<> {
        let topic = self.number;
        (0..self.partitions).map(move |partition| Place {
            topic,
            partition: PartitionIndex::new(partition),
        })
    }

    /// Where its partitions end.
    ///
    /// # Errors
    /// The broker's, or those of the way to it.
    pub(crate) async fn ends(
        &self,
        client: &Client,
    ) -> Result<Vec<(PartitionIndex, Offset)>, Error> {
        let mut found = Vec::new();
        for place in self.places() {
            let end = ends::end_of(client, self, place).await?;
            found.push((place.partition, end));
        }
        Ok(found)
    }

    pub(crate) fn place(&self, partition: PartitionIndex) -> Place {
        Place {
            topic: self.number,
            partition,
        }
    }
}

/// Where each partition ends, exclusive.
type Ends = BTreeMap<Place, Offset>;

/// What is to be done, told to all.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// Work.
    Working,
    /// Send nothing more, and wait for what was sent.
    Settling,
    /// Read up to here.
    CatchingUp(Ends),
}

/// Everybody at work.
pub(crate) struct Load {
    url: String,
    topics: Vec<Topic>,
    phase: watch::Sender<Phase>,
    producers: JoinSet<Result<()>>,
    readers: JoinSet<Result<()>>,
}

/// Creates the topics.
///
/// # Errors
/// The broker cannot be reached or does not take them.
pub(crate) async fn create(url: &str, topics: &[Topic]) -> Result<()> {
    let client = connect(url).await?;
    for topic in topics {
        let new = NewTopic {
            partitions: Some(topic.partitions),
            config: topic.config.clone(),
        };
        client
            .create_topic(&topic.name, new)
            .await
            .with_context(|| format!("cannot create {}", topic.name))?;
    }
    Ok(())
}

/// Reads every log from its start to its end, into the history.
///
/// # Errors
/// The broker cannot be reached, or a log cannot be read.
pub(crate) async fn read_back(url: &str, topics: &[Topic], recorder: &Recorder) -> Result<()> {
    let client = connect(url).await?;
    for topic in topics {
        for place in topic.places() {
            let end = ends::end_of(&client, topic, place).await?;
            let log = reading::whole(&client, topic, place, end);
            let log = timeout(CATCH_UP_MAX, log).await;
            let log = log.with_context(|| format!("{place} cannot be read to @{end}"))??;
            recorder.read_back(place, log);
        }
    }
    Ok(())
}

impl Load {
    /// Puts everybody to work on a broker that need not be up yet.
    pub(crate) fn start(
        url: &str,
        topics: &[Topic],
        recorder: &Recorder,
        random: &mut fastrand::Rng,
    ) -> Self {
        let (phase, told) = watch::channel(Phase::Working);
        let mut load = Self {
            url: url.to_owned(),
            topics: topics.to_vec(),
            phase,
            producers: JoinSet::new(),
            readers: JoinSet::new(),
        };
        let mut numbers = 0..;
        let mut next = || numbers.next().unwrap_or_default();
        for topic in topics {
            for delivery in PRODUCERS {
                let number = next();
                recorder.producer(number, delivery);
                let producer = producing::Producer {
                    number,
                    delivery,
                    sequence: 0,
                    topic: topic.clone(),
                    recorder: recorder.clone(),
                    phase: told.clone(),
                    random: random.fork(),
                };
                load.producers.spawn(producer.run(url.to_owned()));
            }
            for lasting in [true, false] {
                let reader = reading::Reader {
                    lasting,
                    number: next(),
                    topic: topic.clone(),
                    recorder: recorder.clone(),
                    phase: told.clone(),
                    random: random.fork(),
                };
                load.readers.spawn(reader.run(url.to_owned()));
            }
            let asker = ends::Asker {
                topic: topic.clone(),
                recorder: recorder.clone(),
                phase: told.clone(),
                random: random.fork(),
            };
            load.producers.spawn(asker.run(url.to_owned()));
        }
        load
    }

    /// Ends the work on a broker that is up for good: every send gets its outcome, every reader comes
    /// to the end.
    ///
    /// # Errors
    /// It does not come to that in time, or somebody was told what nobody should be.
    pub(crate) async fn finish(mut self) -> Result<()> {
        self.phase.send_replace(Phase::Settling);
        within(
            SETTLE_MAX,
            "some sends have no outcome",
            all(&mut self.producers),
        )
        .await?;
        let client = connect(&self.url).await?;
        let mut ends = Ends::new();
        for topic in &self.topics {
            for place in topic.places() {
                ends.insert(place, ends::end_of(&client, topic, place).await?);
            }
        }
        self.phase.send_replace(Phase::CatchingUp(ends));
        within(
            CATCH_UP_MAX,
            "a reader does not come to the end",
            all(&mut self.readers),
        )
        .await
    }
}

/// Ends tasks that go on until they are aborted.
///
/// # Errors
/// What one of them ended with before, or that it panicked.
pub(crate) async fn stop(tasks: &mut JoinSet<Result<()>>) -> Result<()> {
    tasks.abort_all();
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok(ended) => ended?,
            Err(error) => ensure!(error.is_cancelled(), "a task panicked: {error}"),
        }
    }
    Ok(())
}

/// A client of its own, made as soon as the broker lives long enough to be reached.
pub(crate) async fn connect(url: &str) -> Result<Client> {
    let options = ConnectOptions {
        backoff_min: AGAIN,
        backoff_max: AGAIN,
        ..ConnectOptions::default()
    };
    through_deaths(|| Client::connect_with(url, options.clone()))
        .await
        .with_context(|| format!("no way to {url}"))
}

/// Tries until the broker lives long enough to answer.
pub(crate) async fn through_deaths<T, F>(mut attempt: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T, Error>>,
{
    let trying = async {
        loop {
            match attempt().await {
                Err(error) if is_down(&error) => sleep(AGAIN).await,
                answer => return answer,
            }
        }
    };
    let answer = timeout(ANSWER_MAX, trying).await;
    Ok(answer.with_context(|| format!("no answer within {ANSWER_MAX:?}"))??)
}

/// Whether the error says no more than that the broker is not there at the moment.
pub(crate) fn is_down(error: &Error) -> bool {
    let lost = matches!(error, Error::ConnectionLost { .. } | Error::TimedOut { .. });
    lost || error.is_retryable()
}

/// Waits for all tasks.
async fn all(tasks: &mut JoinSet<Result<()>>) -> Result<()> {
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

async fn within(max: Duration, late: &str, work: impl Future<Output = Result<()>>) -> Result<()> {
    let worked = timeout(max, work).await;
    worked.with_context(|| format!("{late} after {max:?}"))?
}
