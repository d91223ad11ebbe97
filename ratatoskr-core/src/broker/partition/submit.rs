//! Taking a batch: judged, given its place and submitted, all under the lock.

use tokio::sync::oneshot;

use super::{CommitPath, Held, Inner, OpenLog, PartitionCell, State, settle::Pending};
use crate::{
    batch::RecordBatch,
    broker::{
        in_flight::Reservation,
        produce::{PendingProduce, Produced},
        producers::{RememberedBatch, Sequenced, sequences_of},
        supervision::{Failure, caught},
    },
    commit::Submission,
    config::TimestampType,
    error::Error,
    offset::Offset,
};

/// What became of a batch while the lock was held.
pub(in crate::broker) type Submitted = Result<PendingProduce, Error>;

impl PartitionCell {
    /// Submits a validated batch.
    ///
    /// # Errors
    /// What is known at once; the rest is for [`PendingProduce::wait`] to tell.
    #[inline]
    pub(in crate::broker) fn submit(&self, batch: RecordBatch) -> Submitted {
        let mut inner = self.inner.lock();
        let submitted = self.submit_or_hold(&mut inner, batch);
        drop(inner);
        self.wake();
        submitted
    }

    /// Submits a batch that is right only at offset `at`; `None` where the partition would give it
    /// another one, or holds sends back just now.
    pub(in crate::broker) fn submit_at(
        &self,
        at: Offset,
        batch: RecordBatch,
    ) -> Result<Option<PendingProduce>, Error> {
        let mut inner = self.inner.lock();
        let open = self.open_under_lock(&mut inner)?;
        if open.holds > 0 || open.next_offset != at {
            return Ok(None);
        }
        let submitted = self.submit_under_lock(&mut inner, batch, None);
        drop(inner);
        self.wake();
        submitted.map(Some)
    }

    #[inline]
    pub(super) fn submit_or_hold(&self, inner: &mut Inner, batch: RecordBatch) -> Submitted {
        let open = self.open_under_lock(inner)?;
        if open.holds == 0 {
            return self.submit_under_lock(inner, batch, None);
        }
        let reservation = self.context.in_flight.reserve(batch.total_bytes())?;
        let (answer, held) = oneshot::channel();
        open.held.push_back(Held {
            batch,
            reservation,
            answer,
        });
        Ok(PendingProduce::held(held))
    }

    /// Submits a batch now. The caller wakes readers once it has let go of the lock.
    pub(super) fn submit_under_lock(
        &self,
        inner: &mut Inner,
        mut batch: RecordBatch,
        reservation: Option<Reservation>,
    ) -> Submitted {
        let open = self.open_under_lock(inner)?;
        if let Some(stamp) = batch.header().producer() {
            let now = self.context.clock.monotonic();
            let sequences = sequences_of(batch.header());
            if let Sequenced::Duplicate(known) = open.producers.check(stamp, sequences, now)? {
                self.topic.counters.duplicate();
                return Ok(self.answer_duplicate(inner, known));
            }
        }
        let produced = self.assign(open, &mut batch);
        match open.path {
            CommitPath::Committer(_) => self.commit(inner, batch, produced, reservation),
            CommitPath::Flush => self.append_then_flush(inner, &batch, produced, reservation),
            CommitPath::Immediate | CommitPath::Interval(_) => {
                self.append_at_once(inner, &batch, produced)
            }
        }
    }

    /// Gives a batch its place, and answers what its sender is told once it is there.
    #[inline]
    pub(super) fn assign(&self, open: &OpenLog, batch: &mut RecordBatch) -> Produced {
        batch.assign(open.next_offset, open.leader_epoch);
        let header = batch.header();
        Produced {
            partition: self.index,
            base_offset: header.base_offset,
            log_append_time: (header.timestamp_type() == TimestampType::LogAppendTime)
                .then_some(header.max_timestamp),
            durability: open.durability,
            duplicate: false,
        }
    }

    fn answer_duplicate(&self, inner: &mut Inner, known: RememberedBatch) -> PendingProduce {
        let produced = Produced {
            partition: self.index,
            base_offset: known.base_offset,
            log_append_time: known.log_append_time,
            durability: self.topic.config().durability,
            duplicate: true,
        };
        // A failed batch whose offset was given away again lies before the one that has it now.
        let pending = inner.pending.iter_mut().rev();
        match { pending }.find(|pending| pending.base_offset == known.base_offset) {
            Some(pending) => PendingProduce::answered(pending.attach(), produced),
            None => PendingProduce::done(produced),
        }
    }

