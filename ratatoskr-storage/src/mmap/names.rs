//! Names of the files in a log's directory, and what is said when one of them fails.

use std::{fmt, io, path::Path};

use ratatoskr_core::{offset::Offset, storage::StorageError};

/// Digits of an offset in a file's name.
const NAME_DIGITS: usize = 20;
const LOG_SUFFIX: &str = ".log";
const INDEX_SUFFIX: &str = ".index";
const NEW_SUFFIX: &str = ".new";
/// The name of the file that says that a sync has failed.
pub(super) const IN_DOUBT: &str = "sync-failed";

/// The name of the file that the broker's snapshot is in.
pub(super) const SNAPSHOT: &str = "snapshot";

/// What the files of a segment are called.
///
/// A segment that was appended to is named by the offset where it begins. One that compaction made
/// also says where it ends and up to where the log was compacted when it was made: so its place is
/// known before it is opened, and which of two that lie in one place is the later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentName {
    pub(super) base_offset: Offset,
    pub(super) compacted: Option<CompactedName>,
}

/// What the name of a segment that compaction made says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CompactedName {
    pub(super) end_offset: Offset,
    /// Its records were compared with all later ones below this offset.
    pub(super) compacted_to: Offset,
}

impl SegmentName {
    /// Of a segment that was, or is to be, appended to.
    pub(super) const fn appended(base_offset: Offset) -> Self {
        Self {
            base_offset,
            compacted: None,
        }
    }

    /// Up to where its records were compared with later ones; 0 where that was never done.
    pub(super) fn compacted_to(&self) -> Offset {
        self.compacted
            .map_or(Offset::ZERO, |compacted| compacted.compacted_to)
    }

    /// Whether compaction made this segment of `other`, perhaps with others.
    pub(super) fn replaces(&self, other: &Self) -> bool {
        self.compacted.is_some_and(|compacted| {
            (self.base_offset..compacted.end_offset).contains(&other.base_offset)
                && compacted.compacted_to > other.compacted_to()
        })
    }

    pub(super) fn log(&self) -> String {
        format!("{self}{LOG_SUFFIX}")
    }

    pub(super) fn index(&self) -> String {
        format!("{self}{INDEX_SUFFIX}")
    }

    /// Takes a segment's name off the front of a file's.
    fn take(name: &str) -> Option<(Self, &str)> {
        let (base_offset, rest) = take_offset(name)?;
        let Some(compacted) = rest.strip_prefix('-') else {
            return Some((Self::appended(base_offset), rest));
        };
        let (end_offset, rest) = take_offset(compacted)?;
        let (compacted_to, rest) = take_offset(rest.strip_prefix('-')?)?;
        let compacted = CompactedName {
            end_offset,
            compacted_to,
        };
        let name = Self {
            base_offset,
            compacted: Some(compacted),
        };
        (base_offset < end_offset).then_some((name, rest))
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0NAME_DIGITS$}", self.base_offset.get())?;
        if let Some(compacted) = &self.compacted {
            let (end, to) = (compacted.end_offset.get(), compacted.compacted_to.get());
            write!(f, "-{end:0NAME_DIGITS$}-{to:0NAME_DIGITS$}")?;
        }
        Ok(())
    }
}

fn take_offset(name: &str) -> Option<(Offset, &str)> {
    let (digits, rest) = name.split_at_checked(NAME_DIGITS)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let offset = digits.parse().ok();
    let offset = offset.filter(|&offset| offset <= Offset::MAX.get())?;
    Some((Offset::new(offset), rest))
}

/// The name under which a log or index file is made.
pub(super) fn new_name(name: &str) -> String {
    format!("{name}{NEW_SUFFIX}")
}

/// What a file of a log's directory is, told from its name. Other names are nobody's business here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    Log(SegmentName),
    Index(SegmentName),
    /// A torn tail that recovery cut off this segment.
    Cut(Offset),
    /// A file that was being made.
    New,
}

impl Named {
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (segment, suffix) = SegmentName::take(name)?;
        match suffix {
            LOG_SUFFIX => Some(Self::Log(segment)),
            INDEX_SUFFIX => Some(Self::Index(segment)),
            _ if [LOG_SUFFIX, INDEX_SUFFIX]
                .iter()
                .any(|whole| suffix.strip_suffix(NEW_SUFFIX) == Some(whole)) =>
            {
                Some(Self::New)
            }
            _ if suffix.starts_with(".cut-") => Some(Self::Cut(segment.base_offset)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let appended = SegmentName::appended(Offset::new(17));
        let compacted = SegmentName {
            compacted: Some(CompactedName {
                end_offset: Offset::new(40),
                compacted_to: Offset::MAX,
            }),
            ..appended
        };
        assert_eq!(appended.log(), "00000000000000000017.log");
        assert_eq!(
            compacted.index(),
            "00000000000000000017-00000000000000000040-09223372036854775807.index"
        );
        for name in [appended, compacted] {
            assert_eq!(Named::parse(&name.log()), Some(Named::Log(name)));
            assert_eq!(Named::parse(&name.index()), Some(Named::Index(name)));
            assert_eq!(Named::parse(&new_name(&name.log())), Some(Named::New));
        }
        for other in [
            "00000000000000000017-00000000000000000017-00000000000000000099.log",
            "00000000000000000017-00000000000000000018.log",
            "00000000000000000017-99999999999999999999-00000000000000000099.log",
            "17.log",
        ] {
            assert_eq!(Named::parse(other), None, "{other}");
        }
    }
}
