//! The two halves of a pass: learning where the latest records lie, and leaving out the others.

use std::sync::Arc;

use super::{Amount, CompactRequest, key_map::KeyMap};
use crate::{
    batch::{BatchError, KeyedRecord, RecordBatch},
    offset::Offset,
    time::Timestamp,
};

/// Learns from the dirty batches where the latest record of each key lies.
#[derive(Debug)]
pub struct Mapping {
    map: KeyMap,
    from: Offset,
    until: Offset,
    end: Offset,
    is_full: bool,
}

impl Mapping {
    /// Of the records from `from`, where the log is dirty, to the request's end.
    pub fn new(request: &CompactRequest, from: Offset) -> Self {
        let records = request.until.distance_from(from);
        Self {
            map: KeyMap::new(records, request.key_map_bytes_max),
            from,
            until: request.until,
            end: from,
            is_full: false,
        }
    }

    /// Takes note of the batch that comes next; whether there is room and need for another one.
    pub fn add(&mut self, batch: &RecordBatch) -> bool {
        if self.is_full || self.end >= self.until {
            return false;
        }
        let mut stopped_at = None;
        if has_keys(batch) {
            let looked = batch.look_at_keys(|record| {
                let fits = record.offset < self.until
                    && match record.key {
                        Some(key) if record.offset >= self.from => {
                            self.map.insert(key, record.offset)
                        }
                        _ => true,
                    };
                if !fits {
                    stopped_at = Some(record.offset);
                }
                fits
            });
            unless_unreadable(batch, looked);
        }
        let end = batch.header().end_offset().min(self.until);
        self.is_full = stopped_at.is_some_and(|offset| offset < self.until);
        self.end = self.end.max(stopped_at.unwrap_or(end)).min(self.until);
        !self.is_full && self.end < self.until
    }

    /// What was learned, for [`Cleaner`]s.
    pub fn finish(self, request: &CompactRequest) -> Pass {
        Pass {
            map: self.map,
            end: self.end,
            now: request.now,
            horizon: request.now.plus(request.tombstone_retention),
            kept_batches: Arc::clone(&request.kept_batches),
        }
    }
}

/// What a pass knows: which record of each key is the latest below its end.
#[derive(Debug)]
pub struct Pass {
    map: KeyMap,
    end: Offset,
    now: Timestamp,
    horizon: Timestamp,
    kept_batches: Arc<[Offset]>,
}

/// What becomes of a batch.
enum Fate {
    Stays,
    Becomes(RecordBatch),
    /// Nothing in it is needed but its offsets.
    Goes,
}

impl Pass {
    /// Up to here the log is compacted once every batch before it has been cleaned.
    pub const fn end(&self) -> Offset {
        self.end
    }

    fn fate(&self, batch: &RecordBatch) -> Fate {
        let header = batch.header();
        if header.base_offset >= self.end || !has_keys(batch) {
            return Fate::Stays;
        }
        let horizon = header.delete_horizon();
        let is_expired = horizon.is_some_and(|at| at <= self.now);
        let mut has_new_tombstones = false;
        let cleaned = batch.retain(
            |record| {
                let stays = self.stays(&record, is_expired);
                has_new_tombstones |= stays && record.is_tombstone && horizon.is_none();
                stays
            },
            || None,
        );
        // Where the pass ends within the batch, the next one sees to the rest of its tombstones.
        let cleaned = if has_new_tombstones && header.end_offset() <= self.end {
            batch.retain(
                |record| self.stays(&record, is_expired),
                || Some(self.horizon),
            )
        } else {
            cleaned
        };
        let cleaned = unless_unreadable(batch, cleaned).flatten();
        let records = cleaned.as_ref().unwrap_or(batch).header().record_count;
        if records > 0 {
            return cleaned.map_or(Fate::Stays, Fate::Becomes);
        }
        let is_wanted = self.kept_batches.binary_search(&header.base_offset);
        match (is_wanted, cleaned) {
            (Err(_), _) => Fate::Goes,
            (Ok(_), Some(empty)) => Fate::Becomes(empty),
            (Ok(_), None) => Fate::Stays,
        }
    }

    fn stays(&self, record: &KeyedRecord<'_>, is_expired: bool) -> bool {
        let Some(key) = record.key.filter(|_| record.offset < self.end) else {
            return true;
        };
        let is_superseded = (self.map.latest(key)).is_some_and(|latest| record.offset < latest);
        let is_over = record.is_tombstone && is_expired;
        !is_superseded && !is_over
    }
}

/// Takes batches in order and gives out what takes their place.
#[derive(Debug, Default)]
pub struct Cleaner {
    /// Stands for the batches that went since the last that stayed.
    gone: Option<RecordBatch>,
    before: Amount,
    after: Amount,
    is_changed: bool,
}

impl Cleaner {
    /// Takes the next batch; what can be given out by now goes to `out`.
    pub fn push(&mut self, pass: &Pass, batch: RecordBatch, out: &mut Vec<RecordBatch>) {
        self.before.add(&batch);
        match pass.fate(&batch) {
            Fate::Stays => self.give(batch, out),
            Fate::Becomes(cleaned) => {
                self.is_changed = true;
                self.give(cleaned, out);
            }
            Fate::Goes => self.leave_out(&batch, out),
        }
    }

    /// Gives out what stands for the batches that went last. To be called before what was given out
    /// is closed off, so that it reaches as far as what was taken.
    pub fn finish(&mut self, out: &mut Vec<RecordBatch>) {
        if let Some(standing) = self.gone.take() {
            self.after.add(&standing);
            out.push(standing);
        }
    }

    /// Whether anything was given out that was not taken just so.
    pub const fn has_changed(&self) -> bool {
        self.is_changed
    }

    /// Bytes and records taken so far, and those given out.
    pub const fn amounts(&self) -> (Amount, Amount) {
        (self.before, self.after)
    }

    fn give(&mut self, batch: RecordBatch, out: &mut Vec<RecordBatch>) {
        self.finish(out);
        self.after.add(&batch);
        out.push(batch);
    }

    fn leave_out(&mut self, batch: &RecordBatch, out: &mut Vec<RecordBatch>) {
        let before = self.gone.as_ref();
        let before = before.filter(|gone| gone.header().end_offset() == batch.header().base_offset);
        let joined = before.and_then(|gone| RecordBatch::standing_for(gone, batch));
        if joined.is_none() {
            self.finish(out);
        }
        let standing = joined.or_else(|| RecordBatch::standing_for(batch, batch));
        // What stood for others before may stand just so.
        self.is_changed |= standing.as_ref() != Some(batch);
        self.gone = standing;
    }
}

impl Amount {
    /// Counts a batch.
    fn add(&mut self, batch: &RecordBatch) {
        self.bytes += batch.total_bytes() as u64;
        self.records += u64::from(batch.header().record_count.unsigned_abs());
    }
}

/// Whether compaction looks into a batch.
fn has_keys(batch: &RecordBatch) -> bool {
    !batch.header().is_control() && !batch.header().is_transactional()
}

/// A batch that cannot be read stays as it is.
fn unless_unreadable<T>(batch: &RecordBatch, read: Result<T, BatchError>) -> Option<T> {
    read.inspect_err(|error| {
        tracing::warn!(offset = %batch.header().base_offset, %error,
            "compaction cannot read a batch and leaves it as it is");
    })
    .ok()
}
