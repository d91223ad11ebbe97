//! Readers: one of each topic that reads from the start through all of the broker's lives, one that
//! comes and goes.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, bail};
use ratatoskr_client::{Client, ConsumedRecord, Consumer, Error, Offset, StartAt};
use tokio::{sync::watch, time::sleep};

use super::{Ends, Phase, Topic, connect, is_down, through_deaths};
use crate::history::{Event, Found, Place, Recorder, payload};

/// A reader that comes and goes stays shorter than this.
const VISIT_MAX: Duration = Duration::from_millis(400);

/// One reader of one topic.
pub(super) struct Reader {
    pub(super) number: u32,
    /// Whether it stays, from the start of the topic to its end.
    pub(super) lasting: bool,
    pub(super) topic: Topic,
    pub(super) recorder: Recorder,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) random: fastrand::Rng,
}

impl Reader {
    /// Reads until it is at the ends that it is told, or, where it comes and goes, until it is told
    /// any.
    ///
    /// # Errors
    /// It is told what no reader should be: that its offset is out of range, that records are corrupt.
    pub(super) async fn run(mut self, url: String) -> Result<()> {
        let client = connect(&url).await?;
        let mut next: Ends = self
            .topic
            .places()
            .map(|place| (place, Offset::ZERO))
            .collect();
        loop {
            let mut consumer = self.begin(&client, &next).await?;
            let visit = VISIT_MAX.mul_f64(self.random.f64());
            let leaving = sleep(visit);
            tokio::pin!(leaving);
            loop {
                if let Phase::CatchingUp(ends) = &*self.phase.borrow()
                    && (!self.lasting || next.iter().all(|(place, at)| ends[place] <= *at))
                {
                    return Ok(());
                }
                tokio::select! {
                    item = consumer.next() => self.note(item, &mut next)?,
                    _ = self.phase.changed() => {}
                    () = &mut leaving, if !self.lasting => break,
                }
            }
            for at in next.values_mut() {
                *at = Offset::new(self.random.u64(..=at.get()));
            }
        }
    }

    async fn begin(&self, client: &Client, next: &Ends) -> Result<Consumer> {
        for (&place, &offset) in next {
            self.recorder.note(Event::Positioned {
                reader: self.number,
                place,
                offset,
            });
        }
        let offsets = next
            .iter()
            .map(|(place, offset)| (place.partition, *offset));
        let start = StartAt::Offsets(offsets.collect());
        let builder = client.consumer(&self.topic.name).start(start);
        let consumer = through_deaths(|| builder.clone().open()).await;
        consumer.with_context(|| format!("reader {} cannot begin", self.number))
    }

    fn note(
        &self,
        item: Option<Result<ConsumedRecord, Error>>,
        next: &mut BTreeMap<Place, Offset>,
    ) -> Result<()> {
        match item {
            Some(Ok(consumed)) => {
                let place = self.topic.place(consumed.partition);
                self.recorder.note(Event::Read {
                    reader: self.number,
                    place,
                    offset: consumed.offset,
                    found: payload::found(&consumed.record),
                });
                next.insert(place, consumed.offset.plus(1));
                Ok(())
            }
            // The broker is down, and will be up again.
            Some(Err(error)) if is_down(&error) => Ok(()),
            Some(Err(error)) => {
                Err(error).with_context(|| format!("reader {} was told", self.number))
            }
            None => bail!("reader {} was told that there is no more", self.number),
        }
    }
}

/// What is in a log from its start to `end`.
///
/// # Errors
/// The broker's, or those of the way to it.
pub(super) async fn whole(
    client: &Client,
    topic: &Topic,
    place: Place,
    end: Offset,
) -> Result<Vec<(Offset, Found)>> {
    let builder = client.consumer(&topic.name).partitions([place.partition]);
    let mut consumer = builder.start(StartAt::Start).open().await?;
    let mut log = Vec::new();
    while log
        .last()
        .map_or(Offset::ZERO, |(at, _): &(Offset, _)| at.plus(1))
        < end
    {
        let record = consumer.next().await.context("a log ends early")??;
        log.push((record.offset, payload::found(&record.record)));
    }
    Ok(log)
}
