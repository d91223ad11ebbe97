//! A producer: bursts of records, many on their way at once, every outcome written down.

use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::{StreamExt, stream::FuturesUnordered};
use ratatoskr_client::{Compression, Error, Outcome, RecordMetadata};
use tokio::{sync::watch, time::sleep};

use super::{Phase, Topic, connect, through_deaths};
use crate::history::{Delivery, Event, Recorder, Tag, payload};

/// Sends that may be without an outcome at once.
const IN_FLIGHT_MAX: usize = 200;
/// Records sent without a pause are at most so many.
const BURST_MAX: usize = 40;
/// A pause is shorter than this.
const PAUSE_MAX: Duration = Duration::from_millis(10);

/// One producer of one topic.
pub(super) struct Producer {
    pub(super) number: u32,
    pub(super) delivery: Delivery,
    /// The sequence of the next record.
    pub(super) sequence: u64,
    pub(super) topic: Topic,
    pub(super) recorder: Recorder,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) random: fastrand::Rng,
}

impl Producer {
    /// Sends until it is told to settle, then waits for every outcome, and then sends one last record:
    /// a broker that is up must take it.
    ///
    /// # Errors
    /// The last record is not taken.
    pub(super) async fn run(mut self, url: String) -> Result<()> {
        let client = connect(&url).await?;
        let idempotent = self.delivery == Delivery::Idempotent;
        let compression = self.random.choice(Compression::ALL);
        let builder = client
            .producer(&self.topic.name)
            .idempotent(idempotent)
            .compression(compression.unwrap_or_default());
        let producer = through_deaths(|| builder.clone().open()).await?;
        let mut on_their_way = FuturesUnordered::new();
        while *self.phase.borrow() == Phase::Working {
            for _ in 0..self.random.usize(1..=BURST_MAX) {
                let tag = self.invoke();
                match producer.enqueue(payload::record(tag)).await {
                    Ok(delivery) => on_their_way.push(async move { (tag, delivery.await) }),
                    Err(error) => self.note(tag, &Err(error)),
                }
            }
            let pause = sleep(PAUSE_MAX.mul_f64(self.random.f64()));
            tokio::pin!(pause);
            loop {
                let full = on_their_way.len() >= IN_FLIGHT_MAX;
                tokio::select! {
                    Some((tag, outcome)) = on_their_way.next() => self.note(tag, &outcome),
                    () = &mut pause, if !full => break,
                }
            }
        }
        while let Some((tag, outcome)) = on_their_way.next().await {
            self.note(tag, &outcome);
        }
        let tag = self.invoke();
        let outcome = producer.send(payload::record(tag)).await;
        self.note(tag, &outcome);
        outcome
            .map(drop)
            .with_context(|| format!("{tag}, the last of its producer"))
    }

    /// Begins to send the next record.
    fn invoke(&mut self) -> Tag {
        let tag = Tag {
            producer: self.number,
            sequence: self.sequence,
        };
        self.sequence += 1;
        let topic = self.topic.number;
        self.recorder.note(Event::Invoked { tag, topic });
        tag
    }

    fn note(&self, tag: Tag, outcome: &Result<RecordMetadata, Error>) {
        self.recorder.note(match outcome {
            Ok(RecordMetadata {
                partition,
                offset: Some(offset),
                ..
            }) => Event::Acknowledged {
                tag,
                partition: *partition,
                offset: *offset,
            },
            Err(error) if error.outcome() == Outcome::Failed => Event::Failed { tag },
            Ok(_) | Err(_) => Event::Unknown { tag },
        });
    }
}
