//! Compacting a log: a pass over its sealed segments, one bounded step at a time.
//!
//! ```text
//!   segments    │ 0-40 compacted to 90 │ 40-90 to 90 │ 90 │ 120 │ 150 active
//!   pass to 150   read, cleaned ──────────────────────► mapped, then read, cleaned
//!   becomes     │ 0-120 compacted to 150             │ 120-150 to 150 │ 150 active
//! ```
//! Segments are replaced from the oldest on, each lastingly before the next. So whatever a crash
//! leaves, the records of a segment have been compared with all later ones before that segment's
//! name says so, and those before it have been as well: the first segment that says less than where
//! it ends is where the log is dirty.
//!
//! Steps run on threads that may wait. Between two of them the pass waits for its pace, and may be
//! dropped: the segment it was making is then removed.

use std::sync::Arc;

use ratatoskr_core::{
    batch,
    compaction::{self, Amount, CompactRequest, Compacted, Mapping, Pass},
    offset::Offset,
    storage::{StorageError, StorageResult},
};
use tokio::sync::OwnedMutexGuard;

use super::{
    PartitionLog,
    cleaned::Cleaned,
    log::Log,
    read::Mode,
    segment::Segment,
    window::{Part, Wish},
};
use crate::planted::{self, Bug};

/// Bytes read in one step, more only where one batch is larger.
const STEP_BYTES: usize = 1 << 20;

impl PartitionLog {
    /// Compacts sealed segments, as `Partition::compact` does; none that reaches beyond `limit`, which
    /// is at most the segment of the checkpoint that the log would be recovered from.
    ///
    /// # Errors
    /// As `Partition::compact`; [`StorageError::Closed`] once it was [ended](Self::end_compaction).
    ///
    /// # Cancel safety
    /// As `Partition::compact`. A step that is under way ends by itself.
    pub async fn compact(
        &self,
        request: &CompactRequest,
        limit: Offset,
    ) -> StorageResult<Compacted> {
        let turn = Arc::clone(&self.0.compacting).lock_owned().await;
        let mut work = match Work::begin(self, request, limit, turn)? {
            Ok(work) => work,
            Err(nothing) => return Ok(nothing),
        };
        loop {
            let stepped = self.waiting(move |_| {
                let step = work.step()?;
                Ok((work, step))
            });
            let (back, step) = stepped.await?;
            work = back;
            match step {
                Step::Spent(bytes) => request.pace.spend(bytes).await,
                Step::Done(compacted) => return Ok(compacted),
            }
        }
    }

    /// Where the segment begins that is, or may be, appended to.
    pub fn sealed_end(&self) -> Offset {
        let view = self.0.view.read();
        view.segments.last().map_or(Offset::ZERO, |s| s.base_offset)
    }

    /// Ends the compaction that is under way, if one is, and all that are asked for later. On return
    /// nothing of it is at work. Blocks.
    pub fn end_compaction(&self) {
        *self.0.compaction_ended.lock() = true;
    }
}

/// Up to where a log of these segments is compacted.
pub(super) fn compacted_to(segments: &[Arc<Segment>], log_end: Offset) -> Offset {
    let ends = segments.iter().skip(1).map(|next| next.base_offset);
    let spans = segments.iter().zip(ends.chain([log_end]));
    compaction::compacted_to(spans.map(|(segment, end_offset)| {
        let offsets = segment.base_offset..end_offset;
        (offsets, segment.name.compacted_to())
    }))
}

enum Step {
    /// So many bytes were read and written; there is more to do.
    Spent(u64),
    Done(Compacted),
}

/// A compaction under way.
#[derive(Debug)]
struct Work {
    log: PartitionLog,
    request: CompactRequest,
    /// Sealed segments that may be replaced, in order, and where each ends.
    segments: Vec<(Arc<Segment>, Offset)>,
    /// The segment to read next, and from where.
    number: usize,
    from: Offset,
    stage: Stage,
    before: Amount,
    after: Amount,
    /// Mistakes that tests plant in the thread that asked.
    bugs: [Option<Bug>; 2],
    _turn: OwnedMutexGuard<()>,
}

