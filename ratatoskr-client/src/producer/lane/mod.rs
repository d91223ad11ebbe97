//! One partition of a producer: what is gathered, what waits, what is under way.
//!
//! ```text
//! records → open ─(full, due)→ queue ─(sent)→ under way ─(answered)→ settled
//!                                 ↑───(to be sent again)──┘
//! ```
//! Invariants:
//! - batches are settled as acknowledged in the order in which they were sealed;
//! - an idempotent batch keeps its sequence for as long as it may have been appended; sequences
//!   begin anew, under another identity, only when every batch that is left surely was not;
//! - once one batch has failed nothing more is sent until all that are under way are answered; then
//!   one goes alone, until it is acknowledged. So no later batch ever overtakes an earlier one, not
//!   even at a broker that has forgotten this producer and would take any sequence.

mod recovery;
mod round;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, sync::Arc};

use ratatoskr_core::{
    Error as BrokerError, Outcome,
    batch::{BatchBuilder, BatchError, RecordBatch},
    broker::{Produced, ProducerIdentity},
    config::Compression,
    offset::PartitionIndex,
    producer::{ProducerStamp, Sequence},
    record::Record,
    time::Timestamp,
};
use tokio::time::{Duration, Instant};

use self::round::Round;
use super::{
    delivery::{BatchOutcome, Delivery, Settled},
    options::{Acks, ProducerOptions},
};
use crate::Error;

/// Batches of a partition under way at once: as many as a broker remembers of a producer.
const UNDER_WAY_MAX: usize = ratatoskr_core::limits::PRODUCER_BATCHES_REMEMBERED;

/// A batch that is being filled.
#[derive(Debug)]
struct Open {
    builder: BatchBuilder,
    outcome: Arc<BatchOutcome>,
    since: Instant,
    cost: usize,
    /// Whether the driver has been told to send it.
    scheduled: bool,
}

/// A batch that is full, or due.
#[derive(Debug)]
struct Sealed {
    batch: RecordBatch,
    outcome: Arc<BatchOutcome>,
    since: Instant,
    /// Bytes of the buffer that its records hold.
    cost: usize,
    /// Whether an attempt may have appended it.
    unknown: bool,
    /// Why it is to be sent again.
    refused: Option<Error>,
}

/// A batch that was sent.
#[derive(Debug)]
struct UnderWay {
    id: u64,
    sealed: Sealed,
    /// Why it must be sent again, or failed; acknowledged ones are gone.
    answer: Option<Error>,
    /// Whether its time was up before the answer came, and its records were told so.
    late: bool,
}

/// One partition's batches.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) partition: PartitionIndex,
    compression: Compression,
    mode: Mode,
    delivery_timeout: Duration,
    /// Whether a broker that shuts down may be there again later.
    broker_comes_back: bool,
    /// `None` while a new one is asked for.
    identity: Option<ProducerIdentity>,
    next_sequence: Sequence,
    open: Option<Open>,
    queue: VecDeque<Sealed>,
    under_way: VecDeque<UnderWay>,
    last_id: u64,
    /// Whether a batch was acknowledged since the identity is new or something failed.
    proven: bool,
    recovering: bool,
    attempts: u32,
    retry_at: Option<Instant>,
    /// Bytes of the last batch: the next one probably needs as many.
    records_bytes: usize,
    round: Round,
}

/// What a lane may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Nothing is sent again, so several batches may be under way.
    Unacknowledged,
    /// What was surely not appended is sent again, so only one may.
    Acknowledged,
    /// What may have been appended is sent again as well, and sequences keep the order of several.
    Idempotent,
}

impl Lane {
    pub(super) fn new(
        partition: PartitionIndex,
        identity: Option<ProducerIdentity>,
        options: &ProducerOptions,
        broker_comes_back: bool,
    ) -> Self {
        Self {
            partition,
            compression: options.compression.unwrap_or_default(),
            mode: match identity {
                Some(_) => Mode::Idempotent,
                None if options.acks == Acks::None => Mode::Unacknowledged,
                None => Mode::Acknowledged,
            },
            delivery_timeout: options.delivery_timeout,
            broker_comes_back,
            identity,
            next_sequence: Sequence::new(0),
            open: None,
            queue: VecDeque::new(),
            under_way: VecDeque::new(),
            last_id: 0,
            proven: false,
            recovering: false,
            attempts: 0,
            retry_at: None,
            records_bytes: 0,
            round: Round::default(),
        }
    }

