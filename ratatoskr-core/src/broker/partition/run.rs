//! Taking several batches at once: one lock, one append, one wake-up.
//!
//! A run is what would be appended at once anyway (`os`, `interval`, `memory`), of batches that come
//! next in their producers' sequences. Whatever is out of the ordinary ends it, and goes the way of a
//! batch that comes alone.

use super::{CommitPath, Inner, PartitionCell, State, submit::Submitted};
use crate::{
    batch::RecordBatch,
    broker::{
        produce::{PendingProduce, Produced},
        producers::{Sequenced, sequences_of},
    },
};

/// Bytes that are appended at once, unless it is a single batch: beyond it nothing is saved, and
/// others wait for the lock.
const RUN_BYTES_MAX: usize = 256 << 10;

/// Batches that have their places, and what is answered once they are appended.
#[derive(Debug, Default)]
struct Run {
    batches: Vec<RecordBatch>,
    produced: Vec<Produced>,
    bytes: usize,
}

impl PartitionCell {
    /// Submits validated batches in their order; one answer each, in that order.
    pub(in crate::broker) fn submit_run(&self, batches: Vec<RecordBatch>) -> Vec<Submitted> {
        let mut answers = Vec::with_capacity(batches.len());
        let mut run = Run::default();
        let mut inner = self.inner.lock();
        for batch in batches {
            if run.bytes + batch.total_bytes() > RUN_BYTES_MAX {
                self.append_run(&mut inner, &mut run, &mut answers);
            }
            if let Err(alone) = self.join(&mut inner, batch, &mut run) {
                self.append_run(&mut inner, &mut run, &mut answers);
                answers.push(self.submit_or_hold(&mut inner, alone));
            }
        }
        self.append_run(&mut inner, &mut run, &mut answers);
        drop(inner);
        self.wake();
        answers
    }

    /// Gives a batch its place in the run, or gives it back.
    fn join(
        &self,
        inner: &mut Inner,
        mut batch: RecordBatch,
        run: &mut Run,
    ) -> Result<(), RecordBatch> {
        let State::Open(open) = &mut inner.state else {
            return Err(batch);
        };
        let at_once = matches!(open.path, CommitPath::Immediate | CommitPath::Interval(_));
        if !at_once || open.holds > 0 {
            return Err(batch);
        }
        let sent_at = batch.header().producer().map(|stamp| {
            let now = self.context.clock.monotonic();
            (stamp, now)
        });
        if let Some((stamp, now)) = sent_at {
            let sequences = sequences_of(batch.header());
            let judged = open.producers.check(stamp, sequences, now);
            if !matches!(judged, Ok(Sequenced::Next)) {
                return Err(batch);
            }
        }
        run.produced.push(self.assign(open, &mut batch));
        let header = batch.header();
        if let Some((_, now)) = sent_at {
            open.producers.record(header, now, open.log_end);
        }
        open.next_offset = header.end_offset();
        run.bytes += batch.total_bytes();
        run.batches.push(batch);
        Ok(())
    }

    fn append_run(&self, inner: &mut Inner, run: &mut Run, answers: &mut Vec<Submitted>) {
        let Run {
            batches, produced, ..
        } = std::mem::take(run);
        if batches.is_empty() {
            return;
        }
        let State::Open(open) = &mut inner.state else {
            let offline = self.offline("not open");
            return answers.extend(produced.iter().map(|_| Err(offline.clone())));
        };
        if let Err(failure) = open.append(&batches) {
            // Where the log stays open, nothing was appended and the places are free again.
            open.next_offset = open.log_end;
            open.producers.forget_from(open.log_end);
            let error = self.append_failed(inner, &failure);
            return answers.extend(produced.iter().map(|_| Err(error.clone())));
        }
        let (log_end, opening) = (open.log_end, inner.opening);
        if let CommitPath::Interval(every) = open.path {
            self.flush_soon(open, opening, every);
        }
        for batch in &batches {
            self.count_readable(batch.header().record_count, batch.total_bytes());
        }
        self.advance_high_watermark(log_end);
        self.snapshot_if_due(inner);
        let done = produced.into_iter().map(PendingProduce::done);
        answers.extend(done.map(Ok));
    }
}