#[derive(Debug)]
enum Stage {
    /// Learning where the latest record of each key lies.
    Mapping(Mapping),
    /// Making segments of those that are there.
    Cleaning(Pass, Option<Box<Cleaned>>),
    Done,
}

impl Work {
    /// The pass that there is to be; `Err` inside where there is nothing to do.
    fn begin(
        log: &PartitionLog,
        request: &CompactRequest,
        limit: Offset,
        turn: OwnedMutexGuard<()>,
    ) -> StorageResult<Result<Self, Compacted>> {
        let mut request = request.clone();
        let (segments, dirty) = {
            let view = log.0.view.read();
            let ends = view.segments.iter().skip(1).map(|next| next.base_offset);
            // The last one may be written to.
            let sealed = view.segments.iter().map(Arc::clone).zip(ends);
            let segments: Vec<_> = sealed
                .take_while(|(_, end_offset)| *end_offset <= limit.min(request.until))
                .collect();
            (segments, compacted_to(&view.segments, view.log_end))
        };
        request.until = segments.last().map_or(Offset::ZERO, |(_, end)| *end);
        if request.until <= dirty {
            return Ok(Err(Compacted::nothing(dirty)));
        }
        let number = segments.partition_point(|(_, end)| *end <= dirty);
        let first = segments.first().map(|(first, _)| first.base_offset);
        log.0
            .check_sound(first.unwrap_or_default(), request.until)?;
        let bugs = [Bug::CompactedUnsynced, Bug::ReplacedTooEarly];
        Ok(Ok(Self {
            log: log.clone(),
            stage: Stage::Mapping(Mapping::new(&request, dirty)),
            request,
            segments,
            number,
            from: dirty,
            before: Amount::default(),
            after: Amount::default(),
            bugs: bugs.map(|bug| planted::is(bug).then_some(bug)),
            _turn: turn,
        }))
    }

