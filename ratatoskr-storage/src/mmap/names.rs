//! Names of the files in a log's directory, and what is said when one of them fails.

use std::{io, path::Path};

use ratatoskr_core::{offset::Offset, storage::StorageError};

/// Digits of a base offset in a file's name.
const NAME_DIGITS: usize = 20;
const LOG_SUFFIX: &str = ".log";
const INDEX_SUFFIX: &str = ".index";
const NEW_SUFFIX: &str = ".new";
/// The name of the file that says that a sync has failed.
pub(super) const IN_DOUBT: &str = "sync-failed";

/// The name of the log file of the segment at `base_offset`.
pub(super) fn log_name(base_offset: Offset) -> String {
    format!("{:0NAME_DIGITS$}{LOG_SUFFIX}", base_offset.get())
}

/// The name of its index file.
pub(super) fn index_name(base_offset: Offset) -> String {
    format!("{:0NAME_DIGITS$}{INDEX_SUFFIX}", base_offset.get())
}

/// The name under which a log or index file is made anew.
pub(super) fn new_name(name: &str) -> String {
    format!("{name}{NEW_SUFFIX}")
}

/// What a file of a log's directory is, told from its name. Other names are nobody's business here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    Log(Offset),
    Index(Offset),
    /// A torn tail that recovery cut off this segment.
    Cut(Offset),
    /// A file that was being made anew.
    New,
}

impl Named {
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (digits, suffix) = name.split_at_checked(NAME_DIGITS)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let base_offset = digits
            .parse()
            .ok()
            .filter(|&offset| offset <= Offset::MAX.get())
            .map(Offset::new)?;
        match suffix {
            LOG_SUFFIX => Some(Self::Log(base_offset)),
            INDEX_SUFFIX => Some(Self::Index(base_offset)),
            _ if [LOG_SUFFIX, INDEX_SUFFIX]
                .iter()
                .any(|whole| suffix.strip_suffix(NEW_SUFFIX) == Some(whole)) =>
            {
                Some(Self::New)
            }
            _ if suffix.starts_with(".cut-") => Some(Self::Cut(base_offset)),
            _ => None,
        }
    }
}

/// The name of a file that holds what was cut off a segment: it says where, and which bytes.
pub(super) fn cut_name(base_offset: Offset, position: u64, bytes: &[u8]) -> String {
    let crc = crc32fast::hash(bytes);
    format!("{:020}.cut-{position}-{crc:08x}", base_offset.get())
}

/// Whether there is no room.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// An error with what was being done, to which file.
pub(super) fn failed(what: &str, path: &Path, error: io::Error) -> StorageError {
    StorageError::io(format_args!("{what} {}", path.display()), error)
}
