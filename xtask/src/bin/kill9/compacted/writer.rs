//! A producer of values and tombstones, every outcome written down.

use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::{StreamExt, stream::FuturesUnordered};
use ratatoskr_client::{Compression, Error, Outcome as Told, RecordMetadata, TopicName};
use tokio::{sync::watch, time::sleep};

use super::{Ledger, Outcome, record};
use crate::{
    history::Tag,
    load::{connect, through_deaths},
};

/// Sends that may be without an outcome at once.
const IN_FLIGHT_MAX: usize = 100;
/// Records sent without a pause are at most so many.
const BURST_MAX: usize = 10;
/// A pause is shorter than this; readers that pass meanwhile prove most.
const PAUSE_MAX: Duration = Duration::from_millis(30);

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
        let mut on_their_way = FuturesUnordered::new();
        while !*self.settling.borrow() {
            for _ in 0..self.random.usize(1..=BURST_MAX) {
                let tag = self.invoke();
                match producer.enqueue(record::record(tag)).await {
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
        Ok(())
    }

    fn invoke(&mut self) -> Tag {
        let tag = Tag {
            producer: self.number,
            sequence: self.sequence,
        };
        self.sequence += 1;
        self.ledger.invoked(tag);
        tag
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