    fn step(&mut self) -> StorageResult<Step> {
        let log = self.log.clone();
        let ended = log.0.compaction_ended.lock();
        if *ended {
            return Err(StorageError::Closed);
        }
        log.0.check_usable()?;
        let stepped = match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Mapping(mapping) => self.map(mapping),
            Stage::Cleaning(pass, cleaned) => self.clean(pass, cleaned),
            Stage::Done => Err(StorageError::Closed),
        };
        match stepped {
            // Retention was faster; what is left is the next pass's.
            Err(_) if self.is_overtaken() => Ok(self.end_early()),
            stepped => stepped,
        }
    }

    /// Whether the segment to read next is not part of the log any more.
    fn is_overtaken(&self) -> bool {
        let next = self.segments.get(self.number);
        next.is_some_and(|(next, _)| self.log.0.place_of(std::slice::from_ref(next)).is_none())
    }

    /// The end of the pass, wherever the log is compacted to by now.
    fn end_early(&self) -> Step {
        let view = self.log.0.view.read();
        Step::Done(Compacted {
            to: compacted_to(&view.segments, view.log_end),
            before: self.before,
            after: self.after,
        })
    }

    fn map(&mut self, mut mapping: Mapping) -> StorageResult<Step> {
        let mut is_done = true;
        let mut spent = 0;
        if let Some(bytes) = self.read()? {
            spent = bytes.len() as u64;
            is_done = false;
            for batch in batch::batches(bytes) {
                is_done = !mapping.add(&batch.map_err(|error| self.corrupt(&error))?);
                if is_done {
                    break;
                }
            }
        }
        self.stage = if is_done {
            let pass = mapping.finish(&self.request);
            self.segments.retain(|(s, _)| s.base_offset < pass.end());
            self.number = 0;
            self.from = self
                .segments
                .first()
                .map_or(pass.end(), |(s, _)| s.base_offset);
            Stage::Cleaning(pass, None)
        } else {
            Stage::Mapping(mapping)
        };
        Ok(Step::Spent(spent))
    }

    fn clean(&mut self, pass: Pass, mut cleaned: Option<Box<Cleaned>>) -> StorageResult<Step> {
        let Some((segment, end_offset)) = self.segments.get(self.number).cloned() else {
            if !self.put_in_place(cleaned, pass.end())? {
                return Ok(self.end_early());
            }
            return Ok(Step::Done(Compacted {
                to: pass.end(),
                before: self.before,
                after: self.after,
            }));
        };
        let mut spent = 0;
        let is_begun = cleaned.as_ref().is_some_and(|c| c.ends_with(&segment));
        if !is_begun {
            let is_compared = segment.name.compacted_to() >= pass.end();
            let bytes = self.log.0.extent(&segment, end_offset)?.bytes;
            let bytes_max = self.log.0.config.read().segment_bytes;
            let has_room = |c: &Cleaned| !is_compared && c.has_room(end_offset, bytes, bytes_max);
            if let Some(full) = cleaned.take_if(|cleaned| !has_room(cleaned))
                && !self.put_in_place(Some(full), pass.end())?
            {
                return Ok(self.end_early());
            }
            if is_compared {
                self.go_on();
                self.stage = Stage::Cleaning(pass, cleaned);
                return Ok(Step::Spent(0));
            }
            if let Some(cleaned) = &mut cleaned {
                cleaned.join(&segment, end_offset);
            } else {
                let created = Cleaned::create(&self.log.0, &segment, end_offset)?;
                cleaned = Some(Box::new(created));
            }
        }
        if let (Some(bytes), Some(cleaned)) = (self.read_in(&segment, end_offset)?, &mut cleaned) {
            spent = bytes.len() as u64;
            for batch in batch::batches(bytes) {
                let batch = batch.map_err(|error| self.corrupt(&error))?;
                cleaned.push(&pass, batch)?;
            }
            spent += cleaned.write()?;
        } else {
            self.from = end_offset;
        }
        if self.from >= end_offset {
            self.go_on();
        }
        self.stage = Stage::Cleaning(pass, cleaned);
        Ok(Step::Spent(spent))
    }

    /// Puts a segment in the place of those it was made of; whether they were still there.
    fn put_in_place(&mut self, cleaned: Option<Box<Cleaned>>, to: Offset) -> StorageResult<bool> {
        let Some(cleaned) = cleaned else {
            return Ok(true);
        };
        let Some((before, after)) = cleaned.put_in_place(&self.log.0, to, self.bugs)? else {
            return Ok(false);
        };
        self.before += before;
        self.after += after;
        Ok(true)
    }

    /// Goes on to the next segment.
    fn go_on(&mut self) {
        self.number += 1;
        if let Some((next, _)) = self.segments.get(self.number) {
            self.from = next.base_offset;
        }
    }

    /// What lies next in the segments; `None` behind the last.
    fn read(&mut self) -> StorageResult<Option<bytes::Bytes>> {
        while let Some((segment, end_offset)) = self.segments.get(self.number).cloned() {
            if let Some(bytes) = self.read_in(&segment, end_offset)? {
                return Ok(Some(bytes));
            }
            self.number += 1;
            self.from = self.from.max(end_offset);
        }
        Ok(None)
    }

    /// What lies next in this segment; `None` at its end.
    fn read_in(
        &mut self,
        segment: &Arc<Segment>,
        end_offset: Offset,
    ) -> StorageResult<Option<bytes::Bytes>> {
        if self.from >= end_offset {
            return Ok(None);
        }
        let wish = Wish {
            from: self.from,
            until: end_offset,
            room: STEP_BYTES,
            is_first: true,
            may_map: false,
            may_copy: true,
        };
        Ok(
            match self.log.0.part(segment, end_offset, &wish, Mode::Cold)? {
                Part::Found(bytes, next) => {
                    self.from = next;
                    Some(bytes)
                }
                Part::Nothing | Part::WouldBlock => None,
            },
        )
    }

    fn corrupt(&self, error: &dyn std::fmt::Display) -> StorageError {
        StorageError::Corrupt {
            from: self.from,
            until: self.request.until,
            detail: error.to_string(),
        }
    }
}

impl Log {
    /// Whether no record from `from` to `until` is known to be corrupt: what was lost must not come
    /// to look as if compaction had removed it.
    fn check_sound(&self, from: Offset, until: Offset) -> StorageResult<()> {
        let view = self.view.read();
        let mut ranges = view.quarantined.iter();
        let bad = ranges.find(|range| range.from < until && range.until > from);
        bad.map_or(Ok(()), |range| Err(range.clone().into()))
    }
}
