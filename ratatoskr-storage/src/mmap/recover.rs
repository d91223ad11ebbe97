//! Opening a log: what is on disk is taken in, verified beyond the checkpoint, and put in order.
//!
//! Nothing here depends on an earlier attempt having finished: each step leaves files that the next
//! attempt reads the same way. A tail is saved aside and synced before it is cut off, later segments
//! are renamed, and only then is the torn file cut; all of it is synced before the log is written to.

use std::{io, sync::Arc};

use ratatoskr_core::{
    offset::{LeaderEpoch, Offset},
    storage::StorageResult,
    time::Timestamp,
};

use super::{
    LogCheckpoint, LogConfig, Quarantined, Recovered, Verify,
    index::Seed,
    load::{IndexOnDisk, verify},
    log::Active,
    names::{Named, SegmentName, failed, is_full},
    scan::{Found, LogReader, Scan, ScanFrom, scan},
    segment::{Place, Segment, index_position},
};
use crate::io::{File, OpenMode};

/// A log as it was found and put in order.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) segments: Vec<Arc<Segment>>,
    pub(super) active: Option<Active>,
    pub(super) checkpoint: LogCheckpoint,
    pub(super) log_end: Offset,
    pub(super) leader_epoch: LeaderEpoch,
    pub(super) max_timestamp: Timestamp,
    pub(super) has_dir: bool,
    pub(super) report: Recovered,
}

/// Reads the directory and puts it in order.
///
/// # Errors
/// [`StorageError::NewerFormat`]; [`StorageError::Io`] where a file cannot be read or changed.
pub(super) fn recover(
    place: &Place,
    config: &LogConfig,
    from: Option<LogCheckpoint>,
    verify: Verify,
) -> StorageResult<Opened> {
    let (has_dir, names) = list(place, from)?;
    let mut recovery = Recovery {
        place,
        config,
        from,
        verify,
        durable_end: from.map_or(Offset::ZERO, |from| from.log_end),
        end: from.map(|from| from.segment_base),
        scanned: Vec::new(),
        report: Recovered::default(),
    };
    let is_trusted = |name: &SegmentName, from: LogCheckpoint| name.base_offset < from.segment_base;
    let trusted = from.map_or(0, |from| {
        names.partition_point(|name| is_trusted(name, from))
    });
    let (trusted, unproven) = names.split_at_checked(trusted).unwrap_or_default();
    let trusted: Vec<_> = trusted
        .iter()
        .map(|&name| Segment::sealed(place, name))
        .collect();
    if verify == Verify::All {
        recovery.verify_sealed(&trusted)?;
    }
    recovery.scan_all(unproven)?;
    recovery.finish(trusted, has_dir)
}

/// The segments there are, in order; files that retention and compaction left behind are removed.
fn list(place: &Place, from: Option<LogCheckpoint>) -> StorageResult<(bool, Vec<SegmentName>)> {
    let entries = match place.fs.list_dir(&place.dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((false, Vec::new())),
        other => other.map_err(|e| failed("list", &place.dir, e))?,
    };
    let files: Vec<_> = entries
        .iter()
        .filter(|entry| !entry.is_dir)
        .filter_map(|entry| Some((Named::parse(&entry.name)?, entry.name.as_str())))
        .collect();
    let logs = files.iter().filter_map(|(named, _)| match named {
        Named::Log(name) => Some(*name),
        Named::Index(_) | Named::Cut(_) | Named::New => None,
    });
    let there: Vec<_> = logs.collect();
    let compacted: Vec<_> = { there.iter() }
        .filter(|name| name.compacted.is_some())
        .collect();
    let is_replaced = |name: &SegmentName| compacted.iter().any(|later| later.replaces(name));
    let (replaced, mut segments): (Vec<_>, Vec<_>) = there.iter().copied().partition(is_replaced);
    // By name they are in order already, but nothing hangs on how a file system sorts.
    segments.sort_by_key(|name| name.base_offset);
    let log_start = from.map_or(Offset::ZERO, |from| from.log_start);
    let gone = segments
        .iter()
        .skip(1)
        .take_while(|name| name.base_offset <= log_start)
        .count();
    let gone: Vec<_> = segments.drain(..gone).collect();
    if !replaced.is_empty() {
        // What replaces them must last before they go.
        sync_dir(place)?;
    }
    for (named, name) in &files {
        let is_left_over = match named {
            Named::Log(segment) => gone.contains(segment) || replaced.contains(segment),
            Named::Index(segment) => !segments.contains(segment),
            Named::New => true,
            Named::Cut(base_offset) => {
                let first = segments.first().map(|first| first.base_offset);
                first.is_some_and(|first| *base_offset < first)
            }
        };
        if is_left_over {
            // Each lastingly before the next, as retention does it.
            if matches!(named, Named::Log(segment) if gone.iter().skip(1).any(|g| g == segment)) {
                sync_dir(place)?;
            }
            let path = place.dir.join(name);
            place
                .fs
                .remove_file(&path)
                .map_err(|e| failed("remove", &path, e))?;
        }
    }
    Ok((true, segments))
}

