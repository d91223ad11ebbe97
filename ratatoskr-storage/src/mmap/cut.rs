//! Cutting a torn tail off a log.
//!
//! The tail is saved aside and synced before it is cut, later segments are renamed; names of saved
//! files hold the checksum of the bytes, so an attempt that did not finish is repeated, not doubled.

use std::{io, sync::Arc};

use ratatoskr_core::{offset::Offset, storage::StorageResult};

use super::{
    Cut,
    names::{SegmentName, cut_name, failed, is_full},
    recover::Recovery,
    scan::LogReader,
};
use crate::io::{File, OpenMode};

impl Recovery<'_> {
    /// Cuts the log at `at`: `tail` is the torn segment with the position of its first bad batch,
    /// `later` are segments that follow it.
    pub(super) fn cut(
        &mut self,
        at: Offset,
        detail: String,
        tail: Option<(SegmentName, Arc<dyn File>, u64)>,
        later: Option<&[SegmentName]>,
    ) -> StorageResult<()> {
        let mut cut = Cut {
            at,
            bytes: 0,
            files: Vec::new(),
            detail,
        };
        if let Some((name, log, position)) = &tail {
            let path = self.place.dir.join(name.log());
            self.save_tail(name.base_offset, &**log, *position, &mut cut)
                .map_err(|e| failed("save the torn tail of", &path, e))?;
        }
        for &name in later.unwrap_or_default() {
            let path = self.place.dir.join(name.log());
            self.set_aside(name, &mut cut)
                .map_err(|e| failed("set aside", &path, e))?;
        }
        self.place
            .fs
            .sync_dir(&self.place.dir)
            .map_err(|e| failed("sync", &self.place.dir, e))?;
        if let Some((name, log, position)) = tail {
            let path = self.place.dir.join(name.log());
            log.set_len(position)
                .and_then(|()| log.sync_data())
                .map_err(|e| failed("cut", &path, e))?;
        }
        tracing::warn!(
            dir = %self.place.dir.display(), at = %cut.at, bytes = cut.bytes, detail = %cut.detail,
            "cut a torn tail off a log",
        );
        self.report.cut = Some(cut);
        Ok(())
    }

    fn save_tail(
        &self,
        base_offset: Offset,
        log: &dyn File,
        position: u64,
        cut: &mut Cut,
    ) -> io::Result<()> {
        let mut reader = LogReader::new(log)?;
        let end = reader.end_of_data(position)?;
        if end == position {
            return Ok(());
        }
        cut.bytes += end - position;
        let bytes = reader.bytes(position, end - position)?;
        let name = cut_name(base_offset, position, &bytes);
        let path = self.place.dir.join(&name);
        // The name holds the checksum: a file that has it is from an attempt that did not finish.
        let file = match self.place.fs.open(&path, OpenMode::CreateNew) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.place.fs.open(&path, OpenMode::Write)?
            }
            other => other?,
        };
        match file
            .allocate(bytes.len() as u64)
            .and_then(|()| file.write_all_at(&[&bytes], 0))
        {
            Err(error) if is_full(&error) => {
                tracing::warn!(path = %path.display(), "no room to save a torn tail");
                self.place.fs.remove_file(&path)
            }
            other => {
                other?;
                file.sync_data()?;
                cut.files.push(name);
                Ok(())
            }
        }
    }

    /// Renames a later segment's log file and removes its index.
    fn set_aside(&self, segment: SegmentName, cut: &mut Cut) -> io::Result<()> {
        let from = self.place.dir.join(segment.log());
        let log = self.place.fs.open(&from, OpenMode::Read)?;
        let mut reader = LogReader::new(&*log)?;
        let end = reader.end_of_data(0)?;
        if end == 0 {
            self.place.fs.remove_file(&from)?;
        } else {
            let name = cut_name(segment.base_offset, 0, &reader.bytes(0, end)?);
            self.place.fs.rename(&from, &self.place.dir.join(&name))?;
            cut.bytes += end;
            cut.files.push(name);
        }
        let index = self.place.dir.join(segment.index());
        match self.place.fs.remove_file(&index) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}
