//! The sending half of `produce`: records out, acknowledgements in, in the order of the input.

use std::{collections::VecDeque, time::Duration};

use futures_util::FutureExt as _;
use ratatoskr_client::{Client, Delivery, Error, Producer, RecordMetadata};
use ratatoskr_core::{
    bytes::Bytes,
    record::{Header, Record},
};
use tokio::{sync::mpsc, time::Instant};

use super::{Options, input::Chunk};
use crate::cli::{
    exit::{Exit, Failure, Outcome},
    progress::Progress,
};

/// Records whose acknowledgement may be outstanding.
const OUTSTANDING_MAX: usize = 50_000;

/// What has been sent and what has come of it.
pub(super) struct Sending<'a> {
    options: &'a Options,
    key: Option<Bytes>,
    headers: Vec<Header>,
    producer: Producer,
    progress: Progress,
    outstanding: VecDeque<Delivery>,
    start: Instant,
    sent: u64,
    acknowledged: u64,
    first_error: Option<Failure>,
}

impl<'a> Sending<'a> {
    /// Gets ready to send.
    ///
    /// # Errors
    /// What the broker answers.
    pub(super) async fn start(
        options: &'a Options,
        headers: Vec<Header>,
        client: &Client,
        progress: Progress,
    ) -> Outcome<Self> {
        let mut producer = client
            .producer(&options.topic)
            .delivery_timeout(options.connection.timeout());
        if let Some(compression) = options.compression {
            producer = producer.compression(compression);
        }
        Ok(Self {
            options,
            key: options.key.clone().map(Bytes::from),
            headers,
            producer: options.connection.ask(producer.open()).await?,
            progress,
            outstanding: VecDeque::new(),
            start: Instant::now(),
            sent: 0,
            acknowledged: 0,
            first_error: None,
        })
    }

    /// Sends everything that comes, until a record fails: what comes after would overtake it.
    ///
    /// # Errors
    /// What is wrong with the input.
    pub(super) async fn send_all(&mut self, mut chunks: mpsc::Receiver<Outcome<Chunk>>) -> Outcome {
        while let Some(chunk) = chunks.recv().await {
            let chunk = chunk?;
            for record in chunk.records {
                self.pace().await;
                self.send(record).await;
                while self.outstanding.len() > OUTSTANDING_MAX {
                    self.settle_one().await;
                }
                if self.first_error.is_some() {
                    return Ok(());
                }
            }
            self.progress.advance(chunk.bytes as u64);
            self.settle_ready();
        }
        Ok(())
    }

    /// Waits for what is outstanding and says what came of it all.
    ///
    /// # Errors
    /// The first failure: of the input, or of a record; [`Exit::Partial`] where others went through.
    pub(super) async fn finish(mut self, input: Outcome) -> Outcome {
        while !self.outstanding.is_empty() {
            self.settle_one().await;
        }
        drop(self.progress);
        eprintln!(
            "{} records acknowledged by {} in {:.2} s",
            self.acknowledged,
            self.options.topic,
            self.start.elapsed().as_secs_f64()
        );
        let failure = match (self.first_error, input) {
            (None, Ok(())) => return Ok(()),
            (Some(failure), _) | (None, Err(failure)) => failure,
        };
        if self.acknowledged == 0 {
            return Err(failure);
        }
        Err(failure.ending(Exit::Partial))
    }

    /// Holds the next record back until it is due.
    async fn pace(&self) {
        if let Some(rate) = self.options.rate {
            let seconds = self.sent / rate;
            let rest = (self.sent % rate) * 1_000_000_000 / rate;
            let due = Duration::from_secs(seconds) + Duration::from_nanos(rest);
            tokio::time::sleep_until(self.start + due).await;
        }
    }

    async fn send(&mut self, mut record: Record) {
        if record.key.is_none() {
            record.key.clone_from(&self.key);
        }
        record.headers.extend_from_slice(&self.headers);
        self.sent += 1;
        match self.producer.enqueue(record).await {
            Ok(delivery) => self.outstanding.push_back(delivery),
            Err(error) => self.take(Err(error)),
        }
    }

    fn settle_ready(&mut self) {
        while let Some(delivery) = self.outstanding.front_mut()
            && let Some(outcome) = delivery.now_or_never()
        {
            self.outstanding.pop_front();
            self.take(outcome);
        }
    }

    async fn settle_one(&mut self) {
        if let Some(delivery) = self.outstanding.pop_front() {
            let outcome = delivery.await;
            self.take(outcome);
        }
    }

    fn take(&mut self, outcome: Result<RecordMetadata, Error>) {
        match outcome {
            Ok(_) => self.acknowledged += 1,
            Err(error) => {
                let failure = || self.options.connection.failed(&error);
                self.first_error.get_or_insert_with(failure);
            }
        }
    }
}