fn sync_dir(place: &Place) -> StorageResult<()> {
    let synced = place.fs.sync_dir(&place.dir);
    synced.map_err(|e| failed("sync", &place.dir, e))
}

pub(super) struct Recovery<'a> {
    pub(super) place: &'a Place,
    config: &'a LogConfig,
    from: Option<LogCheckpoint>,
    verify: Verify,
    /// What is bad below it is rot. The log start does not count: it may lie beyond what was ever synced.
    durable_end: Offset,
    /// Where the next segment must begin.
    end: Option<Offset>,
    scanned: Vec<Scanned>,
    pub(super) report: Recovered,
}

struct Scanned {
    name: SegmentName,
    log: Arc<dyn File>,
    index: IndexOnDisk,
    scan: Scan,
    /// Whether it ends at the checkpoint, with all its entries.
    is_on_disk: bool,
}

impl Recovery<'_> {
    /// Verifies the segments before the checkpoint's, each of which ends where the next one begins.
    fn verify_sealed(&mut self, segments: &[Arc<Segment>]) -> StorageResult<()> {
        let bases = segments.iter().map(|segment| segment.base_offset);
        let ends = bases.skip(1).chain(self.end);
        let segments: Vec<_> = segments.iter().zip(ends).collect();
        let (place, config) = (self.place, self.config);
        let verified = place.caches.helpers.map(&segments, |(segment, end)| {
            verify(place, config, segment, *end)
        });
        for verified in verified {
            let (bytes, quarantined) = verified?;
            self.report.scanned_bytes += bytes;
            self.report.quarantined.extend(quarantined);
        }
        Ok(())
    }

    fn scan_all(&mut self, names: &[SegmentName]) -> StorageResult<()> {
        let mut indexes = Vec::with_capacity(names.len());
        for &name in names {
            let index = IndexOnDisk::read(self.place, name)?;
            let proven = index.header.map_or(Offset::ZERO, |h| h.durable_end);
            self.durable_end = self.durable_end.max(proven);
            indexes.push(index);
        }
        for ((&name, index), number) in names.iter().zip(indexes).zip(0..) {
            let base_offset = name.base_offset;
            if let Some(end) = self.end.filter(|&end| end != base_offset) {
                // Before the log start a segment may be missing because it was retired.
                let log_start = self.from.map_or(Offset::ZERO, |from| from.log_start);
                let is_proven = base_offset <= self.durable_end.max(log_start);
                if base_offset < end || !is_proven {
                    let detail = format!("a segment at {base_offset} where {end} is due");
                    return self.cut(end, detail, None, names.get(number..));
                }
                self.quarantine(end, base_offset, "a segment is missing");
            }
            let next_base = names.get(number + 1).map(|next| next.base_offset);
            let scanned = self.scan_one(name, index, next_base)?;
            let extent = scanned.scan.extent();
            self.end = Some(extent.end_offset);
            let torn = scanned.scan.torn.clone();
            let log = Arc::clone(&scanned.log);
            self.scanned.push(scanned);
            if let Some(detail) = torn {
                let tail = Some((name, log, extent.bytes));
                return self.cut(extent.end_offset, detail, tail, names.get(number + 1..));
            }
        }
        Ok(())
    }

    fn scan_one(
        &mut self,
        name: SegmentName,
        index: IndexOnDisk,
        next_base: Option<Offset>,
    ) -> StorageResult<Scanned> {
        let base_offset = name.base_offset;
        let path = self.place.dir.join(name.log());
        let log = self
            .place
            .fs
            .open(&path, OpenMode::Write)
            .map_err(|e| failed("open", &path, e))?;
        let trusted = self
            .from
            .filter(|from| from.segment_base == base_offset)
            .map(|from| (from.position, from.log_end));
        let from = ScanFrom {
            base_offset,
            seed: Seed::new(self.place.id, base_offset),
            trusted,
            verified_from: match self.verify {
                Verify::Tail => trusted.map_or(0, |(position, _)| position),
                Verify::All => 0,
            },
            // What compaction made of durable records was durable before it took their place.
            durable_end: name
                .compacted
                .map_or(self.durable_end, |of| of.end_offset.max(self.durable_end)),
            // The next segment's name says where this one ends only if that is proven.
            next_base: name
                .compacted
                .map(|of| of.end_offset)
                .or_else(|| next_base.filter(|&next| next <= self.durable_end)),
            index_span_bytes: self.config.index_span_bytes,
        };
        let scan = scan(from, &*log, &index.entries).map_err(|e| failed("read", &path, e))?;
        self.report.scanned_bytes += scan.bytes_read;
        self.report.quarantined.extend(scan.quarantined.clone());
        if index.header.is_none() && scan.extent().bytes > 0 {
            self.report.indexes_rebuilt += 1;
        }
        let is_on_disk = trusted.is_some_and(|(position, _)| position == scan.extent().bytes)
            && scan.entries_on_disk == scan.entries.len()
            && scan.torn.is_none();
        Ok(Scanned {
            name,
            log,
            index,
            scan,
            is_on_disk,
        })
    }

    fn quarantine(&mut self, from: Offset, until: Offset, detail: &str) {
        if from < until {
            self.report.quarantined.push(Quarantined {
                from,
                until,
                detail: detail.into(),
            });
        }
    }

    /// Turns what was scanned into segments, the last one into the active one if it can go on.
    fn finish(mut self, trusted: Vec<Arc<Segment>>, has_dir: bool) -> StorageResult<Opened> {
        let first = trusted
            .first()
            .map(|segment| segment.base_offset)
            .or_else(|| self.scanned.first().map(|scanned| scanned.name.base_offset));
        let log_start = self
            .from
            .map_or(first.unwrap_or_default(), |from| from.log_start);
        let mut end = self.end.unwrap_or_default();
        match first {
            Some(first) => self.quarantine(log_start, first, "segments are missing"),
            None => end = end.min(log_start),
        }
        if end < self.durable_end {
            self.quarantine(end, self.durable_end, "records are missing");
            end = self.durable_end;
        }
        let mut segments = trusted;
        // What was trimmed may not have reached the disk; its offsets are spent all the same. What did
        // lies before them, with a gap behind it that nobody must take for a loss.
        if end < log_start {
            self.remove_all(&mut segments)?;
            end = log_start;
        }

        let mut leader_epoch = self.from.map_or(LeaderEpoch::default(), |f| f.leader_epoch);
        let mut max_timestamp = self.from.map_or(Timestamp::NONE, |f| f.max_timestamp);
        let mut active = None;
        let count = self.scanned.len();
        for (scanned, number) in std::mem::take(&mut self.scanned).into_iter().zip(1..) {
            max_timestamp = max_timestamp.max(scanned.scan.max_timestamp);
            if !scanned.is_on_disk
                && let Some(epoch) = scanned.last_epoch(self.place)?
            {
                leader_epoch = epoch;
            }
            let goes_on = number == count
                && scanned.scan.extent().end_offset == end
                && scanned.name.compacted.is_none();
            let (segment, writer) = scanned.into_segment(self.place, goes_on, self.durable_end)?;
            segments.push(segment);
            active = writer;
        }
        self.report
            .quarantined
            .retain(|range| range.until > log_start);
        self.report.quarantined.sort_by_key(|range| range.from);
        // Without a checkpoint nothing is known to be on disk, so that the next scan begins at the start.
        let checkpoint = self.from.unwrap_or(LogCheckpoint {
            log_start,
            log_end: log_start,
            segment_base: log_start,
            position: 0,
            leader_epoch,
            max_timestamp,
        });
        Ok(Opened {
            segments,
            active,
            checkpoint,
            log_end: end,
            leader_epoch,
            max_timestamp,
            has_dir,
            report: self.report,
        })
    }

    /// Removes the files of all segments, each lastingly before the next, as retention does it.
    fn remove_all(&mut self, trusted: &mut Vec<Arc<Segment>>) -> StorageResult<()> {
        let scanned = self.scanned.drain(..);
        let scanned = scanned.map(|scanned| Segment::sealed(self.place, scanned.name));
        for (segment, number) in trusted.drain(..).chain(scanned).zip(0..) {
            if number > 0 {
                sync_dir(self.place)?;
            }
            segment.remove_files();
        }
        Ok(())
    }
}

