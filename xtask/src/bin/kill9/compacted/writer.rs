//! A producer of values and tombstones, every outcome written down.

use std::time::Duration;

use anyhow::{Context, Result};
use ratatoskr_client::{Compression, Error, Outcome as Told, Record, RecordMetadata, TopicName};
use tokio::sync::watch;

use super::{Ledger, Outcome, record};
use crate::{
    history::Tag,
    load::{Bursts, Sends, connect, through_deaths},
};

/// Readers that pass in the pauses prove most.
const BURSTS: Bursts = Bursts {
    in_flight: 100,
    records: 10,
    pause: Duration::from_millis(30),
};

/// One producer.
pub(super) struct Writer {
    pub(super) number: u32,
    /// The sequence of the next record.
    pub(super) sequence: u64,
    pub(super) topic: TopicName,
    pub(super) ledger: Ledger,
    pub(super) settling: watch::Receiver<bool>,
    pub(super) random: fastrand::Rng,
}

impl Writer {
    /// Writes until it is told to settle, and waits for every outcome.
    ///
    /// # Errors
    /// The broker cannot be reached.
    pub(super) async fn run(mut self, url: String) -> Result<()> {
        let client = connect(&url).await?;
        let compression = self.random.choice(Compression::ALL);
        let builder = client
            .producer(&self.topic)
            .compression(compression.unwrap_or_default());
        let producer = through_deaths(|| builder.clone().open()).await;
        let producer = producer.context("a writer cannot begin")?;
        BURSTS.send(&producer, &mut self).await;
        Ok(())
    }
}

impl Sends for Writer {
    fn go_on(&self) -> bool {
        !*self.settling.borrow()
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
        self.ledger.invoked(tag);
        (tag, record::record(tag))
    }

    fn note(&self, tag: Tag, outcome: &Result<RecordMetadata, Error>) {
        let outcome = match outcome {
            Ok(RecordMetadata {
                partition,
                offset: Some(offset),
                ..
            }) => Outcome::Acknowledged {
                at: self.ledger.now(),
                place: (*partition, *offset),
            },
            Err(error) if error.outcome() == Told::Failed => Outcome::Failed,
            Ok(_) | Err(_) => Outcome::Unknown,
        };
        self.ledger.ended(tag, outcome);
    }
}
