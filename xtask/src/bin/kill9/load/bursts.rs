//! Records sent in bursts, many on their way at once, every outcome told.

use std::time::Duration;

use futures_util::{StreamExt, stream::FuturesUnordered};
use ratatoskr_client::{Error, Producer, Record, RecordMetadata};
use tokio::time::sleep;

use crate::history::Tag;

/// How much is sent, and how fast.
pub(crate) struct Bursts {
    /// At most so many sends are without an outcome at once.
    pub(crate) in_flight: usize,
    /// At most so many records are sent without a pause.
    pub(crate) records: usize,
    /// A pause is shorter than this.
    pub(crate) pause: Duration,
}

/// What is sent, and who hears what becomes of it.
pub(crate) trait Sends {
    /// Whether more is to be sent.
    fn go_on(&self) -> bool;
    fn random(&mut self) -> &mut fastrand::Rng;
    /// The next record, noted as begun.
    fn invoke(&mut self) -> (Tag, Record);
    fn note(&self, tag: Tag, outcome: &Result<RecordMetadata, Error>);
}

impl Bursts {
    /// Sends as long as it is to go on, and waits for every outcome.
    pub(crate) async fn send(&self, producer: &Producer, sends: &mut impl Sends) {
        let mut on_their_way = FuturesUnordered::new();
        while sends.go_on() {
            for _ in 0..sends.random().usize(1..=self.records) {
                let (tag, record) = sends.invoke();
                match producer.enqueue(record).await {
                    Ok(delivery) => on_their_way.push(async move { (tag, delivery.await) }),
                    Err(error) => sends.note(tag, &Err(error)),
                }
            }
            let pause = sleep(self.pause.mul_f64(sends.random().f64()));
            tokio::pin!(pause);
            loop {
                let full = on_their_way.len() >= self.in_flight;
                tokio::select! {
                    Some((tag, outcome)) = on_their_way.next() => sends.note(tag, &outcome),
                    () = &mut pause, if !full => break,
                }
            }
        }
        while let Some((tag, outcome)) = on_their_way.next().await {
            sends.note(tag, &outcome);
        }
    }
}