    #[inline]
    fn append_at_once(
        &self,
        inner: &mut Inner,
        batch: &RecordBatch,
        produced: Produced,
    ) -> Submitted {
        self.append(inner, batch)?;
        self.count_readable(batch.header().record_count, batch.total_bytes());
        let opening = inner.opening;
        if let State::Open(open) = &mut inner.state {
            self.advance_high_watermark(open.log_end);
            if let CommitPath::Interval(every) = open.path {
                self.flush_soon(open, opening, every);
            }
        }
        Ok(PendingProduce::done(produced))
    }

    fn append_then_flush(
        &self,
        inner: &mut Inner,
        batch: &RecordBatch,
        produced: Produced,
        reservation: Option<Reservation>,
    ) -> Submitted {
        let mut pending = self.pending(batch, reservation)?;
        self.append(inner, batch)?;
        let answer = pending.attach();
        inner.pending.push_back(pending);
        let opening = inner.opening;
        if let State::Open(open) = &mut inner.state {
            self.flush_soon(open, opening, std::time::Duration::ZERO);
        }
        Ok(PendingProduce::answered(answer, produced))
    }

    fn commit(
        &self,
        inner: &mut Inner,
        batch: RecordBatch,
        produced: Produced,
        reservation: Option<Reservation>,
    ) -> Submitted {
        let pending = self.pending(&batch, reservation)?;
        let State::Open(open) = &mut inner.state else {
            return Err(self.offline("not open"));
        };
        let (Some(committer), CommitPath::Committer(sink)) = (&self.context.committer, &open.path)
        else {
            return Err(Error::Internal("no committer to commit with".to_owned()));
        };
        let header = *batch.header();
        let submission = Submission {
            topic: self.topic.id,
            partition: self.index,
            batch,
            append_time: self.context.clock.now(),
            sink: sink.clone(),
        };
        // The committer answers from other threads, and they wait for the lock that is held here.
        match caught(|| committer.submit(submission)) {
            Ok(ticket) => {
                let now = self.context.clock.monotonic();
                open.next_offset = header.end_offset();
                open.producers.record(&header, now, open.log_end);
                inner.pending.push_back(pending);
                Ok(PendingProduce::committing(ticket, produced))
            }
            Err(failure @ Failure::Storage(_)) => Err(self.failed_under_lock(inner, &failure)),
            Err(failure) => Err(self.append_failed(inner, &failure)),
        }
    }

    /// Appends to the log and takes note of it.
    #[inline]
    fn append(&self, inner: &mut Inner, batch: &RecordBatch) -> Result<(), Error> {
        let State::Open(open) = &mut inner.state else {
            return Err(self.offline("not open"));
        };
        open.append(std::slice::from_ref(batch))
            .map_err(|failure| self.append_failed(inner, &failure))?;
        if let State::Open(open) = &mut inner.state {
            open.next_offset = open.log_end;
            // The clock is asked only where there is a producer to remember.
            if batch.header().producer().is_some() {
                let now = self.context.clock.monotonic();
                open.producers.record(batch.header(), now, open.log_end);
            }
        }
        self.snapshot_if_due(inner);
        Ok(())
    }

    /// What a failed append or submission means for the sender, and for the partition.
    pub(super) fn append_failed(&self, inner: &mut Inner, failure: &Failure) -> Error {
        match self.failed_under_lock(inner, failure) {
            // The batch may be in the log, and come to light when that is opened again.
            Error::PartitionOffline { reason, .. } | Error::Fenced { reason } => {
                Error::OutcomeUnknown { reason }
            }
            error => error,
        }
    }

    fn pending(
        &self,
        batch: &RecordBatch,
        reservation: Option<Reservation>,
    ) -> Result<Pending, Error> {
        let reservation = match reservation {
            Some(reservation) => reservation,
            None => self.context.in_flight.reserve(batch.total_bytes())?,
        };
        Ok(Pending::new(batch, reservation))
    }
}

impl OpenLog {
    /// Appends batches to the log, and checks that they got the places that they were given.
    #[inline]
    pub(super) fn append(&mut self, batches: &[RecordBatch]) -> Result<(), Failure> {
        let (mut end, mut bytes) = (self.log_end, 0);
        for batch in batches {
            bytes += batch.total_bytes() as u64;
            let header = batch.header();
            if header.base_offset != end {
                return Err(Failure::Defect(format!(
                    "batch of offset {} where the log ends at {end}",
                    header.base_offset
                )));
            }
            end = header.end_offset();
        }
        let appended = caught(|| self.log.append(batches))?;
        if appended.base_offset != self.log_end || appended.log_end != end {
            return Err(Failure::Defect(format!(
                "the backend appended {appended:?} for batches of offsets {} to {end}",
                self.log_end
            )));
        }
        self.log_end = end;
        self.snapshots.appended(bytes);
        Ok(())
    }
}