impl Scanned {
    /// The leader epoch of the last batch, where there is one that can be read.
    fn last_epoch(&self, place: &Place) -> StorageResult<Option<LeaderEpoch>> {
        if self.scan.leader_epoch.is_some() {
            return Ok(self.scan.leader_epoch);
        }
        let path = place.dir.join(self.name.log());
        let wrap = |e| failed("read", &path, e);
        let mut reader = LogReader::new(&*self.log).map_err(wrap)?;
        let before = self.scan.entries.iter().rev().nth(1);
        let mut position = before.map_or(0, |entry| u64::from(entry.end_position));
        let mut epoch = None;
        while position < self.scan.open.position() {
            let Found::Batch(header, bytes) = reader.find(position).map_err(wrap)? else {
                break;
            };
            position += bytes.len() as u64;
            epoch = Some(header.leader_epoch);
        }
        Ok(epoch)
    }

    /// Puts the files in order and makes the segment, with what is needed to append if it `goes_on`.
    fn into_segment(
        mut self,
        place: &Place,
        goes_on: bool,
        durable_end: Offset,
    ) -> StorageResult<(Arc<Segment>, Option<Active>)> {
        let extent = self.scan.extent();
        if !goes_on && let Some(entry) = self.scan.open.close(0) {
            self.scan.entries.push(entry);
        }
        let log_path = place.dir.join(self.name.log());
        let mut log_bytes = self.log.size().map_err(|e| failed("read", &log_path, e))?;
        if !goes_on && log_bytes > extent.bytes {
            self.log
                .set_len(extent.bytes)
                .map_err(|e| failed("cut", &log_path, e))?;
            log_bytes = extent.bytes;
        }
        let on_disk = self.scan.entries_on_disk;
        let entries = self.scan.entries.clone();
        let segment = Segment::known(place, self.name, !goes_on, self.scan.entries, extent);
        // Beyond the checkpoint nothing is known to be on disk.
        segment.set_dirty(!self.is_on_disk || !goes_on);
        let written = segment
            .renew_index(&self.index, on_disk, durable_end)
            .and_then(|()| match entries.get(on_disk..) {
                Some(new) if !goes_on && !new.is_empty() => segment.write_entries(on_disk, new),
                _ => Ok(()),
            });
        match written {
            // The entries stay in memory; the index is built again when the log is next opened.
            Err(error) if is_full(&error) => {}
            other => other.map_err(|e| failed("write", &segment.index_path(), e))?,
        }
        let active = if goes_on {
            let first = first_timestamp(&*self.log).map_err(|e| failed("read", &log_path, e))?;
            Some(Active {
                segment: Arc::clone(&segment),
                bytes: extent.bytes,
                allocated: log_bytes,
                open: self.scan.open,
                max_timestamp: extent.max_timestamp,
                entries_written: on_disk,
                first_timestamp: first,
            })
        } else {
            None
        };
        Ok((segment, active))
    }
}

impl Segment {
    /// Leaves the index file with a right header and `entries` entries, and nothing after them.
    fn renew_index(
        self: &Arc<Self>,
        found: &IndexOnDisk,
        entries: usize,
        durable_end: Offset,
    ) -> io::Result<()> {
        if found.header.is_none() {
            return self.create_index(durable_end);
        }
        let end = index_position(entries);
        if found.size > end {
            self.index_file()?.set_len(end)?;
        }
        Ok(())
    }
}

fn first_timestamp(log: &dyn File) -> io::Result<Option<Timestamp>> {
    Ok(match LogReader::new(log)?.find(0)? {
        Found::Batch(header, _) => Some(header.max_timestamp),
        Found::End | Found::Bad(_) => None,
    })
}
