//! Compacting a partition in the heap: sealed segments are gone through outside the lock, and what
//! becomes of them takes their place under it.

use ratatoskr_core::{
    batch::{self, RecordBatch},
    compaction::{Cleaner, CompactRequest, Compacted, Mapping, Pass},
    offset::Offset,
    storage::{StorageError, StorageResult},
};

use super::{
    log::{Sealed, Segment},
    partition::MemoryPartition,
};

/// Bytes after which the pace is kept and others get a turn.
const STEP_BYTES: u64 = 64 << 10;

/// What takes the place of one or more segments.
struct Group {
    from: Offset,
    until: Offset,
    cleaner: Cleaner,
    batches: Vec<RecordBatch>,
    bytes: u64,
}

/// Keeps the pace.
struct Spending<'a> {
    request: &'a CompactRequest,
    unpaid: u64,
}

impl Spending<'_> {
    async fn spend(&mut self, bytes: u64) {
        self.unpaid += bytes;
        if self.unpaid >= STEP_BYTES {
            self.request
                .pace
                .spend(std::mem::take(&mut self.unpaid))
                .await;
        }
    }
}

impl MemoryPartition {
    /// See `Partition::compact`.
    pub(super) async fn compact_segments(
        &self,
        request: &CompactRequest,
    ) -> StorageResult<Compacted> {
        let _one_at_a_time = self.compacting.lock().await;
        let (segments, dirty, segment_bytes) = self.sealed(request.until)?;
        let until = segments.last().map_or(Offset::ZERO, |last| last.until);
        if until <= dirty {
            return Ok(Compacted::nothing(dirty));
        }
        let request = CompactRequest {
            until,
            ..request.clone()
        };
        let mut spending = Spending {
            request: &request,
            unpaid: 0,
        };
        let pass = learn(&segments, dirty, &mut spending).await?;
        let mut done = Compacted::nothing(pass.end());
        let mut group: Option<Group> = None;
        for segment in segments.iter().filter(|segment| segment.from < pass.end()) {
            let is_compared = segment.compacted_to >= pass.end();
            let has_room = |group: &Group| group.bytes + segment.bytes <= segment_bytes;
            if let Some(full) = group.take_if(|group| is_compared || !has_room(group))
                && !self.put_in_place(full, &pass, &mut done)?
            {
                return Ok(done);
            }
            if is_compared {
                continue;
            }
            let group = group.get_or_insert_with(|| Group::at(segment.from));
            for batch in segment.batches() {
                let batch = batch?;
                spending.spend(2 * batch.total_bytes() as u64).await;
                group.cleaner.push(&pass, batch, &mut group.batches);
            }
            group.until = segment.until;
            group.bytes = group.cleaner.amounts().1.bytes;
        }
        if let Some(last) = group {
            self.put_in_place(last, &pass, &mut done)?;
        }
        Ok(done)
    }

    /// Whether the segments were still there.
    fn put_in_place(
        &self,
        mut group: Group,
        pass: &Pass,
        done: &mut Compacted,
    ) -> StorageResult<bool> {
        group.cleaner.finish(&mut group.batches);
        let (before, after) = group.cleaner.amounts();
        let segment = Segment::compacted(&group.batches, pass.end());
        let reached = self.replace(group.from..group.until, segment, before.bytes, after.bytes)?;
        match reached {
            None => {
                done.before += before;
                done.after += after;
                Ok(true)
            }
            // Somebody has trimmed the log meanwhile; what is left is the next pass's.
            Some(reached) => {
                done.to = reached;
                Ok(false)
            }
        }
    }
}

async fn learn(
    segments: &[Sealed],
    dirty: Offset,
    spending: &mut Spending<'_>,
) -> StorageResult<Pass> {
    let mut mapping = Mapping::new(spending.request, dirty);
    'all: for segment in segments.iter().filter(|segment| segment.until > dirty) {
        for batch in segment.batches() {
            let batch = batch?;
            if batch.header().end_offset() <= dirty {
                continue;
            }
            spending.spend(batch.total_bytes() as u64).await;
            if !mapping.add(&batch) {
                break 'all;
            }
        }
    }
    Ok(mapping.finish(spending.request))
}

impl Group {
    fn at(from: Offset) -> Self {
        Self {
            from,
            until: from,
            cleaner: Cleaner::default(),
            batches: Vec::new(),
            bytes: 0,
        }
    }
}

impl Sealed {
    fn batches(&self) -> impl Iterator<Item = StorageResult<RecordBatch>> + '_ {
        let slices = self.slices.iter().cloned();
        slices.flat_map(batch::batches).map(|batch| {
            batch.map_err(|error| StorageError::Corrupt {
                from: self.from,
                until: self.until,
                detail: error.to_string(),
            })
        })
    }
}
