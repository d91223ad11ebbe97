//! Somebody who keeps asking where partitions end: an end never goes back.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use anyhow::{Context, Result};
use ratatoskr_client::{Client, Error, Offset};
use tokio::{sync::watch, time::sleep};

use super::{Phase, Topic, connect, is_down};
use crate::history::{Event, Place, Recorder};

/// Two questions are less far apart than this.
const PAUSE_MAX: Duration = Duration::from_millis(20);

/// Asks for the ends of one topic's partitions.
pub(super) struct Asker {
    pub(super) topic: Topic,
    pub(super) recorder: Recorder,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) random: fastrand::Rng,
}

impl Asker {
    /// Asks until it is told to settle. A question without an answer is asked for nothing.
    ///
    /// # Errors
    /// There is an answer that no broker should give.
    pub(super) async fn run(mut self, url: String) -> Result<()> {
        static QUESTIONS: AtomicU64 = AtomicU64::new(0);
        let client = connect(&url).await?;
        let places: Vec<Place> = self.topic.places().collect();
        while *self.phase.borrow() == Phase::Working {
            let Some(&place) = self.random.choice(&places) else {
                break;
            };
            let question = QUESTIONS.fetch_add(1, Ordering::Relaxed);
            self.recorder.note(Event::EndAsked { question, place });
            match end_of(&client, &self.topic, place).await {
                Ok(end) => self.recorder.note(Event::EndAnswered { question, end }),
                Err(error) if is_down(&error) => {}
                Err(error) => return Err(error).with_context(|| format!("where {place} ends")),
            }
            tokio::select! {
                () = sleep(PAUSE_MAX.mul_f64(self.random.f64())) => {}
                _ = self.phase.changed() => {}
            }
        }
        Ok(())
    }
}

/// One past the last record of a partition that can be read.
///
/// # Errors
/// The broker's, or those of the way to it.
pub(super) async fn end_of(client: &Client, topic: &Topic, place: Place) -> Result<Offset, Error> {
    let bounds = client.bounds(&topic.name, place.partition).await?;
    Ok(bounds.high_watermark)
}
