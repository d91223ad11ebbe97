//! Reading index files, and building one anew where it does not fit its segment.

use std::{io, sync::Arc};

use ratatoskr_core::{
    offset::Offset,
    storage::{StorageError, StorageResult},
    time::Timestamp,
};

use super::{
    LogConfig, Quarantined,
    index::{FORMAT_VERSION, HEADER_BYTES, HeaderFault, IndexEntry, IndexHeader, Seed},
    names::{SegmentName, failed},
    scan::{Scan, ScanFrom, scan},
    segment::{Extent, Place, Segment},
};
use crate::io::{File, OpenMode};

/// The bytes of an index file, as far as they can be believed.
#[derive(Debug, Default)]
pub(super) struct IndexOnDisk {
    pub(super) header: Option<IndexHeader>,
    pub(super) entries: Vec<IndexEntry>,
    pub(super) size: u64,
}

impl IndexOnDisk {
    /// Reads the index of a segment; one that is missing or damaged is empty.
    pub(super) fn read(place: &Place, name: SegmentName) -> StorageResult<Self> {
        let base_offset = name.base_offset;
        let path = place.dir.join(name.index());
        let wrap = |error| StorageError::io(format_args!("read {}", path.display()), error);
        let file = match place.fs.open(&path, OpenMode::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            other => other.map_err(wrap)?,
        };
        let size = file.size().map_err(wrap)?;
        // An index of the largest segment with an entry a batch has less than this.
        let length = usize::try_from(size.min(u32::MAX.into())).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, 0).map_err(wrap)?;
        let header = match IndexHeader::decode(&bytes) {
            Ok(header) if header.id == place.id && header.base_offset == base_offset => header,
            Err(HeaderFault::Newer(version)) => {
                return Err(StorageError::NewerFormat {
                    found: version.into(),
                    supported: FORMAT_VERSION.into(),
                });
            }
            Ok(_) | Err(HeaderFault::Damaged) => {
                return Ok(Self {
                    size,
                    ..Self::default()
                });
            }
        };
        let entries = bytes.get(HEADER_BYTES..).unwrap_or_default();
        Ok(Self {
            header: Some(header),
            entries: Seed::new(place.id, base_offset).decode_entries(entries),
            size,
        })
    }
}

/// Loads the index of a sealed segment that is known to end at `next_base`, building it from the log
/// where it does not say so. Blocks; answers what is corrupt.
pub(super) fn load(
    place: &Place,
    config: &LogConfig,
    segment: &Arc<Segment>,
    next_base: Offset,
) -> StorageResult<Vec<Quarantined>> {
    let index = IndexOnDisk::read(place, segment.name)?;
    let log_path = segment.log_path();
    let wrap = |e| failed("read", &log_path, e);
    let log = segment.log_file().map_err(wrap)?;
    let size = log.size().map_err(wrap)?;
    let is_whole = index
        .entries
        .last()
        .is_some_and(|last| last.end_offset == next_base && u64::from(last.end_position) <= size);
    if is_whole {
        let max = index.entries.iter().map(|entry| entry.max_timestamp).max();
        let extent = Extent {
            bytes: index.entries.last().map_or(0, |e| e.end_position.into()),
            end_offset: next_base,
            max_timestamp: max.unwrap_or(Timestamp::NONE),
        };
        segment.set_loaded(index.entries, extent);
        return Ok(Vec::new());
    }
    let found = scan_sealed(config, segment, next_base, &*log, &index).map_err(wrap)?;
    let extent = found.extent();
    renew_index(segment, &found);
    segment.set_loaded(found.entries, extent);
    Ok(found.quarantined)
}

/// Reads all of a sealed segment that is known to end at `next_base`, or where its name says, and makes its index anew where
/// that does not say so. Nothing is kept in memory. Blocks; answers how many bytes were read and what
/// is corrupt.
pub(super) fn verify(
    place: &Place,
    config: &LogConfig,
    segment: &Arc<Segment>,
    next_base: Offset,
) -> StorageResult<(u64, Vec<Quarantined>)> {
    let index = IndexOnDisk::read(place, segment.name)?;
    let path = segment.log_path();
    let log = place.fs.open(&path, OpenMode::Read);
    let found = log.and_then(|log| scan_sealed(config, segment, next_base, &*log, &index));
    let found = found.map_err(|e| failed("read", &path, e))?;
    if index.header.is_none() || found.entries_on_disk < found.entries.len() {
        renew_index(segment, &found);
    }
    Ok((found.bytes_read, found.quarantined))
}

/// Scans a sealed segment, with an entry for all of it.
fn scan_sealed(
    config: &LogConfig,
    segment: &Segment,
    next_base: Offset,
    log: &dyn File,
    index: &IndexOnDisk,
) -> io::Result<Scan> {
    let next_base = segment.name.compacted.map_or(next_base, |of| of.end_offset);
    let from = ScanFrom {
        base_offset: segment.base_offset,
        seed: segment.seed,
        trusted: None,
        verified_from: 0,
        durable_end: next_base,
        next_base: Some(next_base),
        index_span_bytes: config.index_span_bytes,
    };
    let mut found = scan(from, log, &index.entries)?;
    if let Some(entry) = found.open.close(0) {
        found.entries.push(entry);
    }
    Ok(found)
}

fn renew_index(segment: &Arc<Segment>, found: &Scan) {
    let path = segment.index_path();
    tracing::warn!(path = %path.display(), corrupt = found.quarantined.len(),
        "built the index of a sealed segment from its log");
    if let Err(error) = segment.rewrite_index(&found.entries) {
        tracing::warn!(path = %path.display(), %error, "an index could not be written");
    }
}
