//! A producer: bursts of records, many on their way at once, every outcome written down.

use std::time::Duration;

use anyhow::{Context, Result};
use ratatoskr_client::{Compression, Error, Outcome, Record, RecordMetadata};
use tokio::sync::watch;

use super::{
    Phase, Topic,
    bursts::{Bursts, Sends},
    connect, through_deaths,
};
use crate::history::{Delivery, Event, Recorder, Tag, payload};

const BURSTS: Bursts = Bursts {
    in_flight: 200,
    records: 40,
    pause: Duration::from_millis(10),
};

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
        BURSTS.send(&producer, &mut self).await;
        let (tag, record) = self.invoke();
        let outcome = producer.send(record).await;
        self.note(tag, &outcome);
        outcome
            .map(drop)
            .with_context(|| format!("{tag}, the last of its producer"))
    }
}

impl Sends for Producer {
    fn go_on(&self) -> bool {
        *self.phase.borrow() == Phase::Working
    }

    fn random(&mut self) -> &mut fastrand::Rng {
        &mut self.random
    }

    fn invoke(&mut self) -> (Tag, Record) {
        let tag = Tag {
            producer: self.number,
            sequence: self.sequence,
        };
        self.sequence += 1;
        let topic = self.topic.number;
        self.recorder.note(Event::Invoked { tag, topic });
        (tag, payload::record(tag))
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
