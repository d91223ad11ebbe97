//! What can go wrong in a backend.

use std::{error::Error, fmt, io, sync::Arc};

use crate::{
    name::{TopicId, TopicName},
    offset::{Bounds, Offset, PartitionIndex},
};

/// An error of a storage backend. Cheap to clone, since one failed sync fails a whole group.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// There is no topic of this id (any more).
    #[error("no topic with id {0}")]
    UnknownTopic(TopicId),
    /// The name is taken by a topic of another id.
    #[error("a topic named {0} exists")]
    TopicExists(TopicName),
    /// The topic has fewer partitions.
    #[error("no partition {0}")]
    UnknownPartition(PartitionIndex),
    /// The offset is not in the log.
    #[error("offset {requested} is out of range {}..={}", bounds.log_start, bounds.log_end)]
    OffsetOutOfRange {
        /// What was asked for.
        requested: Offset,
        /// What there is.
        bounds: Bounds,
    },
    /// A batch was given a base offset below the log end: the caller's mistake, nothing was appended.
    #[error("batch at offset {base_offset} where the log ends at {log_end}")]
    OutOfOrder {
        /// The batch's base offset.
        base_offset: Offset,
        /// The log end it had to reach.
        log_end: Offset,
    },
    /// The bytes kept for these offsets are not the bytes appended.
    #[error("records {from} to {until} (exclusive) are corrupt: {detail}")]
    Corrupt {
        /// First offset concerned.
        from: Offset,
        /// One past the last.
        until: Offset,
        /// What was seen.
        detail: String,
    },
    /// A file of the data directory is not what was written there: nothing is served from it.
    #[error("{file} is damaged: {detail}")]
    Damaged {
        /// Which one.
        file: String,
        /// What was seen.
        detail: String,
    },
    /// The data directory was written by a newer version.
    #[error("format version {found} is newer than {supported}, the newest this version reads")]
    NewerFormat {
        /// As written there.
        found: u32,
        /// What this version knows.
        supported: u32,
    },
    /// Another process has the data directory.
    #[error("{directory} is in use by another process")]
    Locked {
        /// Which one.
        directory: String,
    },
    /// The backend cannot do this at all.
    #[error("not supported by this backend: {0}")]
    Unsupported(String),
    /// A sync of the write-ahead log failed: nothing more is accepted until the directory is reopened.
    #[error("the write-ahead log is fenced after a failed sync: {reason}")]
    Fenced {
        /// The first failure.
        reason: String,
    },
    /// The backend is closed.
    #[error("the storage is closed")]
    Closed,
    /// The operating system, or what stands in for it, said no.
    #[error("{operation}: {source}")]
    Io {
        /// What a caller may branch on.
        kind: IoKind,
        /// What was being done, to what.
        operation: String,
        /// What was said.
        source: Arc<dyn Error + Send + Sync>,
    },
}

/// What kind of refusal an I/O error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IoKind {
    /// No room left (disk full, quota, or the backend's own bound): nothing was written, try later.
    Full,
    /// Not allowed to.
    PermissionDenied,
    /// Not at hand just now (for example a remote store): nothing was done, try later.
    Unavailable,
    /// Anything else: terminal for the handle it came from.
    Other,
}

impl StorageError {
    /// Wraps an I/O error with what was being done.
    pub fn io(operation: impl fmt::Display, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => IoKind::Full,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                IoKind::PermissionDenied
            }
            _ => IoKind::Other,
        };
        Self::Io {
            kind,
            operation: operation.to_string(),
            source: Arc::new(source),
        }
    }

    /// Whether the same call may succeed later, and surely had no effect now.
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Io {
                kind: IoKind::Full | IoKind::Unavailable,
                ..
            }
        )
    }

    /// Whether the handle it came from must be dropped and the partition opened anew.
    pub const fn is_terminal(&self) -> bool {
        matches!(
            self,
            Self::Io {
                kind: IoKind::Other | IoKind::PermissionDenied,
                ..
            } | Self::Fenced { .. }
                | Self::Closed
                | Self::OutOfOrder { .. }
        )
    }
}
