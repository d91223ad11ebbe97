//! The promises a broker can break, by name.

use std::fmt;

use ratatoskr_core::offset::Offset;

use crate::history::{Found, Place, Tag};

/// A broken promise, and where it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// A producer was told that its record is at an offset, where at the end nothing is.
    AcknowledgedLost {
        tag: Tag,
        place: Place,
        offset: Offset,
    },
    /// A reader was given a record that is not there at the end.
    ReadLost {
        tag: Tag,
        place: Place,
        offset: Offset,
    },
    /// One offset was seen, or acknowledged, with two values.
    TwoValues {
        place: Place,
        offset: Offset,
        first: Found,
        second: Found,
    },
    /// A record was read although its producer was told that it surely was not appended.
    FailedRead {
        tag: Tag,
        place: Place,
        offset: Offset,
    },
    /// A record was read that nobody had sent to this topic by then.
    NobodySent {
        tag: Tag,
        place: Place,
        offset: Offset,
    },
    /// What was read is not, byte for byte, what was sent.
    Changed { place: Place, offset: Offset },
    /// A producer's earlier record comes after a later one of its in the same partition.
    Reordered {
        place: Place,
        earlier: Tag,
        after: Tag,
    },
    /// A record of an idempotent producer is in the log twice.
    Duplicated {
        tag: Tag,
        first: (Place, Offset),
        second: (Place, Offset),
    },
    /// A reader, or the reading back, left an offset out.
    ReaderSkipped {
        reader: Reader,
        place: Place,
        expected: Offset,
        found: Offset,
    },
    /// A reader, or the reading back, was given an offset again.
    ReaderWentBack {
        reader: Reader,
        place: Place,
        expected: Offset,
        found: Offset,
    },
    /// A partition was said to end before an offset that was known to be in it by then.
    EndWentBack {
        place: Place,
        known: Offset,
        answered: Offset,
    },
}

/// Who read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Reader {
    /// A reader of the history.
    Numbered(u32),
    /// The reading back at the end.
    Last,
}

impl Violation {
    /// The kind's name, the same whatever the place.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::AcknowledgedLost { .. } => "acknowledged record lost",
            Self::ReadLost { .. } => "record lost after it was read",
            Self::TwoValues { .. } => "one offset with two values",
            Self::FailedRead { .. } => "failed send read",
            Self::NobodySent { .. } => "record nobody sent",
            Self::Changed { .. } => "changed record",
            Self::Reordered { .. } => "reordered",
            Self::Duplicated { .. } => "duplicate of an idempotent producer",
            Self::ReaderSkipped { .. } => "reader skipped",
            Self::ReaderWentBack { .. } => "reader went back",
            Self::EndWentBack { .. } => "end went back",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name())?;
        match self {
            Self::AcknowledgedLost { tag, place, offset }
            | Self::ReadLost { tag, place, offset }
            | Self::FailedRead { tag, place, offset }
            | Self::NobodySent { tag, place, offset } => write!(f, "{tag} at {place}@{offset}"),
            Self::TwoValues {
                place,
                offset,
                first,
                second,
            } => write!(f, "{place}@{offset} is {first}, then {second}"),
            Self::Changed { place, offset } => write!(f, "{place}@{offset}"),
            Self::Reordered {
                place,
                earlier,
                after,
            } => write!(f, "{earlier} comes after {after} in {place}"),
            Self::Duplicated { tag, first, second } => write!(
                f,
                "{tag} at {}@{} and {}@{}",
                first.0, first.1, second.0, second.1
            ),
            Self::ReaderSkipped {
                reader,
                place,
                expected,
                found,
            }
            | Self::ReaderWentBack {
                reader,
                place,
                expected,
                found,
            } => write!(f, "{reader} got {place}@{found}, expected @{expected}"),
            Self::EndWentBack {
                place,
                known,
                answered,
            } => write!(
                f,
                "{place} ends at @{answered}, but @{known} was known before"
            ),
        }
    }
}

impl fmt::Display for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Numbered(number) => write!(f, "reader {number}"),
            Self::Last => f.write_str("the reading back"),
        }
    }
}