    /// Whether it holds nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_none() && self.queue.is_empty() && self.under_way.is_empty()
    }

    const fn is_idempotent(&self) -> bool {
        matches!(self.mode, Mode::Idempotent)
    }

    /// Whether it waits for an identity.
    pub(super) const fn needs_identity(&self) -> bool {
        self.is_idempotent() && self.identity.is_none()
    }

    /// Whether nothing is under way or waits to be, so that what is gathered need not wait either.
    pub(super) fn is_quiet(&self) -> bool {
        self.under_way.is_empty() && self.queue.is_empty()
    }

    /// Whether half of what is held at once is gathered, and can be sent.
    pub(super) fn has_half_a_round(&self) -> bool {
        let gathered = self.open.as_ref().map(|open| open.builder.record_count());
        gathered.is_some_and(|records| self.round.is_half(records)) && self.could_send()
    }

    fn note_round(&mut self) {
        // What is queued is left out: then more is held than can be under way, and batches fill anyway.
        let sent = self.under_way.iter().map(|sent| sent.sealed.record_count());
        let open = self.open.iter().map(|open| open.builder.record_count());
        self.round.note(sent.chain(open).sum());
    }

    /// Whether anything is gathered that is not sealed.
    pub(super) const fn has_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether it waits for something that only the driver does: an identity, or another attempt.
    pub(super) const fn is_troubled(&self) -> bool {
        self.needs_identity() || self.retry_at.is_some()
    }

    /// Notes that the open batch is to be sent when the driver runs; `false` where that was noted
    /// before, or it could not be sent, so that an answer will see to it.
    pub(super) fn schedule(&mut self) -> bool {
        let may_send = self.could_send();
        let open = self.open.as_mut().filter(|_| may_send);
        open.is_some_and(|open| !std::mem::replace(&mut open.scheduled, true))
    }

    /// When a batch of one record is due: only the first record of a batch can make it the next that
    /// is.
    pub(super) fn begun_due_at(&self, linger: Duration) -> Option<Instant> {
        let open = self
            .open
            .as_ref()
            .filter(|open| open.builder.record_count() == 1);
        let begun = open.map(|open| open.since + linger.min(self.delivery_timeout));
        let sent = self
            .under_way
            .back()
            .map(|sent| sent.sealed.since + self.delivery_timeout);
        begun.or(sent)
    }

    /// Adds a record; also whether that filled a batch.
    ///
    /// # Errors
    /// The record cannot be in a batch; nothing was added.
    pub(super) fn push(
        &mut self,
        record: &Record,
        cost: usize,
        batch_bytes: usize,
        now: Timestamp,
    ) -> Result<(Delivery, bool), BatchError> {
        let full = |open: &mut Open| open.builder.total_bytes_with(record) > batch_bytes;
        let mut filled = false;
        if let Some(open) = self.open.take_if(full) {
            self.seal(open);
            filled = true;
        }
        let mut open = self.open.take().unwrap_or_else(|| Open {
            builder: BatchBuilder::new(self.compression)
                .with_capacity(self.records_bytes.min(batch_bytes)),
            outcome: Arc::default(),
            since: Instant::now(),
            cost: 0,
            scheduled: false,
        });
        let index = open.builder.record_count();
        let pushed = open.builder.push(record, now);
        if pushed.is_ok() {
            open.cost += cost;
        }
        let delivery = Delivery {
            batch: Arc::clone(&open.outcome),
            partition: self.partition,
            index,
            timestamp: record.timestamp.unwrap_or(now),
            place: None,
        };
        if open.builder.total_bytes() >= batch_bytes {
            self.seal(open);
            filled = true;
        } else if !open.builder.is_empty() {
            self.open = Some(open);
        }
        pushed.map(|()| (delivery, filled))
    }

    fn seal(&mut self, open: Open) {
        let count = open.builder.record_count();
        self.records_bytes = open.builder.total_bytes();
        // Where the identity is not known yet, the sequence is given later.
        let builder = match self.next_stamp(count) {
            Some(stamp) => open.builder.with_producer(stamp),
            None => open.builder,
        };
        match builder.build() {
            Ok(batch) => {
                self.queue.push_back(Sealed {
                    batch,
                    outcome: open.outcome,
                    since: open.since,
                    cost: open.cost,
                    unknown: false,
                    refused: None,
                });
            }
            // The codec was tried when the producer was opened, so this is for the caller to see.
            Err(error) => open.outcome.settle(Err(error.into())),
        }
    }

    /// The next `count` sequences, if the identity is known.
    fn next_stamp(&mut self, count: u32) -> Option<ProducerStamp> {
        let identity = self.identity?;
        let base_sequence = self.next_sequence;
        self.next_sequence = base_sequence.plus(count);
        Some(ProducerStamp {
            id: identity.id,
            epoch: identity.epoch,
            base_sequence,
        })
    }

    /// Goes on under a new identity. No batch is under way.
    pub(super) fn begin_anew(&mut self, identity: ProducerIdentity) {
        self.identity = Some(identity);
        self.next_sequence = Sequence::new(0);
        self.proven = false;
        let mut queue = std::mem::take(&mut self.queue);
        for sealed in &mut queue {
            if let Some(stamp) = self.next_stamp(sealed.record_count()) {
                sealed.batch.set_producer(stamp);
            }
            sealed.unknown = false;
        }
        self.queue = queue;
    }

    const fn under_way_max(&self) -> usize {
        match self.mode {
            Mode::Unacknowledged => UNDER_WAY_MAX,
            Mode::Idempotent if self.proven => UNDER_WAY_MAX,
            Mode::Idempotent | Mode::Acknowledged => 1,
        }
    }

    fn has_place_under_way(&self) -> bool {
        !self.recovering && !self.needs_identity() && self.under_way.len() < self.under_way_max()
    }

    /// Whether it could send whatever time it is.
    fn could_send(&self) -> bool {
        self.retry_at.is_none() && self.has_place_under_way()
    }

    fn may_send(&self, now: Instant) -> bool {
        self.retry_at.is_none_or(|at| at <= now) && self.has_place_under_way()
    }

    /// Seals the open batch if it has waited long enough and could be sent now; if it could not, it
    /// keeps on filling. Whether it did.
    pub(super) fn seal_if_due(&mut self, now: Instant, linger: Duration) -> bool {
        if !self.queue.is_empty() || !self.may_send(now) {
            return false;
        }
        match self.open.take_if(|open| open.since + linger <= now) {
            Some(open) => {
                self.seal(open);
                true
            }
            None => false,
        }
    }

    /// Makes the open batch due now.
    pub(super) fn hurry(&mut self) {
        if let Some(open) = self.open.take() {
            self.seal(open);
        }
    }

    /// The next batch to send, which is under way from now on.
    pub(super) fn next_to_send(&mut self, now: Instant) -> Option<(u64, RecordBatch)> {
        if !self.may_send(now) {
            return None;
        }
        let sealed = self.queue.pop_front()?;
        self.retry_at = None;
        self.last_id += 1;
        let batch = sealed.batch.clone();
        self.under_way.push_back(UnderWay {
            id: self.last_id,
            sealed,
            answer: None,
            late: false,
        });
        Some((self.last_id, batch))
    }

    /// A batch without acknowledgement was taken, or could not be. Returns what it held of the
    /// buffer.
    pub(super) fn gone(&mut self, id: u64, outcome: Result<(), Error>) -> usize {
        self.note_round();
        let sent = self.take_under_way(id);
        sent.map_or(0, |sent| {
            sent.sealed.settle(outcome.map(|()| Settled::Sent))
        })
    }

    /// A batch was answered. Returns what is free again of the buffer.
    pub(super) fn answered(
        &mut self,
        id: u64,
        answer: Result<Produced, Error>,
        now: Instant,
    ) -> usize {
        let mut freed = 0;
        match answer {
            Ok(produced) => {
                self.note_round();
                self.proven = true;
                self.attempts = 0;
                if let Some(sent) = self.take_under_way(id) {
                    freed += sent.sealed.settle(Ok(Settled::Acknowledged(produced)));
                }
            }
            Err(error) => {
                self.recovering = true;
                if let Some(sent) = self.under_way.iter_mut().find(|sent| sent.id == id) {
                    sent.sealed.unknown |= error.outcome() == Outcome::Unknown;
                    sent.answer = Some(error);
                }
            }
        }
        if self.recovering && self.under_way.iter().all(|sent| sent.answer.is_some()) {
            freed += self.recover(now);
        }
        freed
    }

    fn take_under_way(&mut self, id: u64) -> Option<UnderWay> {
        let at = self.under_way.iter().position(|sent| sent.id == id)?;
        self.under_way.remove(at)
    }

    /// When something is to be done without an answer having come.
    pub(super) fn wake_at(&self, linger: Duration) -> Option<Instant> {
        let not_before = |at: Instant| self.retry_at.map_or(at, |retry| retry.max(at));
        let open = self.open.as_ref().filter(|_| self.queue.is_empty());
        let due = open.map(|open| not_before(open.since + linger));
        let retry = self.retry_at.filter(|_| !self.queue.is_empty());
        // What cannot be sent then waits for an answer or an identity, not for a time.
        let sends = [due, retry].into_iter().flatten();
        let sends = sends.filter(|&at| self.may_send(at));
        let queue = self.queue.front().filter(|_| self.under_way.is_empty());
        let under_way = self.under_way.iter().filter(|sent| !sent.late);
        let waiting = under_way.map(|sent| &sent.sealed).chain(queue);
        let expiry = waiting.map(|sealed| sealed.since + self.delivery_timeout);
        sends.chain(expiry).min()
    }

    /// The ends of everything it holds.
    pub(super) fn outcomes(&self) -> impl Iterator<Item = Arc<BatchOutcome>> + '_ {
        let under_way = self.under_way.iter().map(|sent| &sent.sealed.outcome);
        let queue = self.queue.iter().map(|sealed| &sealed.outcome);
        let open = self.open.iter().map(|open| &open.outcome);
        under_way.chain(queue).chain(open).cloned()
    }
}

impl Sealed {
    const fn record_count(&self) -> u32 {
        self.batch.header().record_count.unsigned_abs()
    }

    /// Returns what it held of the buffer.
    fn settle(self, outcome: Result<Settled, Error>) -> usize {
        self.outcome.settle(outcome);
        self.cost
    }

    /// Fails it, without hiding that it may have been appended.
    fn fail(self, error: Error) -> usize {
        let error = if self.unknown && error.outcome() == Outcome::Failed {
            Error::Broker(BrokerError::OutcomeUnknown {
                reason: error.to_string(),
            })
        } else {
            error
        };
        self.settle(Err(error))
    }
}
